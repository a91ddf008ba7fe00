"""Reads the annotations of components: from the `ast` of a parameter's annotation to the type of its values.

The subset is the one that `mfc.runtime.component` describes. Names may be written with or without the module
that they come from (`In`, `mfc.In`), and as a string. Nothing is imported or evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, NamedTuple

from mfc.dsl import types
from mfc.dsl.types import Choice, Kind, ListOf, Number, Range, Type, union

KINDS = (
    "source", "splitter", "labeler", "processor", "item_transform", "batch_transform", "tokenizer", "layer",
    "architecture", "encoder", "initializer", "loss", "metric", "stat", "stepper", "optimizer", "rate", "curve",
    "schedule", "callback", "export_format",
)  # fmt: skip
"""The kinds of components, as in `mfc.runtime.component`."""

_PLAIN = {
    "int": types.INT, "float": types.FLOAT, "bool": types.BOOL, "str": types.STRING, "Path": types.PATH,
    "None": types.NONE,
}  # fmt: skip
_KINDS = {"".join(word.capitalize() for word in k.split("_")): k for k in (*KINDS, "model", "train", "data")}
_BOUNDS = ("lo", "hi", "above", "below")

UNDERSTOOD = (
    "int, float, bool, str, Path, None, unions, list[T], Literal[...], Annotated[T, Range(lo, hi)], In "
    "and kinds such as Loss"
)


class AnnotationError(Exception):
    """An annotation outside the subset; `node` is the part of it that was not understood."""

    def __init__(self, node: ast.expr, message: str) -> None:
        super().__init__(message)
        self.node = node
        self.message = message


class Annotation(NamedTuple):
    """What an annotation says. `is_in`: the argument is filled from what comes in."""

    type: Type
    is_in: bool = False


def read_annotation(node: ast.expr, aliases: Mapping[str, ast.expr] | None = None) -> Annotation:
    """The type that an annotation means. `aliases` are annotations that the file has given a name.

    Raises:
        AnnotationError: it is not in the subset.
    """
    if last_name(node) == "In":
        return Annotation(Number(integer=True, range=Range(lo=1)), is_in=True)
    return Annotation(_read(node, aliases or {}, 0))


def last_name(node: ast.expr) -> str | None:
    """`In` of `In`, `mfc.In` and `"In"`; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        return node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _read(node: ast.expr, aliases: Mapping[str, ast.expr], depth: int) -> Type:
    if depth > 20:
        raise AnnotationError(node, "the annotation is nested too deeply")
    match node:
        case ast.Constant(value=None):
            return types.NONE
        case ast.Constant(value=str(text)):
            try:
                inner = ast.parse(text, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                raise AnnotationError(node, f'the annotation "{text}" is not a Python expression') from None
            for part in ast.walk(inner):  # its places are those of the string
                ast.copy_location(part, node)
            return _read(inner, aliases, depth + 1)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return union([_read(left, aliases, depth + 1), _read(right, aliases, depth + 1)])
        case ast.Subscript(value=value, slice=inner):
            return _read_generic(node, last_name(value), inner, aliases, depth + 1)
    name = last_name(node)
    if isinstance(node, ast.Name) and node.id in aliases:
        return _read(aliases[node.id], {k: v for k, v in aliases.items() if k != node.id}, depth + 1)
    if name is not None and name in _PLAIN:
        return _PLAIN[name]
    if name is not None and name in _KINDS:
        return Kind(_KINDS[name])
    raise AnnotationError(node, f"the annotation `{_source(node)}` can't be read")


def _read_generic(
    node: ast.expr, name: str | None, inner: ast.expr, aliases: Mapping[str, ast.expr], depth: int
) -> Type:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name:
        case "list" | "List" if len(parts) == 1:
            return ListOf(_read(parts[0], aliases, depth))
        case "Optional" if len(parts) == 1:
            return union([_read(parts[0], aliases, depth), types.NONE])
        case "Union":
            return union([_read(part, aliases, depth) for part in parts])
        case "Literal":
            return _read_literal(parts)
        case "Annotated" if len(parts) > 1:
            type = _read(parts[0], aliases, depth)
            for part in parts[1:]:
                if isinstance(part, ast.Call) and last_name(part.func) == "Range":
                    type = _within(type, _read_range(part), part)
            return type
    raise AnnotationError(node, f"the annotation `{_source(node)}` can't be read")


def _read_literal(parts: list[ast.expr]) -> Type:
    values, others = [], []
    for part in parts:
        value = literal(part)
        if value is None:
            others.append(types.NONE)
        elif isinstance(value, str | int | float):
            values.append(value)
        else:
            raise AnnotationError(part, f"`{_source(part)}` is no text, number or boolean")
    return union([Choice(tuple(values)), *others] if values else others)


def _read_range(call: ast.Call) -> Range:
    named = dict(zip(_BOUNDS, call.args)) | {k.arg or "**": k.value for k in call.keywords}
    bounds: dict[str, float | None] = {}
    for name, node in named.items():
        value = literal(node) if name in _BOUNDS else ...
        if not (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
            raise AnnotationError(call, f"`{_source(call)}` can't be read: its bounds have to be numbers")
        bounds[name] = value
    if len(call.args) > len(_BOUNDS):
        raise AnnotationError(call, f"`{_source(call)}` can't be read: it has at most four bounds")
    return Range(**bounds)


def _within(type: Type, range: Range, node: ast.expr) -> Type:
    """A type with its numbers held to a range: those of a list, and those of a union with none."""
    match type:
        case Number(integer=integer):
            return Number(integer, range)
        case ListOf(item=item):
            return ListOf(_within(item, range, node))
    members = getattr(type, "members", ())
    if any(isinstance(member, Number) for member in members):
        return union([_within(m, range, node) if isinstance(m, Number) else m for m in members])
    raise AnnotationError(node, f"a range needs a number, not `{type}`")


def literal(node: ast.expr) -> Any:
    """The value of a literal expression, tuples as lists; `...` where it is none.

    Literals are numbers, strings, booleans, none, lists and tuples of them, arithmetic on numbers (`1 / 3`).
    """
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, str | int | float):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [literal(item) for item in items]
            return ... if ... in values else values
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = literal(operand)
            return -value if _is_number(value) else ...
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, literal(left), literal(right))
    return ...


def _arithmetic(op: ast.operator, a: Any, b: Any) -> Any:
    if not (_is_number(a) and _is_number(b)):
        return ...
    try:
        match op:
            case ast.Add():
                return a + b
            case ast.Sub():
                return a - b
            case ast.Mult():
                return a * b
            case ast.Div():
                return a / b
            case ast.Pow() if abs(a) <= 1000 and b in range(101):  # bounds the result's size
                return a**b
    except ArithmeticError:
        pass
    return ...


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."
