"""Carries out evaluations: asks trained models about items, and keeps what was found out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.disk import write_file
from mfc.runtime.errors import RunError
from mfc.runtime.training.findings import ConfusionMatrix, TopLoss
from mfc.runtime.training.history import finite
from mfc.stages import Folders, Means, located, restore

if TYPE_CHECKING:
    from mfc.runtime.training.evaluation import Measured
    from mfc.runtime.training.learner import Learner
    from mfc.runtime.training.tables import Table

EVALUATION = "evaluation.json"
"""What an evaluation found out, model by model."""

TOP_LOSSES = "top_losses"

ENSEMBLE = "ensemble"
"""What models together are called beside models by their names."""

OF_PIXELS = ("mask", "next_token")
"""Targets of which an item has many, so that predictions for all items are too many to keep."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found out.

    Attributes:
        result: each metric by its name: of an ensemble's averaged predictions, of several models the mean.
        spread: of several models the standard deviation of each metric.
        each: the metrics of each model by the name of its training.
        tables: the metrics that are tables, by model and name: `classes` and `counts`.
        losses: by model the items with the greatest losses.
        predictions: the file with a table of predictions, if the spec asks for one, and its format has a `name`.
    """

    stage: ir.Stage
    folder: Path
    result: Mapping[str, float]
    spread: Mapping[str, float]
    each: Mapping[str, Mapping[str, float]] = field(repr=False)
    tables: Mapping[str, Mapping[str, ConfusionMatrix]] = field(repr=False)
    losses: Mapping[str, Sequence[TopLoss]] = field(repr=False)
    predictions: Path | None

    def __repr__(self) -> str:
        return f"<Evaluation {self.stage.name}: {dict(self.result)}>"

    def confusion_matrix(self, model: str | None = None) -> ConfusionMatrix:
        """How often each class was taken for each; of several models name one. Raises KeyError."""
        return next(iter(_of(self.tables, model, "confusion matrix").values()))

    def top_losses(self, model: str | None = None) -> Sequence[TopLoss]:
        """The items with the greatest losses; of several models name one. Raises KeyError."""
        return _of(self.losses, model, "top losses")


def _of(found: Mapping[str, Any], model: str | None, what: str) -> Any:
    if not found:
        raise KeyError(f"the evaluation has no {what}")
    if model is None and len(found) > 1:
        raise KeyError(f"there are {what} of several models, name one of {', '.join(found)}")
    if model is not None and model not in found:
        raise KeyError(f"there are no {what} of `{model}`: there are {', '.join(found)}")
    return found[model if model is not None else next(iter(found))]


Images: TypeAlias = "Callable[[Sequence[TopLoss]], Any] | None"
"""Gives the images of items, where they are images."""


@dataclass(frozen=True)
class Found:
    """What was found out of a model, or of several together."""

    measured: Measured
    images: Images
    top_losses: Sequence[TopLoss] = ()
    table: Table | None = None


def run_evaluation(
    stage: ir.Stage,
    trains: Mapping[str, ir.Stage],
    trained: Mapping[str, Learner],
    inputs: Folders,
    out: Path,
    means: Means,
) -> None:
    """Asks trained models, one after the other: each for itself, or what they say together. Those that were not
    just `trained`, or are asked about other data, are built again."""
    from mfc.runtime.training.evaluation import Said, mean_and_spread, picturing, together

    recipe = stage.recipe
    metrics, answers, found = located(stage, recipe["metrics"]), {}, {}
    for model in recipe["models"]:
        train, name = model["train"], model["name"]
        learner, part = asked(stage, trains[train], trained.get(train), inputs, means)
        try:
            images = picturing(learner.dls)
            answer = _answer(recipe, model, learner, part, metrics, images)
        finally:
            learner.dls.close()
        if recipe["together"]:
            answers[name] = answer
            answer = Found(answer.measured(metrics), images)
        found[name] = _found(recipe, answer, metrics, images) if isinstance(answer, Said) else answer
    each = {name: one.measured.numbers for name, one in found.items()}
    if recipe["together"]:
        images = next(iter(found.values())).images
        found = {ENSEMBLE: _found(recipe, together(answers), metrics, images)}
        result, spread = found[ENSEMBLE].measured.numbers, {}
    else:
        result, spread = mean_and_spread(list(each.values()))
    _keep(stage, found, {"result": result, "spread": spread, "each": each}, out)


def confusion_of(stage: ir.Stage, learner: Learner, part: str) -> ConfusionMatrix:
    """How often a trained model takes each class for each. Raises RunError R0218 for targets that are no class each."""
    from mfc.runtime.training.confusion import confusion_matrix
    from mfc.runtime.training.evaluation import measured

    _must_be(stage, ("category", "mask"), "confuses classes")
    (matrix,) = measured(learner, [confusion_matrix()], part).tables.values()
    return matrix


def top_losses_of(stage: ir.Stage, learner: Learner, count: int, part: str) -> list[TopLoss]:
    """The items of which a trained model is most wrong. Raises RunError R0218 for language models."""
    from mfc.runtime.training.evaluation import TopLosses, measured

    _must_be(stage, ("category", "multi_category", "value", "mask"), "has losses of whole items")
    top = TopLosses(learner, count, stage.recipe["data"]["target"] not in OF_PIXELS)
    measured(learner, [], part, top)
    return top.rows()


def _must_be(stage: ir.Stage, targets: Sequence[str], what: str) -> None:
    if (target := stage.recipe["data"]["target"]) not in targets:
        message = f"`{stage.name}` was trained for {target}, and no such model {what}"
        raise RunError("R0218", message, help=f"that is asked of models for {', '.join(targets)}")


def asked(
    stage: ir.Stage, train: ir.Stage, trained: Learner | None, inputs: Folders, means: Means
) -> tuple[Learner, str]:
    """The learner of a training with what an evaluation asks it about, and which part that is."""
    recipe, placing = stage.recipe["built"][train.name], stage.placing["data"][train.name]
    if recipe["data"]["name"] == train.recipe["data"]["name"]:
        return trained or restore(train, inputs, inputs[train.name], means), stage.recipe["part"]
    other = replace(train, recipe=recipe, placing={**train.placing, "data": placing})
    return restore(other, inputs, inputs[train.name], means), "all"


def _answer(
    recipe: Mapping[str, Any],
    model: Mapping[str, Any],
    learner: Learner,
    part: str,
    metrics: Sequence[Any],
    images: Images,
) -> Any:
    """What a model says of each item, where that is needed and can be kept; else what is measured of it."""
    from mfc.runtime.training.evaluation import TopLosses, augmented, measured, said

    if model["tta"] is not None:
        return augmented(learner, part, **model["tta"])
    if recipe["together"] or recipe["predictions"] is not None:
        return said(learner, part)
    count: int | None = recipe["top_losses"]
    labelled = recipe["built"][model["train"]]["data"]["target"] not in OF_PIXELS
    top = TopLosses(learner, count, labelled) if count is not None else None
    found = measured(learner, metrics, part, top)
    return Found(found, images, top.rows() if top is not None else [])


def _found(recipe: Mapping[str, Any], said: Any, metrics: Sequence[Any], images: Images) -> Found:
    top = said.top_losses(recipe["top_losses"]) if recipe["top_losses"] is not None else []
    table = said.table() if recipe["predictions"] is not None else None
    return Found(said.measured(metrics), images, top, table)


def _keep(stage: ir.Stage, found: Mapping[str, Found], report: dict[str, Any], out: Path) -> None:
    """Writes what was found out, with pictures of it and the table of predictions."""
    recipe, tables = stage.recipe, {name: one.measured.tables for name, one in found.items()}
    report["tables"] = {
        name: {table: asdict(matrix) for table, matrix in of.items()} for name, of in tables.items() if of
    }
    report["losses"] = {name: [row._asdict() for row in one.top_losses] for name, one in found.items()}
    if recipe["top_losses"] is None:
        report["losses"] = {}
    report["predictions"] = None
    if recipe["predictions"] is not None:
        form = build(recipe["predictions"])
        form.write(out, {name: one.table for name, one in found.items()})
        report["predictions"] = getattr(form, "name", None)
    for number, one in enumerate(found.values(), 1):
        suffix = f"-{number}.png" if len(found) > 1 else ".png"
        for name, matrix in one.measured.tables.items():
            matrix.plot(out / f"{name}{suffix}")
        if one.top_losses and one.images is not None:
            from mfc.runtime.training.evaluation_plots import plot_top_losses

            plot_top_losses(one.images(one.top_losses), one.top_losses, out / f"{TOP_LOSSES}{suffix}")
    write_file(out / EVALUATION, json.dumps(finite(report), indent=1, allow_nan=False).encode())


def read_evaluation(stage: ir.Stage, folder: Path) -> Evaluation:
    """What an evaluation found out, whose results lie in a folder. A metric that was no finite number is NaN; a loss
    that was none is infinite, as none of a NaN is kept."""
    found = json.loads((folder / EVALUATION).read_bytes())
    for measured in ("result", "spread", "each"):
        found[measured] = _with_nan(found[measured])
    found["tables"] = {
        name: {table: ConfusionMatrix(**matrix) for table, matrix in of.items()}
        for name, of in found["tables"].items()
    }
    found["losses"] = {
        name: [TopLoss(**{**row, "loss": math.inf if row["loss"] is None else row["loss"]}) for row in rows]
        for name, rows in found["losses"].items()
    }
    if found["predictions"] is not None:
        found["predictions"] = folder / found["predictions"]
    return Evaluation(stage, folder, **found)


def _with_nan(measured: Any) -> Any:
    if isinstance(measured, dict):
        return {name: _with_nan(value) for name, value in measured.items()}
    return math.nan if measured is None else measured
