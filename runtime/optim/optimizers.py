"""The optimizers that a recipe can name. Their numbers are hyperparameters, which a schedule may drive.

Names and defaults are fastai's where the name is fastai's: the moving averages are `mom` and `sqr_mom`
(PyTorch's `momentum` and `betas`), weight decay is `wd`, decoupled from the gradient unless `decouple_wd` is
false, when it is a penalty in the gradient (`l2_reg`). `wd_bn_bias` says whether biases and norm layers
(parameters of one dimension) decay too; fastai's default is that they don't. `lr` is a number, or differs
from group to group (`spread(...)`); a schedule that drives it wins. All of them run on torch's fused kernels.
"""

from __future__ import annotations

from typing import Annotated

from mfc.runtime.component import Range, Rate, optimizer
from mfc.runtime.optim.optimizer import Composition
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.stats import average_grad, average_sqr_grad, step_count
from mfc.runtime.optim.steppers import adam_step, l2_reg, momentum_step, sgd_step, weight_decay


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


def _decay(wd: float, decoupled: bool) -> Part:
    return weight_decay(wd) if decoupled else l2_reg(wd)


def _adam(mom: float, sqr_mom: float, eps: float) -> list[Part]:
    return [average_grad(mom, dampening=True), average_sqr_grad(sqr_mom), step_count(), adam_step(eps)]
