"""Faster arithmetic: bfloat16 where it is safe, and memory formats that convolutions like."""

from __future__ import annotations

from typing import Any

import torch

from mfc.runtime.component import callback
from mfc.runtime.training.device import cpu_has_bf16, require_dtype
from mfc.runtime.training.events import Callback


@callback()
class mixed_precision(Callback):
    """Runs the model in bfloat16 where that is safe (torch's autocast); weights, loss and steps stay float32.

    Micikevicius et al., "Mixed Precision Training" (2018). bfloat16 has float32's range, so gradients need no
    scaling. Raises R0403 on a device without bfloat16.
    """

    inner: Any = None  # what `forward` was before

    def before_fit(self) -> None:
        require_dtype(self.learner.device, torch.bfloat16)
        if self.learner.device.type == "cpu" and not cpu_has_bf16():
            self.learner.say("note: this CPU has no bf16 instructions: mixed_precision() slows it down")
        self.inner = self.learner.forward
        self.learner.forward = self.forward

    def forward(self, x: Any) -> Any:
        """The model's prediction in float32, computed in bfloat16."""
        with torch.autocast(self.learner.device.type, torch.bfloat16):
            pred = self.inner(x)
        return to_float(pred)

    def after_fit(self) -> None:
        if self.inner is not None:
            self.learner.forward, self.inner = self.inner, None

    on_exception = after_fit


@callback()
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
