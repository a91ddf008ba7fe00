"""What can stand after a name and a dot: groups of trained models, parts of data blocks, sizes of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mfc.dsl import attributes
from mfc.dsl.catalog import Catalog
from mfc.dsl.editor.symbols import Symbol, component_symbol, local_symbol
from mfc.dsl.resolve import Declared, Used
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    CallExpr,
    FieldStmt,
    ForStmt,
    GroupStmt,
    IfStmt,
    LetStmt,
    Name,
    Stmt,
    ValueDecl,
)

_MAX_DEPTH = 16  # models that are named after models


def members(symbol: Symbol, catalog: Catalog) -> Mapping[str, Symbol]:
    """What can stand after a name and a dot."""
    match symbol.kind:
        case "data":
            names = (*attributes.PARTS, "classes", "values", "vocab_size")
            return {name: Symbol("attribute", name, "data") for name in names}
        case "attribute" if symbol.home == "data" and symbol.name in attributes.PARTS:
            return {name: Symbol("attribute", name, "part") for name in ("texts", "class_counts")}
        case "train":
            groups = groups_of(symbol.target, catalog)
            return groups | {"history": Symbol("attribute", "history", "train")}
        case "tensor":
            return {name: Symbol("attribute", name, "tensor") for name in attributes.OF_CURRENT}
        case "group" if isinstance(symbol.target, GroupStmt):
            inner = symbol.target.body
            return {
                s.name.text: local_symbol("tensor", s.name, symbol.home, s)
                for s in inner
                if isinstance(s, LetStmt | BranchStmt)
            }
    return {}


def groups_of(declared: Declared, catalog: Catalog, depth: int = 0) -> dict[str, Symbol]:
    """The parameter groups of a model, or of the model that a train has, by name."""
    decl = declared.decl
    if depth > _MAX_DEPTH:
        return {}
    match decl:
        case BodyDecl(kind="train"):
            value = next(
                (s.value for s in decl.body if isinstance(s, FieldStmt) and s.name.text == "model"), None
            )
        case BodyDecl(kind="model"):
            return {
                g.name.text: local_symbol("group", g.name, declared.module.path, g)
                for g in _groups(decl.body)
            }
        case ValueDecl(kind="model"):
            value = decl.value
        case _:
            return {}
    name = value.callee if isinstance(value, CallExpr) else value
    if not isinstance(name, Name):
        return {}
    match declared.module.names.get(name.text):
        case Declared() as other:
            return groups_of(other, catalog, depth + 1)
        case Used(components):
            pass
        case _:
            components = catalog.named(name.text, ["architecture"])
    named = [group for component in components for group in component.facts.get("groups", ())]
    return {group: Symbol("group", group, component_symbol(components[0]).home) for group in named}


def _groups(statements: Sequence[Stmt]) -> Iterator[GroupStmt]:
    for statement in statements:
        match statement:
            case GroupStmt():
                yield statement
                yield from _groups(statement.body)
            case IfStmt(_, yes, no):
                yield from _groups((*yes, *no))
            case ForStmt():
                yield from _groups(statement.body)
