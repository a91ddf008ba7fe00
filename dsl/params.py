"""Params: their types and domains, and the values they are set to from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mfc.dsl import other_names
from mfc.dsl.builder import unquoted
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.ranges import Range
from mfc.dsl.resolve import Declared, Program
from mfc.dsl.scope import Scope
from mfc.dsl.source import Source, Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import Domain, Literal, Param, TypeExpr
from mfc.dsl.types import ANY, BOOL, FLOAT, INT, PATH, STRING, Choice, ListOf, Number, Type, Unknown, describe

if TYPE_CHECKING:
    from mfc.dsl.names import Names

PLAIN = {"int": INT, "float": FLOAT, "bool": BOOL, "string": STRING, "path": PATH}
COMMAND_LINE = "--set"

_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,])+')
"""One of a list on a command line. A string may stand in quotes there, as a spec has it."""


def type_of(written: TypeExpr, diagnostics: Diagnostics) -> Type:
    """The type that is written after a `:`."""
    name, arguments = written.name.text, written.arguments
    if name in PLAIN and not arguments:
        return PLAIN[name]
    if name == "list" and len(arguments) == 1 and isinstance(arguments[0], TypeExpr):
        return ListOf(type_of(arguments[0], diagnostics))
    if name == "choice" and arguments:
        return Choice(tuple(a.value if isinstance(a, Literal) else a.name.text for a in arguments))  # type: ignore[arg-type]
    diagnostics.add(
        "E0309",
        written.span,
        f"`{written.span.text}` is not a type",
        "unknown type",
        help=other_names.type_name(name)
        or did_you_mean(name, [*PLAIN, "list", "choice"])
        or "the types are int, float, bool, string, path, choice(a, b) and list(T)",
    )
    return ANY


def param_type(evaluator: Names, decl: Param, scope: Scope) -> Type:
    """The type of a param within its domain."""
    kind = type_of(decl.type, evaluator.diagnostics)
    if decl.domain is None:
        return kind
    if not isinstance(kind, Number):
        evaluator.diagnostics.add(
            "E0307",
            decl.domain.span,
            f"only numbers have a domain, not {kind}",
            "a domain of numbers",
            help="`choice(a, b)` is the type of a value that is one of several",
        )
        return kind
    return _within(evaluator, kind, decl.domain, scope)


def _within(evaluator: Names, kind: Number, domain: Domain, scope: Scope) -> Type:
    lo = evaluator.value(domain.lo, scope, kind, "the lower end of a domain")
    hi = evaluator.value(domain.hi, scope, kind, "the upper end of a domain")
    if not isinstance(lo, int | float) or not isinstance(hi, int | float):
        return kind
    if lo > hi or (domain.log and lo <= 0):
        evaluator.diagnostics.add(
            "E0307",
            domain.span,
            "the domain is empty" if lo > hi else "a log domain is above 0",
            "no number is in it",
            help="write the smaller end first" if lo > hi else "",
        )
        return kind
    return Number(kind.integer, Range(lo, hi))


def param_value(evaluator: Names, decl: Param, scope: Scope) -> Any:
    """The value that a param is set to, else its default. Both are checked."""
    kind = param_type(evaluator, decl, scope)
    default: Any = Unknown(kind)
    if decl.default is not None:
        default = evaluator.value(decl.default, scope, kind, f"the default of `{decl.name.text}`")
    reached = evaluator.program.entry.names.get(
        decl.name.text
    )  # another file's own param may have the same name
    if decl.name.text in evaluator.settings and isinstance(reached, Declared) and reached.decl is decl:
        return _setting(evaluator, decl, kind)
    if decl.default is None and not evaluator.opening:
        evaluator.diagnostics.add(
            "E0306",
            decl.name.span,
            f"the param `{decl.name.text}` has no value",
            "no default, and not set",
            help=f"run with `--set {decl.name.text}=...`",
        )
    return default


def _setting(evaluator: Names, decl: Param, kind: Type) -> Any:
    """The value from outside: text from the command line is read as the param's type asks."""
    name, given = decl.name.text, evaluator.settings[decl.name.text]
    value = parse_setting(given, kind) if isinstance(given, Text) else given
    problem = kind.accepts(value)
    if problem is None:
        return value
    source = Source(COMMAND_LINE, f"{name}={given}")
    evaluator.diagnostics.add(
        "E0306",
        Span(source, len(name) + 1, len(source.text)),
        f"`{name}` must be {problem.expected}, not {describe(value)}",
        f"expected {problem.expected}",
        labels=((decl.span, "the param"),),
    )
    return Unknown(kind)


class Text(str):
    """A setting as it was typed on a command line, not yet read as any type."""


def parse_setting(text: str, kind: Type) -> Any:
    """What was typed, read as a type asks; the text itself where it can't be."""
    text = str(text)
    match kind:
        case Number(integer=True):
            return _number(int, text)
        case Number():
            return _number(float, text)
        case ListOf():
            inner = text.strip().removeprefix("[").removesuffix("]")
            items = [item.strip() for item in _ITEM.findall(inner)]
            return [parse_setting(_item(item), kind.item) for item in items if item]
        case Choice():
            return next((v for v in kind.values if str(v) == text), text)
    if kind == BOOL:
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _item(text: str) -> str:
    return unquoted(text) if len(text) > 1 and text[0] == text[-1] == '"' else text


def _number(of: type, text: str) -> Any:
    try:
        return of(text.replace("_", ""))
    except ValueError:
        return text


def settable(program: Program) -> set[str]:
    """The names of params that can be set from outside: those of the spec, and of what it imports by name."""
    return {
        name
        for name, binding in program.entry.names.items()
        if isinstance(binding, Declared) and isinstance(binding.decl, Param)
    }


def check_settings(program: Program, settings: Mapping[str, Any], diagnostics: Diagnostics) -> None:
    """Reports settings that no param answers to."""
    params = settable(program)
    for name, value in settings.items():
        if name not in params:
            source = Source(COMMAND_LINE, f"{name}={value}")
            diagnostics.add(
                "E0209",
                Span(source, 0, len(name)),
                f"the spec has no param `{name}`",
                "unknown param",
                help=did_you_mean(name, params)
                or (f"its params are {', '.join(sorted(params))}" if params else "it has no params"),
            )
