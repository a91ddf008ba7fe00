"""From a name to where it is defined, and from there to all places where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from mfc.dsl.component import Component
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.symbols import Symbol, declared_symbol
from mfc.dsl.resolve import Declared
from mfc.dsl.source import Span
from mfc.dsl.syntax import Attribute, CallExpr, Import, ValueDecl
from mfc.dsl.values import ComponentValue, Instance, Part, Weights

_MAX_DEPTH = 16  # models that are named after models


@dataclass(frozen=True)
class Location:
    """A place in a spec. `whole` is all that stands there: of a declaration's name, the declaration."""

    path: str
    span: Span
    whole: Span


@dataclass(frozen=True)
class PythonLocation:
    """A place in a Python file: the line counts from 1, the column from 0, in code points."""

    path: str
    line: int
    column: int
    length: int


Place: TypeAlias = Location | PythonLocation


@dataclass(frozen=True)
class Highlight:
    """A place where a name stands; `defines` tells that it is where it gets its meaning."""

    span: Span
    defines: bool


def symbol_at(document: Document, offset: int) -> Symbol | None:
    """What the name at an offset stands for."""
    found = document.bindings.at(offset)
    return None if found is None else found.symbol


# ── where a name comes from ─────────────────────────────────────────────────────────────────────────────


def definition(document: Document, offset: int) -> list[Place]:
    """Where the name at an offset is defined, in a spec or in Python; the file, where it is the path of one. Nothing
    for the language's own words."""
    symbol = symbol_at(document, offset)
    if symbol is None:
        return []
    if symbol.kind == "argument":
        return [_of_argument(called, symbol.name) for called in _called_at(document, offset)]
    return list(_place_of(document, symbol))


def type_definition(document: Document, offset: int) -> list[Place]:
    """Where what a name stands for is made: of `model net = resnet(10)` the declaration of `resnet`, of a variable all
    that the check found it to be."""
    symbol = symbol_at(document, offset)
    if symbol is None:
        return []
    values: list[Any] = []
    if isinstance(symbol.target, Declared):
        value = getattr(symbol.target.decl, "value", None)
        values += [Instance(symbol.target)] if value is None else document.values(value)
    *_, around, node = [None, None, *document.nodes_at(offset)]
    named = isinstance(around, CallExpr) and around.callee is node
    named |= isinstance(around, Attribute) and around.name is node
    values += document.values(around if named else node)
    made = {id(maker): maker for value in values for maker in _makers(document, value, 0)}
    return [
        _of_component(maker) if isinstance(maker, Component) else _of_symbol(declared_symbol(maker))
        for maker in made.values()
    ]


def _place_of(document: Document, symbol: Symbol) -> Iterator[Place]:
    if isinstance(symbol.target, Component):
        yield _of_component(symbol.target)
    elif isinstance(symbol.target, Import):
        program = document.compiled.program
        if symbol.home in program.modules:
            source = program.modules[symbol.home].file.source
            yield Location(symbol.home, Span(source, 0, 0), Span(source, 0, len(source.text)))
        elif symbol.home in program.user_files:
            yield PythonLocation(symbol.home, 1, 0, 0)
    elif symbol.in_spec:
        yield _of_symbol(symbol)


def _of_symbol(symbol: Symbol) -> Location:
    whole: Span = symbol.target.decl.span if isinstance(symbol.target, Declared) else symbol.target.span
    name = Span(whole.source, symbol.at, symbol.at + len(symbol.name))
    return Location(symbol.home, name, whole)


def _of_component(component: Component) -> PythonLocation:
    return PythonLocation(component.file, component.line, component.column, len(component.name))


def _of_argument(component: Component, name: str) -> PythonLocation:
    """The parameter, or the component where it takes arguments of any name."""
    parameter = component.parameter(name)
    if parameter is None:
        return _of_component(component)
    return PythonLocation(component.file, parameter.line, parameter.column, len(name))


def _called_at(document: Document, offset: int) -> Iterator[Component]:
    """The component that is called with the argument at an offset."""
    for node in reversed(document.nodes_at(offset)):
        called = document.bindings.calls.get(node) if isinstance(node, CallExpr) else None
        if called is not None:
            if isinstance(called.symbol.target, Component):
                yield called.symbol.target
            return


def _makers(document: Document, value: Any, depth: int) -> Iterator[Declared | Component]:
    """What a value was made by."""
    match value:
        case _ if depth > _MAX_DEPTH:
            return
        case list():
            for item in value:
                yield from _makers(document, item, depth + 1)
        case ComponentValue():
            yield value.info
        case Weights():
            yield value.train.declared
        case Part():
            yield value.data.declared
        case Instance(declared=Declared(decl=ValueDecl() as decl)):
            for inner in document.values(decl.value):
                yield from _makers(document, inner, depth + 1)
        case Instance():
            yield value.declared


# ── where it is used ────────────────────────────────────────────────────────────────────────────────────


def references(documents: Iterable[Document], symbol: Symbol, include_definition: bool) -> list[Location]:
    """All places where a symbol is named, in the order of the documents and of their texts. A file that is given twice
    is looked at once."""
    by_path: dict[str, Document] = {}
    for document in documents:
        by_path.setdefault(document.path, document)
    return [
        Location(document.path, occurrence.span, occurrence.span)
        for document in by_path.values()
        for occurrence in document.bindings.of(symbol)
        if include_definition or not occurrence.defines
    ]


def highlights(document: Document, offset: int) -> list[Highlight]:
    """The places in the file that mean the same as the name at an offset."""
    symbol = symbol_at(document, offset)
    if symbol is None:
        return []
    return [Highlight(found.span, found.defines) for found in document.bindings.of(symbol)]
