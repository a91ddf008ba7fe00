"""Notes what the names in declarations and statements stand for."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from mfc.dsl import fields
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.check_data import ARGUMENTS, OF_MODEL
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.members import kept
from mfc.dsl.editor.occurrences import Called, Scope
from mfc.dsl.editor.symbols import Symbol, declared_symbol, local_symbol
from mfc.dsl.editor.walk_expressions import Expressions
from mfc.dsl.elaborate import LAYER
from mfc.dsl.params import PLAIN, type_of
from mfc.dsl.resolve import Declared, import_path
from mfc.dsl.scan import bound, scan
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    BrokenDecl,
    CallExpr,
    DataDecl,
    DataType,
    Decl,
    FieldStmt,
    ForStmt,
    GroupStmt,
    IfStmt,
    Import,
    Language,
    LayerStmt,
    LetStmt,
    Name,
    Param,
    Parameter,
    Phase,
    Stmt,
    TypeExpr,
    ValueDecl,
)
from mfc.dsl.types import ANY, BOOL, Kind


class Walk(Expressions):
    # ── declarations ────────────────────────────────────────────────────────────────────────────────────

    def declaration(self, decl: Decl) -> None:
        if isinstance(decl, Import):
            self.imported(decl)
            return
        if isinstance(decl, Language):
            return
        if decl.name is not None:
            known = self.module.names.get(decl.name.text)
            declared = Declared(self.module, decl)
            if isinstance(known, Declared) and known.decl is decl:  # it is the first of its name
                declared = known
            self.note(decl.name.span, declared_symbol(declared), defines=True)
            self.train = declared if isinstance(decl, BodyDecl) and decl.kind == "train" else None
        scope, end = Scope(), decl.span.end
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
                symbol = self.named(Name(token.text, span), Scope(), ANY, called=True)
                if symbol.kind != "unknown":
                    self.note(span, symbol)

    def imported(self, decl: Import) -> None:
        home = import_path(decl, self.module.path, self.standard)
        self.note(decl.path.span, Symbol("file", posixpath.basename(home), home, target=decl))
        for name in decl.names:
            binding = self.module.names.get(name.text)
            self.note(name.span, self.bound(name.text, binding))

    def parameters(self, params: Sequence[Parameter] | None, scope: Scope, end: int) -> None:
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

    def data_type(self, written: DataType, known: Sequence[str], scope: Scope) -> None:
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

    def body(self, statements: Sequence[Stmt], kind: str, scope: Scope, end: int) -> None:
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
                    self.body(inner, "phase", Scope(scope), statement.span.end)
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
                    self.body(inner, kind, Scope(scope, {}), statement.span.end)
                    kind_of_name, start = "module" if what == "module" else "tensor", statement.span.end
                    self.define(kind_of_name, name, scope, start, end, statement)
                case IfStmt(condition, yes, no):
                    self.expr(condition, scope, BOOL)
                    between = no[0].span.start if no else statement.span.end
                    self.body(yes, kind, Scope(scope), between)
                    self.body(no, kind, Scope(scope), statement.span.end)
                case ForStmt(names, iterable, inner):
                    self.expr(iterable, scope)
                    within = Scope(scope)
                    for name in names:
                        self.define(
                            "variable", name, within, iterable.span.end, statement.span.end, statement
                        )
                    self.body(inner, kind, within, statement.span.end)
                case GroupStmt(name, inner):
                    self.body(inner, kind, Scope(scope, {}), statement.span.end)
                    new = local_symbol("group", name, self.module.path, statement)
                    symbol = scope.groups.setdefault(name.text, new)
                    self.note(name.span, symbol, defines=True)
                    if any(kept(statement)) and name.text not in scope.names:
                        self.bring(symbol, name, scope, statement.span.end, end)

    def input_of_model(self, call: CallExpr, callee: Name, scope: Scope) -> None:
        """`image(3, 224, 224)`"""
        sizes = OF_MODEL.get(callee.text)
        symbol = Symbol("unknown" if sizes is None else "type", callee.text)
        signature = None
        if sizes is not None:
            signature = Signature(callee.text, [Slot(name, fields.COUNT, True) for name in sizes])
            self.calls[call] = Called(call, symbol, signature)
        self.note(callee.span, symbol)
        self.arguments(call, symbol, signature, scope)


INPUT_OF_MODEL = Symbol("field", "input", "model")
