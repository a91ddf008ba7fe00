"""Normalisation: mean and variance over some dimensions are taken out, a scale and a shift are learned."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import In, Range, layer

FEW_ITEMS = 20
"""Items up to which the variance of a running batch norm has a floor: that of so few may be anything."""


@layer(shape="b c ... -> b c ...", parameters="c; c")
class batchnorm(nn.BatchNorm2d):
    """Normalises each channel over the batch and all places: `b c ...` (Ioffe and Szegedy, 2015).

    Args:
        zero_init: whether the scale begins at 0 instead of 1. At the end of a residual branch, the block then
            begins as its shortcut.
        momentum: share of each batch in the running mean and variance that evaluation uses.
        eps: added to the variance.
    """

    def __init__(
        self,
        c: In,
        zero_init: bool = False,
        momentum: Annotated[float, Range(0, 1)] = 0.1,
        eps: Annotated[float, Range(above=0)] = 1e-5,
    ) -> None:
        super().__init__(c, eps, momentum)
        if zero_init:
            nn.init.zeros_(self.weight)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Takes features, sequences and images alike, where torch has a class for each."""
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dims (b c ...), got {input.dim()}")


@layer(shape="b ... features -> b ... features", parameters="features; features")
def layer_norm(features: In, eps: Annotated[float, Range(above=0)] = 1e-5) -> nn.LayerNorm:
    """Normalises each vector along the last dimension: `b ... features` (Ba, Kiros and Hinton, 2016).

    For images, whose channels are not the last dimension, `group_norm(1)` normalises over all of an image.
    """
    return nn.LayerNorm(features, eps)


@layer(shape="b c h w -> b c h w where h*w > 1", parameters="c*affine; c*affine")
def instance_norm(
    c: In, affine: bool = True, eps: Annotated[float, Range(above=0)] = 1e-5
) -> nn.InstanceNorm2d:
    """Normalises each channel of each image: `b c h w` (Ulyanov, Vedaldi and Lempitsky, 2016).

    Args:
        affine: whether a scale and a shift are learned (fastai's default; torch's is not to).
        eps: added to the variance.
    """
    return nn.InstanceNorm2d(c, eps, affine=affine)


@layer(shape="b c ... -> b c ... where c % groups == 0", parameters="c; c")
def group_norm(
    c: In, groups: Annotated[int, Range(1)] = 32, eps: Annotated[float, Range(above=0)] = 1e-5
) -> nn.GroupNorm:
    """Normalises groups of channels, each item for itself: `b c ...` (Wu and He, 2018).

    Args:
        groups: how many groups; 1 is layer norm over all of an item, as many as channels is instance norm.
        eps: added to the variance.
    """
    return nn.GroupNorm(groups, c, eps)


@layer(shape="b c ... -> b c ...", parameters="c; c")
class running_batchnorm(nn.Module):
    """Normalises each channel by running statistics, in training too: `b c ...`, works with 2 items in a batch.

    Batch normalisation takes mean and variance from one batch, which are noise where it is small, and other ones in
    evaluation. This one keeps running sums, sums of squares and counts, uses the same ones in training and
    evaluation, and lets gradients through what the batch adds to them (`RunningBatchNorm` of "Deep Learning from the
    Foundations", notebook 07_batchnorm, 2019). All three start at 0, and what they start from cancels in
    their quotients, so that the first batch counts in full. The variance of the first 20 items is at least 0.01.

    Sums and counts are float32 in mixed precision too.

    Args:
        momentum: share of a batch of two in the running sums; a batch of b counts `1 - (1 - momentum) / √(b - 1)`.
        eps: added to the variance.
    """

    sums: torch.Tensor
    squares: torch.Tensor
    count: torch.Tensor
    items: torch.Tensor

    def __init__(
        self,
        c: In,
        momentum: Annotated[float, Range(above=0, hi=1)] = 0.1,
        eps: Annotated[float, Range(above=0)] = 1e-5,
    ) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
        self.register_buffer("sums", torch.zeros(c))
        self.register_buffer("squares", torch.zeros(c))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("items", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c ...` -> `b c ...`"""
        sums, squares, count = self._updated(x) if self.training else (self.sums, self.squares, self.count)
        mean = sums / count.clamp_min(1e-12)
        variance = torch.where(count > 0, squares / count.clamp_min(1e-12) - mean * mean, 1.0)
        variance = torch.where(self.items < FEW_ITEMS, variance.clamp_min(0.01), variance.clamp_min(0))
        factor = self.weight / (variance + self.eps).sqrt()
        offset, like = self.bias - mean * factor, (1, -1, *(1,) * (x.dim() - 2))
        return (x * factor.view(like) + offset.view(like)).to(x.dtype)

    def _updated(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The running sums with a batch in them; the batch's part carries gradients."""
        batch, dims = x.to(self.sums.dtype), (0, *range(2, x.dim()))
        share = 1 - (1 - self.momentum) / math.sqrt(max(len(x) - 1, 1))
        sums = self.sums.lerp(batch.sum(dims), share)
        squares = self.squares.lerp(batch.square().sum(dims), share)
        count = self.count.lerp(torch.full_like(self.count, x.numel() / x.shape[1]), share)
        for running, updated in ((self.sums, sums), (self.squares, squares), (self.count, count)):
            running.copy_(updated.detach())
        self.items += len(x)
        return sums, squares, count

    def extra_repr(self) -> str:
        return f"{len(self.sums)}, momentum={self.momentum}, eps={self.eps}"
