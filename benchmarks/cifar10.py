"""Accuracy and time of `specs/cifar10.mfs` beside another program that trains the same network on the same files.

    python benchmarks/cifar10.py --data DIR [--n 10000] [--epochs 5] [--seeds 3] [--fast] [--peer "COMMAND"]

`DIR` holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg`. For each seed the runs take turns: the peer, ours in fp32
and, with `--fast`, ours with `mixed_precision()` and `channels_last()`. Each run is a process of its own with a
store of its own, so that decoding is part of its time. `COMMAND` gets `--seed S --epochs E --n N` and prints as
its last line JSON with `acc`, the accuracies by epoch, and `fit.wall_s`. Prints one JSON line last: accuracies,
seconds of whole processes and of training alone, and the ratios to the peer's.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import tempfile
from pathlib import Path
from typing import Any

from spec_runs import timed, trained

SPEC = Path(__file__).parents[1] / "specs" / "cifar10.mfs"


def choose(root: Path, count: int, seed: int = 0) -> list[Path]:
    """`count` training images: all of them, class by class in sorted order, shuffled by Python's generator."""
    files = [file for folder in sorted((root / "train").iterdir()) for file in sorted(folder.glob("*.jpg"))]
    random.Random(seed).shuffle(files)
    return files[:count]


def make_subset(root: Path, count: int, to: Path) -> None:
    """A folder like `root` with links to the chosen training images and to all test images."""
    for file in [*choose(root, count), *(root / "test").rglob("*.jpg")]:
        link = to / file.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)


def ours(root: Path, epochs: int, seed: int, fast: bool) -> dict[str, Any]:
    settings = {"root": root, "epochs": epochs, "seed": seed, "fast": str(fast).lower()}
    history, seconds = trained(SPEC, "fit", [f"{name}={value}" for name, value in settings.items()])
    accuracy = [row["accuracy"] for row in history]
    return {"accuracy": accuracy, "process_s": seconds, "fit_s": sum(row["time"] for row in history)}


def peer(command: str, epochs: int, seed: int, count: int) -> dict[str, Any]:
    arguments = ["--seed", str(seed), "--epochs", str(epochs), "--n", str(count)]
    seconds, out = timed(shlex.split(command) + arguments)
    result = json.loads(out.strip().splitlines()[-1])
    return {"accuracy": result["acc"], "process_s": seconds, "fit_s": result["fit"]["wall_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fast", action="store_true", help="also with bfloat16 and channels-last")
    parser.add_argument("--peer", default="", help="the command of the other program")
    given = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_subset(given.data.absolute(), given.n, Path(folder))
        for seed in range(1, given.seeds + 1):
            turn = {"peer": peer(given.peer, given.epochs, seed, given.n)} if given.peer else {}
            turn["fp32"] = ours(Path(folder), given.epochs, seed, fast=False)
            if given.fast:
                turn["fast"] = ours(Path(folder), given.epochs, seed, fast=True)
            for name, result in turn.items():
                runs.setdefault(name, []).append(result)
                print(f"seed {seed} {name}: {result}", flush=True)
    print(json.dumps({name: summary(results, runs.get("peer")) for name, results in runs.items()}))


def summary(results: list[dict[str, Any]], others: list[dict[str, Any]] | None) -> dict[str, Any]:
    last = [result["accuracy"][-1] for result in results]
    spread = statistics.stdev(last) if len(last) > 1 else 0.0
    out: dict[str, Any] = {"mean": statistics.mean(last), "standard_error": spread / len(last) ** 0.5}
    for what in ("process_s", "fit_s"):
        out[what] = statistics.median(result[what] for result in results)
        if others:
            out[f"{what}_ratio"] = statistics.median(a[what] / b[what] for a, b in zip(results, others))
    return out


if __name__ == "__main__":
    main()
