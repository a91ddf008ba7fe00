"""How many numbers a model learns, by the count rules of its components: nothing is built for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mfc.dsl import shapes
from mfc.dsl.component import Component
from mfc.dsl.dims import Size, TooLarge, at_most, total
from mfc.dsl.read_rules import OF_DATA
from mfc.dsl.rules import Rule, RuleError, parse_count, parse_rule
from mfc.dsl.shapes import Shape
from mfc.dsl.tables import count_rule
from mfc.dsl.values import ComponentValue


def parameters(info: Component, args: Mapping[str, Any], into: Shape, tied: bool = False) -> Size | None:
    """The numbers that a layer learns with arguments `args` for what comes in; None where its component does not say.
    The `weight` of one that is `tied` is another layer's."""
    return _count(info, args, parse_rule(info.facts["shape"]), into, tied)


def together(counts: Iterable[Size | None]) -> Size | None:
    """The sum of counts; None where one of them is not known."""
    known: list[Size] = []
    for count in counts:
        if count is None:
            return None
        known.append(count)
    try:
        return total(known)
    except TooLarge:
        return None


def _count(
    info: Component, args: Mapping[str, Any], rule: Rule | None, into: Shape, tied: bool = False
) -> Size | None:
    """By the count rule of a component, which has a shape rule unless nothing comes in."""
    text = count_rule(info, args)
    if not text:
        return None
    try:
        parts = shapes.counted(parse_count(text), rule, into, _with_inner(args))
        count = total(parts[1:] if tied else parts)
    except (shapes.Mismatch, RuleError, TooLarge):
        return None
    return None if at_most(0, count) is False else count


def _with_inner(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments, in which a component is its own count, beside `encoder.emb_size` for what it was given."""
    found = dict(args)
    for name, value in args.items():
        if isinstance(value, ComponentValue):
            found |= {f"{name}.{inner}": given for inner, given in value.args.items()}
            of_data = {known: args[known] for known in OF_DATA if known in args}
            if (count := _count(value.info, of_data | dict(value.args), None, ())) is not None:
                found[name] = count
    return found
