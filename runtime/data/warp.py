"""Geometric batch transforms as homographies, and the one resampling that carries all of them out.

A homography here maps a place in the output picture to the place in the input picture that is shown there.
Both are in pixels from the picture's centre, x to the right and y down, so a flip, a quarter turn and a crop
have matrices of exact numbers. Transforms `t1, t2, ...` compose to `M1 @ M2 @ ...`: images are resampled
once, from the original pixels, and what lies outside the original is padded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from mfc.runtime.data.masks import VOID
from mfc.runtime.errors import RunError

PadMode: TypeAlias = Literal["reflection", "border", "zeros"]

# Beyond the horizon of a perspective the divisor is not positive; such places show something far away.
_HORIZON = 1e-3


class Geometric:
    """A batch transform that moves pixels; subclass it and give it `matrix`.

    Attributes:
        draws: how many numbers in [0, 1) each item needs.
        exact: whether every output pixel is some input pixel (flips, quarter turns, crops), for any draw.
        alternates: whether an item's numbers are the same in all epochs, but for 1/2 that is added to them, modulo 1,
            in every second one.
        pad_mode: what is seen outside the picture; `None` fits in with whatever the other transforms say.
    """

    draws: int = 0
    exact: bool = False
    alternates: bool = False
    pad_mode: PadMode | None = None

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out of pictures of this size."""
        return height, width

    def matrix(self, u: Tensor, height: int, width: int) -> Tensor:
        """Homographies (float64, `b 3 3`) for pictures of this size, from draws `u` (float64, `b draws`)."""
        raise NotImplementedError

    def evaluation(self) -> Geometric | None:
        """What stands in for it on validation data; `None` for nothing at all."""
        return None


class Warp:
    """Geometric transforms composed into one."""

    def __init__(self, transforms: Sequence[Geometric]) -> None:
        self.transforms = list(transforms)
        self.exact = all(transform.exact for transform in transforms)
        modes: dict[str, PadMode] = {
            type(t).__name__: t.pad_mode for t in transforms if t.pad_mode is not None
        }
        if len(set(modes.values())) > 1:
            raise RunError(
                "R0151",
                "batch transforms of one list name different pad modes",
                "they become one warp, which pads once: give all of them the same `pad_mode`",
                [f'{name} has pad_mode = "{mode}"' for name, mode in modes.items()],
            )
        self.pad_mode: PadMode = next(iter(modes.values())) if modes else "reflection"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what comes out of pictures of this size."""
        for transform in self.transforms:
            height, width = transform.size(height, width)
        return height, width

    def matrices(self, draws: Sequence[Tensor], height: int, width: int) -> Tensor:
        """The composed homographies (float64, `b 3 3`); `draws` has one tensor a transform."""
        total = torch.eye(3, dtype=torch.float64).expand(len(draws[0]), 3, 3)
        for transform, u in zip(self.transforms, draws):
            total = total @ transform.matrix(u, height, width)
            height, width = transform.size(height, width)
        return total

    def levels(self, matrices: Tensor) -> Tensor:
        """How often to halve each picture before it is sampled (int64, `b`).

        Bilinear sampling skips pixels where an output pixel covers more than two input pixels a side: such
        pictures are averaged down until it covers fewer (Williams, "Pyramidal parametrics", 1983).
        """
        if self.exact:
            return torch.zeros(len(matrices), dtype=torch.int64)
        x, y, divisor = matrices.unbind(1)
        determinant = (x * torch.linalg.cross(y, divisor)).sum(1)
        area = determinant.abs() / divisor[:, 2] ** 3  # input pixels to an output pixel, in the middle
        return area.sqrt().clamp(min=1).log2().floor().to(torch.int64)

    def sample(
        self,
        images: Tensor,
        matrices: Tensor,
        size: tuple[int, int],
        level: int = 0,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Float32 `images` (`b c h w`) warped to `size`, with `matrices` from `for_device`; and by the same grid their
        uint8 `masks` (`b h w`), each pixel from the nearest one."""
        if level:
            height, width = (max(1, side >> level) for side in images.shape[-2:])
            images = F.interpolate(images, (height, width), mode="area")
        mode = "nearest" if self.exact else "bilinear"
        grid = _grid(matrices, *size)
        warped = F.grid_sample(images, grid, mode=mode, padding_mode=self.pad_mode, align_corners=False)
        if masks is None:
            return warped, None
        # beyond the edges `zeros` are of no class: what is sampled is how far a mask is from that
        far = (masks.to(torch.float32) - VOID)[:, None]
        far = F.grid_sample(far, grid, mode="nearest", padding_mode=self.pad_mode, align_corners=False)
        return warped, (far[:, 0] + VOID).to(torch.uint8)


def for_device(matrices: Tensor, height: int, width: int, device: torch.device) -> Tensor:
    """`matrices` into pictures of this size as `Warp.sample` takes them: float32, the edges at -1 and 1."""
    scale = torch.tensor([[2 / width], [2 / height], [1.0]], dtype=torch.float64)
    return (matrices * scale).to(torch.float32).to(device, non_blocking=True)


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Where each output pixel looks (`b height width 2`); two planes in memory, which are read fastest."""
    device = matrices.device
    xs = torch.arange(width, device=device) - (width - 1) / 2
    ys = torch.arange(height, device=device) - (height - 1) / 2
    # Sums of a row and a column, not a matrix product: its rounding may depend on how many items there are.
    rows = matrices[:, :, 0, None, None] * xs
    columns = matrices[:, :, 1, None, None] * ys[:, None] + matrices[:, :, 2, None, None]
    x_y_divisor = rows + columns
    grid, divisor = x_y_divisor.split([2, 1], 1)
    return grid.div_(divisor.clamp_(min=_HORIZON)).permute(0, 2, 3, 1)
