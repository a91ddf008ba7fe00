"""What initializers found out about a model's layers, in lines for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

MOST_ROWS = 24
"""Layers that are listed; of more, the first ones."""


def lines(reports: Sequence[dict[str, Any]]) -> list[str]:
    """A summary of each report, and a line for each of its layers."""
    return [line for report in reports for line in _lines(report["initializer"], report["report"])]


def _lines(name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows or not all({"layer", "before", "after"} <= row.keys() for row in rows):
        return []
    scaled = [row for row in rows if not row.get("kept")]
    ranges = (_range(scaled, when) for when in ("before", "after"))
    count = f"{len(scaled)} layer{'' if len(scaled) == 1 else 's'}"
    summary = f"{name}: std of {count} from {next(ranges)} to {next(ranges)}"
    width = max(len(row["layer"]) for row in rows[:MOST_ROWS])
    table = [f"  {'layer':{width}}  {'before: mean':>12}  {'std':>8}  {'after: mean':>12}  {'std':>8}"]
    for row in rows[:MOST_ROWS]:
        numbers = f"{_number(row['before'], 'mean'):>12}  {_number(row['before'], 'std'):>8}  "
        numbers += f"{_number(row['after'], 'mean'):>12}  {_number(row['after'], 'std'):>8}"
        note = f"  kept: {row['kept']}" if row.get("kept") else ""
        note = note or ("" if row.get("reached", True) else f"  not reached in {row['steps']} steps")
        table.append(f"  {row['layer']:{width}}  {numbers}{note}")
    more = [f"  and {len(rows) - MOST_ROWS} more layers"] if len(rows) > MOST_ROWS else []
    return [summary, *table, *more]


def _range(rows: Sequence[dict[str, Any]], when: str) -> str:
    stds = [math.inf if row[when]["std"] is None else row[when]["std"] for row in rows]
    low, high = min(stds), max(stds)
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g}..{high:.3g}"


def _number(moments: dict[str, float | None], name: str) -> str:
    value, std = moments[name], moments["std"]
    if value is None:
        return "overflow"
    nothing = name == "mean" and std is not None and abs(value) < 1e-4 * std  # what rounding leaves
    return "0" if nothing else f"{value:.3g}"
