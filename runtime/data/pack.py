"""The stage `pack`: images decoded and resized once, kept in one file that is mapped into memory.

It is there when the item transforms draw nothing at random and give one size. A row of the file is an item's
`c h w` pixels, uint8, with its mask as one more channel where items have masks; its place is the item's id.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np

from mfc.runtime.cores import cores
from mfc.runtime.data.ahead import in_lists, map_ahead
from mfc.runtime.data.images import read
from mfc.runtime.data.item_transforms import pipeline
from mfc.runtime.data.masks import Masks
from mfc.runtime.data.paths import shown
from mfc.runtime.disk import writes
from mfc.runtime.errors import RunError

log = logging.getLogger(__name__)
OnError: TypeAlias = Literal["stop", "skip"]
CHUNK = 32


@dataclass(frozen=True)
class Packed:
    """A packed file of images.

    Args:
        file: a `.npy` file, uint8, `n c h w`.
        skipped: the items whose images are broken, and why; their rows are zero.
    """

    file: Path
    skipped: dict[str, str]

    def images(self) -> np.ndarray:
        """The images, mapped into memory: pages are read when they are used. Changes are not written back."""
        return np.load(self.file, mmap_mode="c")

    @classmethod
    def load(cls, folder: Path) -> Packed:
        """What `pack` wrote into a folder."""
        return cls(folder / "images.npy", json.loads((folder / "skipped.json").read_text()))


def pack(
    source: Any,
    paths: Sequence[str],
    transforms: Sequence[Any],
    folder: Path,
    on_error: OnError = "stop",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    masks: Masks | None = None,
) -> Packed:
    """Decodes all items into `images.npy` in `folder`, and writes `skipped.json` beside it.

    Args:
        transforms: item transforms that draw nothing, and are the same in training and evaluation.
        on_error: `stop` raises RunError R0104 for the first broken image, `skip` leaves broken ones out.
        workers: threads, by default one a core. Decoding and resizing run outside of Python's lock.
        progress: called with the number of items done and of all items.
        masks: of the items.

    Raises RunError R0105 for images that differ in size after the transforms, R0113 for too small a disk.
    """
    file = folder / "images.npy"
    rows = _decode(source, paths, pipeline(transforms, training=False), workers, masks)
    # Closed here, not when it is collected: that may be in any thread, where to wait for the pool is a deadlock.
    with closing(rows), writes(file), open(file, "wb") as out:
        skipped = _write(out, folder, rows, len(paths), on_error, progress)
    if skipped:
        are = "are" if len(skipped) > 1 else "is"
        names = shown(list(skipped))
        log.warning("%d of %d images %s broken and left out: %s", len(skipped), len(paths), are, names)
    (folder / "skipped.json").write_text(json.dumps(skipped))
    return Packed(file, skipped)


def _write(
    out: BinaryIO,
    folder: Path,
    rows: Iterable[tuple[str, np.ndarray | RunError]],
    total: int,
    on_error: OnError,
    progress: Callable[[int, int], None] | None,
) -> dict[str, str]:
    """Writes a `.npy` file of all rows; gives the items that were skipped."""
    skipped: dict[str, str] = {}
    first, shape, size = "", (), 0
    for done, (item, image) in enumerate(rows):
        if isinstance(image, RunError):
            if image.code != "R0104" or on_error == "stop":
                raise image
            skipped[item] = image.message
            out.write(bytes(size))
            continue
        if not first:
            first, shape, size = item, image.shape, image.nbytes
            _check_space(folder, total * size)
            header = {"descr": "|u1", "fortran_order": False, "shape": (total, *shape)}
            np.lib.format.write_array_header_1_0(out, header)
            out.write(bytes(size * done))  # the rows of broken images before the first good one
        if image.shape != shape:
            raise differing(first, shape, item, image.shape)
        out.write(image.tobytes())
        if progress and (done + 1) % CHUNK == 0:
            progress(done + 1, total)
    if not first:
        raise RunError("R0104", f"none of {total:,} images can be read", notes=list(skipped.values())[:3])
    return skipped


def _decode(
    source: Any, paths: Sequence[str], transforms: Sequence[Any], workers: int | None, masks: Masks | None
) -> Generator[tuple[str, np.ndarray | RunError], None, None]:
    """Items with their pixels, or with what is wrong, in order."""

    def chunk(some: list[str]) -> list[tuple[str, np.ndarray | RunError]]:
        done = []
        for item in some:
            try:
                done.append((item, read(source, item, transforms, random.Random(0), masks)))
            except RunError as error:
                done.append((item, error))
        return done

    with closing(map_ahead(chunk, in_lists(paths, CHUNK), workers or cores())) as chunks:
        for done in chunks:
            yield from done


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            "R0113",
            f"packed images need {needed / 1e9:,.1f} GB; the disk of `{folder}` has {free / 1e9:,.1f} free",
            help="free some space, keep the run folder on another disk, or do without with `pack = false`",
        )


def differing(first: str, shape: Sequence[int], item: str, other: Sequence[int]) -> RunError:
    """The error for two items whose images can't be put into one batch."""
    one, two = (
        " x ".join(map(str, sizes[1:] if shape[0] == other[0] else sizes)) for sizes in (shape, other)
    )
    return RunError(
        "R0105",
        f"images differ in size: `{first}` is {one}, `{item}` is {two}",
        help="end `item_transforms` with one that gives all images one size, such as `resize(128)`",
    )
