"""Stats: running statistics of the gradients, which steppers read. After fastai's `optimizer` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch

from mfc.runtime.component import Range, stat
from mfc.runtime.optim.parts import Part, Piece


@stat(keeps=("grad_avg",))
class average_grad(Part):
    """Keeps the moving average of the gradient as `grad_avg`.

    With `dampening` it is `mom * grad_avg + (1 - mom) * grad` (Adam), without `mom * grad_avg + grad` (SGD).
    Steppers that take the bias of its first steps out do so for either.

    Args:
        mom: how much of the average stays at each update.
        dampening: whether the gradient counts `1 - mom`, or whole.
    """

    def __init__(self, mom: Annotated[float, Range(0, below=1)] = 0.9, dampening: bool = False) -> None:
        self.hypers = {"mom": mom}
        self.dampening = dampening

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        mom = hyper["mom"]
        piece.grad_weight = 1 - mom if self.dampening else 1.0
        if self.dampening:
            piece.grad_avg.lerp_(piece.grad, 1 - mom)
        else:
            torch.add(piece.grad, piece.grad_avg, alpha=mom, out=piece.grad_avg)


@stat(keeps=("sqr_avg",))
class average_sqr_grad(Part):
    """Keeps the moving average of the squared gradient as `sqr_avg`.

    With `dampening` it is `sqr_mom * sqr_avg + (1 - sqr_mom) * grad²`, without `sqr_mom * sqr_avg + grad²`.
    Steppers that take the bias of its first steps out do so for either.

    Args:
        sqr_mom: how much of the average stays at each update.
        dampening: whether the squared gradient counts `1 - sqr_mom`, or whole.
    """

    def __init__(self, sqr_mom: Annotated[float, Range(0, below=1)] = 0.99, dampening: bool = True) -> None:
        self.hypers = {"sqr_mom": sqr_mom}
        self.dampening = dampening

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        sqr_mom = hyper["sqr_mom"]
        piece.sqr_weight = 1 - sqr_mom if self.dampening else 1.0
        piece.sqr_avg.mul_(sqr_mom).addcmul_(piece.grad, piece.grad, value=piece.sqr_weight)


@stat(keeps=("step",))
class step_count(Part):
    """Counts the updates of each parameter as `step`, 1 at the first; those it is left out of don't count."""

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        """The optimizer itself counts, once for all pieces of a parameter."""


@stat(keeps=("slow",), reads=("step",))
class slow_weights(Part):
    """Keeps the weights as they were before the first update as `slow`, for `lookahead_step()` to move.

    Reads `step_count()`. M. Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back" (2019).
    """

    copies = ("slow",)

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        if piece.step == 1:
            piece.slow.copy_(piece.p)
