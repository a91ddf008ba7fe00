"""What the check found out, shown between what is written: shapes, values, and which parameter an argument is for.

A shape that stays what it was is shown once, after the first line of a body or the first transform of a list.

The name of a parameter stands before a positional argument where a call of a component or declaration has several
arguments, unless the argument is a name that says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mfc.dsl.editor.bindings import Bindings
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.facts import plain_values, shape_in_words
from mfc.dsl.editor.signatures import slot_of
from mfc.dsl.source import Source
from mfc.dsl.syntax import (
    Attribute,
    CallExpr,
    DataDecl,
    Expr,
    FieldStmt,
    LayerStmt,
    LetStmt,
    ListExpr,
    Literal,
    Name,
    Param,
    Unary,
    children,
)
from mfc.dsl.values import Current, Kept

LONGEST = 32
"""Characters of the longest value that is shown."""

OF_ITEMS = ("source", "item_transforms", "batch_transforms")
"""The fields of a data block whose components change the shape of an item."""


@dataclass(frozen=True)
class HintOptions:
    """Which hints are shown: the shapes after layers, the shapes of items after transforms, the names of positional
    arguments, the values of params and constants that are worked out."""

    layers: bool = True
    items: bool = True
    arguments: bool = True
    values: bool = True


@dataclass(frozen=True)
class Hint:
    """A text that is shown at an offset and is not written there. `kind` is the name of its option; `more` says all where
    only the first of several is shown."""

    offset: int
    label: str
    kind: str
    more: str = ""


def inlay_hints(document: Document, start: int, end: int, options: HintOptions = HintOptions()) -> list[Hint]:
    """The hints of a piece of a document, in order."""
    found: list[Hint] = []
    for decl in document.file.declarations:
        if decl.span.start <= end and start <= decl.span.end:
            bindings = document.bindings_of(decl)
            for node in _nodes(decl):
                found += _hints(document, bindings, node, options)
    return sorted((hint for hint in found if start <= hint.offset <= end), key=lambda hint: hint.offset)


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in children(node):
        yield from _nodes(child)


def _hints(document: Document, bindings: Bindings, node: Any, options: HintOptions) -> Iterator[Hint]:
    """The hints that a node has by itself."""
    if options.layers:
        for statements in _bodies(node):
            yield from _of_layers(document, statements)
    if options.items and isinstance(node, DataDecl):
        yield from _of_items(document, node)
    if options.arguments and isinstance(node, CallExpr):
        yield from _of_arguments(bindings, node)
    if options.values and isinstance(node, LetStmt | Param):
        yield from _of_value(document, node)


def _bodies(node: Any) -> Iterator[Sequence[Any]]:
    """The lists of statements that a node holds."""
    if not isinstance(node, DataDecl):
        yield from (
            body for name in ("body", "yes", "no") if isinstance(body := getattr(node, name, None), tuple)
        )


def _of_layers(document: Document, statements: Sequence[Any]) -> Iterator[Hint]:
    """The shape after the last layer of each line, where it is another than before or nothing beside says it."""
    before: list[str] = []
    flow = [statement for statement in statements if not isinstance(statement, LetStmt)]
    for statement, after in zip(flow, [*flow[1:], None]):
        if not isinstance(statement, LayerStmt):
            before = []  # it has layers of its own
            continue
        line = _line(document.source, statement.span.end)
        if not isinstance(after, LayerStmt) or _line(document.source, after.span.start) != line:
            shapes = [shape_in_words(passed.out) for passed in document.passed(statement)]
            if shapes != before:
                yield from _hint(statement.span.end, shapes, "layers")
            before = shapes


def _line(source: Source, offset: int) -> int:
    return source.position(offset)[0]


def _of_items(document: Document, decl: DataDecl) -> Iterator[Hint]:
    """The shape of an item behind its source and the first transform of a list, then where it is another than before."""
    for statement in decl.body:
        if isinstance(statement, FieldStmt) and statement.name.text in OF_ITEMS:
            value = statement.value
            before: list[str] = []
            for item in value.items if isinstance(value, ListExpr) else (value,):
                shapes = [shape_in_words(shape) for shape in document.steps_at(item.span)]
                if shapes != before:
                    yield from _hint(item.span.end, shapes, "items")
                before = shapes


def _of_arguments(bindings: Bindings, call: CallExpr) -> Iterator[Hint]:
    called = bindings.calls.get(call)
    if called is None or called.symbol.kind in ("statement", "type") or len(call.arguments) < 2:
        return
    for position, argument in enumerate(call.arguments):
        slot = slot_of(called.signature, position, argument)
        if argument.name is None and slot is not None and not _says(argument.value, slot.name):
            yield Hint(argument.span.start, f"{slot.name} =", "arguments")


def _says(value: Expr, parameter: str) -> bool:
    """Whether a name says which parameter it is for: `nf` and `stage.nf` for `nf`, `base_lr` for `lr`."""
    match value:
        case Name(text=text) | Attribute(name=Name(text=text)):
            return text == parameter or text.endswith(f"_{parameter}") or text.startswith(f"{parameter}_")
    return False


def _of_value(document: Document, node: LetStmt | Param) -> Iterator[Hint]:
    """The value of a constant or param that does not stand there."""
    if isinstance(node, LetStmt):
        values, written = document.values(node.value), node.value
    else:
        declared = document.module.names.get(node.name.text)
        checked = document.compiled.checked.params
        values = [checked[declared]] if declared in checked else []
        written = node.default
        if isinstance(written, Literal) and values == [written.value]:
            return
    if isinstance(node, LetStmt) and _is_literal(written):
        return
    if not any(isinstance(value, Current | Kept) for value in values):
        shown = [text for text in plain_values(values) if written is None or text != written.span.text]
        yield from _hint(node.span.end, shown, "values", "= ")


def _is_literal(value: Expr | None) -> bool:
    match value:
        case Literal():
            return True
        case Unary(operand=operand):
            return _is_literal(operand)
        case ListExpr(items):
            return all(map(_is_literal, items))
    return False


def _hint(offset: int, found: Sequence[str], kind: str, before: str = "") -> Iterator[Hint]:
    """The first of several, the others behind it."""
    texts = list(dict.fromkeys(found))
    if texts:
        first = texts[0] if len(texts[0]) <= LONGEST else f"{texts[0][: LONGEST - 1]}…"
        more = ", ".join(texts) if len(texts) > 1 or first != texts[0] else ""
        yield Hint(offset, f"{before}{first}{', …' if len(texts) > 1 else ''}", kind, more)
