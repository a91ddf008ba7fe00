"""Recurrent layers, for sequences whose items come first: `b length features`."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import In, Range, layer


@layer(
    shape="b length features -> b length hidden + hidden*bidirectional",
    parameters="4*hidden*(1 + bidirectional)*(features + hidden + 2*bias "
    "+ (layers - 1)*(hidden*(2 + bidirectional) + 2*bias))",
)
class lstm(nn.LSTM):
    """Long short-term memory: `b length features` to `b length hidden` (Hochreiter and Schmidhuber, 1997).

    What comes out is the hidden state after each step; each sequence starts from zeros.

    Args:
        hidden: size of the hidden state.
        layers: how many there are, one on the other.
        bidirectional: whether a second one reads backwards; what both say stands side by side, `2 * hidden`.
        dropout: between layers, in training: the probability that a number is set to 0. Needs two layers or more.
        bias: whether sums have a learned shift.
    """

    def __init__(
        self,
        features: In,
        hidden: Annotated[int, Range(1)],
        layers: Annotated[int, Range(1)] = 1,
        bidirectional: bool = False,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
        bias: bool = True,
    ) -> None:
        _check_dropout(dropout, layers)
        super().__init__(features, hidden, layers, bias, True, dropout, bidirectional)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`b length features` -> `b length hidden`"""
        return super().forward(x)[0]


@layer(
    shape="b length features -> b length hidden + hidden*bidirectional",
    parameters="3*hidden*(1 + bidirectional)*(features + hidden + 2*bias "
    "+ (layers - 1)*(hidden*(2 + bidirectional) + 2*bias))",
)
class gru(nn.GRU):
    """Gated recurrent units: `b length features` to `b length hidden` (Cho et al., 2014).

    What comes out is the hidden state after each step; each sequence starts from zeros.

    Args:
        hidden: size of the hidden state.
        layers: how many there are, one on the other.
        bidirectional: whether a second one reads backwards; what both say stands side by side, `2 * hidden`.
        dropout: between layers, in training: the probability that a number is set to 0. Needs two layers or more.
        bias: whether sums have a learned shift.
    """

    def __init__(
        self,
        features: In,
        hidden: Annotated[int, Range(1)],
        layers: Annotated[int, Range(1)] = 1,
        bidirectional: bool = False,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
        bias: bool = True,
    ) -> None:
        _check_dropout(dropout, layers)
        super().__init__(features, hidden, layers, bias, True, dropout, bidirectional)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """`b length features` -> `b length hidden`"""
        return super().forward(x)[0]


def _check_dropout(dropout: float, layers: int) -> None:
    if dropout and layers == 1:
        raise ValueError("dropout acts between layers, and there is only one: set `layers` to 2 or more")
