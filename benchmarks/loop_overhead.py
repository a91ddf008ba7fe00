"""What the Learner adds to a bare hand-written training loop, in microseconds a batch.

    python benchmarks/loop_overhead.py [--batches 2000] [--rounds 7] [--threads 2]

A linear model on batches that lie ready, so that all the time is the loop's. In turn in one process: a bare
loop with torch's fused AdamW that looks at the loss of each batch; that loop with the project's AdamW; and the
Learner with a one-cycle schedule, two metrics, history and progress, as lines in a pipe and as a bar in a
terminal; with fastai's Learner where it can be imported. Prints a table and, last, one JSON line: medians of wall
and CPU time (which other processes disturb less), and of each one's time less the bare loop's in the same round.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.optim.optimizers import adamw
from mfc.runtime.optim.schedules import one_cycle
from mfc.runtime.training.callbacks.progress import Progress
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy, top_k_accuracy
from mfc.runtime.training.phases import Phase

BARE = "bare loop, torch's fused AdamW"


class Ready:
    """The same batch again and again."""

    def __init__(self, count: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(8, 4, generator=draw), torch.randint(0, 2, (8,), generator=draw)
        self.count, self.dataset, self.items = count, [0], torch.arange(8)

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        return iter([(self.x, self.y, self.items)] * self.count)

    def set_epoch(self, epoch: int) -> None:
        """All epochs are alike."""


class Loaders:
    def __init__(self, train: Ready, valid: Ready) -> None:
        self.train, self.valid, self.vocab = train, valid, ["no", "yes"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def bare(batches: int, make: Callable[[nn.Module], Any]) -> Callable[[], object]:
    model, loader = nn.Linear(4, 2), Ready(batches)
    optimizer = make(model)

    def run() -> None:
        total = 0.0
        for x, y, _ in loader:
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item()

    return run


def ours(batches: int, stream: io.StringIO, folder: Path) -> Callable[[], object]:
    folder.mkdir()
    learner = Learner(
        nn.Linear(4, 2),
        Loaders(Ready(batches), Ready(1)),
        cross_entropy(),
        adamw(),
        schedule=one_cycle(1e-3),
        metrics=[accuracy(), top_k_accuracy(2)],
        callbacks=[Recorder(), Scheduling(), Progress()],
        folder=folder,
        stream=stream,
    )
    return lambda: learner.fit(Phase(1))


def fastai(batches: int, folder: Path) -> Callable[[], object]:
    from fastai import basics  # pyright: ignore[reportMissingImports]

    importlib.import_module("fastai.callback.all")  # adds fit_one_cycle

    class Pairs(Ready):
        def __iter__(self):
            return iter([(self.x, self.y)] * self.count)

    dls = basics.DataLoaders(Pairs(batches), Pairs(1), device=torch.device("cpu"))
    loss, metrics = basics.CrossEntropyLossFlat(), [basics.accuracy]
    learner = basics.Learner(dls, nn.Linear(4, 2), loss_func=loss, metrics=metrics, path=folder)

    def run() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(1, 1e-3)

    return run


def main() -> None:
    about = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**about)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batches = options.batches

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {
            BARE: bare(batches, lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, fused=True)),
            "bare loop, our AdamW": bare(batches, lambda m: adamw().create([{"params": m.parameters()}])),
            "Learner, lines": ours(batches, io.StringIO(), folder / "lines"),
            "Learner, bar": ours(batches, Terminal(), folder / "bar"),
        }
        try:
            runs["fastai's Learner"] = fastai(batches, folder)
        except ImportError as error:
            print(f"fastai's Learner: left out ({error})")
        walls: dict[str, list[float]] = {name: [] for name in runs}
        cpus: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(options.rounds + 1):
            order = list(runs)
            random.Random(number).shuffle(order)
            for name in order:
                wall, cpu = time.perf_counter(), time.process_time()
                runs[name]()
                if number:  # one round to warm up
                    walls[name].append((time.perf_counter() - wall) / batches * 1e6)
                    cpus[name].append((time.process_time() - cpu) / batches * 1e6)

    figures = {
        "us": median(walls),
        "added_us": added(walls),
        "cpu_us": median(cpus),
        "added_cpu_us": added(cpus),
    }
    print(f"{'microseconds a batch':<32}    wall    adds     CPU    adds")
    for name in runs:
        print(f"{name:<32}" + "".join(f"{figures[figure][name]:8.1f}" for figure in figures))
    print(json.dumps({"bench": "loop_overhead", **vars(options), **figures}))


def median(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(of) for name, of in times.items()}


def added(times: dict[str, list[float]]) -> dict[str, float]:
    """What each takes beyond the bare loop, round by round."""
    return median({name: [t - bare for t, bare in zip(of, times[BARE])] for name, of in times.items()})


if __name__ == "__main__":
    main()
