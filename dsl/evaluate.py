"""The value of an expression, worked out as far as it can be known before anything runs.

One evaluator serves for checking and for building: a parameter whose value is not known is an `Unknown`,
and whatever depends on it is checked as far as its type tells. `want` is the type that the place asks for:
it chooses between components of one name (the `flip` of items and the `flip` of batches).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfc.dsl.suggest import did_you_mean

from mfc.dsl import want as wanted
from mfc.dsl.attributes import attributes
from mfc.dsl.calls import Bound, Signature, Slot, bind
from mfc.dsl.catalog import Catalog
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics, Fix
from mfc.dsl.dims import Dim, TooLarge
from mfc.dsl.functions import FUNCTIONS, FunctionError, call_function
from mfc.dsl.operators import COMPARISONS, operate
from mfc.dsl.params import param_value, type_of
from mfc.dsl.resolve import Declared, Program, Unavailable, Used
from mfc.dsl.scope import Budget, Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    Attribute,
    Binary,
    BodyDecl,
    BrokenDecl,
    CallExpr,
    Comprehension,
    DataDecl,
    Expr,
    FieldStmt,
    IfExpr,
    Index,
    LetStmt,
    ListExpr,
    Literal,
    Missing,
    Name,
    Param,
    Parameter,
    Unary,
    ValueDecl,
)
from mfc.dsl.types import ANY, BOOL, Kind, Type, Unknown, describe, kind_name, with_article
from mfc.dsl.values import (
    ComponentValue,
    History,
    Instance,
    Uncalled,
    Weights,
)

TENSOR, MODULE = Kind("tensor"), Kind("module")


class Evaluator:
    """Evaluates expressions of one program.

    `facts` holds what is known of the data, such as `cifar.classes`. With `opening`, a param without a value is
    no error: the spec is being looked at, not run.
    """

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        settings: Mapping[str, Any],
        facts: Mapping[str, int],
        diagnostics: Diagnostics,
        opening: bool = False,
    ) -> None:
        self.program = program
        self.catalog = catalog
        self.settings = settings
        self.facts = facts
        self.diagnostics = diagnostics
        self.budget = Budget()
        self.opening = opening
        self._known: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._open: list[Declared] = []

    # ── the faces ───────────────────────────────────────────────────────────────────────────────────────

    def value(self, expr: Expr, scope: Scope, want: Type, what: str) -> Any:
        """The value of an expression that must be of a type; `what` names the place in messages.
        Unknown where it is not: the error is reported."""
        value = self.evaluate(expr, scope, want)
        return self.expect(value, want, expr, what)

    def expect(self, value: Any, want: Type, expr: Expr, what: str) -> Any:
        self.budget.spend(expr.span, 1 + (len(value) if isinstance(value, list) else 0))
        if isinstance(value, Uncalled):
            self.not_called(value, expr.span)
            return Unknown(want)
        problem = want.accepts(value)
        if problem is None:
            return value
        inner = wanted.item(want)
        if (
            isinstance(value, list)
            and isinstance(expr, ListExpr)
            and inner is not None
            and len(value) == len(expr.items)
        ):
            return [self.expect(v, inner, e, f"an item of {what}") for v, e in zip(value, expr.items)]
        self.diagnostics.add(
            "E0301" if problem.reason == "type" else "E0302", expr.span,
            f"{what} must be {problem.expected}, not {problem.found}", f"expected {problem.expected}",
            help=did_you_mean(str(value), problem.choices),
        )  # fmt: skip
        return Unknown(want)

    def not_called(self, value: Uncalled, span: Span) -> None:
        self.diagnostics.add(
            "E0217", span, f"`{value.name}` is named but not called", "missing `()`",
            help=f"write `{value.name}()`, with its arguments between the parentheses",
            fix=Fix(f"call `{value.name}`", span, f"{value.name}()"),
        )  # fmt: skip

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────

    def evaluate(self, expr: Expr, scope: Scope, want: Type = ANY) -> Any:
        self.budget.spend(expr.span)
        match expr:
            case Literal():
                return expr.value
            case Name():
                return self.name(expr, scope, want)
            case CallExpr():
                return self.call(expr, scope, want)
            case ListExpr():
                return self.list(expr, scope, want)
            case Comprehension():
                return self.comprehension(expr, scope, want)
            case Attribute():
                return self.attribute(expr, scope)
            case Index():
                return self.index(expr, scope)
            case Unary():
                return self.unary(expr, scope)
            case Binary():
                return self.binary(expr, scope)
            case IfExpr():
                return self.conditional(expr, scope, want)
            case Missing():
                return Unknown(ANY)

    def list(self, expr: ListExpr, scope: Scope, want: Type) -> Any:
        inner = wanted.item(want) or ANY
        values = [self.evaluate(item, scope, inner) for item in expr.items]
        return [v for v in values if v is not None]

    def comprehension(self, expr: Comprehension, scope: Scope, want: Type) -> Any:
        inner = wanted.item(want) or ANY
        out = []
        for names in self.iterate(expr.iterable, expr.names, scope):
            here = scope.inner(names)
            kept = expr.condition is None or self.condition(expr.condition, here)
            if kept is False:
                continue
            value = self.evaluate(expr.body, here, inner)
            if kept is None or any(isinstance(v, Unknown) for v in names.values()):
                return Unknown(want)
            if value is not None:
                out.append(value)
        return out

    def iterate(self, iterable: Expr, names: Sequence[Name], scope: Scope) -> list[dict[str, Any]]:
        """What the loop variables are in each round; one round of Unknowns where the list is not known."""
        items = self.evaluate(iterable, scope)
        if isinstance(items, Unknown | Dim):
            return [{name.text: Unknown(ANY) for name in names}]
        if not isinstance(items, list):
            self.diagnostics.add(
                "E0305", iterable.span, f"a loop goes over a list, not over {describe(items)}", "not a list",
                help=f"write `range({iterable.span.text})` to count" if isinstance(items, int) else "",
            )  # fmt: skip
            return [{name.text: Unknown(ANY) for name in names}]
        if len(names) == 1:
            return [{names[0].text: item} for item in items]
        rounds = []
        for item in items:
            if isinstance(item, Unknown):
                rounds.append({name.text: Unknown(ANY) for name in names})
            elif isinstance(item, list) and len(item) == len(names):
                rounds.append({name.text: v for name, v in zip(names, item)})
            else:
                self.diagnostics.add(
                    "E0305", names[0].span.to(names[-1].span), f"{len(names)} names for {describe(item)}", f"{len(names)} names",
                    labels=((iterable.span, "the list"),), help="`enumerate(list)` gives an index and an item",
                )  # fmt: skip
                return [{name.text: Unknown(ANY) for name in names}]
        return rounds

    def condition(self, expr: Expr, scope: Scope) -> bool | None:
        """Whether a condition holds; None where that can't be known yet."""
        value = self.value(expr, scope, BOOL, "a condition")
        return value if isinstance(value, bool) else None

    def conditional(self, expr: IfExpr, scope: Scope, want: Type) -> Any:
        match self.condition(expr.condition, scope):
            case True:
                return self.evaluate(expr.yes, scope, want)
            case False:
                return self.evaluate(expr.no, scope, want)
        yes, no = self.evaluate(expr.yes, scope, want), self.evaluate(expr.no, scope, want)
        if not isinstance(yes, Unknown) and type(yes) is type(no) and yes == no:
            return yes
        return Unknown(want)

    def index(self, expr: Index, scope: Scope) -> Any:
        value, index = self.evaluate(expr.value, scope), self.evaluate(expr.index, scope)
        if isinstance(value, Unknown) or isinstance(index, Unknown | Dim):
            return Unknown(ANY)
        if isinstance(value, list | str) and isinstance(index, int) and not isinstance(index, bool):
            if -len(value) <= index < len(value):
                return value[index]
            self.diagnostics.add(
                "E0308", expr.index.span, f"index {index} is outside a list of {len(value)}", "no such item",
                help=f"the items are 0 to {len(value) - 1}" if value else "the list is empty",
            )  # fmt: skip
        else:
            self.diagnostics.add(
                "E0305", expr.span, f"{describe(value)} can't be indexed with {describe(index)}", "here"
            )
        return Unknown(ANY)

    def unary(self, expr: Unary, scope: Scope) -> Any:
        if expr.op == "not":
            known = self.condition(expr.operand, scope)
            return Unknown(BOOL) if known is None else not known
        value = self.evaluate(expr.operand, scope)
        if isinstance(value, Unknown):
            return value
        if isinstance(value, int | float | Dim) and not isinstance(value, bool):
            return 0 - value if isinstance(value, Dim) else -value
        self.diagnostics.add("E0305", expr.span, f"`-` takes a number, not {describe(value)}", "not a number")
        return Unknown(ANY)

    def binary(self, expr: Binary, scope: Scope) -> Any:
        if expr.op in ("and", "or"):
            return self.logical(expr, scope)
        left, right = self.evaluate(expr.left, scope), self.evaluate(expr.right, scope)
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return Unknown(BOOL if expr.op in COMPARISONS or expr.op == "in" else ANY)
        try:
            result = operate(expr.op, left, right)
            self.budget.spend(expr.span, len(result) if isinstance(result, list) else 1)
            return result
        except ZeroDivisionError:
            self.diagnostics.add("E0308", expr.right.span, "division by zero", "is 0 here")
        except (TypeError, OverflowError, TooLarge) as error:
            reason = "" if isinstance(error, TypeError) else str(error)
            self.diagnostics.add(
                "E0305", expr.span, f"`{expr.op}` does not work on {describe(left)} and {describe(right)}", reason or "here",
                help="`str(number)` makes a string of a number" if isinstance(left, str) or isinstance(right, str) else "",
            )  # fmt: skip
        return Unknown(ANY)

    def logical(self, expr: Binary, scope: Scope) -> Any:
        left = self.condition(expr.left, scope)
        if left is (expr.op == "or"):
            return left
        right = self.condition(expr.right, scope)
        if left is None:
            return right if right is (expr.op == "or") else Unknown(BOOL)
        return Unknown(BOOL) if right is None else right

    # ── names ───────────────────────────────────────────────────────────────────────────────────────────

    def name(self, expr: Name, scope: Scope, want: Type) -> Any:
        if local := scope.find(expr.text):
            return local[0]
        match scope.module.names.get(expr.text):
            case Declared() as declared:
                return self.declared(declared, expr.span, want)
            case Used(components):
                return Uncalled(expr.text, components, expr.span)
            case Unavailable():
                return Unknown(ANY)
        if expr.text in FUNCTIONS:
            return Uncalled(expr.text, expr.text, expr.span)
        if expr.text in self.catalog.constants:
            return self.catalog.constants[expr.text]
        if components := self.catalog.named(expr.text):
            return Uncalled(expr.text, tuple(components), expr.span)
        if expr.text in wanted.words(want):
            return expr.text
        self.unknown(expr, scope, want)
        return Unknown(want)

    def unknown(self, name: Name, scope: Scope, want: Type, called: bool = False) -> None:
        kinds = [k for k in wanted.kinds(want) if self.catalog.names(k)]
        if called and kinds:
            mine = [n for n, b in scope.module.names.items() if isinstance(b, Used)]
            if kinds[0] == "layer":
                mine += [n for n, b in scope.module.names.items() if _is_stack(b)]
            here = [*mine, *(n for kind in kinds for n in self.catalog.names(kind))]
            self.diagnostics.add(
                "E0204", name.span, f"`{name.text}` is not {with_article(kind_name(kinds[0]))}", f"unknown {kind_name(kinds[0])}",
                help=did_you_mean(name.text, here),
            )  # fmt: skip
            return
        known = [
            *scope.local_names(),
            *scope.module.names,
            *FUNCTIONS,
            *self.catalog.constants,
            *self.catalog.all_names(),
        ]
        self.diagnostics.add(
            "E0201",
            name.span,
            f"nothing is called `{name.text}`",
            "unknown name",
            help=did_you_mean(name.text, known),
        )

    def declared(self, declared: Declared, span: Span, want: Type = ANY) -> Any:
        """The value of a declaration that is named without arguments."""
        decl = declared.decl
        if isinstance(decl, BrokenDecl):
            return Unknown(ANY)
        if isinstance(decl, LetStmt | Param):
            return self.constant(declared, span, want)
        if decl.params is None and getattr(decl, "kind", "data") != "block":
            return Instance(declared)
        return Uncalled(declared.name, declared, span)

    def constant(self, declared: Declared, span: Span, want: Type) -> Any:
        """The value of a top-level `let` or of a `param`, worked out once for each kind of thing it is wanted as."""
        key = (id(declared), tuple(wanted.kinds(want)))
        if key not in self._known:
            if any(declared is d for d in self._open):
                self.cycle(declared, span)
                return Unknown(ANY)
            self._open.append(declared)
            try:
                scope = Scope(declared.module)
                decl = declared.decl
                if isinstance(decl, Param):
                    self._known[key] = param_value(self, decl, scope)
                elif isinstance(decl, LetStmt):
                    self._known[key] = self.evaluate(decl.value, scope, want)
            finally:
                self._open.pop()
        return self._known[key]

    def cycle(self, declared: Declared, span: Span) -> None:
        start = next(i for i, d in enumerate(self._open) if d is declared)
        chain = [d.name for d in self._open[start:]] + [declared.name]
        self.diagnostics.add(
            "E0210", span, f"`{declared.name}` is defined by itself", "closes the circle",
            notes=(" -> ".join(chain),), help="break the circle: one of these must not need the others",
        )  # fmt: skip

    # ── attributes ──────────────────────────────────────────────────────────────────────────────────────

    def attribute(self, expr: Attribute, scope: Scope) -> Any:
        value = self.evaluate(expr.value, scope)
        if isinstance(value, Uncalled):
            self.not_called(value, expr.value.span)
            return Unknown(ANY)
        if isinstance(value, Unknown):
            return Unknown(ANY)
        if isinstance(value, Instance) and value.kind == "train":
            return History(value) if expr.name.text == "history" else Weights(value, expr.name.text)
        known = attributes(value, self.classes)
        if expr.name.text in known:
            return known[expr.name.text]
        self.diagnostics.add(
            "E0205", expr.name.span, f"{describe(value)} has no attribute `{expr.name.text}`", "unknown attribute",
            help=did_you_mean(expr.name.text, known) or (f"there are: {', '.join(known)}" if known else ""),
        )  # fmt: skip
        return Unknown(ANY)

    def classes(self, data: Instance) -> Any:
        """The number of classes of a data block: known once its items were read."""
        decl = data.declared.decl
        body = decl.body if isinstance(decl, DataDecl) else ()
        for field in body:
            if (
                isinstance(field, FieldStmt)
                and field.name.text == "vocab"
                and isinstance(field.value, ListExpr)
            ):
                return len(field.value.items)
        fact = f"{data.name}.classes"
        return self.facts.get(fact, Dim.symbol(fact))

    def model_of(self, train: Instance) -> Any:
        """What a train trains: the value of its field `model`."""
        decl = train.declared.decl
        body = decl.body if isinstance(decl, BodyDecl) else ()
        expr = next((s.value for s in body if isinstance(s, FieldStmt) and s.name.text == "model"), None)
        if expr is None:
            return Unknown(ANY)
        return self.evaluate(expr, Scope(train.declared.module, dict(train.args)), Kind("model"))

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────

    def call(self, expr: CallExpr, scope: Scope, want: Type) -> Any:
        callee = expr.callee
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
                "E0204", callee.span, f"`{callee.text}` is not {with_article(kind_name(kind))}", f"is {with_article(kind_name(others[0].kind))}",
                help=did_you_mean(callee.text, self.catalog.names(kind)),
            )  # fmt: skip
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
        self.budget.spend(expr.span, len(value) if isinstance(value, list) else 1)
        return value

    def call_component(
        self, components: tuple[Component, ...], expr: CallExpr, scope: Scope, want: Type
    ) -> Any:
        fitting = [c for c in components if c.kind in wanted.kinds(want)] or list(components)
        bound = bind(self, component_signature(fitting[0]), expr, scope, Scope(scope.module))
        return ComponentValue(fitting[0], bound.args, expr.span, bound.written)

    def call_declared(self, declared: Declared, expr: CallExpr, scope: Scope) -> Any:
        decl = declared.decl
        if isinstance(decl, BrokenDecl):
            return self.arguments_anyway(expr, scope)
        if isinstance(decl, LetStmt | Param) or (decl.params is None and not _is_block(decl)):
            self.diagnostics.add(
                "E0310", expr.span, f"`{declared.name}` has no parameters and can't be called", "not a function",
                help=f"write `{declared.name}` alone",
                fix=Fix("remove the parentheses", expr.span, declared.name),
            )  # fmt: skip
            return self.arguments_anyway(expr, scope)
        return Instance(declared, tuple(self.bind_declared(declared, expr, scope).args.items()))

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


def component_signature(info: Component) -> Signature:
    """What a spec may write in a call of a component: what is filled from the incoming shape is left out, extra
    tensors of a layer's `forward` and the module that it shares weights with are added."""
    slots = [
        Slot(p.name, p.type, p.required, None if p.required else p.default, p.keyword_only)
        for p in info.parameters
        if not p.is_in
    ]
    slots += [Slot(name, TENSOR, needed, None, True) for name, needed in info.passes.items()]
    if info.kind == "layer":
        slots.append(Slot("tie", MODULE, False, None, True))
    return Signature(info.name, slots, info.others)


def _is_block(decl: object) -> bool:
    return isinstance(decl, BodyDecl) and decl.kind == "block"


def _is_stack(binding: object) -> bool:
    return isinstance(binding, Declared) and getattr(binding.decl, "kind", "") in ("block", "model")
