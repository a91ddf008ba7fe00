"""Small loaders, optimizers and schedules that do what the Learner asks of real ones, by torch's means."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from mfc.runtime.streams import Stream
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy


class Batch(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    items: torch.Tensor


class Loader:
    """Batches of tensors, shuffled by (seed, epoch) if `shuffle`."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, size: int, shuffle: bool = False) -> None:
        self.x, self.y, self.size, self.shuffle, self.epoch = x, y, size, shuffle, 0
        self.first = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.first = epoch, 0

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.first = state["epoch"], state["batch"]

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.size)

    def __iter__(self):
        order = list(range(len(self.x)))
        if self.shuffle:
            Stream(1, "data", "shuffle").generator(self.epoch).shuffle(order)
        for start in range(self.first * self.size, len(order), self.size):
            items = torch.tensor(order[start : start + self.size])
            yield Batch(self.x[items], self.y[items], items)


class Loaders:
    device = torch.device("cpu")

    def __init__(self, train: Any, valid: Any, vocab: list[str]) -> None:
        self.train, self.valid, self.vocab = train, valid, vocab


def loaders(items: int = 40, size: int = 8, features: int = 6, classes: int = 3) -> Loaders:
    """Points around one centre a class."""
    draw = torch.Generator().manual_seed(3)
    centres = 2 * torch.randn(classes, features, generator=draw)
    y = torch.arange(items) % classes
    x = centres[y] + torch.randn(items, features, generator=draw)
    vocab = [f"class {i}" for i in range(classes)]
    return Loaders(Loader(x, y, size, shuffle=True), Loader(x[: items // 2], y[: items // 2], size), vocab)


def network(features: int = 6, classes: int = 3, dropout: float = 0.3) -> nn.Sequential:
    """A network with a norm layer and dropout, always with the same weights."""
    torch.manual_seed(5)
    first, last = nn.Linear(features, 16), nn.Linear(16, classes)
    return nn.Sequential(first, nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), last)


class Optimizer:
    """A torch optimizer behind the project's interface."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner = inner
        self.hypers = [{"lr": group["lr"]} for group in inner.param_groups]
        self.steps = 0

    def step(self) -> None:
        for group, hypers in zip(self.inner.param_groups, self.hypers):
            group.update(hypers)
        self.inner.step()
        self.steps += 1

    def follow(self) -> None:
        """torch's keep no copies of parameters."""

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "hypers": self.hypers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
        self.hypers = [dict(h) for h in state["hypers"]]


class Factory:
    """Makes torch optimizers."""

    def __init__(self, kind: type = torch.optim.SGD, lr: float = 0.05, **options: Any) -> None:
        self.kind, self.lr, self.options = kind, lr, options

    def create(self, groups: list[dict[str, Any]], *, ends: list[nn.Parameter]) -> Optimizer:
        return Optimizer(self.kind(groups, lr=self.lr, **self.options))


class Triangle:
    """Up and down again, with a higher top for later groups: a small one-cycle."""

    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        top = self.lr * (group + 1) / groups
        return {"lr": top * (1 - abs(2 * position - 1)) + 1e-3}


def learner(**changes: Any) -> Learner:
    """A Learner on the stand-ins."""
    parts: dict[str, Any] = {
        "model": network(), "dls": loaders(), "loss": cross_entropy(), "optimizer": Factory(momentum=0.9),
    }  # fmt: skip
    return Learner(**(parts | changes))


def weights(model: nn.Module) -> list[float]:
    """All parameters and buffers, as one list that can be compared for equality."""
    return torch.cat([t.flatten().double() for t in model.state_dict().values()]).tolist()
