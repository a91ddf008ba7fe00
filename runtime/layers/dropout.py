"""Dropout: of single numbers, of whole channels, of whole paths, and one that goes with selu."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import Range, layer


@layer(shape="... -> ...", parameters="0")
def dropout(p: Annotated[float, Range(0, 1)] = 0.5) -> nn.Dropout:
    """Sets numbers to 0 with probability `p` in training, scales the others up (Srivastava et al., 2014).

    Args:
        p: the probability with which a number becomes 0.
    """
    return nn.Dropout(p)


@layer(shape="b c h w -> b c h w", parameters="0")
def dropout2d(p: Annotated[float, Range(0, 1)] = 0.5) -> nn.Dropout2d:
    """Sets whole channels to 0 with probability `p` in training, scales the others up (Tompson et al., 2015).

    Neighbouring pixels tell each other what single ones lack, so that `dropout` does little to images.

    Args:
        p: the probability with which a channel becomes 0.
    """
    return nn.Dropout2d(p)


@layer(shape="... -> ...", parameters="0")
def alpha_dropout(p: Annotated[float, Range(0, below=1)] = 0.5) -> nn.AlphaDropout:
    """Dropout that keeps mean and variance, for nets of `selu` (Klambauer et al., 2017).

    In training, numbers become the value that `selu` ends at with probability `p`, and all are scaled and shifted.

    Args:
        p: the probability with which a number is replaced.
    """
    return nn.AlphaDropout(p)


@layer(shape="b ... -> b ...", parameters="0")
class drop_path(nn.Module):
    """Sets all of an item to 0 with probability `p` in training, scales the others up (Huang et al., 2016).

    At the end of a branch, before `add`, its layers are left out for some items: stochastic depth.

    Args:
        p: the probability with which an item's numbers become 0.
    """

    def __init__(self, p: Annotated[float, Range(0, below=1)] = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return x
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"
