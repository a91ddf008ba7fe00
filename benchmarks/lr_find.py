"""How near the learning-rate finder comes to the best rate, on `specs/digits.mfs` and a part of CIFAR-10.

    python benchmarks/lr_find.py [--data DIR] [--n 2000] [--only NAME] [--seeds 3] [--epochs 5] [--plots FOLDER]

The best rate after an epoch is the one of a grid in factors of two at which the mean training loss over that epoch is
lowest: the rate is constant, from fresh weights, everything else is as the spec has it. A loss that is no number
counts as infinite. It falls with the epochs, as high rates are soon stuck where low ones go on; so it is printed after
one epoch and after all of them. For each seed the finder runs first, from each of `STARTS`, then the grid from
`LOWEST` on, with the same weights and batches. `DIR` holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg`, of which `--n`
training images are taken; without it digits alone are measured. `--plots` draws each sweep with its four suggestions.
Prints rows for each spec and seed, and as its last line JSON: for each spec the medians over seeds of the best rates,
the suggestions, and the ratios of valley and best, the larger over the smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

from cifar10 import make_subset

import mfc
from mfc.driver import Driver
from mfc.plots import plot_lr_find
from mfc.runtime.errors import RunError
from mfc.runtime.optim.schedules import flat
from mfc.runtime.store import Store
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.phases import Phase
from mfc.stages import Means, training

SPECS = Path(mfc.__file__).parent / "specs"
LOWEST, FACTOR, COUNT = 1.25e-4, 2, 10
STARTS = (1e-5, 1e-7)


def measure(text: str, settings: dict[str, Any], seed: int, epochs: int, plot: Path | None) -> dict[str, Any]:
    """The suggestions for a spec's `fit`, and the training losses of each epoch that each rate of the grid gives."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.mfs").write_text(text)
        job = mfc.compile(folder / "spec.mfs", **settings)
        found = {
            start: job.lr_find("fit", start=start, device="cpu", workers=0, progress=False)
            for start in STARTS
        }
        if plot is not None:
            plot_lr_find(found[STARTS[0]], str(plot))
        means = Means("cpu", 0, progress=False)
        driver = Driver(job.spec, Store(folder / ".mfc"), means, ["fit"])
        stage = driver.before("fit")
        losses = {}
        for step in range(COUNT):
            rate = LOWEST * FACTOR**step
            parts = training(stage, driver.folders, means)
            parts |= {"callbacks": [*parts["callbacks"], Recorder(), Scheduling()]}
            del parts["phases"]
            losses[rate] = train(Learner(**parts), rate, epochs)
    best = {e: min(losses, key=lambda rate: losses[rate][e - 1]) for e in sorted({1, epochs})}
    print(
        f"  seed {seed}, losses after the last epoch: "
        + ", ".join(f"{r:.2g}: {v[-1]:.3f}" for r, v in losses.items())
    )
    numbers = {f"best after {e}": rate for e, rate in best.items()}
    for start, one in found.items():
        numbers |= {f"{name} from {start:g}": rate for name, rate in one.suggestions.items()}
        numbers |= {
            f"ratio from {start:g} after {e}": max(rate / one.valley, one.valley / rate)
            for e, rate in best.items()
        }
    return numbers


def train(learner: Learner, rate: float, epochs: int) -> list[float]:
    """The mean training loss over each epoch."""
    learner.dls.valid.sampler.count = 0  # the validation part is of no interest here
    try:
        learner.fit(Phase(epochs, flat(rate)))
    except RunError as error:
        if error.code != "R0201":
            raise
    losses = [row["train_loss"] for row in learner.history]
    return losses + [math.inf] * (epochs - len(losses))


def report(spec: str, rows: list[dict[str, float]]) -> dict[str, float]:
    """The medians over seeds, after a table with a column for each seed."""
    print(spec)
    for key in rows[0]:
        print(f"  {key:26}" + "".join(f"{row[key]:10.2g}" for row in rows))
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--only", choices=("digits", "cifar10"))
    parser.add_argument("--plots", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        digits = (
            (SPECS / "digits.mfs")
            .read_text()
            .replace("epochs    = epochs\n", "epochs    = epochs\n    seed = seed\n")
        )
        specs: dict[str, tuple[str, dict[str, Any]]] = {"digits": (digits + "\nparam seed: int = 42\n", {})}
        if given.data is not None:
            make_subset(given.data.absolute(), given.n, Path(name))
            specs["cifar10"] = (SPECS / "cifar10.mfs").read_text(), {"root": name}
        for spec, (text, settings) in specs.items():
            if given.only not in (None, spec):
                continue
            rows = []
            for seed in range(given.seeds):
                plot = given.plots / f"{spec}_{seed}.png" if given.plots else None
                rows.append(measure(text, {**settings, "seed": seed}, seed, given.epochs, plot))
            results[spec] = report(spec, rows)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
