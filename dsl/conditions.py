"""What has to hold for sizes: decided at once, or an obligation for the time when more is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mfc.dsl.dims import Dim, Size, TooLarge, compare, substitute


class Mismatch(Exception):
    """A shape that a component can't take. The reason is part of a sentence, without a full stop."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Relation:
    """`left op right`: two sizes for a comparison, two tests (or truths) for `and` and `or`."""

    op: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Condition:
    """Something that has to hold for sizes: `test`, which `text` says in short. `failure` is the reason where
    it does not hold, with names in braces for `values`."""

    test: Relation | bool
    text: str
    failure: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def decide(self, facts: Mapping[str, Size] | None = None) -> bool | None:
        """Whether it holds, with what is known by now; None where that is still open."""
        try:
            return decide(self.test, facts or {})
        except ZeroDivisionError:
            return False
        except TooLarge:
            return None

    def reason(self, facts: Mapping[str, Size] | None = None) -> str:
        """Why it does not hold: ``` `c % groups == 0` does not hold where c = 6 and groups = 4 ```."""
        return self.failure.format_map(
            {name: _show(value, facts or {}) for name, value in self.values.items()}
        )


def decide(test: Relation | bool, facts: Mapping[str, Size] = MappingProxyType({})) -> bool | None:
    """Whether a test holds, with what is known by now; None where that is still open."""
    if isinstance(test, bool):
        return test
    if test.op not in ("and", "or"):
        return compare(test.op, substitute(test.left, facts), substitute(test.right, facts))
    left, right = decide(test.left, facts), decide(test.right, facts)
    settling = test.op == "or"
    if left is settling or right is settling:
        return settling
    return None if left is None or right is None else not settling


def _show(value: Any, facts: Mapping[str, Size]) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(_show(item, facts) for item in value)})"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    try:
        return str(substitute(value, facts) if isinstance(value, Dim) else value)
    except ZeroDivisionError:
        return str(value)
