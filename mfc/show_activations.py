"""What `activation_stats` recorded, as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mfc.charts import table
from mfc.runtime.training.history import finite

if TYPE_CHECKING:
    from mfc.runtime.training.activations import Activations

BARS = "▁▂▃▄▅▆▇█"

COURSE_POINTS = 24
"""Bars of the course of a statistic."""


def show_activations(train: str, found: Activations) -> str:
    """A line a layer: what its activations and gradients were at the last sample, and the course of their standard
    deviations."""
    last, count = len(found) - 1, len(found)
    head = ["layer", "mean", "std", "near zero", "course of std"]
    more = [] if found.backward is None else ["gradient std", "near zero", "course of std"]
    rows = [[*head, *more]]
    for column, layer in enumerate(found.layers):
        ahead, back = found.forward, found.backward
        row = [layer, f"{ahead.mean[last, column]:.3g}", f"{ahead.std[last, column]:.3g}"]
        row += [f"{ahead.near_zero[last, column]:.1%}", _course(ahead.std[:, column].tolist())]
        if back is not None and math.isfinite(back.std[last, column]):
            row += [f"{back.std[last, column]:.3g}", f"{back.near_zero[last, column]:.1%}"]
            row.append(_course(back.std[:, column].tolist()))
        elif back is not None:
            row += ["none", "", ""]
        rows.append(row)
    samples = f"{count:,} sample{'s' if count > 1 else ''}"
    at = f"epoch {found.epoch[last]}, batch {found.batch[last]}"
    return f"{table(rows, right=[1, 2, 3, 5, 6])}\n{train}: {samples}, the last in {at}"


def activations_json(found: Activations) -> dict[str, Any]:
    """All samples by layer; what is no number is null."""
    shown: dict[str, Any] = {"epoch": found.epoch.tolist(), "batch": found.batch.tolist(), "layers": {}}
    for column, layer in enumerate(found.layers):
        shown["layers"][layer] = {
            direction: {
                kind: getattr(statistics, kind)[:, column].tolist()
                for kind in ("mean", "std", "near_zero", "histogram")
            }
            for direction, statistics in (("forward", found.forward), ("backward", found.backward))
            if statistics is not None
        }
    return finite(shown)


def _course(values: Sequence[float]) -> str:
    """The course of what was measured, as a line of bars that fits beside others; blanks for what is no number."""
    width = min(len(values), COURSE_POINTS)
    points = [values[i * (len(values) - 1) // max(width - 1, 1)] for i in range(width)]
    known = [value for value in points if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    heights = ((value - low) / (high - low) if high > low else 0.0 for value in points)
    return "".join(BARS[round(h * (len(BARS) - 1))] if math.isfinite(h) else " " for h in heights)
