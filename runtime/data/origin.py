"""From what a model says of an image as it was prepared back to the image as it is stored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.images import on_mask
from mfc.runtime.data.targets import IGNORED

_DIGIT = 128  # coordinates are sent through the transforms as masks, whose pixels are bytes


def restored(
    values: Tensor, transforms: Sequence[Any], pipeline: BatchPipeline, channels: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Values of the pixels that a model saw (`c H W`) at the pixels of their image: float32 `c height width`, and bool
    `height width`, whether a pixel was seen at all. Crops leave pixels out.

    Args:
        transforms, pipeline: what the image was prepared with, in evaluation form: they crop, resize and pad.
        channels: of the image.
    """
    ys, xs = np.mgrid[:height, :width]
    digits = (ys // _DIGIT, ys % _DIGIT, xs // _DIGIT, xs % _DIGIT)
    seen = torch.stack([_through(digit.astype(np.uint8), transforms) for digit in digits])
    images = torch.zeros(4, channels, *seen.shape[1:], dtype=torch.uint8)
    seen = pipeline.with_masks(images, seen, torch.zeros(4, dtype=torch.int64), 0)[1]
    rows, columns = (
        torch.where(high == IGNORED, IGNORED, high * _DIGIT + low) for high, low in (seen[:2], seen[2:])
    )
    values = values.float().cpu()
    inside = []
    for dim, places, length in ((1, rows, height), (2, columns.T, width)):
        at, known = _inverse([_shown(each) for each in places], length)
        inside.append(known)
        values = _interpolated(values, at, dim)
    return values, inside[0][:, None] & inside[1][None]


def _through(digit: np.ndarray, transforms: Sequence[Any]) -> Tensor:
    """A digit of the coordinates of each pixel after the item transforms."""
    mask = Image.fromarray(digit)
    for transform in transforms:
        mask = on_mask(transform, mask, random.Random(0))
    return torch.from_numpy(np.array(mask))


def _shown(places: Tensor) -> int:
    """Which row, or column, of the image one of the prepared image shows."""
    known = places[places != IGNORED]
    return int(known.median()) if len(known) else IGNORED


def _inverse(shown: list[int], length: int) -> tuple[Tensor, Tensor]:
    """Where in a row of the prepared image each of `length` pixels is (float64), and whether it is there at all.
    `shown` says which pixel each one shows."""
    start, stop = _longest_ascent(shown)
    sources, at = np.unique(np.array(shown[start:stop]), return_inverse=True)
    places = np.bincount(at, weights=np.arange(start, stop)) / np.bincount(at)
    half = max(1.0, (sources[-1] - sources[0]) / max(len(sources) - 1, 1)) / 2
    pixels = np.arange(length)
    known = (pixels >= sources[0] - half) & (pixels <= sources[-1] + half)
    return torch.from_numpy(np.interp(pixels, sources, places)), torch.from_numpy(known)


def _longest_ascent(shown: list[int]) -> tuple[int, int]:
    """The longest part of pixels that does not go back: padding that mirrors an image does."""
    best, start = (0, 0), 0
    for i, place in enumerate(shown):
        if place == IGNORED or (i > start and place < shown[i - 1]):
            start = i + 1 if place == IGNORED else i
        if i + 1 - start > best[1] - best[0]:
            best = start, i + 1
    return best


def _interpolated(values: Tensor, at: Tensor, dim: int) -> Tensor:
    """Values at places between theirs along a dimension."""
    low = at.floor().long()
    high = (low + 1).clamp(max=values.shape[dim] - 1)
    share = (at - low).to(values.dtype).view([-1 if d == dim else 1 for d in range(values.ndim)])
    return values.index_select(dim, low).lerp(values.index_select(dim, high), share)
