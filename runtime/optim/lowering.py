"""Compositions that torch has a fused kernel for: one pass over parameters, gradients and state.

torch's own optimizers call the same kernels; here they work on the optimizer's own state, so that a lowered
run can go on composed and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from mfc.runtime import kernels
from mfc.runtime.optim.buckets import Bucket
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.stats import average_grad, average_sqr_grad, step_count
from mfc.runtime.optim.steppers import adam_step, l2_reg, momentum_step, sgd_step, weight_decay

DEVICES = ("cpu", "cuda")
TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

KNOWN = (weight_decay, l2_reg, average_grad, average_sqr_grad, step_count, sgd_step, momentum_step, adam_step)

Tensors = Sequence[torch.Tensor]


class Kernel(Protocol):
    """The update of a whole composition at once."""

    def takes(self, hyper: Mapping[str, float]) -> bool:
        """Whether it does what the composition does with these hyperparameters."""
        ...

    def __call__(
        self,
        params: Tensors,
        gradients: Tensors,
        state: Mapping[str, Tensors],
        steps: Sequence[int],
        hyper: Mapping[str, float],
    ) -> None:
        """Updates parameters and state in place; `steps` holds the number of this update for each."""
        ...


class FusedAdam:
    """Adam, with decoupled weight decay (AdamW) or as a penalty in the gradient."""

    def __init__(self, decoupled: bool) -> None:
        self.decoupled = decoupled

    def takes(self, hyper: Mapping[str, float]) -> bool:
        return True

    def __call__(
        self,
        params: Tensors,
        gradients: Tensors,
        state: Mapping[str, Tensors],
        steps: Sequence[int],
        hyper: Mapping[str, float],
    ) -> None:
        device = params[0].device
        counts = {step: torch.full((), step, dtype=torch.float32, device=device) for step in set(steps)}
        run = kernels.fused_adamw if self.decoupled else kernels.fused_adam
        run(
            params, gradients, state["grad_avg"], state["sqr_avg"], [], [counts[step] for step in steps],
            lr=hyper["lr"], beta1=hyper["mom"], beta2=hyper["sqr_mom"], weight_decay=hyper.get("wd", 0.0),
            eps=hyper["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip


class FusedSgd:
    """Gradient descent, with momentum or without."""

    def __init__(self, decoupled: bool, momentum: bool, dampening: bool, nesterov: bool) -> None:
        self.decoupled = decoupled
        self.momentum = momentum
        self.dampening = dampening
        self.nesterov = nesterov

    def takes(self, hyper: Mapping[str, float]) -> bool:
        # without momentum the kernel would leave the average as it is, where the stat makes it the gradient
        return not self.momentum or hyper["mom"] != 0

    def __call__(
        self,
        params: Tensors,
        gradients: Tensors,
        state: Mapping[str, Tensors],
        steps: Sequence[int],
        hyper: Mapping[str, float],
    ) -> None:
        lr, decay = hyper["lr"], hyper.get("wd", 0.0)
        if self.decoupled and self.momentum and decay:  # without momentum both kinds of decay are one
            kernels.multiply_all(params, 1 - lr * decay)
            decay = 0.0
        momentum = hyper["mom"] if self.momentum else 0.0
        kernels.fused_sgd(
            params, gradients, state["grad_avg"] if self.momentum else [], weight_decay=decay,
            momentum=momentum, lr=lr, dampening=momentum if self.dampening else 0.0, nesterov=self.nesterov,
            maximize=False, is_first_step=False,
        )  # fmt: skip


def lower(parts: Sequence[Part]) -> Kernel | None:
    """The fused kernel that does what these parts do one after another, or None."""
    if not all(type(part) in KNOWN for part in parts):  # a subclass may do something else
        return None
    match _in_order(parts):
        case [
            *decay,
            average_grad(dampening=True),
            average_sqr_grad(dampening=True),
            step_count(),
            adam_step(),
        ]:
            return FusedAdam(_decouples(decay)) if _is_decay(decay) else None
        case [*decay, average_grad(dampening=dampening), momentum_step(nesterov=nesterov)]:
            return FusedSgd(_decouples(decay), True, dampening, nesterov) if _is_decay(decay) else None
        case [*decay, sgd_step()]:
            return FusedSgd(_decouples(decay), False, False, False) if _is_decay(decay) else None
    return None


def _in_order(parts: Sequence[Part]) -> list[Part]:
    """The parts in the order of `KNOWN`, where it does not matter: stats see neither each other nor the weights, but
    a gradient with a penalty in it where that stands before them."""
    if not parts or any(type(part) is l2_reg for part in parts[1:]):
        return list(parts)
    *before, last = parts
    return [*sorted(before, key=lambda part: KNOWN.index(type(part))), last]


def _is_decay(parts: Sequence[Part]) -> bool:
    return not parts or (len(parts) == 1 and isinstance(parts[0], weight_decay | l2_reg))


def _decouples(parts: Sequence[Part]) -> bool:
    return any(isinstance(part, weight_decay) for part in parts)


def has_kernel(bucket: Bucket) -> bool:
    """Whether torch's fused kernels work on these parameters."""
    return bucket.dense and bucket.device.type in DEVICES and bucket.dtype in TYPES
