"""Checks data blocks: their types, fields and transforms, and the shape of what a batch of them holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfc.dsl.suggest import did_you_mean

from mfc.dsl import shapes
from mfc.dsl.calls import Signature, Slot, bind
from mfc.dsl.check_fields import check_fields
from mfc.dsl.dims import Dim, is_varying
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.fields import COUNT, INPUTS, LABELLED, TARGETS
from mfc.dsl.rules import parse_rule
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl, CallExpr, DataDecl, DataType, FieldStmt, Name
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.types import BOOL, Unknown
from mfc.dsl.values import ComponentValue, Instance, Shape

BATCH = Dim.symbol("batch")

ARGUMENTS = {
    "text": [Slot("backwards", BOOL, False, False)],
    "next_token": [Slot("seq_len", COUNT, False, 72), Slot("backwards", BOOL, False, False)],
}
"""What the types of inputs and targets can be given."""

OF_MODEL = {"image": ("channels", "height", "width")}
"""What a model's own `input` can be, with its sizes."""


def check_data(evaluator: Evaluator, instance: Instance, scope: Scope) -> DataInfo:
    """Checks one data block with its arguments in `scope`."""
    decl = instance.declared.decl
    assert isinstance(decl, DataDecl)
    name = instance.declared.name
    inputs, target = (
        _type(evaluator, decl.input, INPUTS, "an input", scope),
        _type(evaluator, decl.target, TARGETS, "a target", scope),
    )
    fields = check_fields(evaluator, "data", decl.body, scope, decl.name.span, name)
    if target in LABELLED and "label" not in fields.written:
        evaluator.diagnostics.add(
            "E0207", decl.name.span, f"the data `{name}` has no `label`", f"a {target} needs one",
            help="add `label = parent()` where the folder of a file is its label",
        )  # fmt: skip
    source, item, steps = fields["source"], None, []
    if isinstance(source, ComponentValue) and inputs:
        if source.info.facts.get("items", inputs) != inputs:
            evaluator.diagnostics.add(
                "E0506", fields.span("source", decl.name.span), f"`{source.info.name}` gives {source.info.facts['items']}s, and the input of `{name}` is {inputs}",
                f"gives {source.info.facts['items']}s", labels=((decl.input.span, "the input"),),
            )  # fmt: skip
        elif source.info.facts.get("shape"):
            item = shapes.apply(parse_rule(source.info.facts["shape"]), (), source.args).out
    item = _transforms(evaluator, fields, "item_transforms", inputs, item, steps, decl.name.span)  # type: ignore[arg-type]
    batch = _batch(evaluator, decl, fields, item)
    batch = _transforms(evaluator, fields, "batch_transforms", inputs, batch, steps, decl.name.span)
    classes = evaluator.classes(instance) if target in ("category", "multi_category") else None
    return DataInfo(instance, inputs, target, fields, item, batch, classes, steps)


def _type(evaluator: Evaluator, written: DataType, known: tuple[str, ...], what: str, scope: Scope) -> str:
    """The name of an input or target type; empty where it is not known, or several (which only later stages take apart)."""
    if written.name is None:
        for _, part in written.parts:
            _type(evaluator, part, known, what, scope)
        return ""
    name = written.name.text
    if name not in known:
        evaluator.diagnostics.add(
            "E0511", written.name.span, f"`{name}` is not {what} type", f"unknown {what.split()[-1]} type",
            help=did_you_mean(name, known) or f"there are {', '.join(known)}",
        )  # fmt: skip
        return ""
    call = CallExpr(written.name, written.arguments, written.span)
    bind(evaluator, Signature(name, ARGUMENTS.get(name, [])), call, scope, Scope(scope.module))
    return name


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
        "E0511", call.span, "the input of a model is not of a known type", "unknown input type",
        help="write `input = image(3, 224, 224)`: channels, height, width",
    )  # fmt: skip
    return None


def _transforms(
    evaluator: Evaluator,
    fields: Fields,
    which: str,
    inputs: str,
    shape: Shape | None,
    steps: list[Any],
    owner: Span,
) -> Shape | None:
    """Follows the shape through a list of transforms."""
    transforms = fields[which]
    if isinstance(transforms, Unknown):
        return None
    for position, transform in enumerate(transforms):
        span = fields.item_span(which, position, owner)
        if not isinstance(transform, ComponentValue):
            shape = None
            continue
        if inputs and inputs not in transform.info.facts.get("on", (inputs,)):
            evaluator.diagnostics.add(
                "E0506", span, f"`{transform.info.name}` does not work on {inputs}s", f"works on {', '.join(transform.info.facts['on'])}",
                labels=((owner, f"its items are {inputs}s"),),
            )  # fmt: skip
            shape = None
        elif shape is not None:
            try:
                shape = shapes.apply(
                    parse_rule(transform.info.facts["shape"]), shape, _known(transform.args)
                ).out  # type: ignore[assignment]
                steps.append((transform.info.name, span, shape))
            except shapes.Mismatch as error:
                evaluator.diagnostics.add(
                    "E0401",
                    span,
                    f"`{transform.info.name}` can't take {shapes.show_shape(shape)}",
                    str(error),
                )
                shape = None
    return shape


def _known(args: Mapping[str, Any]) -> Mapping[str, Any]:
    return {k: Dim.symbol(k) if isinstance(v, Unknown) else v for k, v in args.items()}


def _batch(evaluator: Evaluator, decl: DataDecl, fields: Fields, item: Shape | None) -> Shape | None:
    """The shape of a batch of items; items that differ in size can't be put into one."""
    if item is None:
        return None
    if any(is_varying(size) for size in item):
        evaluator.diagnostics.add(
            "E0501", fields.span("item_transforms", decl.name.span),
            f"the images of `{decl.name.text}` differ in size and can't be put into one batch", f"an item is {shapes.show_shape(item)}",
            help="add `resize(SIZE)` to `item_transforms`",
        )  # fmt: skip
        return None
    return (BATCH, *item)
