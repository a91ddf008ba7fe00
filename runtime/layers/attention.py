"""Layers by which an image's parts see each other."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from mfc.runtime.component import In, Range, layer


@layer(shape="b c n ... -> b c n ... where c >= 8", parameters="c*(2*(c // 8) + c) + 1")
class self_attention(nn.Module):
    """Each place attends to all others: `b c ...` (Zhang et al., 2018, "Self-Attention GANs").

    It begins as the identity. Queries and keys have an eighth of the channels, as in fastai's SelfAttention.
    Memory grows with the square of the number of places.
    """

    def __init__(self, c: In) -> None:
        super().__init__()
        if c < 8:
            raise ValueError(f"self-attention needs at least 8 channels, got {c}")
        self.query, self.key, self.value = (
            spectral_norm(nn.Conv1d(c, nf, 1, bias=False)) for nf in (c // 8, c // 8, c)
        )
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c ...` -> `b c ...`"""
        places = x.flatten(2)
        query, key, value = self.query(places), self.key(places), self.value(places)
        attention = (query.transpose(1, 2) @ key).softmax(1)
        return torch.addcmul(places, self.gamma, value @ attention).reshape(x.shape)


@layer(shape="b c h w -> b c h w", parameters="8*max(1, (c // reduction + 7) // 8)*(2*c + 1) + c")
class squeeze_excite(nn.Module):
    """Scales each channel by a number in 0..1 that all channels' means decide: `b c h w` (Hu et al., 2017).

    Args:
        reduction: the layer between has `c // reduction` channels, rounded up to a multiple of 8 (fastai).
    """

    def __init__(self, c: In, reduction: Annotated[int, Range(1)] = 16) -> None:
        super().__init__()
        hidden = 8 * max(1, math.ceil(c // reduction / 8))
        self.squeeze, self.excite = nn.Conv2d(c, hidden, 1), nn.Conv2d(hidden, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`b c h w` -> `b c h w`"""
        hidden = self.squeeze(x.mean((2, 3), keepdim=True)).relu()
        return x * self.excite(hidden).sigmoid()
