"""Types of values in the language, and what a value that does not fit one should have been.

>>> Number(integer=False, range=Range(0, 1)).accepts(2)
Problem(expected='a number in 0..1', found='2', reason='range', at=())
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from mfc.dsl.dims import Dim
from mfc.dsl.ir import Fact
from mfc.dsl.ranges import ANYWHERE, Range, in_words
from mfc.dsl.wording import either, kind_name, number, quoted, text, with_article

STANDS_FOR = {
    "model": ("architecture", "train"),  # the name of a train means the layers that it trains
    "layer": ("block", "model", "architecture"),
}
"""Kinds that are accepted where another is expected."""

SUM_TOLERANCE = 1e-6
"""How far the sum of a list may be from what it has to be: thirds add up to 0.999999."""


class Problem(NamedTuple):
    """Why a value does not fit a type: `reason` is `"type"`, `"range"`, `"choice"`, `"length"` or `"sum"`.

    `at` is the place of the value within lists, such as `(2,)` for the third item. `choices` are the texts
    that would have been accepted, to look for a similar one in.
    """

    expected: str
    found: str
    reason: str = "type"
    at: tuple[int, ...] = ()
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"expected {self.expected}, found {self.found}"


class Type:
    """What values are accepted. `str` gives it as users read it; `words` as part of a sentence.

    Types are values: equal if their kind and parts are. Written out, as dataclasses take a while to be made.
    """

    __match_args__: tuple[str, ...] = ()
    _hash: int | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._parts() == other._parts())  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((type(self).__name__, self._parts()))
        return self._hash

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts()))})"

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def accepts(self, value: Any) -> Problem | None:
        """None where `value` fits, else what was expected."""
        if isinstance(value, Unknown):
            return None if overlaps(self, value.type) else self.problem(value)
        return self._accepts(value)

    def problem(self, value: Any, reason: str = "type", choices: tuple[str, ...] = ()) -> Problem:
        """What to say about `value`, which does not fit."""
        return Problem(self.words(), describe(value), reason, (), choices)

    def words(self) -> str:
        """One such value, with its article: `a number in 0..1`."""
        raise NotImplementedError

    def plural(self) -> str:
        """Several such values: `numbers in 0..1`."""
        raise NotImplementedError

    def _accepts(self, value: Any) -> Problem | None:
        raise NotImplementedError


class AnyType(Type):
    """Accepts everything: the type of what has no annotation."""

    def __str__(self) -> str:
        return "any"

    def words(self) -> str:
        return "a value"

    def plural(self) -> str:
        return "values"

    def _accepts(self, value: Any) -> Problem | None:
        return None


class Number(Type):
    """`int` or `float`, within a range. Integers are accepted for `float`; booleans are no numbers.

    A number that is known later (a fact of the data, a size of a tensor) fits where it may still lie in the
    range; it is checked once it is known.
    """

    __match_args__ = (
        "integer",
        "range",
    )

    def __init__(self, integer: bool, range: Range = ANYWHERE) -> None:
        self.integer = integer
        self.range = range

    def __str__(self) -> str:
        return f"{'int' if self.integer else 'float'} {self.range}".rstrip()

    def words(self) -> str:
        return f"{'an integer' if self.integer else 'a number'} {self.range}".rstrip()

    def plural(self) -> str:
        return f"{'integers' if self.integer else 'numbers'} {self.range}".rstrip()

    def _accepts(self, value: Any) -> Problem | None:
        if isinstance(value, Dim):
            lo, hi = value.bounds
            return None if self.range.meets(Range(lo, hi)) else self.problem(value, "range")
        if isinstance(value, Fact):
            return None
        if isinstance(value, bool) or not isinstance(value, int if self.integer else (int, float)):
            return self.problem(value)
        return None if value in self.range else self.problem(value, "range")


class Bool(Type):
    """`true` or `false`."""

    def __str__(self) -> str:
        return "bool"

    def words(self) -> str:
        return "true or false"

    def plural(self) -> str:
        return "booleans"

    def _accepts(self, value: Any) -> Problem | None:
        return None if isinstance(value, bool) else self.problem(value)


class String(Type):
    """Text; with `path`, the name of a file or folder. Either is accepted for the other."""

    __match_args__ = ("path",)

    def __init__(self, path: bool = False) -> None:
        self.path = path

    def __str__(self) -> str:
        return "path" if self.path else "string"

    def words(self) -> str:
        return f"a {self}"

    def plural(self) -> str:
        return f"{self}s"

    def _accepts(self, value: Any) -> Problem | None:
        return None if isinstance(value, str) else self.problem(value)


class NoneType(Type):
    """`none` alone; as a member of a union it makes a value optional."""

    def __str__(self) -> str:
        return "none"

    def words(self) -> str:
        return "none"

    def plural(self) -> str:
        return "nones"

    def _accepts(self, value: Any) -> Problem | None:
        return None if value is None else self.problem(value)


class ListOf(Type):
    """A list whose items all have one type. `length` bounds how many they are; `total` is what they add up to."""

    __match_args__ = ("item", "length", "total")

    def __init__(self, item: Type, length: Range = ANYWHERE, total: float | None = None) -> None:
        self.item, self.length, self.total = item, length, total

    def __str__(self) -> str:
        length = f", {found} of them" if (found := in_words(self.length)) else ""
        total = "" if self.total is None else f", adding up to {number(self.total)}"
        return f"list({self.item}{length}{total})"

    def words(self) -> str:
        return f"a list{self._of_what()}"

    def plural(self) -> str:
        return f"lists{self._of_what()}"

    def _of_what(self) -> str:
        count, total = in_words(self.length), ""
        if self.total is not None:
            total = f" that add up to {number(self.total)}"
        elif isinstance(self.item, AnyType) and not count:
            return ""
        return f" of {count} {self.item.plural()}{total}" if count else f" of {self.item.plural()}{total}"

    def _accepts(self, value: Any) -> Problem | None:
        if not isinstance(value, list | tuple):
            return self.problem(value)
        for i, item in enumerate(value):
            if problem := self.item.accepts(item):
                return Problem(
                    problem.expected, problem.found, problem.reason, (i, *problem.at), problem.choices
                )
        if len(value) not in self.length:
            return self.problem(value, "length")
        if self.total is None or not all(isinstance(item, int | float) for item in value):
            return None
        off = abs(math.fsum(value) - self.total)
        return self.problem(value, "sum") if off > SUM_TOLERANCE else None


class Choice(Type):
    """One of some texts, numbers or booleans."""

    __match_args__ = ("values",)

    def __init__(self, values: tuple[str | int | float | bool, ...]) -> None:
        self.values = values

    def __str__(self) -> str:
        return f"choice({self._listed()})"

    def words(self) -> str:
        return f"one of {self._listed()}" if len(self.values) > 1 else self._listed()

    def plural(self) -> str:
        return f"items of {self._listed()}"

    def _accepts(self, value: Any) -> Problem | None:
        if any(_same(value, choice) for choice in self.values):
            return None
        if not any(_alike(value, choice) for choice in self.values):
            return self.problem(value)
        return self.problem(value, "choice", tuple(text(choice) for choice in self.values))

    def _listed(self) -> str:
        return ", ".join(text(value) for value in self.values)


class Kind(Type):
    """A component or declaration of one kind: `loss`, `curve`, `model`."""

    __match_args__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return kind_name(self.name)

    def words(self) -> str:
        return with_article(kind_name(self.name))

    def plural(self) -> str:
        name = kind_name(self.name)
        return f"{name}es" if name.endswith("s") else "data blocks" if self.name == "data" else f"{name}s"

    def _accepts(self, value: Any) -> Problem | None:
        return None if self.takes(kind_of(value)) else self.problem(value)

    def takes(self, kind: str | None) -> bool:
        """Whether something of `kind` is accepted."""
        return kind == self.name or kind in STANDS_FOR.get(self.name, ())


class Union(Type):
    """Any of some types; never one in another."""

    __match_args__ = ("members",)

    def __init__(self, members: tuple[Type, ...]) -> None:
        self.members = members

    def __str__(self) -> str:
        return " or ".join(str(member) for member in self.members)

    def words(self) -> str:
        return either([member.words() for member in self.members])

    def plural(self) -> str:
        return either([member.plural() for member in self.members])

    def _accepts(self, value: Any) -> Problem | None:
        problems = [member.accepts(value) for member in self.members]
        if None in problems:
            return None
        found = [problem for problem in problems if problem is not None]
        near = [problem for problem in found if problem.reason != "type" or problem.at]
        if len(near) == 1 and near[0].at:
            return near[0]  # the value is a list, as one member says; what is wrong is inside it
        choices = tuple(choice for problem in near for choice in problem.choices)
        return self.problem(value, near[0].reason if len(near) == 1 else "type", choices)


@dataclass(frozen=True)
class Unknown:
    """A value that is not known while a body is checked without its arguments; only its type is."""

    type: Type

    def __str__(self) -> str:
        return str(self.type)


@dataclass(frozen=True)
class Awaited(Unknown):
    """A value that only the data tells, such as the list `cifar.train.class_counts`."""

    fact: str

    def __str__(self) -> str:
        return self.fact


ANY, INT, FLOAT, BOOL, STRING, PATH, NONE = (
    AnyType(), Number(True), Number(False), Bool(), String(), String(path=True), NoneType(),
)  # fmt: skip


def union(members: list[Type]) -> Type:
    """The union of some types, flat and without repetition; of one type, that type."""
    flat = {
        repr(part): part for member in members for part in _parts(member)
    }  # 1 and True are equal, but not the same
    return next(iter(flat.values())) if len(flat) == 1 else Union(tuple(flat.values()))


def list_of(item: Type) -> ListOf:
    """A list of `item`s."""
    return ListOf(item)


def optional(of: Type) -> Type:
    """`of` or none."""
    return union([of, NONE])


def overlaps(a: Type, b: Type) -> bool:
    """Whether a value of type `b` may fit `a`: an integer fits `float`; a float does not fit `int`."""
    if isinstance(a, AnyType) or isinstance(b, AnyType):
        return True
    if isinstance(a, Union) or isinstance(b, Union):
        return any(overlaps(x, y) for x in _parts(a) for y in _parts(b))
    match a, b:
        case Number(), Number():
            return (b.integer or not a.integer) and a.range.meets(b.range)
        case ListOf(), ListOf():
            return overlaps(a.item, b.item)
        case Choice(), Choice():
            return any(_same(x, y) for x in a.values for y in b.values)
        case Choice(), _:
            return any(b.accepts(value) is None for value in a.values)
        case _, Choice():
            return any(a.accepts(value) is None for value in b.values)
        case Kind(), Kind():
            return a.takes(b.name)
    return type(a) is type(b)


def type_of(value: Any) -> Type:
    """The type of a value, without a range: what an error says that was found."""
    if isinstance(value, Unknown):
        return value.type
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int) or is_known_later(value):
        return INT
    if isinstance(value, float):
        return FLOAT
    if isinstance(value, str):
        return STRING
    if value is None:
        return NONE
    if isinstance(value, list | tuple):
        return ListOf(union([type_of(item) for item in value]) if value else ANY)
    kind = kind_of(value)
    return ANY if kind is None else Kind(kind)


def kind_of(value: Any) -> str | None:
    """The kind of a component or declaration; None for a plain value."""
    kind = getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


def is_known_later(value: Any) -> bool:
    """Whether a value is an integer that only the data or a run will tell."""
    return isinstance(value, Fact | Dim)


# ── in words ────────────────────────────────────────────────────────────────────────────────────────────


def describe(value: Any) -> str:
    """A value that was found, for a message: `2`, `"squish"`, `a list`, ``the loss `mse` ``."""
    if isinstance(value, Unknown):
        return value.type.words()
    if is_known_later(value):
        return f"`{value.name if isinstance(value, Fact) else value}`"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        shown = f"[{', '.join(describe(item) for item in value[:7])}]"
        return shown if len(value) <= 6 and len(shown) <= 40 else f"a list of {len(value)} items"
    if isinstance(value, float):
        return repr(value)  # `1.0`, where an integer was expected
    if value is None or isinstance(value, bool | int | float):
        return text(value)
    kind = kind_of(value)
    name = getattr(value, "name", None) or getattr(getattr(value, "info", None), "name", None)
    if kind is None:
        return f"`{name}`" if name else "a value"
    return f"the {kind_name(kind)} `{name}`" if name else with_article(kind_name(kind))


def _parts(of: Type) -> Iterator[Type]:
    yield from of.members if isinstance(of, Union) else (of,)


def _alike(value: Any, choice: Any) -> bool:
    """Whether a value is at least of a choice's type."""
    return isinstance(value, bool) == isinstance(choice, bool) and (
        isinstance(value, type(choice)) or (isinstance(value, int) and isinstance(choice, float))
    )


def _same(value: Any, choice: Any) -> bool:
    return _alike(value, choice) and value == choice
