"""Reads the annotations of components: from the `ast` of a parameter's annotation to the type of its values.

The subset is the one that `mfc.runtime.component` describes. Names may be written with or without the module
that they come from (`In`, `mfc.In`), and as a string. Nothing is imported or evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mfc.dsl import types
from mfc.dsl.ranges import Range
from mfc.dsl.types import Choice, Kind, ListOf, Number, Type, union

KINDS = (
    "source", "splitter", "labeler", "processor", "item_transform", "batch_transform", "tokenizer", "layer",
    "architecture", "encoder", "initializer", "loss", "metric", "stat", "stepper", "optimizer", "rate", "curve",
    "schedule", "callback", "table_format", "export_format",
)  # fmt: skip
"""The kinds of components, as in `mfc.runtime.component`."""

_PLAIN = {
    "int": types.INT, "float": types.FLOAT, "bool": types.BOOL, "str": types.STRING, "Path": types.PATH,
    "None": types.NONE,
}  # fmt: skip
_KINDS = {"".join(word.capitalize() for word in k.split("_")): k for k in (*KINDS, "model", "train", "data")}
_BOUNDS = ("lo", "hi", "above", "below")
_LENGTHS = ("exactly", "at_least", "at_most")
RELATIONS = ("AsManyAs", "Without")
"""The marks of an annotation that say how a parameter goes with another one."""

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
    """What an annotation says. `is_in`: the argument is filled from what comes in. It has as many items as the
    parameter `as_many_as`, and is given only where the parameter `without` is not."""

    type: Type
    is_in: bool = False
    as_many_as: str = ""
    without: str = ""


def read_annotation(node: ast.expr, aliases: Mapping[str, ast.expr] | None = None) -> Annotation:
    """The type that an annotation means. `aliases` are annotations that the file has given a name.

    Raises:
        AnnotationError: it is not in the subset.
    """
    if last_name(node) == "In":
        return Annotation(Number(integer=True, range=Range(lo=1)), is_in=True)
    relations = dict(_relations(node))
    return Annotation(
        _read(node, aliases or {}, 0), False, relations.get("AsManyAs", ""), relations.get("Without", "")
    )


def _relations(node: ast.expr) -> Iterator[tuple[str, str]]:
    """What the annotation of a whole parameter says of another one: its marks `AsManyAs` and `Without`."""
    match node:
        case ast.Subscript(value=value, slice=ast.Tuple(elts=[_, *marks])) if last_name(value) == "Annotated":
            for mark in marks:
                match mark:
                    case ast.Call(func=func, args=[ast.Constant(value=str(other))]) if (
                        name := last_name(func)
                    ) in RELATIONS:
                        assert name is not None
                        yield name, other


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
                type = _marked(type, part)
                if isinstance(part, ast.Call) and last_name(part.func) in RELATIONS and depth > 1:
                    raise AnnotationError(part, f"`{_source(part)}` has to stand around the whole annotation")
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


def _marked(type: Type, mark: ast.expr) -> Type:
    """A type with what one mark of `Annotated` adds to it."""
    match last_name(mark.func) if isinstance(mark, ast.Call) else None:
        case "Range":
            return _within(type, Range(**_read_bounds(mark, _BOUNDS)), mark)
        case "Length":
            bounds = _read_bounds(mark, _LENGTHS)
            exactly = bounds.get("exactly")
            lo, hi = (bounds.get(end) if exactly is None else exactly for end in ("at_least", "at_most"))
            return _each_list(type, lambda of: ListOf(of.item, Range(lo, hi), of.total), mark)
        case "Sum":
            total = _read_bounds(mark, ("total",)).get("total")
            return _each_list(type, lambda of: ListOf(of.item, of.length, total), mark)
    return type


def _read_bounds(call: ast.expr, names: Sequence[str]) -> dict[str, float | None]:
    """The arguments of a mark, which are numbers."""
    assert isinstance(call, ast.Call)
    named = dict(zip(names, call.args)) | {k.arg or "**": k.value for k in call.keywords}
    bounds: dict[str, float | None] = {}
    for name, node in named.items():
        value = literal(node) if name in names else ...
        if not (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
            raise AnnotationError(call, f"`{_source(call)}` can't be read: its bounds have to be numbers")
        bounds[name] = value
    if len(call.args) > len(names):
        most = {4: "four bounds", 3: "three bounds", 1: "one number"}[len(names)]
        raise AnnotationError(call, f"`{_source(call)}` can't be read: it has at most {most}")
    return bounds


def _each_list(type: Type, change: Callable[[ListOf], Type], node: ast.expr) -> Type:
    """A type with its list changed: itself, or the lists of a union."""
    if isinstance(type, ListOf):
        return change(type)
    members = getattr(type, "members", ())
    if any(isinstance(member, ListOf) for member in members):
        return union([change(m) if isinstance(m, ListOf) else m for m in members])
    raise AnnotationError(node, f"`{_source(node)}` needs a list, not `{type}`")


def _within(type: Type, range: Range, node: ast.expr) -> Type:
    """A type with its numbers held to a range: those of a list, and those of a union with none."""
    match type:
        case Number(integer=integer):
            return Number(integer, range)
        case ListOf(item, length, total):
            return ListOf(_within(item, range, node), length, total)
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
