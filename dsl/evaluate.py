"""The value of an expression, worked out as far as it can be known before anything runs.

One evaluator serves for checking and for building: a parameter whose value is not known is an `Unknown`,
and whatever depends on it is checked as far as its type tells. `want` is the type that the place asks for:
it chooses between components of one name (the `flip` of items and the `flip` of batches).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mfc.dsl import want as wanted
from mfc.dsl.attributes import groups_written
from mfc.dsl.callables import Calls
from mfc.dsl.dims import Dim, Size, TooLarge
from mfc.dsl.operators import COMPARISONS, operate
from mfc.dsl.scope import Scope, make_list
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import (
    Attribute,
    Binary,
    CallExpr,
    Comprehension,
    Expr,
    IfExpr,
    Index,
    ListExpr,
    Literal,
    Missing,
    Name,
    Stmt,
    Unary,
)
from mfc.dsl.types import ANY, BOOL, Kind, Type, Unknown, describe, kind_of
from mfc.dsl.values import Instance, Shape, Uncalled


class Evaluator(Calls):
    """Evaluates the expressions of one program."""

    def passed(
        self,
        what: Stmt | Name,
        into: Shape | None,
        out: Shape | None,
        before: Size | None,
        after: Size | None,
    ) -> None:
        """Is told what a statement of a body makes of the current tensor, or a branch of that name, and how many numbers
        the layers before it learn, and those up to it."""

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
            return as_wanted(value, want)
        inner = wanted.item(want)
        if (
            isinstance(value, list)
            and isinstance(expr, ListExpr)
            and inner is not None
            and len(value) == len(expr.items)
            and problem.reason not in ("length", "sum")  # of the list, not of its items
        ):
            return [self.expect(v, inner, e, f"an item of {what}") for v, e in zip(value, expr.items)]
        what = "an item of " * len(problem.at) + what
        if want == Kind("part") and kind_of(value) == "data":
            help: str | Callable[[], str] = f"name a part of it: `{expr.span.text}.valid`"
        elif "initializer" in wanted.kinds(want) and isinstance(value, Instance) and value.kind == "train":
            groups = [f"`{expr.span.text}.{group}`" for group in groups_written(value)]
            help = f"weights are those of a group of its model: {' or '.join(groups) or f'`{expr.span.text}.GROUP`'}"
        else:
            help = lambda: did_you_mean(str(value), problem.choices)
        self.diagnostics.add(
            "E0301" if problem.reason == "type" else "E0302",
            expr.span,
            f"{what} must be {problem.expected}, not {problem.found}",
            f"expected {problem.expected}",
            help=help,
        )
        return Unknown(want)

    def define(self, name: Name, value: Any, scope: Scope) -> None:
        """Gives a name a value, once in each body."""
        if name.text not in scope.names:
            scope.names[name.text] = value
            return
        self.diagnostics.add(
            "E0202",
            name.span,
            f"`{name.text}` already has a value in this body",
            "`let` never changes a value",
            help="use another name",
        )

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
        return self.make_list([v for v in values if v is not None], expr.span)

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
        return self.make_list(out, expr.span)

    def iterate(self, iterable: Expr, names: Sequence[Name], scope: Scope) -> list[dict[str, Any]]:
        """What the loop variables are in each round; one round of Unknowns where the list is not known."""
        self.different(names)
        items = self.evaluate(iterable, scope)
        if isinstance(items, Unknown | Dim):
            return [{name.text: Unknown(ANY) for name in names}]
        if not isinstance(items, list):
            self.diagnostics.add(
                "E0305",
                iterable.span,
                f"a loop goes over a list, not over {describe(items)}",
                "not a list",
                help=f"write `range({iterable.span.text})` to count" if isinstance(items, int) else "",
            )
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
                    "E0305",
                    names[0].span.to(names[-1].span),
                    f"{len(names)} names for {describe(item)}",
                    f"{len(names)} names",
                    labels=((iterable.span, "the list"),),
                    help="`enumerate(list)` gives an index and an item",
                )
                return [{name.text: Unknown(ANY) for name in names}]
        return rounds

    def different(self, names: Sequence[Name]) -> None:
        """Reports a name that a loop gives to two things."""
        for place, name in enumerate(names):
            if first := next((other for other in names[:place] if other.text == name.text), None):
                self.diagnostics.add(
                    "E0202",
                    name.span,
                    f"two things of one round are called `{name.text}`",
                    "named again here",
                    labels=((first.span, "first here"),),
                    help="use another name",
                )

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
                "E0308",
                expr.index.span,
                f"index {index} is outside a list of {len(value)}",
                "no such item",
                help=f"the items are 0 to {len(value) - 1}" if value else "the list is empty",
            )
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
                "E0305",
                expr.span,
                f"`{expr.op}` does not work on {describe(left)} and {describe(right)}",
                reason or "here",
                help="`str(number)` makes a string of a number"
                if isinstance(left, str) != isinstance(right, str)
                else "",
            )
        return Unknown(ANY)

    def logical(self, expr: Binary, scope: Scope) -> Any:
        left = self.condition(expr.left, scope)
        if left is (expr.op == "or"):
            return left
        right = self.condition(expr.right, scope)
        if left is None:
            return right if right is (expr.op == "or") else Unknown(BOOL)
        return Unknown(BOOL) if right is None else right


def as_wanted(value: Any, want: Type) -> Any:
    """A value that fits a type in the form that the type means: 25 where a `float` is wanted is 25.0."""
    if isinstance(value, list) and (of := wanted.item(want)) is not None and wanted.numeric(of):
        return make_list(as_wanted(v, of) for v in value)
    if type(value) is int and wanted.numeric(want):
        return float(value)
    return value
