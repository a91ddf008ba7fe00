"""Geometric batch transforms: flips, turns, zooms, perspective and crops.

`mfc.runtime.data.warp` says what their matrices mean. Names and defaults are fastai's.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from mfc.runtime.component import Range, batch_transform
from mfc.runtime.data.ranges import between, check_order
from mfc.runtime.data.warp import Geometric, PadMode

_ENTRIES = ("xx", "xy", "x", "yx", "yy", "y", "px", "py", "one")


@batch_transform(step="warp")
class flip(Geometric):
    """Mirrors left and right.

    Args:
        p: probability.
        alternate: draw once which images begin mirrored, and in every second epoch mirror others. With `p = 0.5` these
            are all others: two epochs show both forms of each image, where chance shows half of them in one form only.
            K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024).
    """

    draws, exact = 1, True

    def __init__(self, p: Annotated[float, Range(0, 1)] = 0.5, alternate: bool = False) -> None:
        self.p, self.alternates = p, alternate

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        sign = torch.where(u[:, 0] < self.p, -1.0, 1.0)
        return _homographies(len(u), xx=sign)


@batch_transform(step="warp")
class dihedral(Geometric):
    """Shows one of the eight flips and quarter turns.

    Args:
        p: probability of drawing one; all eight are as likely, and one of them changes nothing.
    """

    draws, exact = 2, True

    def __init__(self, p: Annotated[float, Range(0, 1)] = 0.5) -> None:
        self.p = p

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        kind = torch.where(u[:, 0] < self.p, (u[:, 1] * 8).floor(), 0.0).to(torch.int64)
        along_x, along_y = 1.0 - 2 * (kind & 1), 1.0 - (kind & 2)
        turned = (kind >= 4).to(torch.float64)
        # A turned picture of odd difference between its sides has its middle between two pixels.
        shift = turned * ((width - height) % 2) / 2
        straight = 1 - turned
        return _homographies(
            len(u),
            xx=along_x * straight, xy=along_x * turned, x=shift,
            yx=along_y * turned, yy=along_y * straight, y=shift,
        )  # fmt: skip


@batch_transform(step="warp")
class rotate(Geometric):
    """Turns about the middle.

    Args:
        max_deg: greatest angle in degrees, either way.
        p: probability.
        pad_mode: what is seen beyond the edges: the picture mirrored, its edge drawn out, or 0.
    """

    draws = 2

    def __init__(
        self,
        max_deg: Annotated[float, Range(0, 180)] = 10.0,
        p: Annotated[float, Range(0, 1)] = 0.5,
        pad_mode: Literal["reflection", "border", "zeros"] = "reflection",
    ) -> None:
        self.max_deg, self.p, self.pad_mode = max_deg, p, pad_mode

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        angle = between(-self.max_deg, self.max_deg, u[:, 1]) * (math.pi / 180) * (u[:, 0] < self.p)
        cos, sin = angle.cos(), angle.sin()
        return _homographies(len(u), xx=cos, xy=sin, yx=-sin, yy=cos)


@batch_transform(step="warp")
class zoom(Geometric):
    """Zooms about a random point.

    Args:
        max_zoom: greatest factor.
        min_zoom: least factor; below 1 is out.
        p: probability.
        pad_mode: what is seen beyond the edges: the picture mirrored, its edge drawn out, or 0.
    """

    draws = 4

    def __init__(
        self,
        max_zoom: Annotated[float, Range(above=0)] = 1.1,
        min_zoom: Annotated[float, Range(above=0)] = 1.0,
        p: Annotated[float, Range(0, 1)] = 0.5,
        pad_mode: Literal["reflection", "border", "zeros"] = "reflection",
    ) -> None:
        check_order("zoom", min_zoom=min_zoom, max_zoom=max_zoom)
        self.max_zoom, self.min_zoom, self.p, self.pad_mode = max_zoom, min_zoom, p, pad_mode

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        factor = torch.where(u[:, 0] < self.p, between(self.min_zoom, self.max_zoom, u[:, 1]), 1.0)
        scale = 1 / factor
        x, y = ((1 - scale) * (u[:, i] - 0.5) * side for i, side in ((2, width), (3, height)))
        return _homographies(len(u), xx=scale, x=x, yy=scale, y=y)


@batch_transform(step="warp")
class warp(Geometric):
    """Tilts the picture in perspective, along each axis by a draw of its own.

    Args:
        magnitude: how far corners move at most, as a share of half a side: one edge grows by that much at
            both ends, the opposite one shrinks.
        p: probability for each axis.
        pad_mode: what is seen beyond the edges: the picture mirrored, its edge drawn out, or 0.
    """

    draws = 4

    def __init__(
        self,
        magnitude: Annotated[float, Range(0, 0.5)] = 0.2,
        p: Annotated[float, Range(0, 1)] = 0.5,
        pad_mode: Literal["reflection", "border", "zeros"] = "reflection",
    ) -> None:
        self.magnitude, self.p, self.pad_mode = magnitude, p, pad_mode

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        x, y = (between(-self.magnitude, self.magnitude, u[:, i + 1]) * (u[:, i] < self.p) for i in (0, 2))
        # With edges at -1 and 1, the corner (s, t) goes to (s - y s t, t - x s t). The homography of that is
        # [[1 - yy, -xy, x], [-xy, 1 - xx, y], [x, y, 1]]; below is its inverse, times 1 - xx - yy.
        xx, yy = x * x, y * y
        rest, both = 1 - xx - yy, 2 * x * y
        to_x, to_y = -x * (1 + yy - xx), -y * (1 + xx - yy)
        ratio = width / height
        return _homographies(
            len(u),
            xx=rest, xy=both * ratio, x=to_x * (width / 2),
            yx=both / ratio, yy=rest, y=to_y * (height / 2),
            px=to_x * (2 / width), py=to_y * (2 / height), one=rest,
        )  # fmt: skip


@batch_transform(
    shape="b c h w -> b c size size where size <= h + 2*padding and size <= w + 2*padding", step="warp"
)
class random_crop(Geometric):
    """Cuts out `size` x `size` pixels from anywhere in the picture and `padding` pixels around it.

    In evaluation from the middle.

    Args:
        size: height and width in pixels.
        padding: pixels on each side.
        pad_mode: what is seen beyond the edges: the picture mirrored, its edge drawn out, or 0.
    """

    draws, exact = 2, True

    def __init__(
        self,
        size: Annotated[int, Range(1, 16384)],
        padding: Annotated[int, Range(0, 16384)] = 4,
        pad_mode: Literal["reflection", "border", "zeros"] = "reflection",
    ) -> None:
        self.side, self.padding, self.pad_mode = size, padding, pad_mode

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.side, self.side

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        def offset(u: Tensor, side: int) -> Tensor:
            places = max(1, side + 2 * self.padding - self.side + 1)
            return (u * places).floor() - self.padding + (self.side - side) / 2

        return _homographies(len(u), x=offset(u[:, 0], width), y=offset(u[:, 1], height))

    def evaluation(self) -> Geometric:
        return _CenterCrop(self.side, self.pad_mode)


@batch_transform(shape="b c h w -> b c size size", step="warp")
class random_resized_crop(Geometric):
    """Cuts out a part of random area, proportions and place, and makes it `size` x `size`.

    From "Going deeper with convolutions" (Szegedy and others, 2014). In evaluation it is the largest square
    in the middle.

    Args:
        size: height and width in pixels.
        min_scale: least area of the part, as a share of the picture's.
        max_scale: greatest area of the part.
        min_ratio: least width of the part over its height.
        max_ratio: greatest width over height.
    """

    attempts = 10
    draws = 2 * attempts + 2

    def __init__(
        self,
        size: Annotated[int, Range(1, 16384)],
        min_scale: Annotated[float, Range(above=0, hi=1)] = 0.08,
        max_scale: Annotated[float, Range(above=0, hi=1)] = 1.0,
        min_ratio: Annotated[float, Range(above=0)] = 0.75,
        max_ratio: Annotated[float, Range(above=0)] = 1.3333333333333333,
    ) -> None:
        check_order("random_resized_crop", min_scale=min_scale, max_scale=max_scale)
        check_order("random_resized_crop", min_ratio=min_ratio, max_ratio=max_ratio)
        self.side, self.scales, self.ratios = size, (min_scale, max_scale), (min_ratio, max_ratio)

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.side, self.side

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        areas, ratios = u[:, : self.attempts], u[:, self.attempts : -2]
        areas = between(*self.scales, areas) * (height * width)
        least, most = self.ratios
        ratios = between(math.log(least), math.log(most), ratios).exp()
        # Where no attempt fits, the last column does: the largest part in the middle whose ratio is allowed.
        nearest = min(max(width / height, least), most)
        widths = torch.cat(
            [(areas * ratios).sqrt(), u.new_full((len(u), 1), min(width, height * nearest))], 1
        )
        heights = torch.cat(
            [(areas / ratios).sqrt(), u.new_full((len(u), 1), min(height, width / nearest))], 1
        )
        fits = (widths <= width) & (heights <= height)
        fits[:, -1] = True
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        part_width, part_height = (sides.gather(1, first)[:, 0] for sides in (widths, heights))
        missed = first[:, 0] == self.attempts
        x, y = (
            torch.where(missed, 0.0, (u[:, i] - 0.5) * (side - part))
            for i, side, part in ((-2, width, part_width), (-1, height, part_height))
        )
        return _homographies(len(u), xx=part_width / self.side, x=x, yy=part_height / self.side, y=y)

    def evaluation(self) -> Geometric:
        return _ResizedCenter(self.side)


class _CenterCrop(Geometric):
    """`side` pixels a side from the middle."""

    exact = True

    def __init__(self, side: int, pad_mode: PadMode | None) -> None:
        self.side, self.pad_mode = side, pad_mode

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.side, self.side

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        # An odd difference between the sides has the middle between two pixels.
        x, y = (-((side - self.side) % 2) / 2 for side in (width, height))
        return _homographies(len(u), x=x, y=y)


class _ResizedCenter(Geometric):
    """The largest square in the middle, resized to `side` pixels a side."""

    def __init__(self, side: int) -> None:
        self.side = side

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.side, self.side

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        scale = min(height, width) / self.side
        return _homographies(len(u), xx=scale, yy=scale)


def _homographies(count: int, **entries: Tensor | float) -> Tensor:
    """Matrices `b 3 3` (float64): the identity but for `entries`, a number for each item (`b`) or for all.

    The rows are `xx xy x`, `yx yy y` and `px py one`: output x, y and 1 to input x, y and the divisor.
    """
    matrices = torch.eye(3, dtype=torch.float64).flatten().repeat(count, 1)
    for name, value in entries.items():
        matrices[:, _ENTRIES.index(name)] = value
    return matrices.unflatten(1, (3, 3))
