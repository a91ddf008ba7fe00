"""Places in a text, as the compiler and as the language server protocol count them.

The compiler counts code points from the start of the text. The protocol counts lines, and within a line the units of
the encoding that client and server agreed on. Lines end with `\\n`, `\\r\\n` or a lone `\\r`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

from lsprotocol.types import Position, Range

from mfc.dsl.source import Source, Span

_LINE_END = re.compile(r"\r\n|\n|\r")

UTF8, UTF16, UTF32 = "utf-8", "utf-16", "utf-32"


class Positions:
    """The places of one text."""

    def __init__(self, text: str, encoding: str = UTF16) -> None:
        self.text = text
        self._one_each = encoding == UTF32 or text.isascii()
        self._width = _utf8_width if encoding == UTF8 else _utf16_width
        ends = [match.span() for match in _LINE_END.finditer(text)]
        self._starts = [0, *(after for _, after in ends)]
        self._ends = [*(before for before, _ in ends), len(text)]

    def offset(self, position: Position) -> int:
        """The code point at a position. One behind the end of its line, or of the text, is that end; one within a code
        point is its start."""
        if position.line >= len(self._starts):
            return len(self.text)
        start, end = self._starts[position.line], self._ends[position.line]
        if self._one_each:
            return min(start + position.character, end)
        left = position.character
        for at in range(start, end):
            left -= self._width(self.text[at])
            if left < 0:
                return at
        return end

    def position(self, offset: int) -> Position:
        """Where a code point is. Within the end of a line it is before it, as no position is within."""
        line = bisect_right(self._starts, offset) - 1
        start, end = self._starts[line], min(offset, self._ends[line])
        if self._one_each:
            return Position(line, end - start)
        return Position(line, sum(map(self._width, self.text[start:end])))

    def range(self, start: int, end: int) -> Range:
        """The range from one code point up to another."""
        return Range(self.position(start), self.position(end))

    def offsets(self, range: Range) -> tuple[int, int]:
        """The code points where a range starts and ends. One that a client turned around is turned back."""
        start, end = self.offset(range.start), self.offset(range.end)
        return min(start, end), max(start, end)

    @property
    def all(self) -> Range:
        """The whole text."""
        return self.range(0, len(self.text))


@lru_cache(maxsize=64)
def positions(source: Source, encoding: str) -> Positions:
    """The places of a source."""
    return Positions(source.text, encoding)


def range_of(span: Span, encoding: str) -> Range:
    """A span as a range of its source."""
    return positions(span.source, encoding).range(span.start, span.end)


def _utf16_width(letter: str) -> int:
    return 2 if letter > "\uffff" else 1


def _utf8_width(letter: str) -> int:
    return 1 if letter < "\x80" else 2 if letter < "\u0800" else 3 if letter <= "\uffff" else 4
