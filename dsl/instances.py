"""The names of instances as people write them, outside of a spec: on the command line, in Python."""

from __future__ import annotations

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.parse import parse
from mfc.dsl.scope import LimitReached, Scope
from mfc.dsl.source import Source
from mfc.dsl.syntax import Attribute, CallExpr, Expr, LetStmt
from mfc.dsl.values import Instance


def instance_name(evaluator: Evaluator, written: str) -> str:
    """The name that a call's stages have, of a call as a spec may write it: of `fit( 1 )` it is `fit(seed=1)`, of
    `fit(1).head` it is `fit(seed=1).head`. What is no call of a declaration is given back as it is.
    """
    match _expression(written):
        case Attribute(CallExpr() as call, phase):
            name = _called(evaluator, call)
            return f"{name}.{phase.text}" if name else written
        case CallExpr() as call:
            return _called(evaluator, call) or written
    return written


def _expression(written: str) -> Expr | None:
    if "\n" in written or "\r" in written:
        return None
    mistakes = Diagnostics()
    file = parse(Source("", f"let it = {written}"), mistakes)
    match file.declarations:
        case (LetStmt() as read,) if not mistakes.found:
            return read.value
    return None


def _called(evaluator: Evaluator, call: CallExpr) -> str:
    """The name of the instance that a call gives; empty where it gives none, or has mistakes."""
    try:
        value = evaluator.evaluate(call, Scope(evaluator.program.entry))
    except LimitReached:
        return ""
    return value.name if isinstance(value, Instance) and not evaluator.diagnostics.found else ""
