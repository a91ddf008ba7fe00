"""Source text and places in it. Positions are code points from the start of the text, counted from 0."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

from mfc.dsl.node import node

_IN_WORD = re.compile(r"\w")


@dataclass(frozen=True, eq=False)
class Source:
    """The text of one file. `name` is what messages call it: the path as the user wrote it."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> list[int]:
        starts, at = [0], 0
        while (at := self.text.find("\n", at)) >= 0:
            at += 1
            starts.append(at)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end."""
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@node
class Span:
    """A piece of a source: `start` is its first code point, `end` the one after its last."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of another."""
        return Span(self.source, self.start, other.end)


def apart(text: str, start: int, end: int, new: str) -> str:
    """What is to replace a piece of a text, with spaces where what stands beside it would run together."""
    before, after = text[:start][-1:], text[end : end + 1]
    if not new:
        return "" if before in _OPENS or after in _CLOSES else " "
    left = " " if _joins(before, new[0]) else ""
    right = " " if _joins(new[-1], after) else ""
    return f"{left}{new}{right}"


_OPENS = ("", *"([{ \t\r\n")
_CLOSES = ("", *",;)]} \t\r\n")


def _joins(left: str, right: str) -> bool:
    """Whether two characters would be of one word, or of a string and its prefix."""
    return bool(_IN_WORD.fullmatch(left) and (right == '"' or _IN_WORD.fullmatch(right)))
