"""Normalisation: mean and variance over some dimensions are taken out, a scale and a shift are learned."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import In, Range, layer


@layer(shape="b c ... -> b c ...")
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


@layer(shape="b ... features -> b ... features")
def layer_norm(features: In, eps: Annotated[float, Range(above=0)] = 1e-5) -> nn.LayerNorm:
    """Normalises each vector along the last dimension: `b ... features` (Ba, Kiros and Hinton, 2016).

    For images, whose channels are not the last dimension, `group_norm(1)` normalises over all of an image.
    """
    return nn.LayerNorm(features, eps)


@layer(shape="b c h w -> b c h w where h*w > 1")
def instance_norm(
    c: In, affine: bool = True, eps: Annotated[float, Range(above=0)] = 1e-5
) -> nn.InstanceNorm2d:
    """Normalises each channel of each image: `b c h w` (Ulyanov, Vedaldi and Lempitsky, 2016).

    Args:
        affine: whether a scale and a shift are learned (fastai's default; torch's is not to).
        eps: added to the variance.
    """
    return nn.InstanceNorm2d(c, eps, affine=affine)


@layer(shape="b c ... -> b c ... where c % groups == 0")
def group_norm(
    c: In, groups: Annotated[int, Range(1)] = 32, eps: Annotated[float, Range(above=0)] = 1e-5
) -> nn.GroupNorm:
    """Normalises groups of channels, each item for itself: `b c ...` (Wu and He, 2018).

    Args:
        groups: how many groups; 1 is layer norm over all of an item, as many as channels is instance norm.
        eps: added to the variance.
    """
    return nn.GroupNorm(groups, c, eps)
