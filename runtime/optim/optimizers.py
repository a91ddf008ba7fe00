"""The optimizers that a recipe can name. Those of their numbers that need not be whole are hyperparameters, which a
schedule may drive.

Names and defaults are fastai's where the name is fastai's: the moving averages are `mom` and `sqr_mom`
(PyTorch's `momentum` and `betas`), weight decay is `wd`, decoupled from the gradient unless `decouple_wd` is
false, when it is a penalty in the gradient (`l2_reg`). `wd_bn_bias` says whether biases and norm layers
(parameters of one dimension) decay too; fastai's default is that they don't. `lr` is a number, or differs
from group to group (`spread(...)`); a schedule that drives it wins. `sgd`, `momentum`, `adam` and `adamw` run on
torch's fused kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from mfc.runtime.component import Optimizer, Range, Rate, Stat, Stepper, optimizer
from mfc.runtime.optim.optimizer import Composition
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.stats import average_grad, average_sqr_grad, slow_weights, step_count
from mfc.runtime.optim.steppers import (
    adam_step,
    l2_reg,
    lamb_step,
    larc_step,
    lookahead_step,
    momentum_step,
    muon_step,
    radam_step,
    rms_prop_step,
    sgd_step,
    weight_decay,
)


@optimizer(unless_zero=("mom",))
def sgd(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.0,
    wd: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """Stochastic gradient descent, with momentum where `mom` isn't 0 (then a schedule may drive it).

    fastai's `SGD`: momentum is not dampened, as in PyTorch (`mom * average + gradient`), weight decay is
    decoupled.
    """
    steps: list[Part] = [average_grad(mom), momentum_step()] if mom else [sgd_step()]
    return Composition([_decay(wd, decouple_wd), *steps], lr, wd_bn_bias)


@optimizer
def momentum(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    wd: Annotated[float, Range(0)] = 0.0,
    nesterov: bool = False,
    decouple_wd: bool = False,
    wd_bn_bias: bool = True,
) -> Composition:
    """Stochastic gradient descent with momentum, as PyTorch's `SGD(momentum=0.9)`.

    Weight decay is PyTorch's: a penalty in the gradient, on all parameters. `nesterov` looks one step ahead.

    Args:
        nesterov: whether each step looks one step ahead (Y. Nesterov, 1983).
    """
    parts = [_decay(wd, decouple_wd), average_grad(mom), momentum_step(nesterov)]
    return Composition(parts, lr, wd_bn_bias)


@optimizer
def adam(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.99,
    eps: Annotated[float, Range(0)] = 1e-5,
    wd: Annotated[float, Range(0)] = 0.01,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """Adam with fastai's defaults; weight decay is decoupled, which makes it AdamW.

    D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization" (2015).
    """
    return Composition([_decay(wd, decouple_wd), *_adam(mom, sqr_mom, eps)], lr, wd_bn_bias)


@optimizer
def adamw(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.999,
    eps: Annotated[float, Range(0)] = 1e-8,
    wd: Annotated[float, Range(0)] = 0.01,
    wd_bn_bias: bool = True,
) -> Composition:
    """Adam with decoupled weight decay and PyTorch's defaults: `mom` and `sqr_mom` are its `betas`.

    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019).
    """
    return Composition([weight_decay(wd), *_adam(mom, sqr_mom, eps)], lr, wd_bn_bias)


@optimizer(unless_zero=("mom",))
def rmsprop(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.0,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.99,
    eps: Annotated[float, Range(0)] = 1e-8,
    wd: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """RMSProp with fastai's defaults: the gradient over the root of the average of its squares.

    Where `mom` isn't 0 it is the gradients' moving average that is divided, not dampened, as in fastai; PyTorch
    averages what was divided. T. Tieleman and G. Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012).
    """
    stats = [*([average_grad(mom)] if mom else []), average_sqr_grad(sqr_mom)]
    return Composition([_decay(wd, decouple_wd), *stats, rms_prop_step(eps)], lr, wd_bn_bias)


@optimizer
def radam(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.99,
    eps: Annotated[float, Range(0)] = 1e-5,
    wd: Annotated[float, Range(0)] = 0.0,
    beta: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """Rectified Adam with fastai's defaults: warms itself up, while it has seen few gradients.

    `beta` above 0 smooths the denominator by a softplus. L. Liu et al., "On the Variance of the Adaptive Learning
    Rate and Beyond" (2019).

    Args:
        beta: of the softplus; 0 for none.
    """
    parts = [_decay(wd, decouple_wd), *_adam_stats(mom, sqr_mom), radam_step(eps, beta)]
    return Composition(parts, lr, wd_bn_bias)


@optimizer
def lamb(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.99,
    eps: Annotated[float, Range(0)] = 1e-5,
    wd: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """LAMB with fastai's defaults: Adam whose step is as long as the parameter, for large batches.

    The trust ratio is 10 at most, and weight decay stands apart from it, as in fastai; `lamb_decay_step()` is the
    step with the paper's decay. Y. You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes" (2019).
    """
    parts = [_decay(wd, decouple_wd), *_adam_stats(mom, sqr_mom), lamb_step(eps)]
    return Composition(parts, lr, wd_bn_bias)


@optimizer(unless_zero=("mom",))
def larc(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.9,
    clip: bool = True,
    trust_coeff: Annotated[float, Range(above=0)] = 0.02,
    eps: Annotated[float, Range(0)] = 1e-8,
    wd: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """LARC with fastai's defaults: momentum at rates that follow each parameter's norm and its gradient's.

    Without `clip` it is LARS, whose rates may be larger than `lr`. Y. You, I. Gitman and B. Ginsburg, "Large Batch
    Training of Convolutional Networks" (2017).

    Args:
        clip: whether a parameter's rate is `lr` at most.
        trust_coeff: the rate of a parameter whose norm is that of its gradient, as a part of `lr`.
    """
    stats = [average_grad(mom)] if mom else []
    parts = [_decay(wd, decouple_wd), *stats, larc_step(trust_coeff, eps, clip)]
    return Composition(parts, lr, wd_bn_bias)


@optimizer
def muon(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.95,
    wd: Annotated[float, Range(0)] = 0.1,
    nesterov: bool = True,
    ns_steps: Annotated[int, Range(1, 100)] = 5,
    adjust: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.95,
    eps: Annotated[float, Range(0)] = 1e-8,
    lr_rest: Annotated[float, Range(above=0)] = 1.0,
    wd_bn_bias: bool = False,
) -> Composition:
    """Muon for the weights of hidden layers, which makes their steps orthogonal, and AdamW for the rest.

    The rest are biases, norm layers, embeddings and the last layer's weight. The rate of both is `lr`, as large as
    AdamW's; with `adjust = "original"` hidden layers want a larger one, and the rest's is `lr_rest` times as large.
    `mom` and `wd` are those of both, `sqr_mom` and `eps` of the rest. K. Jordan, "Muon: An optimizer for hidden layers
    in neural networks" (2024); J. Liu et al., "Muon is Scalable for LLM Training" (2025).

    Args:
        nesterov: whether each step looks one step ahead.
        ns_steps: steps of the iteration that makes a matrix nearly orthogonal.
        adjust: by which factor the rate goes with the shape of a matrix: one that makes steps as large as
            AdamW's, or the first one, of Jordan.
        lr_rest: how many times as large as `lr` the rate of the rest is.
    """
    parts = [weight_decay(wd), average_grad(mom, dampening=True), muon_step(nesterov, ns_steps, adjust)]
    rest = [weight_decay(wd), *_adam(mom, sqr_mom, eps)]
    return Composition(parts, lr, wd_bn_bias, rest=rest, lr_rest=lr_rest)


@optimizer(keeps=("slow",))
def lookahead(
    optimizer: Optimizer, k: Annotated[int, Range(1)] = 6, alpha: Annotated[float, Range(0, 1)] = 0.5
) -> Composition:
    """Another optimizer, with slow weights that follow by `alpha` every `k` updates, and that it then goes on from.

    M. Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back" (2019), as in fastai.

    Args:
        optimizer: the one that makes the updates.
        k: after how many of them the slow weights move.
        alpha: how far they move: 1 is all the way.
    """
    inner: Composition = optimizer

    def around(parts: Sequence[Part]) -> list[Part]:
        others = [part for part in parts if not isinstance(part, step_count)]
        return [step_count(), slow_weights(), *others, lookahead_step(k, alpha)]

    return replace(inner, parts=around(inner.parts), rest=around(inner.rest) if inner.rest else ())


@optimizer
def bn_bias_lr(optimizer: Optimizer, factor: Annotated[float, Range(above=0)] = 64.0) -> Composition:
    """Another optimizer, at `factor` times its rate for biases and norm layers (parameters of one dimension).

    In short trainings these lag behind. K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), takes
    64 times the rate for the biases of batch norm.

    Args:
        optimizer: the one whose rate it is.
        factor: how many times as large the rate is.
    """
    inner: Composition = optimizer
    return replace(inner, lr_bn_bias=inner.lr_bn_bias * factor)


@optimizer(keeps=("slow",))
def ranger(
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    mom: Annotated[float, Range(0, below=1)] = 0.95,
    wd: Annotated[float, Range(0)] = 0.01,
    eps: Annotated[float, Range(0)] = 1e-6,
    k: Annotated[int, Range(1)] = 6,
    alpha: Annotated[float, Range(0, 1)] = 0.5,
    sqr_mom: Annotated[float, Range(0, below=1)] = 0.99,
    beta: Annotated[float, Range(0)] = 0.0,
    decouple_wd: bool = True,
    wd_bn_bias: bool = False,
) -> Composition:
    """Lookahead around rectified Adam, with fastai's defaults.

    L. Wright, "Ranger" (2019).

    Args:
        k: after how many updates the slow weights move.
        alpha: how far they move: 1 is all the way.
        beta: of the softplus of `radam`; 0 for none.
    """
    return lookahead(radam(lr, mom, sqr_mom, eps, wd, beta, decouple_wd, wd_bn_bias), k, alpha)


@optimizer
def stateful(
    *,
    stats: list[Stat] = [],  # noqa: B006
    steppers: list[Stepper],
    lr: Annotated[float, Range(above=0)] | Rate = 1e-3,
    wd_bn_bias: bool = False,
) -> Composition:
    """An optimizer put together from its parts: `stats` keep what the `steppers` read.

    For each update the stats act first, one after another, then the steppers; those that change the gradient, as
    `l2_reg()` does, act before the stats. The numbers of all parts are hyperparameters. What is the same as
    `sgd`, `momentum` or `adam` runs on torch's fused kernels too.

    Args:
        stats: running statistics, in order.
        steppers: what changes the parameters, in order.

    Raises:
        RunError: R0222 and R0225 where the parts don't go together.
    """
    first = [part for part in steppers if isinstance(part, Part) and part.changes_grad]
    parts = [*first, *stats, *(part for part in steppers if part not in first)]
    return Composition(parts, lr, wd_bn_bias)


def _decay(wd: float, decoupled: bool) -> Part:
    return weight_decay(wd) if decoupled else l2_reg(wd)


def _adam(mom: float, sqr_mom: float, eps: float) -> list[Part]:
    return [*_adam_stats(mom, sqr_mom), adam_step(eps)]


def _adam_stats(mom: float, sqr_mom: float) -> list[Part]:
    return [average_grad(mom, dampening=True), average_sqr_grad(sqr_mom), step_count()]
