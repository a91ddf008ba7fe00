"""Steppers: the parts of an update that change the parameters. After fastai's `optimizer` module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch

from mfc.runtime.component import Range, stepper
from mfc.runtime.optim.parts import Part, Piece


@stepper
class weight_decay(Part):
    """Decays parameters by `lr * wd`, apart from the gradient.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019).
    """

    def __init__(self, wd: Annotated[float, Range(0)] = 0.0) -> None:
        self.hypers = {"wd": wd}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        if hyper["wd"]:
            piece.p.mul_(1 - hyper["lr"] * hyper["wd"])


@stepper
class l2_reg(Part):
    """Adds `wd * p` to the gradient that later parts see, as a penalty on the squared weights would."""

    def __init__(self, wd: Annotated[float, Range(0)] = 0.0) -> None:
        self.hypers = {"wd": wd}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        if hyper["wd"]:
            piece.grad = torch.add(piece.grad, piece.p, alpha=hyper["wd"], out=piece.scratch("l2_reg"))


@stepper
class sgd_step(Part):
    """Steps against the gradient: `p - lr * grad`."""

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        piece.p.add_(piece.grad, alpha=-hyper["lr"])


@stepper
class momentum_step(Part):
    """Steps against the averaged gradient: `p - lr * grad_avg`; reads `average_grad()`.

    With `nesterov` against `grad + mom * grad_avg`, where the next step's momentum will lead (I. Sutskever et
    al., "On the importance of initialization and momentum in deep learning", 2013, as PyTorch writes it).
    """

    reads = ("grad_avg",)

    def __init__(self, nesterov: bool = False) -> None:
        self.nesterov = nesterov

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        lr = hyper["lr"]
        if self.nesterov:
            piece.p.add_(piece.grad, alpha=-lr).add_(piece.grad_avg, alpha=-lr * hyper["mom"])
        else:
            piece.p.add_(piece.grad_avg, alpha=-lr)


@stepper
class adam_step(Part):
    """Steps against `grad_avg / (sqrt(sqr_avg) + eps)`, both averages debiased by their number of updates.

    Reads `average_grad(dampening = true)`, `average_sqr_grad()` and `step_count()`. D. Kingma and J. Ba,
    "Adam: A Method for Stochastic Optimization" (2015).
    """

    reads = ("grad_avg", "sqr_avg", "step")

    def __init__(self, eps: Annotated[float, Range(0)] = 1e-5) -> None:
        self.hypers = {"eps": eps}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        debias = 1 - hyper["mom"] ** piece.step
        # the debiasing of sqr_avg goes into eps and the step's length, which saves a pass over the piece
        sqr_debias = (1 - hyper["sqr_mom"] ** piece.step) ** 0.5
        denominator = torch.sqrt(piece.sqr_avg, out=piece.scratch("adam_step")).add_(
            hyper["eps"] * sqr_debias
        )
        piece.p.addcdiv_(piece.grad_avg, denominator, value=-hyper["lr"] * sqr_debias / debias)
