"""Stats: running statistics of the gradients, which steppers read. After fastai's `optimizer` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch

from mfc.runtime.component import Range, stat
from mfc.runtime.optim.parts import Part, Piece


@stat
class average_grad(Part):
    """Keeps the moving average of the gradient as `grad_avg`.

    With `dampening` it is `mom * grad_avg + (1 - mom) * grad` (Adam), without `mom * grad_avg + grad` (SGD).
    """

    keeps = ("grad_avg",)

    def __init__(self, mom: Annotated[float, Range(0, below=1)] = 0.9, dampening: bool = False) -> None:
        self.hypers = {"mom": mom}
        self.dampening = dampening

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        if self.dampening:
            piece.grad_avg.lerp_(piece.grad, 1 - hyper["mom"])
        else:
            torch.add(piece.grad, piece.grad_avg, alpha=hyper["mom"], out=piece.grad_avg)


@stat
class average_sqr_grad(Part):
    """Keeps the moving average of the squared gradient as `sqr_avg`.

    With `dampening` it is `sqr_mom * sqr_avg + (1 - sqr_mom) * grad²`, without `sqr_mom * sqr_avg + grad²`.
    """

    keeps = ("sqr_avg",)

    def __init__(self, sqr_mom: Annotated[float, Range(0, below=1)] = 0.99, dampening: bool = True) -> None:
        self.hypers = {"sqr_mom": sqr_mom}
        self.dampening = dampening

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        sqr_mom = hyper["sqr_mom"]
        weight = 1 - sqr_mom if self.dampening else 1
        piece.sqr_avg.mul_(sqr_mom).addcmul_(piece.grad, piece.grad, value=weight)


@stat
class step_count(Part):
    """Counts the updates of each parameter as `step`, 1 at the first; those it is left out of don't count."""

    counts = True

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        """The optimizer itself counts, once for all pieces of a parameter."""
