"""Lists, splits and labels a large folder of images, against a bare recursive loop that does the same.

    python benchmarks/walk.py [--files 100000] [--rounds 7]

Makes `photos/{train,valid}/<100 classes>/<n>.jpg` (empty files) in a temporary folder. The bare loop calls
`os.scandir` for each folder and, for each image, notes its path, its label (the folder's name) and its part (by
the folder above, or by a draw for a random split). The project's gives sorted paths relative to the root, skips
hidden files, knows 17 extensions in any case, and follows links but no circles. The two take turns. Prints a
table and, last, one JSON line; exits with 1 where the project takes 1.5 times the bare loop's time or more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfc.runtime.data import labels, splits
from mfc.runtime.data.sources import image_files

LIMIT = 1.5
CLASSES = 100
Walked = tuple[list[str], list[str], list[int], list[int]]  # paths, labels, train, valid


def bare(root: str, is_train: Callable[[str], bool]) -> Walked:
    paths, labels, train, valid = [], [], [], []

    def walk(folder: str, above: str, label: str) -> None:
        for entry in os.scandir(folder):
            if entry.is_dir():
                walk(entry.path, label, entry.name)
            elif entry.name.endswith((".jpg", ".jpeg", ".png")):
                (train if is_train(above) else valid).append(len(paths))
                paths.append(entry.path)
                labels.append(label)

    walk(root, "", "")
    return paths, labels, train, valid


def ours(root: str, split: Any) -> Walked:
    items = image_files(Path(root)).scan()
    return items, labels.parent().labels(items), *split.split(items)


def make(root: str, files: int) -> None:
    for part, share in (("train", 0.8), ("valid", 0.2)):
        for number in range(CLASSES):
            folder = f"{root}/photos/{part}/class_{number:03}"
            os.makedirs(folder)
            for i in range(round(files * share / CLASSES)):
                open(f"{folder}/image_{number:03}_{i:05}.jpg", "wb").close()


def seconds(function: Callable[..., Walked], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    draw = random.Random(0)
    pairs = {
        "grandparent": (lambda above: above == "train", splits.grandparent()),
        "random": (lambda above: draw.random() >= 0.2, splits.random(0.2)),
    }
    result: dict[str, Any] = {"bench": "walk"}
    with tempfile.TemporaryDirectory() as root:
        make(root, arguments.files)
        paths, names, train, valid = bare(root, pairs["grandparent"][0])
        items, own_names, own_train, own_valid = ours(root, splits.grandparent())
        assert sorted(f"{root}/{item}" for item in items) == sorted(paths)
        assert {(f"{root}/{i}", n) for i, n in zip(items, own_names)} == set(zip(paths, names))
        assert {f"{root}/{items[i]}" for i in own_train} == {paths[i] for i in train}
        assert len(own_valid) == len(valid)
        result["files"] = len(items)
        for name, (is_train, split) in pairs.items():
            times = [
                (seconds(bare, root, is_train), seconds(ours, root, split)) for _ in range(arguments.rounds)
            ]
            bare_ms, ours_ms = (1e3 * statistics.median(column) for column in zip(*times))
            ratio = statistics.median(own / plain for plain, own in times)
            print(
                f"{name:12} bare {bare_ms:6.1f} ms   ours {ours_ms:6.1f} ms   ratio {ratio:.2f} (limit {LIMIT})"
            )
            result[name] = {
                "bare_ms": round(bare_ms, 1),
                "ours_ms": round(ours_ms, 1),
                "ratio": round(ratio, 2),
            }
    print(json.dumps(result))
    sys.exit(any(result[name]["ratio"] >= LIMIT for name in pairs))


if __name__ == "__main__":
    main()
