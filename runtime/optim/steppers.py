"""Steppers: the parts of an update that change the parameters. After fastai's `optimizer` module.

Those that debias averages divide them by what the gradients of the first updates count in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch.nn import functional as F

from mfc.runtime.component import Range, stepper
from mfc.runtime.optim.orthogonal import orthogonalised
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


@stepper(changes_grad=True)
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


@stepper(reads=("grad_avg",))
class momentum_step(Part):
    """Steps against the averaged gradient: `p - lr * grad_avg`; reads `average_grad()`.

    With `nesterov` against `grad + mom * grad_avg`, where the next step's momentum will lead (I. Sutskever et
    al., "On the importance of initialization and momentum in deep learning", 2013, as PyTorch writes it).

    Args:
        nesterov: whether it looks one step ahead.
    """

    def __init__(self, nesterov: bool = False) -> None:
        self.nesterov = nesterov

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        lr = hyper["lr"]
        if self.nesterov:
            piece.p.add_(piece.grad, alpha=-lr).add_(piece.grad_avg, alpha=-lr * hyper["mom"])
        else:
            piece.p.add_(piece.grad_avg, alpha=-lr)


@stepper(reads=("sqr_avg",))
class rms_prop_step(Part):
    """Steps against `grad / (sqrt(sqr_avg) + eps)`, or `grad_avg` over it where `average_grad()` keeps that.

    Reads `average_sqr_grad()`. T. Tieleman and G. Hinton, "Neural Networks for Machine Learning", lecture 6.5
    (2012).
    """

    def __init__(self, eps: Annotated[float, Range(0)] = 1e-8) -> None:
        self.hypers = {"eps": eps}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        denominator = torch.sqrt(piece.sqr_avg, out=piece.scratch("rms_prop_step")).add_(hyper["eps"])
        piece.p.addcdiv_(averaged(piece), denominator, value=-hyper["lr"])


@stepper(reads=("grad_avg", "sqr_avg", "step"))
class adam_step(Part):
    """Steps against `grad_avg / (sqrt(sqr_avg) + eps)`, both averages debiased by their number of updates.

    Reads `average_grad(dampening = true)`, `average_sqr_grad()` and `step_count()`. D. Kingma and J. Ba,
    "Adam: A Method for Stochastic Optimization" (2015).
    """

    def __init__(self, eps: Annotated[float, Range(0)] = 1e-5) -> None:
        self.hypers = {"eps": eps}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        root, scale = adam_debias(piece, hyper)
        denominator = torch.sqrt(piece.sqr_avg, out=piece.scratch("adam_step")).add_(hyper["eps"] * root)
        piece.p.addcdiv_(piece.grad_avg, denominator, value=-hyper["lr"] * scale)


@stepper(reads=("grad_avg", "sqr_avg", "step"))
class radam_step(Part):
    """Adam's step, rectified: shorter while `sqr_avg` is made of few gradients, without it for the first.

    Where too few gradients went into `sqr_avg` to say how much it varies, it steps against `grad_avg` alone. With
    `beta` above 0 the denominator is smoothed by a softplus (Q. Tong et al., "Calibrating the Adaptive Learning
    Rate to Improve Convergence of ADAM", 2019). Reads `average_grad(dampening = true)`, `average_sqr_grad()` and
    `step_count()`. L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2019).

    Args:
        eps: added to the denominator.
        beta: of the softplus; 0 for none.
    """

    def __init__(
        self, eps: Annotated[float, Range(0)] = 1e-5, beta: Annotated[float, Range(0)] = 0.0
    ) -> None:
        self.hypers = {"eps": eps, "beta": beta}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        lr, rectifier = hyper["lr"], rectification(hyper["sqr_mom"], piece.step)
        if not rectifier:
            piece.p.add_(piece.grad_avg, alpha=-lr / debias(hyper["mom"], piece.grad_weight, piece.step))
            return
        root, scale = adam_debias(piece, hyper)
        denominator = torch.sqrt(piece.sqr_avg, out=piece.scratch("radam_step")).add_(hyper["eps"] * root)
        if hyper["beta"]:
            denominator = F.softplus(denominator.div_(root), hyper["beta"]).mul_(root)
        piece.p.addcdiv_(piece.grad_avg, denominator, value=-lr * rectifier * scale)


@stepper(reads=("grad_avg", "sqr_avg", "step"))
class lamb_step(Part):
    """Adam's step, made as long as the parameter is: times the norm of each parameter over that of its step.

    This trust ratio is `max_trust` at most, and 1 where either norm is 0. Reads
    `average_grad(dampening = true)`, `average_sqr_grad()` and `step_count()`. Y. You et al., "Large Batch
    Optimization for Deep Learning: Training BERT in 76 minutes" (2019).

    Args:
        eps: added to the denominator.
        max_trust: the greatest trust ratio.
    """

    def __init__(
        self, eps: Annotated[float, Range(0)] = 1e-5, max_trust: Annotated[float, Range(above=0)] = 10.0
    ) -> None:
        self.hypers = {"eps": eps, "max_trust": max_trust}

    def measure(self, piece: Piece, hyper: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        root, _ = adam_debias(piece, hyper)
        step = torch.sqrt(piece.sqr_avg, out=piece.scratch("lamb_step")).add_(hyper["eps"] * root)
        return piece.p, torch.div(piece.grad_avg, step, out=step)

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        p_norm, step_norm = piece.norms
        _, scale = adam_debias(piece, hyper)
        trust = (p_norm / (scale * step_norm)).clamp_(max=hyper["max_trust"])
        trust = torch.where((p_norm > 0) & (step_norm > 0), trust, 1)
        step = piece.scratch("lamb_step")
        piece.p.addcmul_(step, trust.to(step.dtype), value=-hyper["lr"] * scale)


@stepper(reads=("grad_avg", "sqr_avg", "step"))
class lamb_decay_step(lamb_step):
    """LAMB's step with the weight decay of its paper: `wd * p` is part of the step whose norm is taken.

    `lamb_step()` beside `weight_decay()` is fastai's, which decays apart from the trust ratio.

    Args:
        wd: weight decay.
        eps: added to the denominator.
        max_trust: the greatest trust ratio.
    """

    def __init__(
        self,
        wd: Annotated[float, Range(0)] = 0.01,
        eps: Annotated[float, Range(0)] = 1e-5,
        max_trust: Annotated[float, Range(above=0)] = 10.0,
    ) -> None:
        self.hypers = {"wd": wd, "eps": eps, "max_trust": max_trust}

    def measure(self, piece: Piece, hyper: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        p, step = super().measure(piece, hyper)
        _, scale = adam_debias(piece, hyper)
        return p, step.add_(p, alpha=hyper["wd"] / scale)


@stepper
class larc_step(Part):
    """Steps against the gradient at a rate of each parameter's own: `lr * trust_coeff * |p| / (|grad| + wd * |p|)`.

    With `clip` the rate is `lr` at most (LARC), without it is what it is (LARS); where either norm is 0 it is
    `lr`. The step is against `grad_avg` where `average_grad()` keeps that. Y. You, I. Gitman and B. Ginsburg, "Large
    Batch Training of Convolutional Networks" (2017), where momentum takes the rates in; as in fastai it averages
    the gradients alone here.

    Args:
        trust_coeff: the rate of a parameter whose norm is that of its gradient, as a part of `lr`.
        eps: added to the denominator.
        clip: whether the rate is `lr` at most.
    """

    def __init__(
        self,
        trust_coeff: Annotated[float, Range(above=0)] = 0.02,
        eps: Annotated[float, Range(0)] = 1e-8,
        clip: bool = True,
    ) -> None:
        self.hypers = {"trust_coeff": trust_coeff, "eps": eps}
        self.clip = clip

    def measure(self, piece: Piece, hyper: Mapping[str, float]) -> tuple[torch.Tensor, torch.Tensor]:
        return piece.p, piece.grad

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        p_norm, grad_norm = piece.norms
        trust = hyper["trust_coeff"] * p_norm / (grad_norm + hyper.get("wd", 0.0) * p_norm + hyper["eps"])
        if self.clip:
            trust = trust.clamp_(max=1)
        trust = torch.where((p_norm > 0) & (grad_norm > 0), trust, 1)
        piece.p.addcmul_(averaged(piece), trust.to(piece.p.dtype), value=-hyper["lr"])


@stepper(reads=("grad_avg",), whole=True)
class muon_step(Part):
    """Steps against the averaged gradient, made orthogonal: as far in each direction in which that goes at all.

    Each parameter is a matrix with a row for each output: a convolution's weight `out (in kh kw)`, one of one dimension
    a column. `U S V'` becomes `U V'`, about, by `ns_steps` Newton-Schulz iterations: in bfloat16 where the device
    computes in it by itself, else in float32, as are small matrices on a CPU. With `nesterov` it is
    `grad + mom * grad_avg` that is made orthogonal. The rate is multiplied by `0.2 * sqrt(max(rows, columns))`, which
    makes the step about as large as Adam's (J. Liu et al., "Muon is Scalable for LLM Training", 2025); where `adjust`
    is `"original"`, by `sqrt(max(1, rows / columns))`. Reads `average_grad()`. K. Jordan, "Muon: An optimizer for
    hidden layers in neural networks" (2024).

    Args:
        nesterov: whether it looks one step ahead.
        ns_steps: iterations.
        adjust: by which factor the rate goes with the shape of a matrix.
    """

    def __init__(
        self,
        nesterov: bool = True,
        ns_steps: Annotated[int, Range(1, 100)] = 5,
        adjust: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
    ) -> None:
        self.nesterov, self.ns_steps, self.adjust = nesterov, ns_steps, adjust

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        direction = piece.grad_avg
        if self.nesterov:
            direction = torch.mul(direction, hyper["mom"], out=piece.scratch("muon_step"))
            direction.add_(piece.grad, alpha=piece.grad_weight)
        for p, own in zip(piece.matrices(piece.p), piece.matrices(direction)):
            if p.numel():
                step = orthogonalised(own.flatten(1), self.ns_steps)
                p.add_(step.reshape(p.shape), alpha=-hyper["lr"] * self._factor(*step.shape))

    def _factor(self, rows: int, columns: int) -> float:
        if self.adjust == "original":
            return math.sqrt(max(1, rows / columns))
        return 0.2 * math.sqrt(max(rows, columns))


@stepper(reads=("slow", "step"))
class lookahead_step(Part):
    """Every `k` updates moves the slow weights by `alpha` towards the parameters, and these to the slow weights.

    Stands after the steppers that it looks ahead with; reads `slow_weights()` and `step_count()`. M. Zhang et al.,
    "Lookahead Optimizer: k steps forward, 1 step back" (2019).

    Args:
        k: after how many updates the slow weights move.
        alpha: how far they move: 1 is all the way.
    """

    def __init__(self, k: Annotated[int, Range(1)] = 6, alpha: Annotated[float, Range(0, 1)] = 0.5) -> None:
        self.k = k
        self.hypers = {"alpha": alpha}

    def __call__(self, piece: Piece, hyper: Mapping[str, float]) -> None:
        if piece.step % self.k == 0:
            piece.p.copy_(piece.slow.lerp_(piece.p, hyper["alpha"]))


# ── what several of them do ─────────────────────────────────────────────────────────────────────────────────


def averaged(piece: Piece) -> torch.Tensor:
    """The averaged gradient where a stat keeps it, else the gradient."""
    return getattr(piece, "grad_avg", piece.grad)


def debias(mom: float, weight: float, step: int) -> float:
    """How much the gradients of the first `step` updates count in an average, in which the newest counts `weight`."""
    return weight * (1 - mom**step) / (1 - mom)


def adam_debias(piece: Piece, hyper: Mapping[str, float]) -> tuple[float, float]:
    """`root` and `scale` with which Adam's step is `scale * grad_avg / (sqrt(sqr_avg) + eps * root)`: debiasing these
    two numbers instead of the averages saves passes over the piece."""
    root = debias(hyper["sqr_mom"], piece.sqr_weight, piece.step) ** 0.5
    return root, root / debias(hyper["mom"], piece.grad_weight, piece.step)


def rectification(sqr_mom: float, step: int) -> float:
    """How much shorter RAdam's step is than Adam's; 0 where the average of squares says too little, as it does
    of 5 gradients or fewer (by the length of the simple average that it stands for)."""
    longest = 2 / (1 - sqr_mom) - 1
    length = longest - 2 * step * sqr_mom**step / (1 - sqr_mom**step)
    if length <= 5:
        return 0.0
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
