"""The factor that keeps gradients in the range of float16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from mfc.runtime.errors import RunError
from mfc.runtime.kernels import unscale_all

INITIAL = 2.0**16
GROWTH, INTERVAL = 2.0, 2000
BACKOFF = 0.5
MINIMUM = 2.0**-13
"""A scale below this one, after about thirty overflows on end, is no matter of range any more."""


class LossScale:
    """A dynamic loss scale (Micikevicius et al., "Mixed Precision Training", 2018): `INITIAL` at first, times `GROWTH`
    after `INTERVAL` steps on end without an overflow, times `BACKOFF` after each overflow. All are powers of 2, so that
    scaling rounds nothing.

    Attributes:
        value: the scale.
        good: steps since it changed.
    """

    def __init__(self) -> None:
        self.value, self.good = INITIAL, 0

    @torch.no_grad()
    def unscale(self, gradients: Iterable[torch.Tensor]) -> bool:
        """Divides the gradients by the scale, in place; whether all of their numbers are finite. One pass over them,
        and one wait for the device."""
        alike: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
        for gradient in gradients:
            alike.setdefault((gradient.device, gradient.dtype), []).append(gradient)
        found = []
        for (device, _), some in alike.items():
            found.append(torch.zeros((), device=device))
            inverse = torch.full((), 1 / self.value, device=device)
            unscale_all(some, found[-1], inverse)
        return not any(overflow.item() for overflow in found)

    def update(self, finite: bool) -> None:
        """Follows a step, or an overflow instead of one.

        Raises:
            RunError: R0214 where the scale falls below `MINIMUM`.
        """
        if finite:
            self.good += 1
            if self.good == INTERVAL:
                self.value, self.good = self.value * GROWTH, 0
            return
        self.value, self.good = self.value * BACKOFF, 0
        if self.value < MINIMUM:
            message = "the gradients are infinite or NaN in float16, however small the loss is scaled"
            help = 'use `mixed_precision(dtype = "bf16")`, or lower the learning rate'
            raise RunError("R0214", message, help=help)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "good": self.good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.good = state["value"], state["good"]
