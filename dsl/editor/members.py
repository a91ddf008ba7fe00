"""What can stand after a name and a dot: groups of trained models, parts of data blocks, sizes of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from mfc.dsl import attributes
from mfc.dsl.catalog import Catalog
from mfc.dsl.component import Component
from mfc.dsl.editor.symbols import Symbol, component_symbol, local_symbol
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Declared, Used
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    CallExpr,
    DataDecl,
    Expr,
    FieldStmt,
    ForStmt,
    GroupStmt,
    IfStmt,
    LetStmt,
    Name,
    Phase,
    Stmt,
    ValueDecl,
)
from mfc.dsl.values import ComponentValue, Instance
from mfc.dsl.words import ATTRIBUTES

Part: TypeAlias = Phase | GroupStmt | BranchStmt

_MAX_DEPTH = 16  # models that are named after models


def members(symbol: Symbol, catalog: Catalog, recording: Recording) -> Mapping[str, Symbol]:
    """What can stand after a name and a dot."""
    match symbol.kind:
        case "data":
            sizes = (size for size in ("classes", "values", "vocab_size") if has_size(symbol, size))
            return {name: Symbol("attribute", name, "data") for name in (*attributes.PARTS, *sizes)}
        case "attribute" if symbol.home == "data" and symbol.name in attributes.PARTS:
            return {name: Symbol("attribute", name, "part") for name in ("texts", "class_counts")}
        case "train":
            groups = groups_of(symbol.target, catalog, recording)
            return {**groups, "history": Symbol("attribute", "history", "train")}
        case "tensor":
            return {name: Symbol("attribute", name, "tensor") for name in attributes.OF_CURRENT}
        case "group" if isinstance(symbol.target, GroupStmt):
            return {s.name.text: local_symbol("tensor", s.name, symbol.home, s) for s in kept(symbol.target)}
    return {}


def member_in_words(symbol: Symbol) -> str:
    """What a member is, on one line; empty where there is nothing to say."""
    if symbol.kind == "group":
        return "group of the model"
    of = "data block" if symbol.home == "data" else symbol.home
    return ATTRIBUTES[of][symbol.name].summary if symbol.name in ATTRIBUTES.get(of, {}) else ""


def has_size(symbol: Symbol, size: str) -> bool:
    """Whether a data block's items tell a number of that name."""
    decl = symbol.target.decl if isinstance(symbol.target, Declared) else None
    if size == "classes" or not isinstance(decl, DataDecl):
        return True
    side, of = (decl.target, "value") if size == "values" else (decl.input, "text")
    return side.name is None or side.name.text == of


def groups_of(declared: Declared, catalog: Catalog, recording: Recording) -> Mapping[str, Symbol]:
    """The outermost groups of a model, or of the model that a train has, by name. Where that depends on what only a
    call tells, they are those of the first model that was found there."""
    return next((groups for groups in all_groups_of(declared, catalog, recording) if groups), {})


def all_groups_of(
    declared: Declared, catalog: Catalog, recording: Recording
) -> Iterator[Mapping[str, Symbol]]:
    """The groups of all models that `groups_of` may mean."""
    for model in models_of(declared, catalog, recording):
        if isinstance(model, Declared):
            yield groups_in(model.decl.body, model.module.path) if isinstance(model.decl, BodyDecl) else {}
        else:
            home = component_symbol(model).home
            yield {name: Symbol("group", name, home, -1, model) for name in model.facts.get("groups", ())}


def models_of(
    declared: Declared, catalog: Catalog, recording: Recording, depth: int = 0
) -> Iterator[Declared | Component]:
    """The models with layers of their own that a train may have, or that a declaration of a model may stand for."""
    decl = declared.decl
    match decl:
        case BodyDecl(kind="model" | "block"):
            yield declared
            return
        case BodyDecl(kind="train"):
            written = [s.value for s in decl.body if isinstance(s, FieldStmt) and s.name.text == "model"]
        case ValueDecl(kind="model") | LetStmt():
            written = [decl.value]
        case _:
            return
    for value in written[:1] if depth < _MAX_DEPTH else ():
        for model in _models(value, declared, catalog, recording):
            if isinstance(model, Declared):
                yield from models_of(model, catalog, recording, depth + 1)
            else:
                yield model


def _models(
    value: Expr, within: Declared, catalog: Catalog, recording: Recording
) -> Iterator[Declared | Component]:
    """What an expression in a declaration that asks for a model stands for."""
    name = value.callee if isinstance(value, CallExpr) else value
    if isinstance(name, Name) and name.text not in _own_names(within):
        match within.module.names.get(name.text):
            case Declared() as other:
                yield other
                return
            case Used(components):
                yield from components[:1]
                return
            case None:
                yield from catalog.named(name.text, ["architecture"])
                return
    for found in recording.values(value):
        if isinstance(found, Instance):
            yield found.declared
        elif isinstance(found, ComponentValue):
            yield found.info


def _own_names(declared: Declared) -> set[str]:
    """The names that a declaration gives a meaning of its own."""
    decl = declared.decl
    body = decl.body if isinstance(decl, BodyDecl) else ()
    parameters = getattr(decl, "params", None) or ()
    return {p.name.text for p in parameters} | {s.name.text for s in body if isinstance(s, LetStmt)}


def groups_in(statements: Sequence[Stmt], path: str) -> dict[str, Symbol]:
    """The groups that statements of the file at a path make, without those within others, by name. One that is made on
    both sides of an `if` is one group."""
    found: dict[str, Symbol] = {}
    for part in parts_in(statements):
        if isinstance(part, GroupStmt):
            found.setdefault(part.name.text, local_symbol("group", part.name, path, part))
    return found


def parts_in(statements: Sequence[Stmt]) -> Iterator[Part]:
    """The phases, groups, branches and modules that statements make, without those within others."""
    for statement in statements:
        match statement:
            case Phase() | GroupStmt() | BranchStmt():
                yield statement
            case IfStmt(_, yes, no):
                yield from parts_in((*yes, *no))
            case ForStmt():
                yield from parts_in(statement.body)


def kept(group: GroupStmt) -> Iterator[LetStmt | BranchStmt]:
    """The tensors that a group keeps, which are seen after it by the group's name."""
    tensors = {"x"}
    for statement in group.body:
        match statement:
            case BranchStmt(kind="branch"):
                yield statement
            case LetStmt(name, Name(text)) if text in tensors:
                tensors.add(name.text)
                yield statement
