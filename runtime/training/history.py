"""The history of a training as a file: a JSON object a line, one for each epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HISTORY = "history.jsonl"

NO_METRICS = ("epoch", "phase", "train_loss", "valid_loss", "lr", "time")
"""The columns that are no metrics."""


def finite(value: Any) -> Any:
    """A value with None for each number in it that is not finite: JSON has none."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """The lines of some rows."""
    return "".join(json.dumps(finite(row), allow_nan=False) + "\n" for row in rows)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """What was recorded of each epoch of a training: a metric that was no finite number is NaN."""
    rows = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
    for row in rows:
        row |= {k: math.nan for k, value in row.items() if value is None and k not in NO_METRICS}
    return rows
