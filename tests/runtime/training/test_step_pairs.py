"""What a step is made of, in all pairs, beside a loop that is written by hand in bare torch."""

from __future__ import annotations

import copy
import io
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.streams import Stream
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.mixing import mixup
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Factory, Loader, Loaders, Triangle, weights

SEED, STAGE, EPOCHS, LR = 42, "fit", 3, 0.1
GATHERED, LONGEST, ALPHA, DECAY = 4, 0.2, 0.4, 0.9

CALLBACKS = {
    "accumulation": lambda: gradient_accumulation(batches=GATHERED),
    "clipping": lambda: gradient_clip(LONGEST),
    "bf16": mixed_precision,
    "mixup": lambda: mixup(alpha=ALPHA),
    "ema": lambda: ema(decay=DECAY),
}
PAIRS = [(), *((name,) for name in CALLBACKS), *combinations(CALLBACKS, 2), tuple(CALLBACKS)]


def data() -> Loaders:
    """Six training batches, which are a group of four and one of two. Division by these rounds nothing, in bfloat16
    neither, so that a loop by hand has the same last bits; other sizes are tested with accumulation itself."""
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(48, 3, 6, 6, generator=draw), torch.randint(0, 3, (48,), generator=draw)
    return Loaders(Loader(x, y, 8, shuffle=True), Loader(x[:20], y[:20], 8), ["a", "b", "c"])


def network() -> nn.Sequential:
    torch.manual_seed(2)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 3))


def drawn(items: int, epoch: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The shares and partners of mixup: where its draws come from is the Learner's, what they mean the paper's."""
    rng = Stream(SEED, STAGE, "mixup").generator(epoch, batch)
    partners = list(range(items))
    rng.shuffle(partners)
    shares = [rng.betavariate(ALPHA, ALPHA) for _ in partners]
    return torch.tensor([max(share, 1 - share) for share in shares]), torch.tensor(partners)


@cache
def by_hand(techniques: tuple[str, ...]) -> tuple[nn.Module, list[float], list[float]]:
    """The trained model, and the losses of each epoch on training and validation data."""
    model, dls = network(), data()
    average, updates = copy.deepcopy(model), 0
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    schedule, seeds = Triangle(LR), Stream(SEED, STAGE, "step")
    gathered = GATHERED if "accumulation" in techniques else 1
    train_losses, valid_losses = [], []
    for epoch in range(EPOCHS):
        dls.train.set_epoch(epoch)
        batches = list(dls.train)
        model.train()
        total = 0.0
        for first in range(0, len(batches), gathered):
            group = batches[first : first + gathered]
            items = sum(len(batch.y) for batch in group)
            optimizer.zero_grad()
            for number, (x, y, _) in enumerate(group, first):
                share, partner = torch.ones(len(y)), torch.arange(len(y))
                if "mixup" in techniques:
                    share, partner = drawn(len(y), epoch, number)
                x = torch.lerp(x[partner], x, share.view(-1, 1, 1, 1))
                torch.manual_seed(seeds.torch_seed(epoch, number))
                with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in techniques):
                    half = model(x)
                pred = half.float()
                own, others = (F.cross_entropy(pred, t, reduction="none") for t in (y, y[partner]))
                mean = torch.lerp(others, own, share).mean()
                (mean * len(y) / items).backward()
                total += mean.item() * len(y)
            if "clipping" in techniques:
                nn.utils.clip_grad_norm_(model.parameters(), LONGEST)
            last = first + len(group) - 1
            position = (epoch + last / len(batches)) / EPOCHS
            optimizer.param_groups[0]["lr"] = schedule.values(position, 0, 1)["lr"]
            optimizer.step()
            decay = min(DECAY, (1 + updates) / (10 + updates)) if "ema" in techniques else 0.0
            updates += 1
            state = model.state_dict()
            for name, mean in average.state_dict().items():
                if mean.is_floating_point():
                    mean.copy_(decay * mean + (1 - decay) * state[name])
                else:
                    mean.copy_(state[name])
        train_losses.append(total / len(dls.train.x))
        average.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in techniques):
            preds = torch.cat([average(x) for x, _, _ in dls.valid])
        valid_losses.append(F.cross_entropy(preds.float(), dls.valid.y).item())
    return average, train_losses, valid_losses


def by_learner(techniques: tuple[str, ...]) -> Learner:
    callbacks = [CALLBACKS[name]() for name in reversed(techniques)]  # the order in a spec is no matter
    learner = Learner(
        network(), data(), cross_entropy(), Factory(momentum=0.9), schedule=Triangle(LR), seed=SEED, stage=STAGE,
        callbacks=[*callbacks, Recorder(), Scheduling()], stream=io.StringIO(),
    )  # fmt: skip
    learner.fit(Phase(EPOCHS))
    return learner


@pytest.mark.parametrize("techniques", PAIRS, ids=" x ".join)
def test_each_pair_is_the_loop_by_hand(techniques):
    model, train, valid = by_hand(techniques)
    learner = by_learner(techniques)
    near: Any = {"rel": 1e-4, "abs": 1e-5}
    assert weights(learner.model) == pytest.approx(weights(model), **near)
    assert [row["train_loss"] for row in learner.history] == pytest.approx(train, **near)
    assert [row["valid_loss"] for row in learner.history] == pytest.approx(valid, **near)
    for name in techniques:  # each of them does something
        others = tuple(other for other in techniques if other != name)
        assert weights(learner.model) != pytest.approx(weights(by_hand(others)[0]), **near), name
