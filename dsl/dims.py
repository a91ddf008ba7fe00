"""Sizes that may not be known yet: integers, and polynomials over symbols such as `cifar.classes`.

A size is a plain `int` as long as that is possible and a `Dim` otherwise. A `Dim` is kept in a normal form,
so that two that are equal by the rules below are the same in structure (`==`, `hash`):

- sums of products with integer coefficients, collected;
- floor divisions without whole parts and common factors: `(2*h + 3) // 2` is `h + 1`, `(h - 1) // 2 + 1` is
  `(h + 1) // 2`, `((h + 1) // 2 + 1) // 2` is `(h + 3) // 4`;
- `a % b` is `a - b*(a // b)`; `min` and `max` keep only what can be the least or greatest.

A symbol stands for a size and is at least 1. What that does not settle is undecided: the comparisons of this
module answer True, False or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TypeAlias, Union

LIMIT = 200
"""How many symbols, numbers and operations one size may hold."""

LARGEST = 2**63 - 1
"""The largest number that a size may hold, as in a tensor's shape."""


class TooLarge(ValueError):
    """A size grew past `LIMIT` or `LARGEST`."""


@dataclass(frozen=True)
class Symbol:
    """A size by its name. A `varying` one differs from item to item, so it can't be stacked to a batch."""

    name: str
    varying: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def weight(self) -> int:
        return 1

    def bounds(self) -> tuple[float, float]:
        return 1, math.inf


@dataclass(frozen=True)
class Floor:
    """`over // by`, where nothing can be divided out."""

    over: Size
    by: Size

    @cached_property
    def text(self) -> str:
        return f"{_operand(self.over)} // {_operand(self.by)}"

    def __str__(self) -> str:
        return self.text

    @property
    def weight(self) -> int:
        return 1 + _weight(self.over) + _weight(self.by)

    def bounds(self) -> tuple[float, float]:
        (low, high), (least, most) = bounds(self.over), bounds(self.by)
        if least <= 0:
            return -math.inf, math.inf
        quotients = [_floor(x, y) for x in (low, high) for y in (least, most)]
        return min(quotients), max(quotients)


@dataclass(frozen=True)
class Extreme:
    """The least or the greatest (`"min"`, `"max"`) of sizes of which none is known to be it."""

    name: str
    sizes: frozenset[Size]

    @cached_property
    def text(self) -> str:
        return f"{self.name}({', '.join(sorted(map(str, self.sizes)))})"

    def __str__(self) -> str:
        return self.text

    @property
    def weight(self) -> int:
        return 1 + sum(map(_weight, self.sizes))

    def bounds(self) -> tuple[float, float]:
        pick = min if self.name == "min" else max
        lows, highs = zip(*map(bounds, self.sizes))
        return pick(lows), pick(highs)


Atom: TypeAlias = Symbol | Floor | Extreme
Monomial: TypeAlias = tuple[Atom, ...]
Term: TypeAlias = tuple[Monomial, int]
Size: TypeAlias = Union[int, "Dim"]


@dataclass(frozen=True, eq=True)
class Dim:
    """An integer that is not known yet. Made by `Dim.symbol`, `Dim.varying` and arithmetic with `+ - * // %`.

    `terms` holds (product of atoms, coefficient), sorted; the empty product is the constant. `==` compares
    structure; whether two sizes are equal is asked with `equal`.
    """

    terms: tuple[Term, ...]
    weight: int = field(compare=False, repr=False)

    @staticmethod
    def symbol(name: str) -> Dim:
        """A size at least 1 that becomes known later, such as `cifar.classes`."""
        return Dim((((Symbol(name),), 1),), 2)

    @staticmethod
    def varying(name: str) -> Dim:
        """A size at least 1 that differs from item to item, such as the height of an image file."""
        return Dim((((Symbol(name, varying=True),), 1),), 2)

    def __add__(self, other: Size) -> Size:
        return _sum([*self.terms, *_terms(other)]) if isinstance(other, int | Dim) else NotImplemented

    def __neg__(self) -> Size:
        return _sum((product, -n) for product, n in self.terms)

    def __sub__(self, other: Size) -> Size:
        return self + (-other) if isinstance(other, int | Dim) else NotImplemented

    def __rsub__(self, other: Size) -> Size:
        return -self + other if isinstance(other, int | Dim) else NotImplemented

    def __mul__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return NotImplemented
        if self.weight * _weight(other) > 2 * LIMIT * LIMIT:
            raise TooLarge(f"more than {LIMIT} parts")
        return _sum((_product(p, q), n * m) for p, n in self.terms for q, m in _terms(other))

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Size) -> Size:
        return _divide(self, other) if isinstance(other, int | Dim) else NotImplemented

    def __rfloordiv__(self, other: Size) -> Size:
        return _divide(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other: Size) -> Size:
        return self - other * (self // other) if isinstance(other, int | Dim) else NotImplemented

    def __rmod__(self, other: Size) -> Size:
        return other - self * (other // self) if isinstance(other, int) else NotImplemented

    @cached_property
    def text(self) -> str:
        terms = self.terms
        match terms:  # (h + 1) // 2 - 3 reads better as (h - 5) // 2
            case (((Floor(over, int(by)),), 1), ((), n)) if n < 0:
                terms = (((Floor(over + n * by, by),), 1),)
        ordered = [t for t in terms if t[1] > 0] + [t for t in terms if t[1] < 0]
        text = _term(*ordered[0])
        for product, n in ordered[1:]:
            text += f" + {_term(product, n)}" if n > 0 else f" - {_term(product, -n)}"
        return text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Dim({self.text})"

    @cached_property
    def symbols(self) -> frozenset[Symbol]:
        """Every symbol that the size depends on."""
        return frozenset().union(*(_symbols(atom) for product, _ in self.terms for atom in product))

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value that the size can have, as far as its parts tell."""
        ranges: list[tuple[float, float] | None] = [_term_bounds(product, n) for product, n in self.terms]
        for i, j in combinations(range(len(self.terms)), 2):
            between = _difference_bounds(self.terms[i], self.terms[j])
            if between and ranges[i] and ranges[j]:
                ranges[i], ranges[j] = between, None
        lows, highs = zip(*filter(None, ranges))
        return sum(lows), sum(highs)


# ── questions ───────────────────────────────────────────────────────────────────────────────────────────


def equal(a: Size, b: Size) -> bool | None:
    """Whether two sizes are equal; None where that depends on what is not known."""
    if a is b:
        return True
    difference = a - b
    if isinstance(difference, int):
        return difference == 0
    low, high = difference.bounds
    if low > 0 or high < 0:
        return False
    constant = sum(n for product, n in difference.terms if not product)
    common = math.gcd(*(n for product, n in difference.terms if product))
    return False if constant % common else None


def at_most(a: Size, b: Size) -> bool | None:
    """Whether `a <= b`; None where that depends on what is not known."""
    (least_a, most_a), (least_b, most_b) = bounds(a), bounds(b)
    if most_a <= least_b:
        return True
    if least_a > most_b or isinstance(a, int) or isinstance(b, int):
        return False if least_a > most_b else None
    low, high = bounds(b - a)
    return True if low >= 0 else False if high < 0 else None


def compare(op: str, a: Size, b: Size) -> bool | None:
    """`a op b` for `== != < <= > >=`; None where that depends on what is not known."""
    match op:
        case "==":
            return equal(a, b)
        case "!=":
            return _not(equal(a, b))
        case "<=":
            return at_most(a, b)
        case ">=":
            return at_most(b, a)
        case "<":
            return _not(at_most(b, a))
        case ">":
            return _not(at_most(a, b))
    raise ValueError(f"{op!r} is no comparison")


def bounds(size: Size) -> tuple[float, float]:
    """The least and the greatest value that a size can have; an end may be infinite."""
    return size.bounds if isinstance(size, Dim) else (size, size)


def is_varying(size: Size) -> bool:
    """Whether a size differs from item to item."""
    return isinstance(size, Dim) and any(symbol.varying for symbol in size.symbols)


def minimum(sizes: Iterable[Size]) -> Size:
    """The least of some sizes."""
    return _extreme("min", sizes, at_most)


def maximum(sizes: Iterable[Size]) -> Size:
    """The greatest of some sizes."""
    return _extreme("max", sizes, lambda a, b: at_most(b, a))


def product(sizes: Iterable[Size]) -> Size:
    """The product of some sizes; 1 for none."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


def total(sizes: Iterable[Size]) -> Size:
    """The sum of some sizes; 0 for none."""
    result: Size = 0
    for size in sizes:
        result = result + size
    return result


def substitute(size: Size, facts: Mapping[str, Size]) -> Size:
    """A size with what is known by now put in. Raises ZeroDivisionError where a divisor turns out to be 0."""
    if isinstance(size, int) or not any(symbol.name in facts for symbol in size.symbols):
        return size
    result: Size = 0
    for atoms, n in size.terms:
        result = result + n * product(_substitute(atom, facts) for atom in atoms)
    return result


# ── normal form ─────────────────────────────────────────────────────────────────────────────────────────


def _terms(size: Size) -> tuple[Term, ...]:
    return size.terms if isinstance(size, Dim) else (((), int(size)),)


def _sum(terms: Iterable[Term]) -> Size:
    """The size of some terms: collected, sorted, without zeros, and an int where only a constant remains."""
    collected: dict[Monomial, int] = {}
    for atoms, n in terms:
        collected[atoms] = collected.get(atoms, 0) + n
    kept = sorted(((p, n) for p, n in collected.items() if n), key=lambda term: _key(term[0]))
    if any(abs(n) > LARGEST for _, n in kept):
        raise TooLarge(f"a size above {LARGEST}")
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    weight = sum(1 + sum(atom.weight for atom in atoms) for atoms, _ in kept)
    if weight > LIMIT:
        raise TooLarge(f"more than {LIMIT} parts")
    return Dim(tuple(kept), weight)


def _product(a: Monomial, b: Monomial) -> Monomial:
    return tuple(sorted((*a, *b), key=str)) if a and b else a or b


def _key(atoms: Monomial) -> tuple[int, str]:
    """In the order of names, the constant last."""
    return (0, "*".join(map(str, atoms)).lstrip("(")) if atoms else (1, "")


def _divide(over: Size, by: Size) -> Size:
    if isinstance(by, Dim):
        return _divide_by_dim(over, by)
    if by == 0:
        raise ZeroDivisionError(f"{over} // 0")
    if by < 0:
        over, by = -over, -by
    whole = _sum((p, n // by) for p, n in _terms(over))
    rest = {p: n % by for p, n in _terms(over) if n % by}
    if not any(rest):  # at most a constant below `by`
        return whole
    constant = rest.pop((), 0)
    common = math.gcd(by, *rest.values())
    by = by // common
    remains = _sum([*((p, n // common) for p, n in rest.items()), ((), constant // common)])
    if by == 1 or isinstance(remains, int):
        return whole + remains
    inner = [p[0] for p, n in remains.terms if n == len(p) == 1]
    inner = [atom for atom in inner if isinstance(atom, Floor) and isinstance(atom.by, int)]
    if len(inner) == 1:  # floor((floor(x / a) + k) / b) = floor((x + a*k) / (a*b))
        others = remains - _single(inner[0])
        return whole + _divide(inner[0].over + inner[0].by * others, inner[0].by * by)
    return whole + _single(Floor(remains, by))


def _divide_by_dim(over: Size, by: Dim) -> Size:
    """Whole where `by` is one term that divides every term, or where `over` is a multiple of it."""
    if over == 0:
        return 0
    atoms, n = by.terms[0]
    quotients = [(_without(p, atoms), m) for p, m in _terms(over)]
    if len(by.terms) == 1 and all(p is not None and m % n == 0 for p, m in quotients):
        return _sum((p, m // n) for p, m in quotients if p is not None)
    factor = dict(_terms(over)).get(atoms, 0) // n
    if factor and equal(over, by * factor):
        return factor
    return _single(Floor(over, by))


def _without(atoms: Monomial, others: Monomial) -> Monomial | None:
    """A product divided by another; None where that is not whole."""
    rest = list(atoms)
    for atom in others:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _extreme(name: str, sizes: Iterable[Size], first: Callable[[Size, Size], bool | None]) -> Size:
    """Keeps the sizes of which no other is known to come `first`."""
    kept: list[Size] = []
    for size in sizes:
        if any(first(other, size) for other in kept):
            continue
        kept = [other for other in kept if not first(size, other)] + [size]
    if not kept:
        raise ValueError(f"{name} of nothing")
    return kept[0] if len(kept) == 1 else _single(Extreme(name, frozenset(kept)))


def _single(atom: Atom) -> Size:
    return _sum([((atom,), 1)])


def _substitute(atom: Atom, facts: Mapping[str, Size]) -> Size:
    if isinstance(atom, Symbol):
        return facts.get(atom.name, _single(atom))
    if isinstance(atom, Floor):
        return substitute(atom.over, facts) // substitute(atom.by, facts)
    parts = [substitute(size, facts) for size in sorted(atom.sizes, key=str)]
    return minimum(parts) if atom.name == "min" else maximum(parts)


def _symbols(atom: Atom) -> frozenset[Symbol]:
    if isinstance(atom, Symbol):
        return frozenset([atom])
    parts = atom.sizes if isinstance(atom, Extreme) else (atom.over, atom.by)
    return frozenset().union(*(part.symbols for part in parts if isinstance(part, Dim)))


# ── numbers and text ────────────────────────────────────────────────────────────────────────────────────


def _weight(size: Size) -> int:
    return size.weight if isinstance(size, Dim) else 1


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _term_bounds(atoms: Monomial, n: int) -> tuple[float, float]:
    low: float = n
    high: float = n
    for atom in atoms:
        ends = [_times(x, y) for x in (low, high) for y in atom.bounds()]
        low = -math.inf if min(ends) < -LARGEST else min(*ends, LARGEST)
        high = math.inf if max(ends) > LARGEST else max(*ends, -LARGEST)
    return low, high


def _difference_bounds(first: Term, second: Term) -> tuple[float, float] | None:
    """The bounds of `x // d - y // d` together, where `x - y` is a number."""
    match first, second:
        case ((Floor(x, int(d)),), n), ((Floor(y, int(by)),), m) if d == by and n == -m:
            gap = x - y
            if isinstance(gap, int):
                least, most = gap // d, -(-gap // d)
                return min(n * least, n * most), max(n * least, n * most)
    return None


def _times(x: float, y: float) -> float:
    if x == 0 or y == 0:
        return 0
    if math.isinf(x) or math.isinf(y):
        return math.inf if (x > 0) == (y > 0) else -math.inf
    return x * y


def _floor(x: float, y: float) -> float:
    """`x // y` for y > 0, with infinite ends: a finite number over infinity is 0, or -1 just below it."""
    if math.isinf(x):
        return 0 if math.isinf(y) else x
    return (0 if x >= 0 else -1) if math.isinf(y) else x // y


def _term(atoms: Monomial, n: int) -> str:
    if not atoms:
        return str(n)
    alone = len(atoms) == n == 1
    shown = "*".join(f"({atom})" if isinstance(atom, Floor) and not alone else str(atom) for atom in atoms)
    return shown if n == 1 else f"-{shown}" if n == -1 else f"{n}*{shown}"


def _operand(size: Size) -> str:
    """A size as one side of a division: in parentheses unless it is a number, a name or a call."""
    if isinstance(size, int):
        return str(size)
    atoms, n = size.terms[0]
    simple = len(size.terms) == n == len(atoms) == 1 and not isinstance(atoms[0], Floor)
    return str(size) if simple else f"({size})"
