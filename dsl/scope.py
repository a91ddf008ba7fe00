"""Names and what they are bound to at one place of a body, and the limits that keep any spec from exploding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mfc.dsl.resolve import Module
from mfc.dsl.source import Span

MAX_STEPS = 50_000
"""Steps of one declaration: xresnet152 takes about 12,000."""

MAX_TOTAL = 200_000
"""Steps of all declarations of a spec."""

MAX_DEPTH = 64
MAX_LIST = 20_000
MAX_STRING = 10_000


class ListValue(list[Any]):
    """A list made by a spec. `size` counts what is in it and in the lists in it: lists that hold one another twice
    grow without looking large."""

    size: int


def make_list(items: Iterable[Any]) -> ListValue:
    """A list of a spec. Raises OverflowError where it is too large."""
    made = ListValue(items)
    made.size = len(made) + sum(item.size for item in made if isinstance(item, ListValue))
    if made.size > MAX_LIST:
        raise OverflowError(f"a list can hold {MAX_LIST:,} items at most, with those of the lists in it")
    return made


class LimitReached(Exception):
    """A spec asks for more than the compiler is willing to do: `code` E0601 (depth) or E0602 (steps)."""

    def __init__(self, code: str, message: str, span: Span) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span


class Budget:
    """How much of the allowed work has been done, and which calls are open."""

    def __init__(self, before: int = 0) -> None:
        self.before = before
        self.steps = 0
        self.calls: list[tuple[str, Span]] = []

    def spend(self, span: Span, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise LimitReached("E0602", f"this expands to more than {MAX_STEPS:,} steps", span)
        if self.before + self.steps > MAX_TOTAL:
            raise LimitReached("E0602", f"the spec expands to more than {MAX_TOTAL:,} steps in all", span)

    def enter(self, what: str, span: Span) -> None:
        """Opens a call; `what` says in words what is being done because of the place at `span`."""
        if len(self.calls) >= MAX_DEPTH:
            raise LimitReached("E0601", f"calls go more than {MAX_DEPTH} deep", span)
        self.calls.append((what, span))

    def chain(self, span: Span) -> tuple[tuple[Span, str], ...]:
        """The open calls as labels, innermost first, without `span` itself; of a call that repeats, one."""
        distinct = {(at.source, at.start): (at, what) for what, at in self.calls if at is not span}
        return tuple(reversed([*distinct.values()][-4:]))

    def leave(self) -> None:
        self.calls.pop()


class Scope:
    """Local names, then those of the scopes around, then those at the top of the module."""

    __slots__ = ("module", "names", "parent")

    def __init__(
        self, module: Module, names: Mapping[str, Any] | None = None, parent: Scope | None = None
    ) -> None:
        self.module = module
        self.names = dict(names or {})
        self.parent = parent

    def inner(self, names: Mapping[str, Any] | None = None) -> Scope:
        return Scope(self.module, names, self)

    def find(self, name: str) -> tuple[Any] | None:
        """The local value of a name in a tuple of its own, or None where it is no local name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return (scope.names[name],)
            scope = scope.parent
        return None

    def local_names(self) -> Iterator[str]:
        scope: Scope | None = self
        while scope is not None:
            yield from scope.names
            scope = scope.parent
