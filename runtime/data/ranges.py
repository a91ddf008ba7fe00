"""Ranges that random transforms draw from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor


def between(least: float, most: float, u: Tensor) -> Tensor:
    """Numbers in `least`..`most` from draws `u` in [0, 1)."""
    return least + (most - least) * u


def check_order(name: str, **bounds: float) -> None:
    """Raises R0152 unless the first of two named arguments of component `name` is at most the second."""
    (least, low), (most, high) = bounds.items()
    if low > high:
        raise RunError(
            "R0152", f"{name}: {least} = {low} is above {most} = {high}", "the smaller one comes first"
        )
