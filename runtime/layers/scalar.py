"""Single learned numbers: what residual networks without normalisation have in its place."""

from __future__ import annotations

import torch
from torch import nn

from mfc.runtime.component import layer


@layer(shape="... -> ...", parameters="1")
class bias(nn.Module):
    """Adds one learned number, which begins at 0 (Zhang, Dauphin and Ma, 2019, "Fixup Initialization")."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        return x + self.bias


@layer(shape="... -> ...", parameters="learned")
class scale(nn.Module):
    """Multiplies by one number, which is learned (Zhang, Dauphin and Ma, 2019, "Fixup Initialization") or stays.

    Args:
        init: what it begins at. With 0 at the end of a residual branch, the block begins as its shortcut
            (Bachlechner et al., 2020, "ReZero").
        learned: whether it changes with training. One that stays, after the last layer, sets the temperature of
            the classes' probabilities.
    """

    def __init__(self, init: float = 1.0, learned: bool = True) -> None:
        super().__init__()
        number = torch.full((1,), float(init))
        if learned:
            self.scale = nn.Parameter(number)
        else:
            self.register_buffer("scale", number)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        return x * self.scale
