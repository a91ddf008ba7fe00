"""Cuts a file into chunks that are read alone, so that a mistake spoils one declaration and not the file.

A chunk begins at a line that starts, at column 0, with a declaration word and what follows it. Chunks are cached
by their text: after an edit only the changed one is read again, and the nodes of the others are put in their
new place, which takes a fifth of the time.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from mfc.dsl import syntax
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.recovery import read
from mfc.dsl.source import Source, Span

T = TypeVar("T")

# A word followed by a name opens a declaration even where the word is none: it is reported as unknown there.
_START = re.compile(
    r"""^(?:(?:import|use)[ \t]*r?"|language[ \t]+[0-9]|"""
    r"""(?!(?:group|phase|if|then|else|for|in|and|or|not)\b)[A-Za-z_][A-Za-z0-9_]*[ \t]+(?!(?:and|or|in|not|if|for)\b)[A-Za-z_])""",
    re.MULTILINE,
)


class Chunk(NamedTuple):
    """What one chunk says. Its spans count from its own start."""

    declarations: tuple[syntax.Decl, ...]
    comments: tuple[syntax.Comment, ...]
    problems: tuple[Diagnostic, ...]


def cut(text: str) -> list[tuple[int, int]]:
    """The chunks of a text as (start, end), in order and without gaps."""
    starts = [match.start() for match in _START.finditer(text)]
    if not starts or starts[0] > 0:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(text)]))


@lru_cache(maxsize=4096)
def read_chunk(text: str) -> Chunk:
    """The declarations, comments and problems of one chunk."""
    return Chunk(*read(text))


def place(value: T, source: Source, offset: int) -> T:
    """A node, diagnostic or tuple of them as it is where its chunk starts at `offset` of `source`."""

    def moved(value: Any) -> Any:
        kind = type(value)
        if kind is Span:
            return Span(source, value.start + offset, value.end + offset)
        if kind is tuple:
            return tuple([moved(item) for item in value])
        names = _fields(kind)
        return kind(*[moved(getattr(value, name)) for name in names]) if names else value

    return moved(value)


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
