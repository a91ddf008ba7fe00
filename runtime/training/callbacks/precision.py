"""Faster arithmetic: half precision where it is safe, and memory formats that convolutions like."""

from __future__ import annotations

from typing import Any, Literal

import torch

from mfc.runtime.bfloat16 import cpu_has_bf16
from mfc.runtime.component import callback
from mfc.runtime.training.callbacks.loss_scale import LossScale
from mfc.runtime.training.device import require_dtype
from mfc.runtime.training.events import Callback, CancelStep

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@callback(once=True)
class mixed_precision(Callback):
    """Runs the model in half precision where that is safe (torch's autocast); weights, loss and steps stay float32.

    Micikevicius et al., "Mixed Precision Training" (2018). `"bf16"` has float32's range, so its gradients need no
    scaling. Those of `"fp16"` do: the loss is scaled by 2**16 for the backward pass, by twice as much after 2,000 steps
    without an overflow, by half after one. A step whose gradients overflow is left out: weights, optimizer and averages
    stay, the schedule goes on. Clipping and callbacks in `before_step` see gradients of their true size.

    Raises R0403 on a device that can't compute so (fp16 is for CUDA), R0214 where gradients overflow at any scale.

    Args:
        dtype: bfloat16, or float16 for GPUs without it.
    """

    order = -20  # before_step: gradients have their true size for all that follow

    inner: Any = None  # what `forward` was before
    unscaled = False  # whether gradients that wait for their step have their true size

    def __init__(self, dtype: Literal["bf16", "fp16"] = "bf16") -> None:
        self.dtype = DTYPES[dtype]
        self.scale = LossScale() if self.dtype is torch.float16 else None

    def before_fit(self) -> None:
        require_dtype(self.learner.device, self.dtype)
        if self.learner.device.type == "cpu" and not cpu_has_bf16():
            self.learner.say("note: this CPU has no bf16 instructions: mixed_precision() slows it down")
        self.inner = self.learner.forward
        self.learner.forward = self.forward

    def forward(self, x: Any) -> Any:
        """The model's prediction in float32, computed in half precision."""
        with torch.autocast(self.learner.device.type, self.dtype):
            pred = self.inner(x)
        return to_float(pred)

    def before_backward(self) -> None:
        if self.scale is not None:
            self.learner.loss_weight *= self.scale.value

    def before_step(self) -> None:
        if self.scale is None:
            return
        self.unscaled = self.scale.unscale(self.learner.gradients)
        if not self.unscaled:
            self.learner.optimizer.zero_grad()
            self.scale.update(finite=False)
            raise CancelStep

    def after_step(self) -> None:
        if self.scale is None or not self.unscaled:
            return
        if not self.learner.cancelled:
            self.scale.update(finite=True)
        else:  # another callback put the step off: more will be added to them
            self.learner.scale_gradients(self.scale.value)
        self.unscaled = False

    def after_fit(self) -> None:
        if self.inner is not None:
            self.learner.forward, self.inner = self.inner, None

    on_exception = after_fit

    def state_dict(self) -> dict[str, Any]:
        return self.scale.state_dict() if self.scale is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scale is not None and state:
            self.scale.load_state_dict(state)


@callback(once=True, inputs=("image",))
class channels_last(Callback):
    """Keeps images and weights with channels as the innermost dimension: convolutions run faster so."""

    def before_fit(self) -> None:
        self.learner.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def before_batch(self) -> None:
        x = self.learner.x
        if isinstance(x, torch.Tensor) and x.ndim == 4:
            self.learner.x = x.contiguous(memory_format=torch.channels_last)


def to_float(value: Any) -> Any:
    """All half-precision tensors in a prediction (a tensor, or a list, tuple or dict of them) as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: to_float(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_float(item) for item in value)
    return value
