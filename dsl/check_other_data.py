"""Checks what models are evaluated on where that is other data than their own: items of the same kind, which their own
transforms make into what they can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfc.dsl import shapes
from mfc.dsl.check_data import shape_after
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import is_varying
from mfc.dsl.elaborate import Elaborator
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import DataDecl
from mfc.dsl.typed import DataInfo, TrainInfo
from mfc.dsl.values import ComponentValue, Shape


@dataclass
class OtherData:
    """A data block that a model which was trained on another one is evaluated on. `at` is where the evaluation
    names it."""

    evaluator: Evaluator
    data: DataInfo
    at: Span

    def check(self, train: TrainInfo, own: DataInfo) -> bool:
        """Whether a model can be asked about these items; reports why not."""
        name = self.data.instance.name
        problem = self._kinds(own) or self._counts(own) or self._shapes(train, own)
        if problem:
            self.evaluator.diagnostics.add(
                "E0550", self.at, f"`{train.instance.name}` can't be evaluated on `{name}`", problem,
                labels=((_name(own), "what it was trained on"),),
                help=f"other data is of the same kind: its items go through the transforms of `{own.instance.name}`",
            )  # fmt: skip
        return not problem

    def _kinds(self, own: DataInfo) -> str:
        ours, theirs = (own.input, own.target), (self.data.input, self.data.target)
        if ours == theirs or "" in (*ours, *theirs):
            return ""
        return f"is {theirs[0]} -> {theirs[1]}, and the training had {ours[0]} -> {ours[1]}"

    def _counts(self, own: DataInfo) -> str:
        """Values of another count, or classes by name that the model does not know."""
        counts = self.data.values, own.values
        if all(isinstance(count, int) for count in counts) and counts[0] != counts[1]:
            return f"has {counts[0]} values an item, and the training had {counts[1]}"
        theirs, known = (data.fields["vocab"] for data in (self.data, own))
        if not isinstance(theirs, list) or not isinstance(known, list):
            return ""
        if own.target == "mask" and theirs != known:
            return f"has the classes {', '.join(theirs)}, and the training had {', '.join(known)}"
        unknown = [label for label in theirs if label not in known]
        hint = did_you_mean(str(unknown[0]), known) if len(unknown) == 1 else ""
        listed = ", ".join(f"`{label}`" for label in unknown)
        return f"has {listed}, which the model was not taught{f': {hint}' if hint else ''}" if unknown else ""

    def _shapes(self, train: TrainInfo, own: DataInfo) -> str:
        """What is wrong with the images as the model's own transforms make them of these."""
        if own.input != "image" or train.model is None or not self.data.shapes:
            return ""
        made = self._prepared(own)
        if isinstance(made, str):
            return made
        if any(map(is_varying, made[1:])):
            return f"its images differ in size after the transforms of `{own.instance.name}`"
        trained = own.validated or own.batch or ()
        if made == trained or self._model_takes(train, made, train.model):
            return ""
        return f"gives {shapes.show_shape(made)}, and the model was trained for {shapes.show_shape(trained)}"

    def _prepared(self, own: DataInfo) -> Shape | str:
        """The shape of a batch, or why there is none."""
        _, _, shape = self.data.shapes[0]
        for which in ("item_transforms", "batch_transforms"):
            shape = (own.batch[0], *shape) if which == "batch_transforms" and own.batch else shape
            for transform in filter(None, map(_evaluated, own.fields[which])):
                try:
                    shape = shape_after(transform, shape)
                except shapes.Mismatch as error:
                    shown = f"`{transform.info.name}` of `{own.instance.name}`"
                    return f"{shown} can't take its {shapes.show_shape(shape)}: {error}"
        return shape

    def _model_takes(self, train: TrainInfo, batch: Shape, model: Elaborated) -> bool:
        """Whether the model is built alike for batches of this shape."""
        said, self.evaluator.diagnostics = self.evaluator.diagnostics, Diagnostics()
        try:
            here = Elaborator(self.evaluator).model(train.fields["model"], batch, self.at)
            return (
                here is not None and not self.evaluator.diagnostics.errors and _layers(here) == _layers(model)
            )
        finally:
            self.evaluator.diagnostics = said


def _evaluated(transform: Any) -> ComponentValue | None:
    """A transform as items that are evaluated go through it; None for one of the training items."""
    while isinstance(transform, ComponentValue) and (part := transform.info.facts.get("part")):
        transform = None if part == "train" else transform.args.get("transform")
    return transform if isinstance(transform, ComponentValue) else None


def _name(data: DataInfo) -> Span:
    """Where a data block is declared."""
    decl = data.instance.declared.decl
    assert isinstance(decl, DataDecl)
    return decl.name.span


def _layers(model: Elaborated) -> dict[str, Any]:
    return {record.path: record.layer.call for record in model.layers}
