"""Carries out a list of batch transforms together, on the device of the images.

Whatever their order in the list, they are done in four steps:

1. geometric ones: one homography for each item, one grid of coordinates, one sampling of the pixels;
2. colours: one affine map of the channels for each item, clamped to 0..1;
3. the normalisation, which is folded into that map;
4. transforms of finished pixels (erasing, a user's own), in their order.

Within a step the list's order holds. Every draw comes from the seed, the stage, the transform's name, the
epoch and the item, so an item's picture does not depend on the batch that it is in, or on workers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from mfc.runtime.data.batch_transforms import Pixels, normalize
from mfc.runtime.data.buffers import BufferPool
from mfc.runtime.data.color import Color, ColorMap
from mfc.runtime.data.masks import VOID
from mfc.runtime.data.targets import IGNORED
from mfc.runtime.data.threads import run_each
from mfc.runtime.data.warp import Geometric, Warp, for_device
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream, uniforms

# Numbers of images that a thread works on at a time on the CPU: they, their coordinates and the result stay in
# the cache, and the C library serves such sizes from memory that was touched before.
_PIECE = 5 << 16
_SMALL = 1 << 15  # not worth sharing out; so thinks torch of its operations


class BatchPipeline:
    """Batch transforms of one part of a data block.

    Args:
        transforms: batch transforms, or lists of them (`aug_transforms()`).
        channels: of the images.
        training: draw at random; otherwise each transform's evaluation form is used.

    Raises `RunError` R0150 where a transform does not fit the channels, R0151 for different pad modes, R0152
    for two normalisations and R0153 for what is no batch transform.
    """

    def __init__(
        self, transforms: Iterable[Any], seed: int, stage: str, channels: int, training: bool
    ) -> None:
        active = list(_flat(transforms))
        if not training:
            active = [form for form in (transform.evaluation() for transform in active) if form is not None]
        geometric = [transform for transform in active if isinstance(transform, Geometric)]
        colors = [transform for transform in active if isinstance(transform, Color)]
        self.pixels = [transform for transform in active if isinstance(transform, Pixels)]
        self.warp = Warp(geometric)
        self.color = ColorMap(colors, _stats(active, channels), channels)
        for transform in colors:  # fails for channels that it can't map
            transform.matrix(torch.zeros(1, transform.draws, dtype=torch.float64), channels)

        self._drawing = [*geometric, *colors, *self.pixels]
        seen = Counter()
        self._streams = []
        for name in (type(transform).__name__ for transform in self._drawing):
            seen[name] += 1
            number = "" if seen[name] == 1 else f" {seen[name]}"
            self._streams.append(Stream(seed, stage, f"batch_transforms.{name}{number}"))
        self._buffers = BufferPool()

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out for images of this size."""
        return self.warp.size(height, width)

    def with_masks(self, images: Tensor, masks: Tensor, items: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Transformed `images`, as by a call, and the `masks` that follow them.

        Args:
            masks: uint8, `b h w`: the numbers of classes, 255 for pixels of none.

        Returns:
            The images, and int64 `b H W`: each pixel's class, by geometric transforms the nearest one's; -100 for none.
        """
        out, followed = self._run(images, items, epoch, masks)
        assert followed is not None
        return out, followed.to(torch.int64).masked_fill_(followed == VOID, IGNORED)

    def __call__(self, images: Tensor, items: Tensor, epoch: int) -> Tensor:
        """Transformed `images`.

        Args:
            images: `b c h w`, uint8 (taken as 0..255) or float (0..1).
            items: ids of the images' items, int64, `b`.
            epoch: draws are the same for the same epoch and item.

        Returns:
            float32, `b c H W`, on the images' device. It is the caller's: nothing is written to it later.
        """
        return self._run(images, items, epoch, None)[0]

    @torch.no_grad()
    def _run(
        self, images: Tensor, items: Tensor, epoch: int, masks: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        count, channels, height, width = images.shape
        draws = iter(self._draws(items, epoch))
        warp_draws, color_draws, pixel_draws = (
            [next(draws) for _ in part] for part in (self.warp.transforms, self.color.transforms, self.pixels)
        )
        size = self.output_size(height, width)
        homographies = levels = None
        if self.warp.transforms:
            homographies = self.warp.matrices(warp_draws, height, width)
            levels = self.warp.levels(homographies)
            homographies = for_device(homographies, height, width, images.device)
        unit = 255.0 if images.dtype == torch.uint8 else 1.0
        maps = self.color.matrices(color_draws, count, unit, images.device)

        on_cpu = images.device.type == "cpu"
        out = self._empty((count, channels, *size), images)
        followed = masks
        if masks is not None and homographies is not None:
            followed = torch.empty((count, *size), dtype=torch.uint8, device=masks.device)

        def work(piece: tuple[int, slice | Tensor]) -> None:
            level, rows = piece
            part = images[rows]
            if homographies is not None:
                # A copy even of float images: sampling jumps about, which is slow outside the cache.
                part = part.to(torch.float32, memory_format=torch.contiguous_format, copy=on_cpu)
                mask = None if masks is None else masks[rows]
                part, mask = self.warp.sample(part, homographies[rows], size, level, mask)
                if followed is not None and mask is not None:
                    followed[rows] = mask
            elif part.dtype != torch.uint8:
                part = part.to(torch.float32)
            if isinstance(rows, slice):
                self.color.apply(part, maps[rows], out[rows])
            else:
                done = torch.empty(part.shape, device=out.device)
                self.color.apply(part, maps[rows], done)
                out[rows] = done

        run_each(work, _pieces(levels, count, self._piece(images, size)))
        for transform, u in zip(self.pixels, pixel_draws):
            out = transform(out, u)
        return out, followed

    def _draws(self, items: Tensor, epoch: int) -> list[Tensor]:
        """`b draws` for each transform that draws, in order; float64, so that whole pixels stay whole."""
        if not self._drawing:
            return []
        counts = [transform.draws for transform in self._drawing]
        draws = [u.to(torch.float64) for u in uniforms(self._streams, epoch, items, counts)]
        for place, transform in enumerate(self._drawing):
            if isinstance(transform, Geometric) and transform.alternates:
                first = self._streams[place].uniform(0, items, transform.draws).to(torch.float64)
                draws[place] = (first + epoch % 2 / 2) % 1
        return draws

    def _empty(self, shape: tuple[int, ...], images: Tensor) -> Tensor:
        """Memory for the result, in the memory format of the images."""
        count, channels, height, width = shape
        number = count * channels * height * width
        if images.device.type == "cpu":
            flat = self._buffers.empty(number)
        else:
            flat = torch.empty(number, device=images.device)
        last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
        return flat.view(count, height, width, channels).permute(0, 3, 1, 2) if last else flat.view(shape)

    def _piece(self, images: Tensor, size: tuple[int, int]) -> int:
        """How many items to work on at a time: on a GPU all of them."""
        count, channels, height, width = images.shape
        numbers = channels * max(height * width, size[0] * size[1])
        if images.device.type != "cpu" or count * numbers <= _SMALL:
            return max(count, 1)
        threads, most = torch.get_num_threads(), max(1, _PIECE // numbers)
        rounds = math.ceil(count / (most * threads))
        return math.ceil(count / (rounds * threads))  # as many to every thread


def _flat(transforms: Iterable[Any]) -> Iterator[Any]:
    for transform in transforms:
        if isinstance(transform, (list, tuple)):
            yield from _flat(transform)
        elif isinstance(transform, (Geometric, Color, normalize, Pixels)):
            yield transform
        else:
            name = getattr(transform, "__name__", type(transform).__name__)
            raise RunError(
                "R0153",
                f"`{name}` is not a batch transform",
                "a batch transform is an object of a subclass of Geometric, Color or Pixels",
            )


def _stats(transforms: list[Any], channels: int) -> list[list[float]] | None:
    """Statistics of the one normalisation, or `None` where there is none."""
    found = [transform.stats for transform in transforms if isinstance(transform, normalize)]
    if len(found) > 1:
        raise RunError("R0152", "batch_transforms normalizes twice", "keep one `normalize`")
    if found and len(found[0][0]) != channels:
        raise RunError(
            "R0150",
            f"normalize has statistics for {len(found[0][0])} channels, images have {channels}",
            "give a mean and a deviation for each channel",
        )
    return found[0] if found else None


def _pieces(levels: Tensor | None, count: int, step: int) -> list[tuple[int, slice | Tensor]]:
    """Items to work on together: those of one level, at most `step` at a time."""
    kinds = [0] if levels is None else levels.unique().tolist()
    if levels is None or len(kinds) <= 1:
        return [(kind, slice(start, start + step)) for kind in kinds for start in range(0, count, step)]
    return [(kind, rows) for kind in kinds for rows in (levels == kind).nonzero()[:, 0].split(step)]
