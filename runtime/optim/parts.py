"""What an optimizer is composed of: parts, each applied to one piece of the parameters after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch


class Part:
    """A stat or a stepper: one part of an optimizer's update.

    Attributes:
        hypers: the hyperparameters that it reads, with their defaults.
        keeps: names of the state that it keeps: for each a tensor as large as the piece, zeros at first.
        counts: whether it has the optimizer count the updates of each parameter, as `piece.step`.
        reads: what it needs of the parts before it: names of their state, or `"step"`.
    """

    hypers: Mapping[str, float] = {}
    keeps: tuple[str, ...] = ()
    counts: bool = False
    reads: tuple[str, ...] = ()

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        """Updates the piece in place, with the current hyperparameters of its group; autograd is off."""
        raise NotImplementedError


class Scratch:
    """Memory for intermediate results, used by one piece after another."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._whole: dict[str, torch.Tensor] = {}
        self._views: dict[tuple[str, int], torch.Tensor] = {}

    def take(self, name: str, numel: int) -> torch.Tensor:
        """The first `numel` elements under a name: 1-D, with what the last user left in them."""
        view = self._views.get((name, numel))
        if view is None:
            if name not in self._whole or self._whole[name].numel() < numel:
                self._whole[name] = torch.empty(numel, device=self.device, dtype=self.dtype)
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
            view = self._views[name, numel] = self._whole[name][:numel]
        return view


class Piece:
    """A stretch of parameters of one group that have had equally many updates, laid flat.

    Attributes:
        p: parameters, 1-D.
        grad: their gradients, 1-D. A part may put another tensor in its place; it never writes into it.
        step: the number of this update, from 1; only where a part counts.

    Each name that a stat `keeps` is an attribute too: a 1-D tensor.
    """

    p: torch.Tensor
    grad: torch.Tensor
    step: int

    def __init__(self, p: torch.Tensor, state: Mapping[str, torch.Tensor]) -> None:
        self.p = p
        self.__dict__.update(state)

    def lend(self, scratch: Scratch, step: int) -> None:
        """Says where the memory for this update's intermediate results is, and the update's number."""
        self._scratch, self.step = scratch, step

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> torch.Tensor: ...

    def scratch(self, name: str) -> torch.Tensor:
        """Memory of the piece's size for an intermediate result; parts that use one name share it."""
        return self._scratch.take(name, self.p.numel())
