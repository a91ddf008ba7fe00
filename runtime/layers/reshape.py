"""Layers that arrange numbers anew, and upsampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import nn

from mfc.runtime.component import Range, layer


@layer(shape="b c ... -> b c*prod(...)")
def flatten() -> nn.Flatten:
    """All dimensions but the first as one: `b c ...` to `b features`."""
    return nn.Flatten()


@layer(shape="b ... -> b sizes... where prod(sizes...) == prod(...)")
class reshape(nn.Module):
    """The numbers of each item in another shape: `b ...` to `b` and `sizes`.

    Args:
        sizes: sizes of all dimensions but the first, such as `[512, 4, 4]`.
    """

    def __init__(self, sizes: list[Annotated[int, Range(1)]]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b ...` -> `b sizes...`"""
        return x.reshape(x.shape[0], *self.sizes)

    def extra_repr(self) -> str:
        return str(list(self.sizes))


@layer(shape="b c h w -> b c // (scale*scale) h*scale w*scale where c % (scale*scale) == 0")
def pixel_shuffle(scale: Annotated[int, Range(1)] = 2) -> nn.PixelShuffle:
    """Channels as places of a finer image: `b c h w` to `b c/scale² h*scale w*scale` (Shi et al., 2016)."""
    return nn.PixelShuffle(scale)


@layer(shape="b c h w -> b c h*scale w*scale")
def upsample(
    scale: Annotated[int, Range(1)] = 2, mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
) -> nn.Upsample:
    """A finer image by interpolation: `b c h w` to `b c h*scale w*scale`."""
    return nn.Upsample(scale_factor=scale, mode=mode)
