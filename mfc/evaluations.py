"""Carries out evaluations: asks trained models about items, and keeps what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfc.dsl import ir
from mfc.runtime.disk import write_file
from mfc.runtime.training.history import finite
from mfc.stages import Folders, Means, located, restore

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner

EVALUATION = "evaluation.json"
"""What an evaluation measured, model by model."""


def run_evaluation(
    stage: ir.Stage,
    trains: Mapping[str, ir.Stage],
    trained: Mapping[str, Learner],
    inputs: Folders,
    out: Path,
    means: Means,
) -> None:
    """Measures trained models, one after the other: each for itself, or what they say together. Those that were not
    just `trained`, or are asked about other data, are built again."""
    from mfc.runtime.training.evaluation import mean_and_spread, measured, said, together

    recipe = stage.recipe
    metrics, whole = located(stage, recipe["metrics"]), recipe["together"]
    found: dict[str, Any] = {}
    for name in recipe["trains"]:
        learner, part = asked(stage, trains[name], trained.get(name), inputs, means)
        try:
            found[name] = said(learner, part) if whole else measured(learner, metrics, part)
        finally:
            learner.dls.close()
    if whole:
        result, each = together(found, metrics)
        spread: dict[str, float] = {}
    else:
        each = found
        result, spread = mean_and_spread(list(each.values()))
    report = {"result": result, "spread": spread, "each": each}
    write_file(out / EVALUATION, json.dumps(finite(report), indent=1, allow_nan=False).encode())


def asked(
    stage: ir.Stage, train: ir.Stage, trained: Learner | None, inputs: Folders, means: Means
) -> tuple[Learner, str]:
    """The learner of a training with what an evaluation asks it about, and which part that is."""
    recipe, placing = stage.recipe["built"][train.name], stage.placing["data"][train.name]
    if recipe["data"]["name"] == train.recipe["data"]["name"]:
        return trained or restore(train, inputs, inputs[train.name], means), stage.recipe["part"]
    other = replace(train, recipe=recipe, placing={**train.placing, "data": placing})
    return restore(other, inputs, inputs[train.name], means), "all"


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What an evaluation measured: `result`, `spread` and `each`. What was no finite number is NaN."""
    return _with_nan(json.loads((folder / EVALUATION).read_bytes()))


def _with_nan(measured: Any) -> Any:
    if isinstance(measured, dict):
        return {name: _with_nan(value) for name, value in measured.items()}
    return math.nan if measured is None else measured
