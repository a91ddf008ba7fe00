"""Fixup: first weights for residual networks without normalisation."""

from __future__ import annotations

import torch
from torch import nn

from mfc.runtime.branches import branches
from mfc.runtime.component import initializer
from mfc.runtime.errors import RunError
from mfc.runtime.initializers import WEIGHTED, kaiming
from mfc.runtime.streams import Stream


@initializer(fills=True, residual=True)
class fixup(kaiming):
    """Lets deep residual networks train without normalisation (Zhang, Dauphin and Ma, 2019).

    Of "Fixup Initialization: Residual Learning Without Normalization".
    All weights are drawn as by `kaiming`. The weights of residual branches, what `add(...)` joins to its shortcut,
    are then multiplied by `L^(-1/(2m - 2))`, for L branches in the model and m layers in the branch: so that all
    branches together change what the model gives as much per step as one layer would. The last layer of each
    branch and the model's last layer become 0: a block begins as its shortcut.

    The architecture that belongs to it has a `bias()` before each convolution, linear layer and activation of a
    branch, and a `scale()` at its end: see `std/fixup_resnet.mfs`.
    """

    def __init__(self) -> None:
        super().__init__()

    @torch.no_grad()
    def __call__(self, model: nn.Module, stream: Stream) -> None:
        """Fills the weights of `model`. Raises RunError R0260 where it has no residual branch."""
        found, end = branches(model, WEIGHTED)
        if not found:
            help = "it sees branches of models that are written in the language, which end in `add(...)`"
            raise RunError("R0260", "`fixup` finds no residual branch in the model", help=help)
        super().__call__(model, stream)
        scaled: set[str] = set()
        for branch in found:
            for path in set(branch[:-1]) - scaled:
                model.get_submodule(path).weight.mul_(len(found) ** (-1 / (2 * len(branch) - 2)))  # type: ignore[operator]
            scaled |= set(branch)
        for path in {*(branch[-1] for branch in found), *end[-1:]}:
            nn.init.zeros_(model.get_submodule(path).weight)  # type: ignore[arg-type]
