"""How messages write plain values, kinds and lists of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def text(value: Any) -> str:
    """A plain value as the language writes it, a string without its quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, int | float):
        return number(value)
    return str(value)


def string(value: str) -> str:
    """A string as the language writes it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def quoted(value: str) -> str:
    """A string as messages show it: as the language writes it, cut where it is long."""
    return string(value if len(value) <= 40 else value[:37] + "...")


def literal(value: Any) -> str:
    """A plain value as the language writes it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(item) for item in value)}]"
    return text(value)


def kind_name(kind: str) -> str:
    """A kind as users read it: `batch transform`."""
    return "data block" if kind == "data" else kind.replace("_", " ")


def with_article(noun: str) -> str:
    """`a loss`, `an optimizer`"""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def either(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`"""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def number(x: float) -> str:
    """The shorter of the plain and the scientific form: `0.1`, `3e-3`, `30000`."""
    if isinstance(x, int) or x in (float("inf"), float("-inf")) or x != x:
        return str(x)
    if x.is_integer() and abs(x) < 1e15:
        return str(int(x))
    exact = next(form for digits in range(17) if float(form := f"{x:.{digits}e}") == x)
    mantissa, exponent = exact.split("e")
    return min(repr(x), f"{mantissa}e{int(exponent)}", key=len)
