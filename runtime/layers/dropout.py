"""Dropout."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mfc.runtime.component import Range, layer


@layer(shape="... -> ...")
def dropout(p: Annotated[float, Range(0, 1)] = 0.5) -> nn.Dropout:
    """Sets numbers to 0 with probability `p` in training, scales the others up (Srivastava et al., 2014)."""
    return nn.Dropout(p)
