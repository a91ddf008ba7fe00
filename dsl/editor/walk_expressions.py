"""Notes what the names in expressions stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mfc.dsl import want as wanted
from mfc.dsl.callables import TTA, component_signature
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.compiler import Compiled
from mfc.dsl.component import Component
from mfc.dsl.editor.layer_paths import named_in
from mfc.dsl.editor.members import members, models_of
from mfc.dsl.editor.occurrences import Called, Occurrence, Region, Scope
from mfc.dsl.editor.signatures import STATEMENT_SIGNATURES, declared_signature, slot_of
from mfc.dsl.editor.symbols import Symbol, component_symbol, declared_symbol, local_symbol
from mfc.dsl.elaborate import LAYER, STATEMENTS
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Declared, Module, Used
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    Attribute,
    Binary,
    CallExpr,
    Comprehension,
    DataType,
    Expr,
    IfExpr,
    Index,
    ListExpr,
    Literal,
    Missing,
    Name,
    Parameter,
    Unary,
)
from mfc.dsl.types import ANY, BOOL, INT, Type
from mfc.dsl.values import Current, Instance, Kept, Part


class Expressions:
    def __init__(self, compiled: Compiled, module: Module, recording: Recording) -> None:
        self.standard = compiled.standard
        self.module = module
        self.catalog = compiled.catalog
        self.recording = recording
        self.occurrences: list[Occurrence] = []
        self.wants: dict[Expr, Type] = {}
        self.calls: dict[CallExpr | DataType, Called] = {}
        self.owners: dict[Attribute, Symbol] = {}
        self.regions: list[Region] = []
        self.train: Declared | None = None
        self.signatures: dict[str, Signature] = {}
        self.by_name: dict[Declared, dict[str, Parameter]] = {}
        self.scopes: dict[Scope, int] = {}
        self.aliases: dict[Symbol, Symbol | None] = {}

    def note(self, span: Span, symbol: Symbol, defines: bool = False) -> None:
        self.occurrences.append(Occurrence(span, symbol, defines))

    def define(self, kind: str, name: Name, scope: Scope, start: int, end: int, target: Any = None) -> Symbol:
        """A local name, which can be used from `start` to `end`: not within its own value."""
        symbol = local_symbol(kind, name, self.module.path, target)
        self.note(name.span, symbol, defines=True)
        self.bring(symbol, name, scope, start, end)
        return symbol

    def bring(self, symbol: Symbol, name: Name, scope: Scope, start: int, end: int) -> None:
        scope.names.setdefault(name.text, symbol)
        self.regions.append(Region(start, end, {name.text: symbol}, self.number(scope)))

    def number(self, scope: Scope) -> int:
        return self.scopes.setdefault(scope, len(self.scopes))

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────

    def expr(self, expr: Expr, scope: Scope, want: Type = ANY) -> None:
        self.wants[expr] = want
        match expr:
            case Name():
                self.note(expr.span, self.named(expr, scope, want))
            case Literal() | Missing():
                pass
            case ListExpr(items):
                for item in items:
                    self.expr(item, scope, wanted.item(want) or ANY)
            case Comprehension():
                self.expr(expr.iterable, scope)
                inner = Scope(scope)
                for name in expr.names:  # the body stands before the names
                    self.define("variable", name, inner, expr.body.span.start, expr.body.span.end, expr)
                start, end, names = expr.iterable.span.end, expr.span.end, dict(inner.names)
                self.regions.append(Region(start, end, names, self.number(inner)))
                if expr.condition is not None:
                    self.expr(expr.condition, inner, BOOL)
                self.expr(expr.body, inner, wanted.item(want) or ANY)
            case CallExpr():
                self.call(expr, scope, want)
            case Attribute(value, name):
                self.expr(value, scope)
                if (owner := self.stands_for(value, scope)) is not None:
                    self.owners[expr] = owner
                self.note(name.span, self.member(value, name, scope))
            case Index(value, index):
                self.expr(value, scope)
                self.expr(index, scope, INT)
            case Unary(op, operand):
                self.expr(operand, scope, BOOL if op == "not" else want)
            case Binary(op, left, right):
                inner_want = BOOL if op in ("and", "or") else want if op in _SAME else ANY
                self.expr(left, scope, inner_want)
                self.expr(right, scope, inner_want)
            case IfExpr(condition, yes, no):
                self.expr(condition, scope, BOOL)
                self.expr(yes, scope, want)
                self.expr(no, scope, want)

    def named(self, name: Name, scope: Scope, want: Type, called: bool = False) -> Symbol:
        """What a name in an expression stands for."""
        text = name.text
        if local := scope.find(text):
            return local
        if text in self.module.names:
            return self.bound(text, self.module.names[text], wanted.kinds(want))
        if called and want == LAYER and text in STATEMENTS:
            return Symbol("statement", text)
        if text == "x" and not called:
            return Symbol("tensor", "x")
        if text in FUNCTIONS:
            return Symbol("function", text)
        if text in self.catalog.constants:
            return Symbol("constant", text, "", -1, self.catalog.constants[text])
        fitting = self.catalog.named(text, wanted.kinds(want)) or self.catalog.named(text)
        if fitting:
            return component_symbol(fitting[0])
        return Symbol("choice" if text in wanted.words(want) else "unknown", text)

    def call(self, call: CallExpr, scope: Scope, want: Type) -> None:
        if not isinstance(call.callee, Name):
            self.expr(call.callee, scope)
            self.arguments(call, None, None, scope)
            return
        symbol = self.named(call.callee, scope, want, called=True)
        self.note(call.callee.span, symbol)
        signature = self.signature(symbol)
        if signature is not None:
            self.calls[call] = Called(call, symbol, signature)
        self.arguments(call, symbol, signature, scope)

    def signature(self, symbol: Symbol) -> Signature | None:
        """What may be given to what a name stands for; None where that is not known."""
        target = symbol.target
        if isinstance(target, Component):
            if target.target not in self.signatures:
                self.signatures[target.target] = component_signature(target)
            return self.signatures[target.target]
        if isinstance(target, Declared):
            return declared_signature(target)
        if symbol.kind == "statement":
            return STATEMENT_SIGNATURES[symbol.name]
        return TTA if symbol == Symbol("function", TTA.name) else None

    def arguments(
        self, call: CallExpr | DataType, symbol: Symbol | None, signature: Signature | None, scope: Scope
    ) -> None:
        for position, argument in enumerate(call.arguments):
            slot = slot_of(signature, position, argument) if signature is not None else None
            if argument.name is not None:
                self.note(argument.name.span, self.argument(argument.name.text, symbol, signature, slot))
            if symbol == Symbol("statement", "concat"):
                slot = STATEMENT_SIGNATURES["concat"].slots[0]
            others = signature.others if signature is not None and argument.name is not None else None
            self.expr(argument.value, scope, slot.type if slot else others or ANY)
            if slot is not None and self.train is not None and _names_layers(symbol, slot):
                self.layer_paths(argument.value, self.train)

    def layer_paths(self, value: Expr, train: Declared) -> None:
        """The names in strings that stand for layers of a train's model."""
        models = models_of(train, self.catalog, self.recording)
        model = next((model for model in models if isinstance(model, Declared)), None)
        for literal in value.items if isinstance(value, ListExpr) else (value,):
            if (
                model is not None
                and isinstance(literal, Literal)
                and literal.span.text == f'"{literal.value}"'
            ):
                for at, symbol in named_in(str(literal.value), model):
                    start = literal.span.start + 1 + at
                    self.note(Span(literal.span.source, start, start + len(symbol.name)), symbol)

    def argument(
        self, name: str, symbol: Symbol | None, signature: Signature | None, slot: Slot | None
    ) -> Symbol:
        """What the name of an argument stands for: of a declaration, its parameter."""
        if symbol is not None and isinstance(symbol.target, Declared):
            declared = symbol.target
            if (parameter := self.parameters_of(declared).get(name)) is not None:
                return local_symbol("parameter", parameter.name, declared.module.path, parameter)
        known = slot is not None or (signature is not None and signature.others is not None)
        if symbol is None or not known:
            return Symbol("unknown", name)
        return Symbol("argument", name, symbol.home or symbol.name, -1, slot)

    def parameters_of(self, declared: Declared) -> dict[str, Parameter]:
        """The parameters of a declaration by name; of two with one name the first."""
        if declared not in self.by_name:
            params = getattr(declared.decl, "params", None) or ()
            self.by_name[declared] = {parameter.name.text: parameter for parameter in reversed(params)}
        return self.by_name[declared]

    def bound(self, name: str, binding: Any, kinds: Iterable[str] = ()) -> Symbol:
        match binding:
            case Declared():
                return declared_symbol(binding)
            case Used(components):
                return component_symbol(of_kind(components, kinds))
            case _:
                return Symbol("unknown", name)

    # ── attributes ──────────────────────────────────────────────────────────────────────────────────────

    def member(self, value: Expr, name: Name, scope: Scope) -> Symbol:
        """What stands after a dot: a group of a trained model, a part or fact of a data block, a size of a tensor."""
        symbol = self.stands_for(value, scope)
        if symbol is None:
            return Symbol("attribute", name.text)
        known = members(symbol, self.catalog, self.recording)
        return known.get(name.text, Symbol("unknown", name.text))

    def stands_for(self, value: Expr, scope: Scope) -> Symbol | None:
        """The data block, train or tensor that an expression stands for; None where that can't be told."""
        name = value.callee if isinstance(value, CallExpr) else value
        if isinstance(name, Name):
            found = self.named(name, scope, ANY, called=name is not value)
            if found in self.aliases:
                return self.aliases[found]
            if found.kind in ("data", "train", "tensor", "group", "attribute"):
                return found
        elif isinstance(value, Attribute):
            found = self.member(value.value, value.name, scope)
            if found.kind in ("tensor", "group", "attribute") and found.home:
                return found
        return next(filter(None, map(_symbol_of, self.recording.values(value))), None)


def _symbol_of(value: Any) -> Symbol | None:
    """What a value that the check found has members as."""
    match value:
        case Instance(kind="data" | "train"):
            return declared_symbol(value.declared)
        case Part():
            return Symbol("attribute", value.part, "data")
        case Current() | Kept():
            return Symbol("tensor", "x")
    return None


def _names_layers(symbol: Symbol | None, slot: Slot) -> bool:
    """Whether an argument names layers of the model in strings."""
    target = symbol.target if symbol is not None else None
    if not isinstance(target, Component):
        return False
    return (
        slot.name == "layers" if target.facts.get("hooks") else (slot.name, target.target) == ("group", ONLY)
    )


ONLY = "mfc.runtime.initializers:only"

_SAME = ("+", "-", "*", "/", "//", "%", "**")


def of_kind(components: Sequence[Component], kinds: Iterable[str]) -> Component:
    """The component of one of the kinds that are wanted, else the first."""
    return next((c for c in components if c.kind in kinds), components[0])
