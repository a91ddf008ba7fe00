"""Ranges of numbers: of arguments, and of how many items a list has."""

from __future__ import annotations

from dataclasses import dataclass

from mfc.dsl.wording import number


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `lo` and `hi` belong to it, `above` and `below` do not; None leaves an end open."""

    lo: float | None = None
    hi: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, x: float) -> bool:
        return (
            (self.lo is None or x >= self.lo)
            and (self.hi is None or x <= self.hi)
            and (self.above is None or x > self.above)
            and (self.below is None or x < self.below)
        )

    def __bool__(self) -> bool:
        return (self.lo, self.hi, self.above, self.below) != (None, None, None, None)

    def __str__(self) -> str:
        if self.lo is not None and self.hi is not None:
            return f"in {number(self.lo)}..{number(self.hi)}"
        bounds = (("at least", self.lo), ("above", self.above), ("at most", self.hi), ("below", self.below))
        return " and ".join(f"{word} {number(bound)}" for word, bound in bounds if bound is not None)

    def meets(self, other: Range) -> bool:
        """Whether a number may lie in both."""
        low, closed_low = max(self._low(), other._low(), key=lambda end: (end[0], not end[1]))
        high, closed_high = min(self._high(), other._high(), key=lambda end: (end[0], end[1]))
        return low < high or (low == high and closed_low and closed_high)

    def _low(self) -> tuple[float, bool]:
        """The lower end, and whether it belongs to the range."""
        if self.above is not None and (self.lo is None or self.above >= self.lo):
            return self.above, False
        return (float("-inf"), False) if self.lo is None else (self.lo, True)

    def _high(self) -> tuple[float, bool]:
        if self.below is not None and (self.hi is None or self.below <= self.hi):
            return self.below, False
        return (float("inf"), False) if self.hi is None else (self.hi, True)


ANYWHERE = Range()


def in_words(length: Range) -> str:
    """A number of items in words: `3`, `2 to 5`, `one or more`; nothing where any will do."""
    lo, hi = length.lo, length.hi
    if lo is not None and hi is not None:
        return f"{lo}" if lo == hi else f"{lo} to {hi}"
    if lo is not None:
        return "one or more" if lo == 1 else f"at least {lo}"
    return "" if hi is None else f"at most {hi}"
