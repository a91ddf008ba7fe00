"""What `mixup` and `cutmix` add to the loss of a step and its slope, beside fastai's where that is installed.

python benchmarks/mixing.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch

from mfc.runtime.streams import Stream
from mfc.runtime.training.callbacks import mixing
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.memory import freed_memory_kept

KINDS = ("plain", "mixup", "cutmix")
SIZES = ((128, 3, 32), (64, 3, 128), (64, 3, 224))
CLASSES = 10


def batch(count: int, channels: int, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, targets and predictions."""
    x, pred = torch.rand(count, channels, side, side), torch.randn(count, CLASSES, requires_grad=True)
    return x, torch.arange(count) % CLASSES, pred


def ours(kind: str) -> Callable[[tuple[int, int, int]], Callable[[], None]]:
    """Mixing of a batch and the loss with its slope, by our callback of that name; `plain` is the loss alone."""

    def prepare(size: tuple[int, int, int]) -> Callable[[], None]:
        x, y, pred = batch(*size)
        learner: Any = SimpleNamespace(epoch=0, batch=0, training=True, x=x)
        callback = getattr(mixing, kind)() if kind != "plain" else None
        loss = cross_entropy() if callback is None else mixing.MixedLoss(cross_entropy(), callback)
        if callback is not None:
            callback.learner, callback.stream = learner, Stream(42, "fit", kind)

        def step() -> None:
            learner.x, learner.batch = x, learner.batch + 1
            if callback is not None:
                callback.before_batch()
            loss(pred, y).backward()

        return step

    return prepare


def fastais(kind: str) -> Callable[[tuple[int, int, int]], Callable[[], None]]:
    """The same by fastai's callback."""
    from fastai.callback import mixup  # pyright: ignore[reportMissingImports]
    from fastai.losses import CrossEntropyLossFlat  # pyright: ignore[reportMissingImports]

    def prepare(size: tuple[int, int, int]) -> Callable[[], None]:
        x, y, pred = batch(*size)
        loss = CrossEntropyLossFlat()
        if kind == "plain":
            return lambda: loss(pred, y).backward()
        callback = {"mixup": mixup.MixUp, "cutmix": mixup.CutMix}[kind]()

        learner: Any = SimpleNamespace(training=True, loss_func=loss, x=x, y=y, xb=(x,), yb=(y,))
        learner.learn = learner
        callback.learn = learner
        callback.before_train()

        def step() -> None:
            learner.xb = (x.clone() if kind == "cutmix" else x,)  # which writes into the batch
            callback.before_batch()
            learner.loss_func(pred, y).backward()

        return step

    return prepare


def seconds(step: Callable[[], None], least: float = 0.15) -> float:
    """The time of a step, of as many as fill `least` seconds."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < least:
        step()
        count += 1
    return spent / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    whose = {"mfc": ours} | ({"fastai": fastais} if find_spec("fastai") else {})
    result = {}
    for size in SIZES:
        steps = {(name, kind): of(kind)(size) for name, of in whose.items() for kind in KINDS}
        times = {which: [] for which in steps}
        for _ in range(rounds):
            for which, step in steps.items():
                # as the Learner does for its own steps
                with freed_memory_kept() if which[0] == "mfc" else nullcontext():
                    times[which].append(seconds(step))
        shape = "x".join(map(str, (*size, size[2])))
        for kind in KINDS[1:]:
            # what mixing adds to the loss alone
            added = {
                name: 1000 * (median(times[name, kind]) - median(times[name, "plain"])) for name in whose
            }
            print(
                f"{shape:>14} {kind:>7}",
                *(f"{name} {ms:8.2f} ms" for name, ms in added.items()),
                sep="  ",
                flush=True,
            )
            result[f"{shape} {kind}"] = {name: round(ms, 3) for name, ms in added.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
