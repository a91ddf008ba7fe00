"""What expressions were found to be while a spec was checked, and what statements made of shapes, for editors that show
it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mfc.dsl.dims import Size, TooLarge
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.scope import Scope
from mfc.dsl.syntax import CallExpr, Expr, Name, Stmt
from mfc.dsl.types import ANY, Type, Unknown
from mfc.dsl.values import Shape

MAX_VALUES = 8


class Passed(NamedTuple):
    """What a statement made of a tensor: the shapes that went in and came out, how many numbers its layers learn, and all
    layers up to its end; None where that is not known."""

    into: Shape
    out: Shape
    parameters: Size | None
    so_far: Size | None


class Recording:
    """The values of expressions, and the shapes around statements. There are several where a body is followed for several
    arguments, or stands in a loop; of these the first `MAX_VALUES` that differ are kept."""

    def __init__(self) -> None:
        self._values: dict[Expr, list[Any]] = {}
        self._passed: dict[Stmt | Name, list[Passed]] = {}

    def add(self, expr: Expr, value: Any) -> None:
        known = self._values.setdefault(expr, [])
        if isinstance(value, Unknown) or len(known) >= MAX_VALUES:
            return
        for other in known:
            if other is value or (type(other) is type(value) and other == value):
                return
        known.append(value)

    def values(self, expr: Expr) -> Sequence[Any]:
        """What was known of an expression, in the order in which it was found: nothing where all depends on what
        only a call or the data tells."""
        return self._values.get(expr, ())

    def add_passed(self, what: Stmt | Name, passed: Passed) -> None:
        known = self._passed.setdefault(what, [])
        if len(known) < MAX_VALUES and all((passed.into, passed.out) != (p.into, p.out) for p in known):
            known.append(passed)

    def passed(self, what: Stmt | Name) -> Sequence[Passed]:
        """What a statement of a body made of tensors, in all its uses; of a branch by its name."""
        return self._passed.get(what, ())

    def __contains__(self, expr: Expr) -> bool:
        """Whether an expression was looked at: not the branch of an `if` that nothing takes."""
        return expr in self._values


class RecordingEvaluator(Evaluator):
    """An evaluator that writes down what it finds."""

    def __init__(self, *args: Any, recording: Recording) -> None:
        super().__init__(*args)
        self.recording = recording

    def passed(
        self,
        what: Stmt | Name,
        into: Shape | None,
        out: Shape | None,
        before: Size | None,
        after: Size | None,
    ) -> None:
        if into is not None and out is not None:
            try:
                count = None if before is None or after is None else after - before
            except TooLarge:
                count = None
            self.recording.add_passed(what, Passed(into, out, count, after))

    def evaluate(self, expr: Expr, scope: Scope, want: Type = ANY) -> Any:
        value = super().evaluate(expr, scope, want)
        self.recording.add(expr, value)
        return value

    def call(self, expr: CallExpr, scope: Scope, want: Type) -> Any:
        value = super().call(expr, scope, want)
        self.recording.add(expr, value)  # a layer's call is asked for without `evaluate`
        return value
