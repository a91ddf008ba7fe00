"""Calls in expressions: of functions, components, and declarations with parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfc.dsl import other_names
from mfc.dsl import want as wanted
from mfc.dsl.calls import Bound, Signature, Slot, bind, check_together
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Fix
from mfc.dsl.functions import FUNCTIONS, FunctionError, call_function
from mfc.dsl.names import Names, is_optimizer
from mfc.dsl.params import type_of
from mfc.dsl.ranges import Range
from mfc.dsl.resolve import Declared, Unavailable, Used
from mfc.dsl.scope import LimitReached, Scope, make_list
from mfc.dsl.source import Span, apart
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import (
    Attribute,
    BodyDecl,
    BrokenDecl,
    CallExpr,
    DataDecl,
    LetStmt,
    Name,
    Param,
    Parameter,
    ValueDecl,
)
from mfc.dsl.types import ANY, Kind, ListOf, Number, Type, Unknown, describe, union
from mfc.dsl.values import ComponentValue, Instance
from mfc.dsl.wording import kind_name, with_article

TTA = Signature(
    "tta",
    [
        Slot("model", Kind("train"), True),
        Slot("n", Number(integer=True, range=Range(lo=1)), False, 4),
        Slot("beta", Number(integer=False, range=Range(0, 1)), False, 0.25),
    ],
)
"""The one function whose arguments have names."""

TENSOR, MODULE, PART = Kind("tensor"), Kind("module"), Kind("part")


class Calls(Names):
    """The values of calls."""

    def call(self, expr: CallExpr, scope: Scope, want: Type) -> Any:
        callee = expr.callee
        if isinstance(callee, Attribute) and self.is_python(callee, scope):
            self.unknown(Name(callee.span.text, callee.span), scope, want, called=True)
            return self.arguments_anyway(expr, scope)
        if not isinstance(callee, Name):
            value = self.evaluate(callee, scope)
            if not isinstance(value, Unknown):
                self.diagnostics.add(
                    "E0310", callee.span, f"{describe(value)} can't be called", "not a function"
                )
            return self.arguments_anyway(expr, scope)
        if local := scope.find(callee.text):
            if not isinstance(local[0], Unknown):
                self.diagnostics.add(
                    "E0310", callee.span, f"{describe(local[0])} can't be called", "not a function"
                )
            return self.arguments_anyway(expr, scope)
        match scope.module.names.get(callee.text):
            case Declared() as declared:
                return self.call_declared(declared, expr, scope)
            case Used(components):
                return self.call_component(components, expr, scope, want)
            case Unavailable():
                return self.arguments_anyway(expr, scope)
        if callee.text in FUNCTIONS:
            return self.call_function(callee.text, expr, scope)
        fitting = self.catalog.named(callee.text, wanted.kinds(want))
        others = [] if fitting else self.catalog.named(callee.text)
        if others and wanted.kinds(want):
            kind = wanted.kinds(want)[0]
            self.diagnostics.add(
                "E0204",
                callee.span,
                f"`{callee.text}` is not {with_article(kind_name(kind))}",
                f"is {with_article(kind_name(others[0].kind))}",
                help=other_names.component(callee.text, [kind])
                or did_you_mean(callee.text, self.catalog.names(kind)),
            )
            return self.arguments_anyway(expr, scope)
        if fitting or others:
            return self.call_component(tuple(fitting or others), expr, scope, want)
        self.unknown(callee, scope, want, called=True)
        return self.arguments_anyway(expr, scope)

    def arguments_anyway(self, expr: CallExpr, scope: Scope) -> Unknown:
        """Looks into the arguments of a call that means nothing, so that their own mistakes are reported too."""
        for argument in expr.arguments:
            self.evaluate(argument.value, scope)
        return Unknown(ANY)

    def call_function(self, name: str, expr: CallExpr, scope: Scope) -> Any:
        if name == TTA.name:
            return call_function(name, list(bind(self, TTA, expr, scope, Scope(scope.module)).args.values()))
        if named := next((a for a in expr.arguments if a.name is not None), None):
            self.diagnostics.add(
                "E0203", named.span, f"`{name}` takes no named arguments", "write the value alone"
            )
            return self.arguments_anyway(expr, scope)
        args = [self.evaluate(a.value, scope) for a in expr.arguments]
        try:
            value = call_function(name, args)
        except FunctionError as error:
            self.diagnostics.add("E0305", expr.span, str(error), "wrong use")
            return Unknown(ANY)
        if isinstance(value, list):
            self.budget.spend(expr.span, len(value))
            return self.make_list(value, expr.span)
        return value

    def call_component(
        self, components: tuple[Component, ...], expr: CallExpr, scope: Scope, want: Type
    ) -> Any:
        kinds = wanted.kinds(want)
        fitting = [c for c in components if c.kind in kinds] or list(components)
        bound = bind(self, self.signature(fitting[0]), expr, scope, Scope(scope.module))
        check_together(self, fitting[0], bound, expr)
        return ComponentValue(fitting[0], bound.args, expr.span, bound.written)

    def signature(self, info: Component) -> Signature:
        """What a component may be given; worked out once."""
        known = self._signatures.get(info.target)
        if known is None:
            known = self._signatures[info.target] = component_signature(info)
        return known

    def call_declared(self, declared: Declared, expr: CallExpr, scope: Scope) -> Any:
        decl = declared.decl
        if isinstance(decl, BrokenDecl):
            return self.arguments_anyway(expr, scope)
        if isinstance(decl, LetStmt | Param) or (decl.params is None and not _is_block(decl)):
            at = expr.span
            self.diagnostics.add(
                "E0310",
                at,
                f"`{declared.name}` has no parameters and can't be called",
                "not a function",
                help=f"write `{declared.name}` alone",
                fix=Fix("Remove the parentheses", at, apart(at.source.text, at.start, at.end, declared.name)),
            )
            return self.arguments_anyway(expr, scope)
        args = self.bind_declared(declared, expr, scope).args
        if isinstance(decl, ValueDecl) and is_optimizer(decl):
            self.budget.enter(f"for the optimizer `{declared.name}`", expr.span)
            value = self.value(
                decl.value, Scope(declared.module, args), Kind("optimizer"), f"`{declared.name}`"
            )
            self.budget.leave()
            return value
        return Instance(declared, tuple(args.items()))

    def bind_declared(self, declared: Declared, expr: CallExpr, scope: Scope) -> Bound:
        """The arguments of a call of a declaration with parameters, defaults filled in."""
        return bind(self, self.declared_signature(declared), expr, scope, Scope(declared.module))

    def declared_signature(self, declared: Declared) -> Signature:
        decl = declared.decl
        assert isinstance(decl, DataDecl | ValueDecl | BodyDecl)
        slots = [
            Slot(p.name.text, self.parameter_type(p), p.default is None, p.default) for p in decl.params or ()
        ]
        return Signature(declared.name, slots)

    def parameter_type(self, parameter: Parameter) -> Type:
        """The type that a declaration's parameter asks for."""
        return ANY if parameter.type is None else type_of(parameter.type, self.diagnostics)

    def make_list(self, items: Sequence[Any], span: Span) -> Any:
        try:
            return make_list(items)
        except OverflowError as error:
            raise LimitReached("E0602", str(error), span) from error


def component_signature(info: Component) -> Signature:
    """What a spec may write in a call of a component: what is filled from the incoming shape is left out, extra
    tensors of a layer's `forward`, the module that it shares weights with, and the texts of a tokenizer are added."""
    slots = [
        Slot(p.name, p.type, p.required, None if p.required else p.default, p.keyword_only)
        for p in info.parameters
        if not p.is_in
    ]
    slots += [Slot(name, TENSOR, needed, None, True) for name, needed in info.passes.items()]
    if info.kind == "layer":
        slots.append(Slot("tie", MODULE, False, None, True))
    if info.kind == "tokenizer":
        slots.append(Slot("fit_on", union([PART, ListOf(PART)]), False, None, True))
    return Signature(info.name, slots, info.others)


def _is_block(decl: object) -> bool:
    return isinstance(decl, BodyDecl) and decl.kind == "block"
