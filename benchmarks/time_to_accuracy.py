"""How long `specs/cifar10_fast.mfs` takes to a test accuracy on CIFAR-10, and how far fastai's xresnet18 is by then.

    python benchmarks/time_to_accuracy.py ours --data DIR [--target 0.9] [--seeds 3] [--set NAME=VALUE ...]
    python benchmarks/time_to_accuracy.py fastai --data DIR [--target 0.9] [--epochs N | --within SECONDS]
                                          [--rates 1e-3,3e-3,1e-2] [--mixup 0,1] [--seeds 1]

`DIR` holds `train/CLASS/*.jpg` and `test/CLASS/*.jpg`; all 50,000 images train, accuracy is on all 10,000 test
images, without averages over flips. Each run of ours is a process of its own with a store of its own: `whole_s` is its
time with start and decoding, `to_target_s` that of the epochs, with their validation, up to the first that reaches the
target.

fastai trains `xresnet18` with `fit_one_cycle` on batches of 128 from memory (decoding is left out of its time), with
its batch augmentation, and `MixUp` where asked for. `--within` first times 20 batches of training and a validation, and
takes as many whole epochs as go into so many seconds, at least one: give it twice our time. Prints each epoch, and last
one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from spec_runs import trained

SPEC = Path(__file__).parents[1] / "specs" / "cifar10_fast.mfs"


def first_at(target: float, accuracies: list[float], seconds: list[float]) -> float | None:
    """Seconds until the first epoch whose accuracy is the target at least."""
    reached = (sum(seconds[: i + 1]) for i, accuracy in enumerate(accuracies) if accuracy >= target)
    return next(reached, None)


def ours(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    settings = [f"root={options.data.absolute()}", f"seed={seed}", *options.set]
    history, whole = trained(SPEC, "fit.all", settings)
    accuracies, seconds = [row["accuracy"] for row in history], [row["time"] for row in history]
    reached = first_at(options.target, accuracies, seconds)
    return {
        "seed": seed,
        "accuracy": accuracies,
        "to_target_s": reached,
        "fit_s": sum(seconds),
        "whole_s": whole,
    }


def fastai(options: argparse.Namespace, rate: float, mixup: bool, seed: int) -> dict[str, Any]:
    from fastai.vision import all as vision  # pyright: ignore[reportMissingImports]

    vision.set_seed(seed, reproducible=True)
    dls = loaders(options.data, vision)
    callbacks = [vision.MixUp()] if mixup else []
    with tempfile.TemporaryDirectory() as folder:
        learn = vision.Learner(
            dls, vision.xresnet18(n_out=10), metrics=vision.accuracy, path=folder, cbs=callbacks
        )
        stamps: list[float] = []

        class Stamp(vision.Callback):
            def after_epoch(self) -> None:
                stamps.append(time.perf_counter())
                print(f"  {[round(float(v), 4) for v in learn.recorder.log[1:]]}", flush=True)

        epochs = options.epochs or as_many(options.within, learn, dls)
        start = time.perf_counter()
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(epochs, rate, cbs=Stamp())
    seconds = [b - a for a, b in zip([start, *stamps], stamps)]
    accuracies = [float(row[-1]) for row in learn.recorder.values]
    reached = first_at(options.target, accuracies, seconds)
    about = {"rate": rate, "mixup": mixup, "seed": seed, "epochs": epochs}
    return {**about, "accuracy": accuracies, "to_target_s": reached, "fit_s": sum(seconds)}


def loaders(root: Path, vision: Any) -> Any:
    """Batches of decoded images in memory, augmented as `aug_transforms` does: flips, shifts, zooms, light."""
    import numpy as np
    from PIL import Image

    files = sorted(file for part in ("train", "test") for file in (root / part).rglob("*.jpg"))
    decoded = {file: np.asarray(Image.open(file)) for file in files}
    augment = [*vision.aug_transforms(size=32, max_rotate=5, max_warp=0), norm(vision)]
    block = vision.DataBlock(
        (vision.ImageBlock, vision.CategoryBlock), get_items=lambda _: files, get_y=vision.parent_label,
        get_x=lambda file: decoded[file], splitter=vision.GrandparentSplitter("train", "test"), batch_tfms=augment,
    )  # fmt: skip
    return block.dataloaders(root, bs=128, num_workers=0)


def norm(vision: Any) -> Any:
    return vision.Normalize.from_stats(*vision.cifar_stats)


def as_many(within: float, learn: Any, dls: Any) -> int:
    """The number of epochs that go into so many seconds, by 20 steps of training and a pass over the test images."""
    model, loss = learn.model.train(), learn.loss_func
    batches = iter(dls.train)
    start = time.perf_counter()
    for _ in range(20):
        x, y = next(batches)
        loss(model(x), y).backward()
        model.zero_grad()
    step = (time.perf_counter() - start) / 20
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.validate()
    epoch = step * len(dls.train) + time.perf_counter() - start
    print(f"an epoch of fastai takes about {epoch:.0f} s", flush=True)
    return max(1, int(within / epoch))


def main() -> None:
    about = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**about)
    parser.add_argument("who", choices=["ours", "fastai"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a param of our spec")
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--within", type=float, default=600.0)
    parser.add_argument("--rates", default="1e-3,3e-3,1e-2")
    parser.add_argument("--mixup", default="0,1")
    options = parser.parse_args()
    runs = []
    for seed in range(1, options.seeds + 1):
        if options.who == "ours":
            runs.append(ours(options, seed))
            print(runs[-1], flush=True)
            continue
        for rate in map(float, options.rates.split(",")):
            for mixup in options.mixup.split(","):
                runs.append(fastai(options, rate, mixup == "1", seed))
                print(runs[-1], flush=True)
    last = [run["accuracy"][-1] for run in runs]
    print(
        json.dumps(
            {
                "bench": "time_to_accuracy",
                "who": options.who,
                "mean_of_last": statistics.mean(last),
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
