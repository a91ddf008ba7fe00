"""The syntax tree: what a file says, before any name in it has a meaning. Every node has its span.

Comments are not nodes: each `Comment` stands in `File.comments` with its span, so that nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, TypeAlias

from mfc.dsl.node import node
from mfc.dsl.source import Source, Span


@node
class Name:
    """An identifier where it names something; also a reference to it as an expression."""

    text: str
    span: Span


# ── expressions ─────────────────────────────────────────────────────────────────────────────────────────


@node
class Literal:
    """A number, string, `true`, `false` or `none`."""

    value: int | float | str | bool | None
    span: Span


@node
class ListExpr:
    items: tuple[Expr, ...]
    span: Span


@node
class Comprehension:
    """`[body for names in iterable if condition]`"""

    body: Expr
    names: tuple[Name, ...]
    iterable: Expr
    condition: Expr | None
    span: Span


@node
class Argument:
    """One argument of a call; `name` is None for a positional one."""

    name: Name | None
    value: Expr
    span: Span


@node
class CallExpr:
    callee: Expr
    arguments: tuple[Argument, ...]
    span: Span


@node
class Attribute:
    value: Expr
    name: Name
    span: Span


@node
class Index:
    value: Expr
    index: Expr
    span: Span


@node
class Unary:
    """`-x` or `not x`"""

    op: str
    operand: Expr
    span: Span


@node
class Binary:
    """`+ - * / // % **`, comparisons (`== != < <= > >= in`), `and`, `or`"""

    op: str
    left: Expr
    right: Expr
    span: Span


@node
class IfExpr:
    """`if condition then yes else no`"""

    condition: Expr
    yes: Expr
    no: Expr
    span: Span


@node
class Missing:
    """An expression that could not be read; its error is already reported."""

    span: Span


Expr: TypeAlias = (
    Name
    | Literal
    | ListExpr
    | Comprehension
    | CallExpr
    | Attribute
    | Index
    | Unary
    | Binary
    | IfExpr
    | Missing
)

# ── types of params ─────────────────────────────────────────────────────────────────────────────────────


@node
class TypeExpr:
    """`int`, `list(float)`, `choice(a, "b")`: a name and its arguments (types for list, literals for choice)."""

    name: Name
    arguments: tuple[TypeExpr | Literal, ...]
    span: Span


@node
class Domain:
    """`lo..hi`, closed at both ends, or `log(lo, hi)`"""

    lo: Expr
    hi: Expr
    log: bool
    span: Span


@node
class Parameter:
    """A parameter of a declaration."""

    name: Name
    type: TypeExpr | None
    default: Expr | None
    span: Span


# ── statements of bodies ────────────────────────────────────────────────────────────────────────────────


@node
class FieldStmt:
    """`name = value` in a data, train, evaluate, export body, or in a model (`input = image(3, 224, 224)`)."""

    name: Name
    value: Expr
    span: Span


@node
class Phase:
    """`phase name { fields }` in a train body."""

    name: Name
    fields: tuple[FieldStmt, ...]
    span: Span


@node
class LayerStmt:
    """A call used as a statement: a layer, a block, `add(s)`, `from(s)`, `apply(f)`."""

    call: Expr
    span: Span


@node
class LetStmt:
    """`let name = value`, at the top of a file or in a body."""

    name: Name
    value: Expr
    span: Span
    doc: str = ""


@node
class BranchStmt:
    """`let name = branch { }` or `let name = module { }`; `kind` says which."""

    name: Name
    kind: str
    body: tuple[Stmt, ...]
    span: Span


@node
class IfStmt:
    condition: Expr
    yes: tuple[Stmt, ...]
    no: tuple[Stmt, ...]
    span: Span


@node
class ForStmt:
    names: tuple[Name, ...]
    iterable: Expr
    body: tuple[Stmt, ...]
    span: Span


@node
class GroupStmt:
    """`group name { layers }`"""

    name: Name
    body: tuple[Stmt, ...]
    span: Span


Stmt: TypeAlias = FieldStmt | Phase | LayerStmt | LetStmt | BranchStmt | IfStmt | ForStmt | GroupStmt

# ── declarations ────────────────────────────────────────────────────────────────────────────────────────


@node
class Import:
    """`import "file.mfs" (a, b)` or, with `use`, `use "file.py" (a, b)`; `names` is empty where none are listed."""

    kind: str
    path: Literal
    names: tuple[Name, ...]
    span: Span


@node
class Language:
    """`language 1`"""

    version: int
    span: Span


@node
class Param:
    """`param name: type = default in domain`"""

    name: Name
    type: TypeExpr
    default: Expr | None
    domain: Domain | None
    span: Span
    doc: str = ""


@node
class DataType:
    """One side of `image -> category`: a name with arguments (`next_token(seq_len = 72)`), or several named
    ones (`(photo: image, facts: table)`) in `parts`."""

    name: Name | None
    arguments: tuple[Argument, ...]
    parts: tuple[tuple[Name, DataType], ...]
    span: Span


@node
class DataDecl:
    """`data name(params): input -> target { fields }`"""

    name: Name
    params: tuple[Parameter, ...] | None
    input: DataType
    target: DataType
    body: tuple[Stmt, ...]
    span: Span
    doc: str = ""


@node
class ValueDecl:
    """`KIND name(params) = value` where KIND is tokenizer, optimizer or model."""

    kind: str
    name: Name
    params: tuple[Parameter, ...] | None
    value: Expr
    span: Span
    doc: str = ""


@node
class BodyDecl:
    """`KIND name(params) { body }` where KIND is block, model, train, evaluate or export. `params` is None
    where no parentheses were written."""

    kind: str
    name: Name
    params: tuple[Parameter, ...] | None
    body: tuple[Stmt, ...]
    span: Span
    doc: str = ""


@node
class BrokenDecl:
    """A declaration that could not be read. Its name, where there is one, is known and not reported again."""

    kind: str
    name: Name | None
    span: Span
    doc: str = ""


Decl: TypeAlias = Import | Language | Param | LetStmt | DataDecl | ValueDecl | BodyDecl | BrokenDecl


@node
class Comment:
    """`# text` or `## text`, with its marks."""

    text: str
    span: Span


@dataclass(frozen=True)
class File:
    """A file as it was read: its declarations in order, all its comments, and its own documentation."""

    source: Source
    declarations: tuple[Decl, ...]
    comments: tuple[Comment, ...]
    doc: str = ""


# ── of all trees ────────────────────────────────────────────────────────────────────────────────────────


DECLARED = (
    "param", "let", "data", "tokenizer", "optimizer", "block", "model", "train", "evaluate", "export",
)  # fmt: skip
"""The kinds of declarations that have a name of their own."""


def declaration_kind(decl: Param | LetStmt | DataDecl | ValueDecl | BodyDecl | BrokenDecl) -> str:
    """One of `DECLARED`; `unknown` where what could not be read opens with another word."""
    match decl:
        case Param():
            return "param"
        case LetStmt():
            return "let"
        case DataDecl():
            return "data"
        case _:
            return decl.kind if decl.kind in DECLARED else "unknown"


def children(node: Any) -> Iterator[Any]:
    """The nodes right within a node, in the order of the text."""
    for name in _names(type(node)):
        value = getattr(node, name)
        for item in value if isinstance(value, tuple) else (value,):
            yield from _nodes(item)


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):  # a part of a data type: its name and its type
        for item in value:
            yield from _nodes(item)
    elif hasattr(value, "span"):
        yield value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.name != "span") if is_dataclass(kind) else ()
