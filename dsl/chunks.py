"""Cuts a file into chunks that are read alone, so that a mistake spoils one declaration and not the file.

A chunk begins at a line that starts, at column 0, with a declaration word and what follows it. Chunks are
cached by their text: after an edit only the changed one is read again, and the nodes of the others are put in
their new place, which takes a fifth of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from threading import Lock
from typing import Any, Generic, TypeVar

from mfc.dsl.recovery import Reading, read
from mfc.dsl.scan import DECLARATION_WORDS, Token, scan
from mfc.dsl.source import Source, Span
from mfc.dsl.syntax import BrokenDecl

T = TypeVar("T")

MAX_DEPTH = 200  # nodes within nodes: the stages that walk the tree take a few frames for each

# Two words in a row open a declaration even where the first is no declaration word: it is reported there.
_START = re.compile(
    rf"^(?:(?:import|use)[ \t]*r?\"|language[ \t]+[0-9]|(?:{'|'.join(DECLARATION_WORDS)})[ \t]+[A-Za-z_]"
    r"|(?!(?:group|phase|if|then|else|for|in|and|or|not)\b)[A-Za-z_][A-Za-z0-9_]*"
    r"[ \t]+(?!(?:and|or|in|not|if|then|else|for)\b)[A-Za-z_])",
    re.MULTILINE,
)
_LET = re.compile(r"let\b")
_MAX_JOINED = 16


class TooDeep(Exception):
    """A node lies more than `MAX_DEPTH` deep."""

    def __init__(self, span: Span):
        super().__init__(span)
        self.span = span


def cut(text: str) -> list[tuple[int, int]]:
    """The chunks of a text as (start, end), in order and without gaps."""
    starts = [match.start() for match in _START.finditer(text)]
    if not starts or starts[0] > 0:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(text)]))


def readings(text: str) -> Iterator[tuple[int, Reading]]:
    """What each chunk says, and where it starts."""
    chunks = cut(text)
    at = 0
    while at < len(chunks):
        start, end = chunks[at]
        reading, taken = read_chunk(text[start:end]), 1
        if reading.unclosed:
            reading, taken = _joined(text, chunks[at : at + _MAX_JOINED], reading)
        yield start, reading
        at += taken


def _joined(text: str, chunks: list[tuple[int, int]], alone: Reading) -> tuple[Reading, int]:
    """A chunk with the ones after it, where those are `let`s of its own body that begin at column 0."""
    start = chunks[0][0]
    for taken, (begin, end) in enumerate(chunks[1:], 2):
        if not _LET.match(text, begin):
            break
        reading = read_chunk(text[start:end])
        if not reading.unclosed and not any(isinstance(d, BrokenDecl) for d in reading.declarations):
            return reading, taken
    return alone, 1


class Remembered(Generic[T]):
    """A function of a text that keeps what it made of the texts that were asked for last: of so many as have `size`
    characters in all, since an editor asks for as many texts as it has key strokes."""

    def __init__(self, function: Callable[[str], T], size: int) -> None:
        self.function = function
        self.size = size
        self.clear()

    def __call__(self, text: str) -> T:
        with self._lock:
            if (found := self._made.pop(text, None)) is not None:
                self._made[text] = found
                return found
        found = self.function(text)
        with self._lock:
            if text not in self._made:
                self._length += len(text)
            self._made[text] = found
            while self._length > self.size and len(self._made) > 1:
                oldest = next(iter(self._made))
                del self._made[oldest]
                self._length -= len(oldest)
        return found

    def clear(self) -> None:
        self._made: dict[str, T] = {}
        self._length = 0
        self._lock = Lock()


read_chunk = Remembered(read, 1_000_000)  # characters: four of the largest files, in about 30 MB


_scanned = Remembered(scan, 250_000)


def tokens(text: str) -> list[Token]:
    """The tokens of a text, each chunk scanned alone, as it is read."""
    return [
        Token(token.type, token.text, token.start + start, token.end + start, token.fresh)
        for start, end in cut(text)
        for token in _scanned(text[start:end]).tokens
    ]


def place(value: T, source: Source, offset: int) -> T:
    """A node, diagnostic or tuple of them as it is where its chunk starts at `offset` of `source`.

    Raises `TooDeep`.
    """

    def moved(value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is Span:
            return Span(source, value.start + offset, value.end + offset)
        if kind is tuple:
            return tuple([moved(item, depth) for item in value])
        parts = _parts(kind)
        if parts is None:
            return value
        if depth > MAX_DEPTH:
            raise TooDeep(moved(value.span, 0))
        depth += 1
        return kind(*[part if type(part) in _PLAIN else moved(part, depth) for part in parts(value)])

    return moved(value, 0)


_PLAIN = frozenset([str, int, float, bool, type(None)])


@cache
def _parts(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """What gives the fields of a node, in order; None for what is no node."""
    if not is_dataclass(kind):
        return None
    get = attrgetter(*[field.name for field in fields(kind)])
    return get if len(fields(kind)) > 1 else lambda node: (get(node),)
