"""Checks data blocks: their types, fields and transforms, and the shape of what a batch of them holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mfc.dsl import shapes
from mfc.dsl.calls import Signature, Slot, bind
from mfc.dsl.check_fields import check_fields
from mfc.dsl.check_statistics import check_normalize
from mfc.dsl.check_targets import NAMED, check_target, count_of_values
from mfc.dsl.check_tokenizer import check_tokenizer
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import Dim, is_varying
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.fields import COUNT, INPUTS, LABELLED, TARGETS
from mfc.dsl.lints import lint_data
from mfc.dsl.rules import parse_rule
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import BodyDecl, CallExpr, DataDecl, DataType, FieldStmt, Name
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.types import BOOL, Unknown
from mfc.dsl.values import ComponentValue, Instance, Shape, reads_column
from mfc.dsl.wording import with_article

BATCH, TOKENS = Dim.symbol("batch"), Dim.symbol("tokens")

ARGUMENTS = {
    "text": [Slot("backwards", BOOL, False, False)],
    "next_token": [Slot("seq_len", COUNT, False, 72), Slot("backwards", BOOL, False, False)],
}
"""What the types of inputs and targets can be given."""

PARTS = {"train": "training", "valid": "validation"}
"""The parts of the data that may go through item transforms of their own, and what they are called."""

OF_MODEL = {"image": ("channels", "height", "width")}
"""What a model's own `input` can be, with its sizes."""


def check_data(evaluator: Evaluator, instance: Instance, scope: Scope) -> DataInfo:
    """Checks one data block with its arguments in `scope`."""
    decl = instance.declared.decl
    assert isinstance(decl, DataDecl)
    inputs, options = _type(evaluator, decl.input, INPUTS, "an input", scope)
    target, of_target = _type(evaluator, decl.target, TARGETS, "a target", scope)
    fields = check_fields(evaluator, "data", decl.body, scope, decl.name.span, decl.name.text)
    if target == "next_token" and inputs not in ("", "text"):
        evaluator.diagnostics.add(
            "E0506",
            decl.target.span,
            f"{inputs}s have no next token",
            "for texts",
            labels=((decl.input.span, "the input"),),
        )
    tokenizer = check_tokenizer(evaluator, instance, fields, inputs)
    _check_columns(evaluator, decl, fields, inputs)
    lint_data(evaluator.diagnostics, fields, decl.name.span)
    check_target(evaluator.diagnostics, decl, fields, target)
    shaper = _Shaper(evaluator, decl, fields, inputs)
    item, batch, validated = shaper.follow()
    classes = evaluator.classes(instance) if target in NAMED else None
    values = (count_of_values(fields) or evaluator.values(instance)) if target == "value" else None
    if target == "next_token":
        classes = tokenizer.vocab if tokenizer is not None else None
    if options.get("backwards") is True:
        of_target["backwards"] = True
    return DataInfo(
        instance,
        inputs,
        target,
        fields,
        item,
        batch,
        classes,
        options | of_target,
        tokenizer,
        tuple(shaper.steps),
        values,
        validated=validated,
        uneven=shaper.uneven,
        evaluated=shaper.evaluated,
    )


def check_complete(diagnostics: Diagnostics, data: DataInfo) -> None:
    """Reports what a data block lacks that is to be trained on: labels, a tokenizer, one size of images."""
    decl, fields = data.instance.declared.decl, data.fields
    assert isinstance(decl, DataDecl)
    if data.target in LABELLED and "label" not in fields.written:
        diagnostics.add(
            "E0207",
            decl.name.span,
            f"the data `{decl.name.text}` has no `label`",
            f"{with_article(data.target)} needs one",
            help="add `label = parent()` where the folder of a file is its label",
        )
    if data.input == "text" and "tokenizer" not in fields.written:
        diagnostics.add(
            "E0207",
            decl.name.span,
            f"the data `{decl.name.text}` has no `tokenizer`",
            "texts need one",
            help="add `tokenizer = words()` or `tokenizer = sentencepiece()`",
        )
    if data.uneven:
        part, item = next(iter(data.uneven.items()))
        which = "images" if len(data.uneven) == len(PARTS) else f"{PARTS[part]} images"
        diagnostics.add(
            "E0501",
            fields.span("item_transforms", decl.name.span),
            f"the {which} of `{decl.name.text}` differ in size and can't be put into one batch",
            f"an item is {shapes.show_shape(item)}",
            help="add `resize(SIZE)` to `item_transforms`",
        )


def shape_after(component: ComponentValue, shape: Shape) -> Shape:
    """The shape that a component makes of one. An argument that is not known gives a size that is not. Raises
    Mismatch."""
    args = {k: Dim.symbol(k) if isinstance(v, Unknown) else v for k, v in component.args.items()}
    return shapes.apply(parse_rule(component.info.facts["shape"]), shape, args).out


def is_complete(data: DataInfo) -> bool:
    """Whether something can be trained on a data block."""
    said = Diagnostics()
    check_complete(said, data)
    return not said.found


def _check_columns(evaluator: Evaluator, decl: DataDecl, fields: Fields, inputs: str) -> None:
    """Reports a split or labels out of a column where the source has none. One for other inputs is reported as that."""
    source = fields["source"]
    if not isinstance(source, ComponentValue) or source.info.facts["columns"]:
        return
    if inputs and source.info.facts["items"] != inputs:
        return
    for name in ("split", "label"):
        if (reader := reads_column(fields[name])) is not None:
            evaluator.diagnostics.add(
                "E0513",
                reader.span,
                f"`{reader.info.name}` reads a column of a table, and `{source.info.name}` has none",
                "reads a column",
                labels=((fields.span("source", decl.name.span), "has no columns"),),
                help="a source with columns is "
                + (
                    '`image_table("labels.csv", folder = "images", image = "{name}.jpg")`'
                    if inputs == "image"
                    else '`text_table("reviews.csv", text = "review")`'
                ),
            )


def _type(
    evaluator: Evaluator, written: DataType, known: tuple[str, ...], what: str, scope: Scope
) -> tuple[str, dict[str, Any]]:
    """The name of an input or target type and its arguments; empty where it is not known, or several (which only
    later stages take apart)."""
    if written.name is None:
        for _, part in written.parts:
            _type(evaluator, part, known, what, scope)
        return "", {}
    name = written.name.text
    if name not in known:
        evaluator.diagnostics.add(
            "E0511",
            written.name.span,
            f"`{name}` is not {what} type",
            f"unknown {what.split()[-1]} type",
            help=did_you_mean(name, known) or f"there are {', '.join(known)}",
        )
        return "", {}
    call = CallExpr(written.name, written.arguments, written.span)
    bound = bind(evaluator, Signature(name, ARGUMENTS.get(name, [])), call, scope, Scope(scope.module))
    return name, bound.args


def input_shape(evaluator: Evaluator, decl: BodyDecl, scope: Scope) -> Shape | None:
    """The shape of a batch as the field `input` of a model gives it: `image(3, 224, 224)`."""
    field = next((s for s in decl.body if isinstance(s, FieldStmt) and s.name.text == "input"), None)
    if field is None:
        return None
    call = field.value
    if isinstance(call, CallExpr) and isinstance(call.callee, Name) and call.callee.text in OF_MODEL:
        slots = [Slot(name, COUNT, True) for name in OF_MODEL[call.callee.text]]
        bound = bind(evaluator, Signature(call.callee.text, slots), call, scope, scope)
        sizes = tuple(bound.args.values())
        return (BATCH, *sizes) if all(isinstance(size, int) for size in sizes) else None
    evaluator.diagnostics.add(
        "E0511",
        call.span,
        "the input of a model is not of a known type",
        "unknown input type",
        help="write `input = image(3, 224, 224)`: channels, height, width",
    )
    return None


@dataclass
class _Shaper:
    """Follows the shape of an item from its source through its transforms into a batch."""

    evaluator: Evaluator
    decl: DataDecl
    fields: Fields
    inputs: str
    steps: list[tuple[str, Span, Shape]] = field(default_factory=list)
    uneven: dict[str, Shape] = field(default_factory=dict)
    evaluated: Shape | None = None

    def follow(self) -> tuple[Shape | None, Shape | None, Shape | None]:
        """The shape of an item and of a batch to train on, and that of a batch to validate on where it is another."""
        items = self.transforms("item_transforms", dict.fromkeys(PARTS, self.source()))
        self.evaluated = items["valid"]
        batches = self.transforms("batch_transforms", self.batches(items))
        train, valid = (batches[part] for part in PARTS)
        return items["train"], train, None if train is None or train == valid else valid

    def source(self) -> Shape | None:
        """The shape of an item as its source gives it."""
        source = self.fields["source"]
        if not isinstance(source, ComponentValue) or not self.inputs:
            return None
        facts, span = source.info.facts, self.fields.span("source", self.decl.name.span)
        if facts["items"] != self.inputs:
            self.evaluator.diagnostics.add(
                "E0506",
                span,
                f"`{source.info.name}` gives {facts['items']}s, and the input of `{self.decl.name.text}` "
                f"is {self.inputs}",
                f"gives {facts['items']}s",
                labels=((self.decl.input.span, "the input"),),
            )
            return None
        return self.apply(source, (), span) if facts["shape"] else None

    def transforms(self, which: str, before: dict[str, Shape | None]) -> dict[str, Shape | None]:
        """The shapes in each part of the data after a list of transforms; None where one is not known."""
        transforms = self.fields[which]
        if isinstance(transforms, Unknown):
            return dict.fromkeys(before)
        for position, transform in enumerate(transforms):
            span = self.fields.item_span(which, position, self.decl.name.span)
            before = {part: self.step(transform, span, shape, part) for part, shape in before.items()}
        return before

    def step(
        self, transform: Any, span: Span, shape: Shape | None, part: str, within: str = ""
    ) -> Shape | None:
        """The shape after a transform in one part of the data."""
        if not isinstance(transform, ComponentValue) or not self.fits(transform, span):
            return None
        if of := transform.info.facts.get("part"):
            inner, within = transform.args.get("transform"), transform.info.name
            return self.step(inner, span, shape, part, within) if of == part else shape
        channels = shape[1] if shape is not None and len(shape) == 4 else None
        check_normalize(self.evaluator.diagnostics, transform, span, channels)
        return None if shape is None else self.apply(transform, shape, span, within)

    def fits(self, transform: ComponentValue, span: Span) -> bool:
        """Whether a transform works on items of this type."""
        on = transform.info.facts["on"]
        if not self.inputs or self.inputs in on:
            return True
        self.evaluator.diagnostics.add(
            "E0506",
            span,
            f"`{transform.info.name}` does not work on {self.inputs}s",
            f"works on {', '.join(on)}",
            labels=((self.decl.input.span, f"items are {self.inputs}s"),),
        )
        return False

    def apply(self, value: ComponentValue, shape: Shape, span: Span, within: str = "") -> Shape | None:
        """The shape that a component makes of one."""
        try:
            out = shape_after(value, shape)
        except shapes.Mismatch as error:
            self.evaluator.diagnostics.add(
                "E0401", span, f"`{value.info.name}` can't take {shapes.show_shape(shape)}", str(error)
            )
            return None
        step = (f"{within}({value.info.name})" if within else value.info.name, span, out)
        if not (self.steps and self.steps[-1] == step):  # both parts go through it
            self.steps.append(step)
        return out

    def batches(self, items: dict[str, Shape | None]) -> dict[str, Shape | None]:
        """The shapes of batches of items; items that differ in size can't be put into one."""
        if self.inputs == "text":
            return {part: item and (BATCH, TOKENS) for part, item in items.items()}
        self.uneven = {part: item for part, item in items.items() if item and any(map(is_varying, item))}
        return {part: item and (BATCH, *item) if not self.uneven else None for part, item in items.items()}
