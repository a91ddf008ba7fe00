"""Layers that arrange numbers anew, and upsampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import In, Range, layer


@layer(shape="b c ... -> b c*prod(...)", parameters="0")
def flatten() -> nn.Flatten:
    """All dimensions but the first as one: `b c ...` to `b features`."""
    return nn.Flatten()


@layer(shape="b ... -> b sizes... where prod(sizes...) == prod(...)", parameters="0")
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


@layer(shape="b n m -> b m n", parameters="0")
class transpose(nn.Module):
    """The last two dimensions in the other order: `b length features` to `b features length`, and back.

    What `embedding`, `lstm` and `gru` give has its features last; `conv1d`, pools of sequences and losses of tokens
    want them before the length.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b n m` -> `b m n`"""
        return x.transpose(1, 2)


@layer(shape="b c h w -> b c // (scale*scale) h*scale w*scale where c % (scale*scale) == 0", parameters="0")
def pixel_shuffle(scale: Annotated[int, Range(1)] = 2) -> nn.PixelShuffle:
    """Channels as places of a finer image: `b c h w` to `b c/scale² h*scale w*scale` (Shi et al., 2016).

    Args:
        scale: how many times as fine.
    """
    return nn.PixelShuffle(scale)


class IcnrConv2d(nn.Conv2d):
    """A convolution of 1 x 1 whose filters begin alike in groups of `repeat`, the places of one pixel that a pixel
    shuffle makes finer: so it begins as an upsampling to nearest pixels."""

    def __init__(self, c: int, nf: int, repeat: int) -> None:
        self.repeat = repeat
        super().__init__(c, nf * repeat, 1)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.begin_alike()
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def begin_alike(self) -> None:
        """Makes the filters of each group the same as its first one."""
        self.weight.copy_(self.weight[:: self.repeat].repeat_interleave(self.repeat, 0))


@layer(shape="b c h w -> b nf h*scale w*scale", parameters="nf*scale*scale*(c + 1)")
class pixel_shuffle_icnr(nn.Sequential):
    """A finer image by a convolution of 1 x 1 and a pixel shuffle: `b c h w` to `b nf h*scale w*scale`.

    The weights begin so that nearest pixels are repeated, which leaves no checkerboard (ICNR: Aitken et al.,
    "Checkerboard artifact free sub-pixel convolution", 2017).

    Args:
        nf: channels that come out.
        scale: how many times as fine.
    """

    def __init__(self, c: In, nf: Annotated[int, Range(1)], scale: Annotated[int, Range(1)] = 2) -> None:
        super().__init__(IcnrConv2d(c, nf, scale * scale), nn.PixelShuffle(scale))


@layer(shape="b c h w -> b c height width", parameters="0")
class interpolate(nn.Module):
    """An image of another size by interpolation: `b c h w` to `b c height width`.

    Args:
        height, width: in pixels.
        mode: whether the nearest pixels are taken, or those around are weighted.
    """

    def __init__(
        self,
        height: Annotated[int, Range(1)],
        width: Annotated[int, Range(1)],
        mode: Literal["nearest", "bilinear", "bicubic"] = "nearest",
    ) -> None:
        super().__init__()
        self.size, self.mode = (height, width), mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c h w` -> `b c height width`"""
        return F.interpolate(x, self.size, mode=self.mode)

    def extra_repr(self) -> str:
        return f"{self.size}, mode={self.mode!r}"


@layer(shape="b c h w -> b c h*scale w*scale", parameters="0")
def upsample(
    scale: Annotated[int, Range(1)] = 2, mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
) -> nn.Upsample:
    """A finer image by interpolation: `b c h w` to `b c h*scale w*scale`.

    Args:
        scale: how many times as high and wide.
        mode: whether the nearest pixels are taken, or those around are weighted.
    """
    return nn.Upsample(scale_factor=scale, mode=mode)
