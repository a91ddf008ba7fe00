"""One step of AdamW and of LAMB over xresnet50's parameters: ours beside torch's and fastai's, in turn.

    python benchmarks/optimizer.py [--rounds 11] [--threads 2] [--classes 1000] [--only lamb]

25,576,264 parameters in 167 tensors, each optimizer with its own copy, all with the same gradients. In each round
each optimizer makes three steps in a row, of which the last two count. Prints a table and, last, one JSON line:
medians in milliseconds, and three ratios, each the median over all steps: of AdamW, `lowered` to torch's fused kernel
and `composed` to the better of torch's two unfused paths, and of LAMB, `lamb` to fastai's. Their times depend on what
the process's heap came to look like: from one process to the next they take 47 or 68 ms on one machine, so run it more
than once. fastai is left out where it can't be imported. `--only` runs the optimizers with that word in their names.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from mfc.runtime.optim.optimizers import adamw, lamb

Shape = tuple[int, ...]


def xresnet50(classes: int) -> Iterator[Shape]:
    """The shapes of its parameters: a convolution's weight, then its norm's scale and shift."""

    def conv(channels: int, features: int, size: int) -> Iterator[Shape]:
        yield features, channels, size, size
        yield from [(features,)] * 2

    channels = 3
    for features in (32, 32, 64):
        yield from conv(channels, features, 3)
        channels = features
    for width, blocks in zip((64, 128, 256, 512), (3, 4, 6, 3)):
        for _ in range(blocks):
            yield from conv(channels, width, 1)
            yield from conv(width, width, 3)
            yield from conv(width, 4 * width, 1)
            if channels != 4 * width:
                yield from conv(channels, 4 * width, 1)
            channels = 4 * width
    yield from [(classes, channels), (classes,)]


def params(gradients: list[torch.Tensor]) -> list[nn.Parameter]:
    draws = torch.Generator().manual_seed(0)
    made = [nn.Parameter(0.05 * torch.randn(g.shape, generator=draws)) for g in gradients]
    for parameter, gradient in zip(made, gradients):
        parameter.grad = gradient
    return made


def runs(gradients: list[torch.Tensor]) -> dict[str, Callable[[], object]]:
    made: dict[str, Callable[[], object]] = {
        "torch, fused": torch.optim.AdamW(params(gradients), fused=True).step,
        "torch, default": torch.optim.AdamW(params(gradients), foreach=False).step,
        "torch, foreach": torch.optim.AdamW(params(gradients), foreach=True).step,
        "mfc, lowered": adamw().create([{"params": params(gradients)}]).step,
        "mfc, composed": adamw().create([{"params": params(gradients)}], lowered=False).step,
        "mfc, lamb": lamb().create([{"params": params(gradients)}]).step,
    }
    try:
        from fastai.optimizer import Adam, Lamb  # pyright: ignore[reportMissingImports]
    except ImportError:
        return made
    return made | {
        "fastai, adam": Adam(params(gradients), lr=1e-3).step,
        "fastai, lamb": Lamb(params(gradients), lr=1e-3).step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    draws = torch.Generator().manual_seed(1)
    gradients = [1e-3 * torch.randn(shape, generator=draws) for shape in xresnet50(options.classes)]
    steps = {name: step for name, step in runs(gradients).items() if options.only in name}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds + 1):
        order = list(steps)
        random.Random(number).shuffle(order)
        for name in order:
            for repeat in range(3):
                start = time.perf_counter()
                steps[name]()
                if number and repeat:  # not what the one before left in caches, nor the making of state
                    times[name].append(1e3 * (time.perf_counter() - start))
    medians = {name: round(statistics.median(own), 2) for name, own in times.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:8.2f} ms   fastest {min(times[name]):8.2f} ms")
    unfused = min(("torch, default", "torch, foreach"), key=lambda name: medians.get(name, math.inf))
    compared = {
        "lowered": ("mfc, lowered", "torch, fused"),
        "composed": ("mfc, composed", unfused),
        "lamb": ("mfc, lamb", "fastai, lamb"),
    }
    ratios = {
        name: ratio(times[ours], times[theirs])
        for name, (ours, theirs) in compared.items()
        if ours in times and theirs in times
    }
    for name, value in ratios.items():
        print(f"{name} takes {value:.2f} of `{compared[name][1]}`")
    count = sum(math.prod(gradient.shape) for gradient in gradients)
    print(json.dumps({"bench": "optimizer", "parameters": count, "threads": options.threads,
                      "rounds": options.rounds, "ms": medians, "ratios": ratios}))  # fmt: skip


def ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, theirs)), 3)


if __name__ == "__main__":
    main()
