"""Batch transforms of pixels' values: colours, normalisation, erasing; and `aug_transforms`, the usual set.

Each draws anew for every item of every batch. Names and defaults are fastai's.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from mfc.runtime.component import Range, batch_transform
from mfc.runtime.data.batch_geometric import dihedral, flip, rotate, warp, zoom
from mfc.runtime.data.color import Color, scale_and_shift
from mfc.runtime.data.ranges import between, check_order
from mfc.runtime.errors import RunError


class Pixels:
    """A batch transform of finished pixels, after the normalisation; subclass it and give it `__call__`.

    Attributes:
        draws: how many numbers in [0, 1) each item needs.
    """

    draws: int = 0

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        """The changed `images` (float32, `b c h w`), which may be changed in place.

        `u` are the draws (float64, `b draws`), on the CPU whatever the images' device.
        """
        raise NotImplementedError

    def evaluation(self) -> Pixels | None:
        """What stands in for it on validation data; `None` for nothing at all."""
        return None


# ── colours ─────────────────────────────────────────────────────────────────────────────────────────────


@batch_transform(step="colour map")
class brightness(Color):
    """Makes lighter or darker: shifts all channels.

    At mid-grey it is the same change as fastai's, which works on logits and fades towards black and white.

    Args:
        max_lighting: twice the greatest shift either way, of values in 0..1.
        p: probability.
    """

    draws = 2

    def __init__(
        self, max_lighting: Annotated[float, Range(0, 1)] = 0.2, p: Annotated[float, Range(0, 1)] = 0.75
    ) -> None:
        self.max_lighting, self.p = max_lighting, p

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        shift = (u[:, 1] - 0.5) * self.max_lighting * (u[:, 0] < self.p)
        return scale_and_shift(torch.ones_like(shift), shift, channels)


@batch_transform(step="colour map")
class contrast(Color):
    """Scales all channels' distance from mid-grey.

    At mid-grey it is the same change as fastai's, which works on logits.

    Args:
        max_lighting: the factor is in `1 - max_lighting`..`1 / (1 - max_lighting)`, even in its logarithm.
        p: probability.
    """

    draws = 2

    def __init__(
        self, max_lighting: Annotated[float, Range(0, below=1)] = 0.2, p: Annotated[float, Range(0, 1)] = 0.75
    ) -> None:
        self.max_lighting, self.p = max_lighting, p

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        factor = _factor(self.max_lighting, self.p, u)
        return scale_and_shift(factor, 0.5 - 0.5 * factor, channels)


@batch_transform(shape="b c h w -> b c h w where c == 1 or c == 3", step="colour map")
class saturation(Color):
    """Scales colours' distance from the grey of their luma (ITU-R 601).

    Images of one channel stay as they are.

    Args:
        max_lighting: the factor is in `1 - max_lighting`..`1 / (1 - max_lighting)`, even in its logarithm.
        p: probability.
    """

    draws, mixes = 2, True

    def __init__(
        self, max_lighting: Annotated[float, Range(0, below=1)] = 0.2, p: Annotated[float, Range(0, 1)] = 0.75
    ) -> None:
        self.max_lighting, self.p = max_lighting, p

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        factor = _factor(self.max_lighting, self.p, u)
        luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
        maps = scale_and_shift(factor, torch.zeros_like(factor), channels)
        return _add_colors(maps, (1 - factor)[:, None, None] * luma, "saturation")


@batch_transform(shape="b c h w -> b c h w where c == 1 or c == 3", step="colour map")
class hue(Color):
    """Turns colours about the grey axis.

    A third of a turn makes red green, green blue and blue red, as it does in HSV. Images of one channel stay
    as they are. From "Matrix operations for image processing" (Haeberli, 1993), not keeping luminance.

    Args:
        max_hue: greatest turn either way, 1 being all the way round.
        p: probability.
    """

    draws, mixes = 2, True

    def __init__(
        self, max_hue: Annotated[float, Range(0, 0.5)] = 0.1, p: Annotated[float, Range(0, 1)] = 0.75
    ) -> None:
        self.max_hue, self.p = max_hue, p

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        angle = between(-self.max_hue, self.max_hue, u[:, 1]) * (2 * math.pi) * (u[:, 0] < self.p)
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
        maps = scale_and_shift(angle.cos(), torch.zeros_like(angle), channels)
        return _add_colors(maps, (1 - cos) / 3 + sin * cross, "hue")


@batch_transform(random=False, step="colour map")
class normalize:
    """Subtracts each channel's mean and divides by its standard deviation.

    Images are scaled to 0..1 before. `cifar_stats`, `imagenet_stats` and `mnist_stats` are ready to use.

    Args:
        stats: `[means, deviations]`, a number for each channel.
    """

    def __init__(self, stats: list[list[float]]) -> None:
        if (
            len(stats) != 2
            or len(stats[0]) != len(stats[1])
            or not all(deviation > 0 for deviation in stats[1])
        ):
            raise RunError(
                "R0152",
                f"normalize: {stats} is no [means, deviations]",
                "give two lists with a number for each channel; deviations are above 0",
            )
        self.stats = stats

    def evaluation(self) -> normalize:
        return self


# ── erasing ─────────────────────────────────────────────────────────────────────────────────────────────


@batch_transform()
class erasing(Pixels):
    """Fills rectangles with noise.

    The noise is standard normal and comes after the normalisation. From "Random erasing data augmentation"
    (Zhong and others, 2017).

    Args:
        p: probability.
        sl: least area of all rectangles of a picture, as a share of the picture's.
        sh: greatest area.
        min_aspect: least height of a rectangle over its width, and width over height.
        max_count: greatest number of rectangles; any number from 1 on is as likely.
    """

    def __init__(
        self,
        p: Annotated[float, Range(0, 1)] = 0.5,
        sl: Annotated[float, Range(0, 1)] = 0.0,
        sh: Annotated[float, Range(0, 1)] = 0.3,
        min_aspect: Annotated[float, Range(above=0, hi=1)] = 0.3,
        max_count: Annotated[int, Range(1, 100)] = 1,
    ) -> None:
        check_order("erasing", sl=sl, sh=sh)
        self.p, self.sl, self.sh, self.min_aspect, self.max_count = p, sl, sh, min_aspect, max_count
        self.draws = 4 + 4 * max_count

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        erased = self._mask(u, height, width)
        item, y, x = erased.nonzero(as_tuple=True)
        if not len(item):
            return images
        noise = []
        for i, count in enumerate(erased.flatten(1).sum(1).tolist()):
            if count:
                seed = int(u[i, 2] * 2**24) << 24 | int(u[i, 3] * 2**24)
                generator = torch.Generator().manual_seed(seed)
                noise.append(torch.randn(count, channels, generator=generator))
        item, y, x, values = (t.to(images.device, non_blocking=True) for t in (item, y, x, torch.cat(noise)))
        images[item, :, y, x] = values
        return images

    def _mask(self, u: Tensor, height: int, width: int) -> Tensor:
        """Which pixels are erased (`b h w`)."""
        count = (u[:, 1] * self.max_count).floor() + 1
        count = torch.where(u[:, 0] < self.p, count, 0.0)
        area, aspect, top, left = u[:, 4:].unflatten(1, (4, self.max_count)).unbind(1)
        area = between(self.sl, self.sh, area) * (height * width) / count.clamp(min=1)[:, None]
        bound = math.log(self.min_aspect)
        aspect = between(bound, -bound, aspect).exp()
        used = torch.arange(self.max_count) < count[:, None]

        def inside(place: Tensor, length: Tensor, side: int) -> Tensor:
            length = length.sqrt().round().clamp(max=side) * used
            start = (place * (side - length + 1)).floor()
            at = torch.arange(side)
            return (at >= start[..., None]) & (at < (start + length)[..., None])

        rows, columns = inside(top, area * aspect, height), inside(left, area / aspect, width)
        return (rows[..., :, None] & columns[..., None, :]).any(1)


# ── the usual set ───────────────────────────────────────────────────────────────────────────────────────


@batch_transform()
def aug_transforms(
    mult: Annotated[float, Range(0)] = 1.0,
    do_flip: bool = True,
    flip_vert: bool = False,
    max_rotate: Annotated[float, Range(0, 180)] = 10.0,
    min_zoom: Annotated[float, Range(above=0)] = 1.0,
    max_zoom: Annotated[float, Range(above=0)] = 1.1,
    max_lighting: Annotated[float, Range(0, below=1)] = 0.2,
    max_warp: Annotated[float, Range(0, 0.5)] = 0.2,
    p_affine: Annotated[float, Range(0, 1)] = 0.75,
    p_lighting: Annotated[float, Range(0, 1)] = 0.75,
    pad_mode: Literal["reflection", "border", "zeros"] = "reflection",
) -> list:
    """The usual set: flip, warp, rotate, zoom, brightness and contrast.

    What is 0 (a zoom: 1) is left out.

    Args:
        mult: scales `max_rotate`, `max_lighting` and `max_warp`.
        do_flip: mirror left and right, with probability 1/2.
        flip_vert: mirror and turn all eight ways instead (`dihedral`).
        max_rotate: greatest angle in degrees, either way.
        min_zoom: least factor of the zoom; below 1 is out.
        max_zoom: greatest factor.
        max_lighting: of `brightness` and `contrast`.
        max_warp: magnitude of `warp`.
        p_affine: probability of warp, rotate and zoom.
        p_lighting: probability of brightness and contrast.
        pad_mode: what is seen beyond the edges: the picture mirrored, its edge drawn out, or 0.
    """
    max_rotate, max_lighting, max_warp = max_rotate * mult, max_lighting * mult, max_warp * mult
    if max_rotate > 180 or max_lighting >= 1 or max_warp > 0.5:
        raise RunError(
            "R0152",
            f"aug_transforms: mult = {mult} is too much",
            "it scales max_rotate (up to 180), max_lighting (below 1) and max_warp (up to 0.5)",
        )
    transforms: list = []
    if do_flip:
        transforms.append(dihedral() if flip_vert else flip())
    if max_warp:
        transforms.append(warp(max_warp, p_affine, pad_mode))
    if max_rotate:
        transforms.append(rotate(max_rotate, p_affine, pad_mode))
    if min_zoom < 1 or max_zoom > 1:
        transforms.append(zoom(max_zoom, min_zoom, p_affine, pad_mode))
    if max_lighting:
        transforms += [brightness(max_lighting, p_lighting), contrast(max_lighting, p_lighting)]
    return transforms


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────────────


def _factor(most: float, p: float, u: Tensor) -> Tensor:
    """Factors in `1 - most`..`1 / (1 - most)`, even in their logarithm; 1 for items that are left alone."""
    bound = math.log(1 - most)
    return torch.where(u[:, 0] < p, between(bound, -bound, u[:, 1]).exp(), 1.0)


def _add_colors(maps: Tensor, colors: Tensor, name: str) -> Tensor:
    """Colour `maps` with `colors` (`b 3 3`) added; for images of one channel, maps that change nothing."""
    channels = maps.shape[1] - 1
    if channels == 1:
        return torch.eye(2, dtype=torch.float64).expand_as(maps)
    if channels != 3:
        raise RunError(
            "R0150", f"{name} needs images with 3 channels (or 1), not {channels}", f"leave out {name}"
        )
    maps[:, :3, :3] += colors
    return maps
