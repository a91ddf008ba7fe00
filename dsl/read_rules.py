"""Reads the rules in a component's decorator, and holds them against the component's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from mfc.dsl.component import Parameter
from mfc.dsl.fields import INPUTS, TARGETS
from mfc.dsl.rules import (
    COUNT,
    KEYWORDS,
    SHAPE,
    Binary,
    Call,
    Count,
    Expr,
    Name,
    Rest,
    Rule,
    RuleError,
    parse_count,
    parse_rule,
)
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.types import AnyType, Bool, Choice, Kind, ListOf, Number, Type, Union

OF_DATA = ("vocab",)
"""Arguments that are filled from the data, whatever the shape that comes in."""


WORDS = {"targets": TARGETS, "inputs": INPUTS, "mixes": INPUTS, "better": ("higher", "lower")}
"""What facts that name something of the language may hold."""


class Fault(NamedTuple):
    """What is wrong with a decorator's argument `fact`, at `position` in a rule that can't be read."""

    fact: str
    message: str
    help: str = ""
    position: int | None = None
    code: str = "E0706"


def faults(facts: Mapping[str, Any], parameters: Sequence[Parameter]) -> Iterator[Fault]:
    """What is wrong with the shape rule and the count rule of a component, and with words of its other facts."""
    for fact, words in WORDS.items():
        given = facts.get(fact) or ()
        for word in [given] if isinstance(given, str) else given:
            if word not in words:
                help = did_you_mean(word, words) or f"it takes {', '.join(words)}"
                yield Fault(fact, f"`{fact}` has no `{word}`", help, code="E0704")
    rule = None
    if shape := facts.get("shape"):
        try:
            rule = parse_rule(shape)
        except RuleError as error:
            yield _unreadable("shape", SHAPE, error)
            return
        yield from _of_shape(rule, parameters)
    if text := facts.get("parameters"):
        try:
            count = parse_count(text)
        except RuleError as error:
            yield _unreadable("parameters", COUNT, error)
        else:
            yield from _of_count(count, rule, parameters)


def _unreadable(fact: str, what: str, error: RuleError) -> Fault:
    return Fault(fact, f"the {what} can't be read: {error.message}", position=error.position)


def _of_shape(rule: Rule, parameters: Sequence[Parameter]) -> Iterator[Fault]:
    parts = [*(size for dims in rule.gives for size in dims), *([rule.where] if rule.where else [])]
    if rule.takes is not None:  # else names may be sizes that differ from item to item
        yield from _names("shape", SHAPE, parts, rule.dims, parameters)
    yield from _window("shape", SHAPE, rule.text, parameters)
    for parameter in parameters:
        if parameter.is_in and parameter.name not in (*rule.dims, *OF_DATA):
            message = f"`{parameter.name}` is filled from what comes in, and the shape rule has no such dim"
            yield Fault("shape", message, f"name a dim of the input `{parameter.name}`")


def _of_count(count: Count, rule: Rule | None, parameters: Sequence[Parameter]) -> Iterator[Fault]:
    dims = rule.dims if rule is not None else ()
    yield from _names("parameters", COUNT, count.parts, dims, parameters)
    yield from _window("parameters", COUNT, count.text, parameters)
    takes = rule.takes or () if rule is not None else ()
    rests = any(use is _Use.DIMS for part in count.parts for _, use in _uses(part))
    if rests and not any(isinstance(item, Rest) for item in takes):
        message = (
            "`...` in the count rule stands for dims of what comes in, which the shape rule does not have"
        )
        yield Fault("parameters", message)


def _window(fact: str, what: str, text: str, parameters: Sequence[Parameter]) -> Iterator[Fault]:
    own = [parameter.name for parameter in parameters if not parameter.is_in]
    if "ks" not in own and re.search(r"\b(t?conv|pool)\(", text):
        yield Fault(fact, f"the {what} computes a window, and there is no parameter `ks`")


def _names(
    fact: str, what: str, parts: Sequence[Expr], dims: Sequence[str], parameters: Sequence[Parameter]
) -> Iterator[Fault]:
    """The names that are neither dims nor parameters, and the parameters that nothing can be computed with."""
    own = {parameter.name: parameter.type for parameter in parameters if not parameter.is_in}
    uses = dict(use for part in parts for use in _uses(part))
    for name, use in uses.items():
        base, dot, _ = name.partition(".")
        if name in dims or name in OF_DATA or use is _Use.DIMS:
            continue
        if base not in own:
            help = f"its parameters are {', '.join(sorted(own))}" if own else "it has no parameters"
            yield Fault(fact, f"`{base}` in the {what} is neither a dim nor a parameter", help)
            continue
        use = _Use.COMPONENT if dot else use
        component = what == COUNT and use is _Use.NUMBER and _fits(own[base], _Use.COMPONENT)
        if not component and not _fits(own[base], use):
            yield Fault(fact, f"`{base}` in the {what} has to be {use.value}, and is {own[base].words()}")


class _Use(Enum):
    """What a name in a rule stands for, in words."""

    NUMBER = "an integer"
    TRUTH = "true or false"
    LIST = "a list of integers"
    COMPONENT = "a component"
    DIMS = "dims of what comes in"


def _uses(expr: Expr, truth: bool = False) -> Iterator[tuple[str, _Use]]:
    """Every name in an expression with what it stands for."""
    match expr:
        case Name(name):
            yield name, _Use.TRUTH if truth else _Use.NUMBER
        case Rest(name):
            yield (name, _Use.LIST) if name else ("...", _Use.DIMS)
        case Call(_, args):
            for arg in args:
                yield from _uses(arg)
        case Binary(op, left, right):
            yield from _uses(left, op in KEYWORDS)
            yield from _uses(right, op in KEYWORDS)


def _fits(of: Type, use: _Use) -> bool:
    """Whether a type has values for a use. True and false are numbers too: 1 and 0."""
    for member in of.members if isinstance(of, Union) else (of,):
        match member:
            case AnyType():
                return True
            case Number(integer=True) if use is _Use.NUMBER:
                return True
            case Bool() if use in (_Use.NUMBER, _Use.TRUTH):
                return True
            case Choice(values) if use is _Use.NUMBER and any(isinstance(value, int) for value in values):
                return True
            case ListOf(item) if use is _Use.LIST and _fits(item, _Use.NUMBER):
                return True
            case Kind() if use is _Use.COMPONENT:
                return True
    return False
