"""Checks the fields of a body against the table of its kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mfc.dsl import other_names
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.fields import BY_KIND, PHASE, TRAIN, Field
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.suggest import Hint, did_you_mean
from mfc.dsl.syntax import CallExpr, Expr, FieldStmt, LayerStmt, LetStmt, Name, Phase, Stmt
from mfc.dsl.typed import Fields
from mfc.dsl.types import ANY, Unknown
from mfc.dsl.wording import kind_name, with_article


def check_fields(
    evaluator: Evaluator, kind: str, body: Sequence[Stmt], scope: Scope, owner: Span, name: str
) -> Fields:
    """The value of each field, checked. `owner` is the name of the declaration, where a missing field is reported."""
    table = BY_KIND[kind]
    values: dict[str, Any] = {}
    written: dict[str, Expr] = {}
    names: dict[str, Span] = {}
    seen: dict[str, Span] = {}
    meant: set[str] = set()
    for statement in body:
        match statement:
            case FieldStmt(name=Name(text=text)):
                field = _field(evaluator, kind, table, statement, seen, meant)
                value = evaluator.evaluate(statement.value, scope, field.type if field else ANY)
                if field is None:
                    continue
                seen[text] = statement.name.span
                if value is not None:  # a field that is none is absent
                    names[text] = statement.name.span
                    written[text] = statement.value
                    values[text] = evaluator.expect(value, field.type, statement.value, f"`{text}`")
            case LetStmt():
                evaluator.define(statement.name, evaluator.evaluate(statement.value, scope), scope)
            case Phase() if kind == "train":
                pass
            case _:
                evaluator.diagnostics.add(
                    "E0206",
                    statement.span,
                    f"{with_article(kind_name(kind))} has fields only",
                    "not a field",
                    help=_written_as_field(kind, table, statement) or "fields are written `name = value`",
                )
    _missing(evaluator, kind, table, {*names, *meant}, owner, name)
    for field_name, field in table.items():
        values.setdefault(field_name, Unknown(field.type) if field.required else field.default)
    return Fields(values, written, names)


def _field(
    evaluator: Evaluator,
    kind: str,
    table: Mapping[str, Field],
    statement: FieldStmt,
    names: Mapping[str, Span],
    meant: set[str],
) -> Field | None:
    """The field that a statement gives, None where it is reported. `meant` gets the field that it is a slip of."""
    name = statement.name
    if name.text not in table:
        help = (
            _elsewhere(kind, name.text)
            or other_names.field(name.text, table)
            or did_you_mean(name.text, table)
            or f"its fields are {', '.join(table)}"
        )
        if isinstance(help, Hint):
            meant.add(help.instead)
        evaluator.diagnostics.add(
            "E0206",
            name.span,
            f"{with_article(kind_name(kind))} has no field `{name.text}`",
            "unknown field",
            help=help,
        )
        return None
    if name.text in names:
        evaluator.diagnostics.add(
            "E0208",
            name.span,
            f"`{name.text}` is given twice",
            "given again here",
            labels=((names[name.text], "first given here"),),
            help="remove one of the two",
        )
        return None
    return table[name.text]


def _written_as_field(kind: str, table: Mapping[str, Field], statement: Stmt) -> str:
    """A hint to the field that says what a call is meant to do, as `freeze()` does in fastai."""
    match statement:
        case LayerStmt(call=CallExpr(callee=Name(text=text))):
            if text in table:
                return f"write `{text} = ...`"
            return _elsewhere(kind, text) or other_names.asked(text)
    return ""


def _elsewhere(kind: str, name: str) -> str:
    """A hint to where a field of a train stands that is written in its phase, or the reverse."""
    if kind == "train" and name in PHASE:
        return f"it stands in a phase: `phase head {{ {name} = ...  epochs = ... }}`"
    return "it stands in the train, for all of its phases" if kind == "phase" and name in TRAIN else ""


def _missing(
    evaluator: Evaluator,
    kind: str,
    table: Mapping[str, Field],
    names: Collection[str],
    owner: Span,
    name: str,
) -> None:
    for field_name, field in table.items():
        if field.required and field_name not in names:
            evaluator.diagnostics.add(
                "E0207",
                owner,
                f"the {kind} `{name}` has no `{field_name}`",
                f"`{field_name}` is missing",
                help=f"add `{field_name} = ...`: {field.doc}",
            )
