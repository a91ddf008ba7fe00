"""How many numbers a model learns, by the count rules of its components: nothing is built for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from mfc.dsl import shapes
from mfc.dsl.component import Component
from mfc.dsl.dims import Dim, Size, TooLarge, at_most, total
from mfc.dsl.read_rules import OF_DATA
from mfc.dsl.rules import RuleError, names, parse_count, parse_rule
from mfc.dsl.shapes import Shape
from mfc.dsl.tables import count_rule
from mfc.dsl.values import ComponentValue


def parameters(info: Component, args: Mapping[str, Any], into: Shape, tied: bool = False) -> Size | None:
    """The numbers that a component learns with arguments `args` for what comes in; None where it does not say. The
    `weight` of a layer that is `tied` is another one's."""
    text = count_rule(info, args)
    if text in ("", "0"):
        return 0 if text else None
    args = _with_inner(args)
    given = ((name, _readable(args[name])) for name in _used(text) if name in args)
    read = tuple((name, value) for name, value in given if value is not ...)
    return _counted(text, info.facts.get("shape", ""), into, read, tied)


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


def _readable(value: Any) -> Any:
    """A value as rules compute with it, in which a list is a tuple; `...` for one of another kind."""
    if value is None or isinstance(value, int | Dim):
        return value
    if isinstance(value, list) and all(isinstance(item, int | Dim) for item in value):
        return tuple(value)
    return ...


@lru_cache(4096)
def _used(text: str) -> tuple[str, ...]:
    """The arguments that a count rule may read."""
    try:
        named = [name for part in parse_count(text).parts for name in names(part)]
    except RuleError:
        named = []
    return tuple(dict.fromkeys([*named, *shapes.OF_WINDOWS]))


@lru_cache(4096)
def _counted(
    text: str, shape: str, into: Shape, args: tuple[tuple[str, Any], ...], tied: bool
) -> Size | None:
    """Kept, as most layers of a model stand in it several times, and in all versions of a spec that is edited."""
    try:
        parts = shapes.counted(parse_count(text), parse_rule(shape) if shape else None, into, dict(args))
        count = total(parts[1:] if tied else parts)
    except (shapes.Mismatch, RuleError, TooLarge):
        return None
    return None if at_most(0, count) is False else count


def _with_inner(args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments, in which a component is its own count, beside `encoder.emb_size` for what it was given."""
    inner: dict[str, Any] = {}
    for name, value in args.items():
        if isinstance(value, ComponentValue):
            inner |= {f"{name}.{part}": given for part, given in value.args.items()}
            of_data = {known: args[known] for known in OF_DATA if known in args}
            if (count := parameters(value.info, of_data | dict(value.args), ())) is not None:
                inner[name] = count
    return {**args, **inner} if inner else args
