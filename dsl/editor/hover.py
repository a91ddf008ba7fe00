"""What is shown of the thing under the pointer: the reference's text on it, and what the check found out about it here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mfc.dsl import reference
from mfc.dsl import want as wanted
from mfc.dsl.component import Component
from mfc.dsl.editor.bindings import Bindings
from mfc.dsl.editor.cursor import cursor
from mfc.dsl.editor.declared import declaration_form, declaration_markdown, file_markdown, parameter_form
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.facts import changes, counts, listed, plain_values, shape_in_words
from mfc.dsl.editor.occurrences import Occurrence
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.reference import fenced
from mfc.dsl.resolve import Declared
from mfc.dsl.scan import word_at
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    Attribute,
    Binary,
    CallExpr,
    Comprehension,
    Expr,
    ForStmt,
    GroupStmt,
    IfExpr,
    Import,
    Index,
    LayerStmt,
    LetStmt,
    Name,
    Phase,
    Unary,
)
from mfc.dsl.types import ANY
from mfc.dsl.values import Current, Kept
from mfc.dsl.words import DECLARATIONS, EXPRESSIONS, INPUTS, STATEMENTS, TYPES

FENCE = "\n```"
"""What the form of a thing ends with, at the top of what is said of it."""


@dataclass(frozen=True)
class Hover:
    """What is said of a piece of a text, as Markdown."""

    markdown: str
    span: Span


def hover(document: Document, offset: int) -> Hover | None:
    """What is known of what stands at an offset; None where that is nothing."""
    if document.comment_at(offset) is not None:
        return None
    nodes, bindings = document.nodes_at(offset), document.bindings_at(offset)
    occurrence = bindings.at(offset)
    if occurrence is None:
        if found := _keyword(document, offset, nodes) or _expression(document, nodes):
            return found
        here = cursor(document, offset, whole=True)  # it may stand in what could not be read
        if here is None or not here.path or not here.word.text:
            return None
        nodes, bindings = here.path, here.bindings
        if (occurrence := bindings.at(offset)) is None:
            return None
    said = symbol_markdown(document, occurrence.symbol, _called(bindings, nodes))
    form, fence, reference_text = said.partition(FENCE)
    parts = [
        form + fence,
        _owner(document, occurrence.symbol),
        *_found(document, nodes, occurrence, bindings),  # it is new at each place; the reference is not
        reference_text,
    ]
    text = "\n\n".join(part.strip() for part in parts if part)
    return Hover(f"{text}\n", occurrence.span) if text else None


def symbol_markdown(document: Document, symbol: Symbol, called: Symbol | None = None) -> str:
    """What is known of a name, wherever it stands; of an argument, `called` is what it is given to."""
    catalog, target = document.compiled.catalog, symbol.target
    match symbol.kind:
        case "component":
            return reference.component_markdown(target)
        case "field":
            return reference.field_markdown(symbol.home, symbol.name)
        case "argument":
            component = called.target if called is not None else None
            if isinstance(component, Component):
                return reference.argument_markdown(component, symbol.name)
            return "" if target is None else fenced(f"{symbol.name}: {target.type}")
        case "function":
            return reference.function_markdown(symbol.name)
        case "constant":
            return reference.constant_markdown(symbol.name, catalog)
        case "statement":
            return reference.statement_markdown(symbol.name)
        case "attribute" if symbol.home:
            return reference.attribute_markdown(
                "data block" if symbol.home == "data" else symbol.home, symbol.name
            )
        case "type":
            return _type(symbol.name)
        case "choice":
            return fenced(symbol.name)
        case "file" if isinstance(target, Import):
            return file_markdown(document, target)
        case "parameter" if target is not None:
            return fenced(parameter_form(target))
        case "phase":
            return f"{fenced(f'phase {symbol.name}')}\n\n{STATEMENTS['phase'].summary}"
        case "variable" | "tensor" | "module" | "group":
            return _local(symbol)
        case _ if isinstance(target, Declared):
            return declaration_markdown(document, target)
    return ""


def _owner(document: Document, symbol: Symbol) -> str:
    """What a parameter is a parameter of."""
    module = document.compiled.program.modules.get(symbol.home)
    if symbol.kind != "parameter" or module is None:
        return ""
    for declared in module.declarations():
        decl = declared.decl
        if decl.span.start <= symbol.at < decl.span.end:
            return f"*Parameter of* `{declaration_form(declared)}`"
    return ""


def _type(name: str) -> str:
    if name in TYPES:
        return reference.type_markdown(name)
    return reference.input_markdown(name) if name in INPUTS else reference.target_markdown(name)


def _local(symbol: Symbol) -> str:
    """A name of a body: the line that gives it, or what kind of thing it is."""
    match symbol.target:
        case LetStmt() as let:
            first, _, rest = let.span.text.partition("\n")
            return fenced(f"{first} ..." if rest else first)
        case ForStmt() as loop:
            return fenced(f"for {', '.join(n.text for n in loop.names)} in {loop.iterable.span.text}")
        case Comprehension() as loop:
            return fenced(loop.span.text)
        case GroupStmt():
            return f"{fenced(f'group {symbol.name}')}\n\n*Group.* {STATEMENTS['group'].summary}"
        case None if symbol.name == "x":
            return reference.word_markdown("x")
        case None:
            return f"{fenced(symbol.name)}\n\n*Group of a model.*"
        case branch:
            return fenced(f"let {symbol.name} = {getattr(branch, 'kind', 'branch')} {{ ... }}")


# ── what was found ──────────────────────────────────────────────────────────────────────────────────────


def _called(bindings: Bindings, nodes: Sequence[Any]) -> Symbol | None:
    """What the innermost call around a place calls."""
    calls = (bindings.calls[node] for node in reversed(nodes) if node in bindings.calls)
    return next((call.symbol for call in calls), None)


def _found(
    document: Document, nodes: Sequence[Any], occurrence: Occurrence, bindings: Bindings
) -> Iterator[str]:
    """What the check found out about the thing at a place: its value, and what it makes of shapes."""
    symbol, around = occurrence.symbol, [*reversed(nodes)]
    expr = _whole(around)
    values = document.values(expr) if expr is not None else ()
    if not values and symbol.kind in ("parameter", "variable", "tensor"):
        values = _values_of(document, symbol, bindings)
    if isinstance(symbol.target, Declared) or symbol.kind in ("constant", "choice"):
        values = ()  # their own texts have it
    if (
        symbol.kind == "choice"
        and expr is not None
        and (words := wanted.words(bindings.wants.get(expr, ANY)))
    ):
        yield f"**One of** {listed(words)}"
    found = plain_values(values)
    if expr is not None and found == [expr.span.text]:
        found = []  # what is not known yet is its own value
    if found:
        shapes = all(isinstance(value, Current | Kept) for value in values)
        yield _line("Shape" if shapes else "Value", found)
    statement = next((node for node in around if isinstance(node, LayerStmt | GroupStmt | Phase)), None)
    if isinstance(statement, LayerStmt) and isinstance(statement.call, CallExpr):
        if statement.call.callee in nodes:
            yield from _shapes(document, statement)
    elif isinstance(statement, GroupStmt) and statement.name in nodes:
        yield from _shapes(document, statement)
    if expr is not None and (shapes := document.steps_at(expr.span)):
        yield _line("An item after it", [shape_in_words(shape) for shape in shapes])


def _shapes(document: Document, statement: LayerStmt | GroupStmt) -> Iterator[str]:
    passed = document.passed(statement)
    if passed:
        yield _line("Shape", changes(passed))
    if found := counts(passed):
        yield f"**Parameters** {found}"


def _whole(around: Sequence[Any]) -> Expr | None:
    """The expression that a name at a place stands for: with what is before its dot, or its call."""
    match around:
        case [Name() as name, Attribute(name=attribute) as whole, *_] if attribute is name:
            return whole
        case [Name() as name, CallExpr(callee=callee) as whole, *_] if callee is name:
            return whole
        case [Name() as name, *_]:
            return name
    return None


def _values_of(document: Document, symbol: Symbol, bindings: Bindings) -> list[Any]:
    """The values of a local name wherever it is used, and the one that it is given."""
    if isinstance(symbol.target, LetStmt):
        return [*document.values(symbol.target.value)]
    found: list[Any] = []
    if symbol.home == document.path and symbol.at >= 0:
        bindings = document.bindings_at(symbol.at)  # an argument's name stands elsewhere
    for occurrence in bindings.of(symbol):
        node = document.nodes_at(occurrence.span.end)[-1:]
        found += [value for expr in node for value in document.values(expr) if value not in found]
    return found


def _line(head: str, found: Sequence[str]) -> str:
    """`**Values** 16, 32`"""
    return f"**{head}{'s' if len(found) > 1 and head in ('Value', 'Shape') else ''}** {listed(found)}"


def _keyword(document: Document, offset: int, nodes: Sequence[Any]) -> Hover | None:
    """A word of the language that is no name."""
    place = word_at(document.text, offset)
    if place is None or place[0] == place[1]:
        return None
    span = Span(document.source, *place)
    word = span.text
    opens = bool(nodes) and any(getattr(node, "span", span).start == span.start for node in nodes)
    if opens and word in DECLARATIONS:
        return Hover(reference.declaration_markdown(word), span)
    if word in ("group", "phase", "branch", "module"):
        return Hover(reference.statement_markdown(word), span)
    return Hover(reference.word_markdown(word), span) if word in EXPRESSIONS and word != "x" else None


def _expression(document: Document, nodes: Sequence[Any]) -> Hover | None:
    """The value of a piece that is put together."""
    for node in reversed(nodes):
        if isinstance(node, Binary | Unary | IfExpr | Index | Comprehension):
            found = plain_values(document.values(node))
            return (
                Hover(f"{fenced(node.span.text)}\n\n{_line('Value', found)}\n", node.span) if found else None
            )
    return None
