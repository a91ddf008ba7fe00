"""Groups that must have one name: weights go from a group of one model to the group of that name in another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.members import all_groups_of
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.resolve import Declared
from mfc.dsl.syntax import Attribute, BodyDecl, FieldStmt, Name, children
from mfc.dsl.values import Weights


def linked_groups(documents: Iterable[Document], group: Symbol) -> set[Symbol]:
    """A group with all those that are called like it because of it."""
    links = [link for document in documents for link in _links(document)]
    found: set[Symbol] = set()
    waiting = {group}
    while waiting:
        found |= waiting
        waiting = {symbol for link in links if link & waiting for symbol in link} - found
    return found


def _links(document: Document) -> Iterator[set[Symbol]]:
    """The groups that one name of a group stands for: of all models that a train may have, and of the models of two
    trains where one takes weights of the other."""
    for attribute, owner in document.bindings.owners.items():
        if owner.kind == "train":
            yield _named(document, owner.target, attribute.name.text)
    for declared in document.module.declarations():
        if isinstance(declared.decl, BodyDecl) and declared.decl.kind == "train":
            for statement in declared.decl.body:
                if isinstance(statement, FieldStmt) and statement.name.text == "weights":
                    for other, name in _taken(document, statement.value):
                        yield _named(document, other, name) | _named(document, declared, name)


def _named(document: Document, train: Declared, name: str) -> set[Symbol]:
    groups = all_groups_of(train, document.compiled.catalog, document.recording)
    return {group for group in (of.get(name) for of in groups) if group is not None}


def _taken(document: Document, node: Any) -> Iterator[tuple[Declared, str]]:
    """The trains whose weights an expression takes, with the name of the group."""
    if isinstance(node, Attribute) and (owner := document.bindings.owners.get(node)) is not None:
        if owner.kind == "train":
            yield owner.target, node.name.text
    elif isinstance(node, Name):
        for value in document.values(node):
            for weights in value if isinstance(value, list) else [value]:
                if isinstance(weights, Weights):
                    yield weights.train.declared, weights.group
    for child in children(node):
        yield from _taken(document, child)
