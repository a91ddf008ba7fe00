"""Activations: functions of each number for itself, for tensors of any shape."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import Range, layer


class GeneralRelu(nn.Module):
    """A rectifier with a slope below zero, then shifted down by `sub`, then cut off at `maxv`.

    `sub` is a buffer: `lsuv` may set it, and it is kept with the weights.
    """

    sub: torch.Tensor

    def __init__(self, leak: float, sub: float, maxv: float | None) -> None:
        super().__init__()
        self.leak, self.maxv = leak, maxv
        self.register_buffer("sub", torch.tensor(float(sub)))
        self.inplace = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        x = F.leaky_relu(x, self.leak, self.inplace) - self.sub
        return x if self.maxv is None else x.clamp_max(self.maxv)

    def extra_repr(self) -> str:
        return f"leak={self.leak}, maxv={self.maxv}"


@layer(shape="... -> ...", parameters="0")
def relu(leak: Annotated[float, Range(0)] = 0.0, sub: float = 0.0, maxv: float | None = None) -> nn.Module:
    """A rectifier: negative numbers become 0. The general form is fastai's course's GeneralRelu.

    Args:
        leak: slope below zero, instead of 0.
        sub: subtracted after that, to bring the mean towards 0 (0.4 with a leak of 0.1).
        maxv: the greatest value after that; 6 for ReLU6.
    """
    if sub or maxv is not None:
        return GeneralRelu(leak, sub, maxv)
    return nn.LeakyReLU(leak) if leak else nn.ReLU()


@layer(shape="... -> ...", parameters="0")
def selu() -> nn.SELU:
    """The self-normalising activation (Klambauer et al., 2017)."""
    return nn.SELU()


@layer(shape="... -> ...", parameters="0")
def gelu(approximate: bool = False) -> nn.GELU:
    """x times the share of a normal distribution below x (Hendrycks and Gimpel, 2016).

    Args:
        approximate: whether that share is computed by tanh, as in GPT-2.
    """
    return nn.GELU("tanh" if approximate else "none")


@layer(shape="... -> ...", parameters="0")
def mish() -> nn.Mish:
    """x tanh(softplus(x)) (Misra, 2019)."""
    return nn.Mish()


@layer(shape="... -> ...", parameters="0")
def silu() -> nn.SiLU:
    """x sigmoid(x), also called swish (Ramachandran, Zoph and Le, 2017)."""
    return nn.SiLU()


@layer(shape="... -> ...", parameters="0")
def sigmoid() -> nn.Sigmoid:
    """To 0..1: 1 / (1 + exp(-x))."""
    return nn.Sigmoid()


@layer(shape="... -> ...", parameters="0")
def tanh() -> nn.Tanh:
    """To -1..1: the hyperbolic tangent."""
    return nn.Tanh()
