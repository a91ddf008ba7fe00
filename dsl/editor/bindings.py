"""What each name in a file stands for, and what is wanted where an expression stands.

It is told from the text alone, by the same rules as `mfc.dsl.names`: so bodies that nothing calls, branches that nothing
takes and files with mistakes are served like all others.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mfc.dsl import fields
from mfc.dsl import want as wanted
from mfc.dsl.callables import MODULE, TENSOR, TTA, component_signature
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.check_data import ARGUMENTS, OF_MODEL
from mfc.dsl.compiler import Compiled
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.layer_paths import named_in
from mfc.dsl.editor.members import kept, members, models_of
from mfc.dsl.editor.symbols import Symbol, component_symbol, declared_symbol, local_symbol
from mfc.dsl.elaborate import LAYER, STATEMENTS
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.params import PLAIN, type_of
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Declared, Module, Used, import_path
from mfc.dsl.scan import bound, scan
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    Argument,
    Attribute,
    Binary,
    BodyDecl,
    BranchStmt,
    BrokenDecl,
    CallExpr,
    Comprehension,
    DataDecl,
    DataType,
    Decl,
    Expr,
    FieldStmt,
    ForStmt,
    GroupStmt,
    IfExpr,
    IfStmt,
    Import,
    Index,
    Language,
    LayerStmt,
    LetStmt,
    ListExpr,
    Literal,
    Missing,
    Name,
    Param,
    Parameter,
    Phase,
    Stmt,
    TypeExpr,
    Unary,
    ValueDecl,
)
from mfc.dsl.types import ANY, BOOL, INT, Kind, Type
from mfc.dsl.values import Current, Instance, Kept, Part


@dataclass(frozen=True)
class Occurrence:
    """A name in a file. `defines`: it is where the symbol gets its name."""

    span: Span
    symbol: Symbol
    defines: bool = False


@dataclass(frozen=True)
class Called:
    """A call, what it calls, and what that may be given."""

    call: CallExpr | DataType
    symbol: Symbol
    signature: Signature


@dataclass(frozen=True)
class Region:
    """Where local names can be used: from `start` to `end` of the text. Names that are given in one scope have the same
    number as `scope`."""

    start: int
    end: int
    symbols: Mapping[str, Symbol]
    scope: int


class Bindings:
    """The names in declarations of one file of a program: by default in all of them."""

    def __init__(
        self,
        compiled: Compiled,
        module: Module,
        recording: Recording,
        declarations: Iterable[Decl] | None = None,
    ) -> None:
        walk = _Walk(compiled, module, recording)
        for decl in module.file.declarations if declarations is None else declarations:
            walk.declaration(decl)
        self.occurrences: Sequence[Occurrence] = sorted(walk.occurrences, key=lambda o: o.span.start)
        self.wants: Mapping[Expr, Type] = walk.wants
        """The type that is wanted where an expression stands; ANY where nothing is said."""
        self.calls: Mapping[CallExpr | DataType, Called] = walk.calls
        self.owners: Mapping[Attribute, Symbol] = walk.owners
        """What stands before a dot: a declaration, a tensor, a part of a data block."""
        self.regions: Sequence[Region] = walk.regions
        """Where local names can be used; outer regions come before those within them."""

    @cached_property
    def _starts(self) -> list[int]:
        return [occurrence.span.start for occurrence in self.occurrences]

    def at(self, offset: int) -> Occurrence | None:
        """The name that the offset is in, or right after."""
        for place in (bisect_right(self._starts, offset) - 1, bisect_right(self._starts, offset - 1) - 1):
            if place >= 0 and self.occurrences[place].span.end >= offset:
                return self.occurrences[place]
        return None

    def of(self, symbol: Symbol) -> Iterator[Occurrence]:
        """All places in the file where a symbol is named."""
        return (occurrence for occurrence in self.occurrences if occurrence.symbol == symbol)

    def locals_at(self, offset: int) -> dict[str, Symbol]:
        """The local names that can be used at an offset; inner ones win."""
        found: dict[str, Symbol] = {}
        for region in self.regions:
            if region.start <= offset <= region.end:
                found |= region.symbols
        return found


class _Scope:
    """Local names within those around. `groups` are those of the stack of layers that is filled here: one that is named
    in both branches of an `if` is one group."""

    def __init__(self, outer: _Scope | None = None, groups: dict[str, Symbol] | None = None) -> None:
        self.names: dict[str, Symbol] = {}
        self.outer = outer
        self.groups = groups if groups is not None else outer.groups if outer is not None else {}

    def find(self, name: str) -> Symbol | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


class _Walk:
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
        self.scopes: dict[_Scope, int] = {}
        self.aliases: dict[Symbol, Symbol | None] = {}
        self.by_decl = {id(declared.decl): declared for declared in module.declarations()}

    def note(self, span: Span, symbol: Symbol, defines: bool = False) -> None:
        self.occurrences.append(Occurrence(span, symbol, defines))

    def define(
        self, kind: str, name: Name, scope: _Scope, start: int, end: int, target: Any = None
    ) -> Symbol:
        """A local name, which can be used from `start` to `end`: not within its own value."""
        symbol = local_symbol(kind, name, self.module.path, target)
        self.note(name.span, symbol, defines=True)
        self.bring(symbol, name, scope, start, end)
        return symbol

    def bring(self, symbol: Symbol, name: Name, scope: _Scope, start: int, end: int) -> None:
        scope.names.setdefault(name.text, symbol)
        self.regions.append(Region(start, end, {name.text: symbol}, self.number(scope)))

    def number(self, scope: _Scope) -> int:
        return self.scopes.setdefault(scope, len(self.scopes))

    # ── declarations ────────────────────────────────────────────────────────────────────────────────────

    def declaration(self, decl: Decl) -> None:
        if isinstance(decl, Import):
            self.imported(decl)
            return
        if isinstance(decl, Language):
            return
        if decl.name is not None:
            declared = self.by_decl.get(id(decl)) or Declared(self.module, decl)
            self.note(decl.name.span, declared_symbol(declared), defines=True)
            self.train = declared if isinstance(decl, BodyDecl) and decl.kind == "train" else None
        scope, end = _Scope(), decl.span.end
        match decl:
            case Param():
                self.type(decl.type)
                of = type_of(decl.type, Diagnostics())
                for expr in (decl.default, *((decl.domain.lo, decl.domain.hi) if decl.domain else ())):
                    if expr is not None:
                        self.expr(expr, scope, of)
            case LetStmt():
                self.expr(decl.value, scope)
            case DataDecl():
                self.parameters(decl.params, scope, end)
                for side, known in ((decl.input, fields.INPUTS), (decl.target, fields.TARGETS)):
                    self.data_type(side, known, scope)
                self.body(decl.body, "data", scope, end)
            case ValueDecl():
                self.parameters(decl.params, scope, end)
                self.expr(decl.value, scope, Kind(decl.kind))
            case BodyDecl():
                self.parameters(decl.params, scope, end)
                self.body(decl.body, decl.kind, scope, end)
            case BrokenDecl():
                self.broken(decl)

    def broken(self, decl: BrokenDecl) -> None:
        """The names in what could not be read that stand for something outside of it, as far as that can be told."""
        tokens = scan(decl.span.text).tokens
        own = {token.text for token in bound(tokens)}
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None]):
            known = token.text in self.module.names or (after is not None and after.type == "LPAR")
            member = before is not None and before.type == "DOT"
            label = after is not None and after.type in ("EQUAL", "COLON")
            if token.type == "NAME" and known and not member and not label and token.text not in own:
                start = decl.span.start + token.start
                span = Span(decl.span.source, start, start + len(token.text))
                symbol = self.named(Name(token.text, span), _Scope(), ANY, called=True)
                if symbol.kind != "unknown":
                    self.note(span, symbol)

    def imported(self, decl: Import) -> None:
        home = import_path(decl, self.module.path, self.standard)
        self.note(decl.path.span, Symbol("file", posixpath.basename(home), home, target=decl))
        for name in decl.names:
            binding = self.module.names.get(name.text)
            self.note(name.span, self.bound(name.text, binding))

    def bound(self, name: str, binding: Any, kinds: Iterable[str] = ()) -> Symbol:
        match binding:
            case Declared():
                return declared_symbol(binding)
            case Used(components):
                return component_symbol(_of_kind(components, kinds))
            case _:
                return Symbol("unknown", name)

    def parameters(self, params: Sequence[Parameter] | None, scope: _Scope, end: int) -> None:
        for parameter in params or ():
            of = ANY
            if parameter.type is not None:
                self.type(parameter.type)
                of = type_of(parameter.type, Diagnostics())
            if parameter.default is not None:
                self.expr(parameter.default, scope, of)
            self.define("parameter", parameter.name, scope, parameter.span.end, end, parameter)

    def type(self, written: TypeExpr) -> None:
        name = written.name
        if name.text in PLAIN or name.text in ("list", "choice"):
            self.note(name.span, Symbol("type", name.text))
        for argument in written.arguments:
            if isinstance(argument, TypeExpr):
                self.type(argument)
            elif isinstance(argument.value, str) and argument.span.text == argument.value:  # a bare name
                self.note(argument.span, Symbol("choice", argument.value))

    def data_type(self, written: DataType, known: Sequence[str], scope: _Scope) -> None:
        if written.name is not None:
            kind = "type" if written.name.text in known else "unknown"
            symbol = Symbol(kind, written.name.text)
            self.note(written.name.span, symbol)
            signature = Signature(written.name.text, ARGUMENTS.get(written.name.text, []))
            self.calls[written] = Called(written, symbol, signature)
            self.arguments(written, symbol, signature, scope)
        for name, part in written.parts:
            self.note(name.span, local_symbol("parameter", name, self.module.path, written), defines=True)
            self.data_type(part, known, scope)

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────

    def body(self, statements: Sequence[Stmt], kind: str, scope: _Scope, end: int) -> None:
        """`kind` is that of the declaration, or `phase`; `end` is where its names end."""
        for statement in statements:
            match statement:
                case FieldStmt(name, value):
                    field = fields.BY_KIND.get(kind, {}).get(name.text)
                    symbol = Symbol("unknown" if field is None else "field", name.text, kind, -1, field)
                    self.note(name.span, symbol)
                    if (
                        symbol == INPUT_OF_MODEL
                        and isinstance(value, CallExpr)
                        and isinstance(value.callee, Name)
                    ):
                        self.input_of_model(value, value.callee, scope)
                    else:
                        self.expr(value, scope, field.type if field else ANY)
                case Phase(name, inner):
                    self.note(name.span, local_symbol("phase", name, self.module.path, statement), True)
                    self.body(inner, "phase", _Scope(scope), statement.span.end)
                case LayerStmt(call):
                    self.expr(call, scope, LAYER)
                case LetStmt(name, value):
                    self.expr(value, scope)
                    stands = self.stands_for(value, scope)
                    tensor = isinstance(value, Name) and stands is not None and stands.kind == "tensor"
                    kind_of_name, start = "tensor" if tensor else "variable", statement.span.end
                    symbol = self.define(kind_of_name, name, scope, start, end, statement)
                    self.aliases[symbol] = stands
                case BranchStmt(name, what, inner):
                    self.body(inner, kind, _Scope(scope, {}), statement.span.end)
                    kind_of_name, start = "module" if what == "module" else "tensor", statement.span.end
                    self.define(kind_of_name, name, scope, start, end, statement)
                case IfStmt(condition, yes, no):
                    self.expr(condition, scope, BOOL)
                    between = no[0].span.start if no else statement.span.end
                    self.body(yes, kind, _Scope(scope), between)
                    self.body(no, kind, _Scope(scope), statement.span.end)
                case ForStmt(names, iterable, inner):
                    self.expr(iterable, scope)
                    within = _Scope(scope)
                    for name in names:
                        self.define(
                            "variable", name, within, iterable.span.end, statement.span.end, statement
                        )
                    self.body(inner, kind, within, statement.span.end)
                case GroupStmt(name, inner):
                    self.body(inner, kind, _Scope(scope, {}), statement.span.end)
                    new = local_symbol("group", name, self.module.path, statement)
                    symbol = scope.groups.setdefault(name.text, new)
                    self.note(name.span, symbol, defines=True)
                    if any(kept(statement)) and name.text not in scope.names:
                        self.bring(symbol, name, scope, statement.span.end, end)

    def input_of_model(self, call: CallExpr, callee: Name, scope: _Scope) -> None:
        """`image(3, 224, 224)`"""
        sizes = OF_MODEL.get(callee.text)
        symbol = Symbol("unknown" if sizes is None else "type", callee.text)
        signature = None
        if sizes is not None:
            signature = Signature(callee.text, [Slot(name, fields.COUNT, True) for name in sizes])
            self.calls[call] = Called(call, symbol, signature)
        self.note(callee.span, symbol)
        self.arguments(call, symbol, signature, scope)

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────

    def expr(self, expr: Expr, scope: _Scope, want: Type = ANY) -> None:
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
                inner = _Scope(scope)
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

    def named(self, name: Name, scope: _Scope, want: Type, called: bool = False) -> Symbol:
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

    def call(self, call: CallExpr, scope: _Scope, want: Type) -> None:
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
            return component_signature(target)
        if isinstance(target, Declared):
            return declared_signature(target)
        if symbol.kind == "statement":
            return STATEMENT_SIGNATURES[symbol.name]
        return TTA if symbol == Symbol("function", TTA.name) else None

    def arguments(
        self, call: CallExpr | DataType, symbol: Symbol | None, signature: Signature | None, scope: _Scope
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
            for parameter in getattr(declared.decl, "params", None) or ():
                if parameter.name.text == name:
                    return local_symbol("parameter", parameter.name, declared.module.path, parameter)
        known = slot is not None or (signature is not None and signature.others is not None)
        if symbol is None or not known:
            return Symbol("unknown", name)
        return Symbol("argument", name, symbol.home or symbol.name, -1, slot)

    # ── attributes ──────────────────────────────────────────────────────────────────────────────────────

    def member(self, value: Expr, name: Name, scope: _Scope) -> Symbol:
        """What stands after a dot: a group of a trained model, a part or fact of a data block, a size of a tensor."""
        symbol = self.stands_for(value, scope)
        if symbol is None:
            return Symbol("attribute", name.text)
        known = members(symbol, self.catalog, self.recording)
        return known.get(name.text, Symbol("unknown", name.text))

    def stands_for(self, value: Expr, scope: _Scope) -> Symbol | None:
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


INPUT_OF_MODEL = Symbol("field", "input", "model")

STATEMENT_SIGNATURES: Mapping[str, Signature] = {
    name: Signature(name, [Slot("f", MODULE, True) if name == "apply" else Slot("s", TENSOR, True)])
    for name in STATEMENTS
}
"""What joins, `from` and `apply` take; `concat` takes several."""


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


def slot_of(signature: Signature, position: int, argument: Argument) -> Slot | None:
    """The parameter that an argument is for."""
    if argument.name is not None:
        return signature.slot(argument.name.text)
    positional = signature.positional
    return positional[position] if position < len(positional) else None


def declared_signature(declared: Declared) -> Signature | None:
    """What a declaration may be given; None where it takes nothing."""
    params = getattr(declared.decl, "params", None)
    if params is None:
        return None
    slots = [
        Slot(
            p.name.text,
            ANY if p.type is None else type_of(p.type, Diagnostics()),
            p.default is None,
            p.default,
        )
        for p in params
    ]
    return Signature(declared.name, slots)


def _of_kind(components: Sequence[Component], kinds: Iterable[str]) -> Component:
    """The component of one of the kinds that are wanted, else the first."""
    return next((c for c in components if c.kind in kinds), components[0])
