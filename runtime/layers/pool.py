"""Pooling of images, whose windows are square, and of sequences."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import Range, layer


@layer(shape="b c h w -> b c pool(h) pool(w) where 2*padding <= ks", parameters="0")
def avg_pool(
    ks: Annotated[int, Range(1)] = 2,
    stride: Annotated[int, Range(1)] | None = None,
    padding: Annotated[int, Range(0)] = 0,
    ceil_mode: bool = False,
) -> nn.AvgPool2d:
    """The mean of each window: `b c h w` to `b c h w`, with height and width divided by `stride`.

    Args:
        ks: side of the window.
        stride: step from window to window; `ks` where left out.
        padding: zeros added at each side; they count in the mean.
        ceil_mode: whether a window that only begins inside the image counts too.
    """
    return nn.AvgPool2d(ks, stride, padding, ceil_mode)


@layer(shape="b c h w -> b c pool(h) pool(w) where 2*padding <= ks", parameters="0")
def max_pool(
    ks: Annotated[int, Range(1)] = 2,
    stride: Annotated[int, Range(1)] | None = None,
    padding: Annotated[int, Range(0)] = 0,
    dilation: Annotated[int, Range(1)] = 1,
    ceil_mode: bool = False,
) -> nn.MaxPool2d:
    """The greatest value of each window: `b c h w` to `b c h w`, with height and width divided by `stride`.

    Args:
        ks: side of the window.
        stride: step from window to window; `ks` where left out.
        padding: rows and columns added at each side; they are never the greatest.
        dilation: distance of a window's rows and columns.
        ceil_mode: whether a window that only begins inside the image counts too.
    """
    return nn.MaxPool2d(ks, stride, padding, dilation, ceil_mode=ceil_mode)


@layer(shape="b c h w -> b c size size", parameters="0")
def adaptive_avg_pool(size: Annotated[int, Range(1)] = 1) -> nn.AdaptiveAvgPool2d:
    """Means over windows that divide an image of any size: `b c h w` to `b c size size`.

    Args:
        size: height and width of what comes out.
    """
    return nn.AdaptiveAvgPool2d(size)


@layer(shape="b c h w -> b c size size", parameters="0")
def adaptive_max_pool(size: Annotated[int, Range(1)] = 1) -> nn.AdaptiveMaxPool2d:
    """Greatest values of windows that divide an image of any size: `b c h w` to `b c size size`.

    Args:
        size: height and width of what comes out.
    """
    return nn.AdaptiveMaxPool2d(size)


@layer(shape="b c h w -> b 2*c size size", parameters="0")
class adaptive_concat_pool(nn.Module):
    """Adaptive max pooling beside adaptive average pooling: `b c h w` to `b 2*c size size` (fastai).

    Args:
        size: height and width of what comes out.
    """

    def __init__(self, size: Annotated[int, Range(1)] = 1) -> None:
        super().__init__()
        self.max, self.avg = nn.AdaptiveMaxPool2d(size), nn.AdaptiveAvgPool2d(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c h w` -> `b 2*c size size`"""
        return torch.cat([self.max(x), self.avg(x)], 1)


# ── sequences ───────────────────────────────────────────────────────────────────────────────────────────


@layer(shape="b c length -> b c pool(length) where 2*padding <= ks", parameters="0")
def avg_pool1d(
    ks: Annotated[int, Range(1)] = 2,
    stride: Annotated[int, Range(1)] | None = None,
    padding: Annotated[int, Range(0)] = 0,
    ceil_mode: bool = False,
) -> nn.AvgPool1d:
    """The mean of each window of a sequence: `b c length` to `b c length`, divided by `stride`.

    Args:
        ks: length of the window.
        stride: step from window to window; `ks` where left out.
        padding: zeros added at either end; they count in the mean.
        ceil_mode: whether a window that only begins inside the sequence counts too.
    """
    return nn.AvgPool1d(ks, ks if stride is None else stride, padding, ceil_mode)


@layer(shape="b c length -> b c pool(length) where 2*padding <= ks", parameters="0")
def max_pool1d(
    ks: Annotated[int, Range(1)] = 2,
    stride: Annotated[int, Range(1)] | None = None,
    padding: Annotated[int, Range(0)] = 0,
    dilation: Annotated[int, Range(1)] = 1,
    ceil_mode: bool = False,
) -> nn.MaxPool1d:
    """The greatest value of each window of a sequence: `b c length` to `b c length`, divided by `stride`.

    Args:
        ks: length of the window.
        stride: step from window to window; `ks` where left out.
        padding: places added at either end; they are never the greatest.
        dilation: distance of a window's places.
        ceil_mode: whether a window that only begins inside the sequence counts too.
    """
    return nn.MaxPool1d(ks, stride, padding, dilation, ceil_mode=ceil_mode)


@layer(shape="b c length -> b c size", parameters="0")
def adaptive_avg_pool1d(size: Annotated[int, Range(1)] = 1) -> nn.AdaptiveAvgPool1d:
    """Means over windows that divide a sequence of any length: `b c length` to `b c size`.

    Args:
        size: length of what comes out.
    """
    return nn.AdaptiveAvgPool1d(size)


@layer(shape="b c length -> b c size", parameters="0")
def adaptive_max_pool1d(size: Annotated[int, Range(1)] = 1) -> nn.AdaptiveMaxPool1d:
    """Greatest values of windows that divide a sequence of any length: `b c length` to `b c size`.

    Args:
        size: length of what comes out.
    """
    return nn.AdaptiveMaxPool1d(size)


@layer(shape="b c length -> b 2*c size", parameters="0")
class adaptive_concat_pool1d(nn.Module):
    """Adaptive max pooling beside adaptive average pooling: `b c length` to `b 2*c size` (fastai).

    Args:
        size: length of what comes out.
    """

    def __init__(self, size: Annotated[int, Range(1)] = 1) -> None:
        super().__init__()
        self.max, self.avg = nn.AdaptiveMaxPool1d(size), nn.AdaptiveAvgPool1d(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c length` -> `b 2*c size`"""
        return torch.cat([self.max(x), self.avg(x)], 1)
