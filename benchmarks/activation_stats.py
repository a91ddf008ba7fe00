"""What looking into the layers of a model costs, as a share of the time of a training step.

    python benchmarks/activation_stats.py [--size 64] [--batch-size 64] [--every 10] [--rounds 5] [--threads 2]
                                          [--layers relu] [--device cpu]

xresnet18 on batches that lie ready, trained by the Learner without and with `activation_stats`, in turn in one process:
a round is `every` batches of each, one of which is a sample. Prints a table and, last, one JSON line: medians of wall
and, on a CPU, of CPU time (which other processes disturb less), and the medians over rounds of what sampling adds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import mfc
from mfc.runtime.optim.optimizers import adam
from mfc.runtime.training.callbacks.activation_stats import activation_stats
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase

SPEC = """
import "std/xresnet.mfs" (xresnet18)

model net {{
    input = image(3, {size}, {size})
    xresnet18(classes = 10)
}}
"""


class Ready:
    """The same batch again and again."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, count: int) -> None:
        self.x, self.y, self.count, self.items = x, y, count, torch.arange(len(x))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Any:
        return iter([(self.x, self.y, self.items)] * self.count)

    def set_epoch(self, epoch: int) -> None:
        """All epochs are alike."""


class Loaders:
    def __init__(self, train: Ready, valid: Ready, device: torch.device) -> None:
        self.train, self.valid, self.device, self.vocab = train, valid, device, []


def build(folder: Path, size: int, device: torch.device) -> torch.nn.Module:
    spec = folder / "bench.mfs"
    spec.write_text(SPEC.format(size=size))
    net: Any = mfc.compile(spec).build("net")
    return net.to(device)


def seconds(learner: Learner, device: torch.device) -> tuple[float, float]:
    """The time of one epoch, on the wall and of the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start, used = time.perf_counter(), time.process_time()
    learner.fit(Phase(1))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("size", 64), ("batch-size", 64), ("every", 10), ("rounds", 5), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--layers", default="relu")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    with tempfile.TemporaryDirectory() as name:
        model = build(Path(name), given.size, device)
        draw = torch.Generator().manual_seed(0)
        shape = (given.batch_size, 3, given.size, given.size)
        x, y = torch.randn(shape, generator=draw), torch.randint(0, 10, (given.batch_size,), generator=draw)
        train = Ready(x.to(device), y.to(device), given.every)
        loaders = Loaders(train, Ready(x[:1].to(device), y[:1].to(device), 0), device)
        stats = activation_stats(given.layers, every=given.every)
        runs = {"without": [], "with": [stats]}
        learners = {}
        for kind, callbacks in runs.items():
            folder = Path(name) / kind
            folder.mkdir()
            learners[kind] = Learner(
                model, loaders, cross_entropy(), adam(), callbacks=callbacks, folder=folder, device=device
            )
            seconds(learners[kind], device)  # warm
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in runs}
        for _ in range(given.rounds):
            for kind, learner in learners.items():
                times[kind].append(seconds(learner, device))
    result: dict[str, object] = {"layers": len(stats.found), **vars(given)}
    print(
        f"{'':6} {'without':>9} {'with':>9}  ms a step;  {len(stats.found)} layers, every {given.every} batches"
    )
    for clock, name in enumerate(("wall", "cpu") if device.type == "cpu" else ("wall",)):
        without, watched = ([pair[clock] for pair in times[kind]] for kind in runs)
        added = statistics.median(b / a - 1 for a, b in zip(without, watched))
        steps = [1000 * statistics.median(values) / given.every for values in (without, watched)]
        print(f"{name:6} {steps[0]:9.1f} {steps[1]:9.1f}  sampling adds {added:.1%}")
        result[name] = {"ms": [round(step, 2) for step in steps], "added": round(added, 4)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
