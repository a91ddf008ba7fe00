"""Batch augmentation beside fastai's and kornia's, in turn in one process.

    python benchmarks/batch_transforms.py [--batch 64] [--size 224] [--rounds 15] [--threads 2]

Flip, rotate, zoom, warp, brightness, contrast and normalize on one batch of `batch x 3 x size x size`, each
library with its own draw for every image. Prints a table and, last, one JSON line: medians in milliseconds,
and the median over rounds of each one's time divided by that of `BatchPipeline` on the same float images.
Libraries that can't be imported are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
import warnings
from collections.abc import Callable

import torch

from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.batch_transforms import aug_transforms, normalize
from mfc.runtime.data.stats import imagenet_stats

OURS = "mfc, float images"


def mfc_runs(images: torch.Tensor) -> dict[str, Callable[[], object]]:
    pipeline = BatchPipeline([aug_transforms(), normalize(imagenet_stats)], 0, "fit", 3, training=True)
    items, small = torch.arange(len(images)), (images * 255).to(torch.uint8)
    last = small.contiguous(memory_format=torch.channels_last)
    plain = BatchPipeline([normalize(imagenet_stats)], 0, "fit", 3, training=False)
    return {
        OURS: lambda: pipeline(images, items, 0),
        "mfc, uint8 images": lambda: pipeline(small, items, 0),
        "mfc, uint8 images, channels last": lambda: pipeline(last, items, 0),
        "mfc, uint8 images, validation": lambda: plain(small, items, 0),
    }


def fastai_run(images: torch.Tensor) -> Callable[[], object]:
    from fastai.vision import all as fastai  # pyright: ignore[reportMissingImports]

    transforms = [
        *fastai.aug_transforms(),
        fastai.Normalize.from_stats(*fastai.imagenet_stats, cuda=images.is_cuda),
    ]
    run, batch = fastai.Pipeline(transforms, split_idx=0), fastai.TensorImage(images)
    return lambda: run(batch)


def kornia_run(images: torch.Tensor) -> Callable[[], object]:
    from kornia import augmentation as k  # pyright: ignore[reportMissingImports]

    run = k.AugmentationSequential(
        k.RandomHorizontalFlip(p=0.5),
        k.RandomRotation(10.0, p=0.75),
        k.RandomAffine(0.0, scale=(1.0, 1.1), p=0.75),
        k.RandomPerspective(0.2, p=0.75),
        k.ColorJiggle(0.2, 0.2, p=0.75),
        k.Normalize(*(torch.tensor(part) for part in imagenet_stats)),
    )
    return lambda: run(images)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)

    images = torch.rand(options.batch, 3, options.size, options.size, device=options.device)
    runs = mfc_runs(images)
    for name, make in (("fastai aug_transforms() + Normalize", fastai_run), ("kornia", kornia_run)):
        try:
            runs[name] = make(images)
        except ImportError as error:
            print(f"{name}: left out ({error})")

    def seconds(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        if images.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times: dict[str, list[float]] = {name: [] for name in runs}
    with torch.no_grad():
        for number in range(options.rounds + 2):
            order = list(runs)
            random.Random(number).shuffle(order)  # each finds the caches and the heap as any other left them
            for name in order:
                took = seconds(runs[name]) * 1e3
                if number >= 2:  # two rounds to warm up
                    times[name].append(took)

    medians = {name: statistics.median(of) for name, of in times.items()}
    ratios = {
        name: statistics.median(theirs / ours for theirs, ours in zip(of, times[OURS]))
        for name, of in times.items()
    }
    for name in runs:
        print(f"{name:<36} {medians[name]:8.2f} ms   best {min(times[name]):8.2f} ms   {ratios[name]:6.2f} x")
    print(json.dumps({"bench": "batch_transforms", **vars(options), "ms": medians, "ratio": ratios}))


if __name__ == "__main__":
    main()
