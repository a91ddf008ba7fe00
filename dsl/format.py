"""Formatting of specs: how they are laid out, never what they mean.

Pure functions of a text, for the command line and for editors. Declarations that can't be read stay as they are, and
so does a file that is too large to be read. Offsets count code points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mfc.dsl.format_layout import layout
from mfc.dsl.format_pieces import COMMENT, FILE, Pieces, read_pieces
from mfc.dsl.parse import too_large
from mfc.dsl.source import Source

_MARK = "\ufeff"  # of the order of bytes: it stays if it is the first of a file


@dataclass(frozen=True)
class Edit:
    """A change of a text: `text` instead of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def format(text: str) -> str:
    """The text, formatted."""
    return apply(text, format_edits(text))


def format_edits(text: str) -> list[Edit]:
    """The changes that format a text: in order, and each as small as can be."""
    return [edit for edit, _, _ in _changes(text)]


def format_range(text: str, start: int, end: int) -> list[Edit]:
    """Those of the changes that format a text which concern the statements that lie in a range.

    A statement that is not in it as a whole stays as it is, and so do the spaces before one if they are not. Those who
    select parts of lines mean the lines: editors should widen the range to whole ones.
    """
    return [edit for edit, first, last in _changes(text) if start <= first and last <= end]


def apply(text: str, edits: Iterable[Edit]) -> str:
    """A text after changes, which are in order."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def _changes(text: str) -> Iterator[tuple[Edit, int, int]]:
    """The changes that format a text, each with the start and end of what is formatted as a whole or not at all."""
    if too_large(Source("", text)):
        return
    start = len(_MARK) if text.startswith(_MARK) else 0
    pieces = read_pieces(text, start)
    end_of_line = "\r\n" if text.find("\r\n") == text.find("\n") - 1 >= 0 else "\n"
    units = _units(pieces)
    starts, ends = [*pieces.starts, len(text)], [start, *pieces.ends]
    for piece, gap in enumerate(layout(pieces)):
        old = text[ends[piece] : starts[piece]]
        new = gap if end_of_line == "\n" else gap.replace("\n", end_of_line)
        if old == new:
            continue
        for edit in _edits(old, new, ends[piece]):
            first, last = units.get(piece, (edit.start, edit.end))
            yield edit, first, last


def _edits(old: str, new: str, offset: int) -> Iterator[Edit]:
    """What makes one gap of another. What stands before a comma and behind it is changed by itself, and so are the spaces
    that begin a line."""
    for anchor in ",\n":
        at, new_at = old.rfind(anchor) + 1, new.rfind(anchor) + 1
        if at and new_at and (at < len(old) or new_at < len(new)):
            yield from _edits(old[:at], new[:new_at], offset)
            yield from _edits(old[at:], new[new_at:], offset + at)
            return
    same = _common(old, new)
    same_end = min(_common(old[::-1], new[::-1]), min(len(old), len(new)) - same)
    if same < max(len(old), len(new)) - same_end:
        yield Edit(offset + same, offset + len(old) - same_end, new[same : len(new) - same_end])


def _common(first: str, second: str) -> int:
    """How many characters two texts have in common at their start."""
    return next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))


def _units(pieces: Pieces) -> dict[int, tuple[int, int]]:
    """For the pieces within a statement, where that statement starts and ends: the gaps before them are changed together.

    A statement with bodies on several lines is one up to each brace. Statements that share a line are one.
    """
    units: dict[int, tuple[int, int]] = {}

    def add(start: int, stop: int) -> None:
        unit = pieces.starts[start], pieces.ends[stop - 1]
        units.update(dict.fromkeys(range(start + 1, stop), unit))

    for brace, begins in pieces.bodies.items():
        row, end = 0, pieces.partners.get(brace, len(pieces.kinds))
        for start, stop in zip(begins, [*begins[1:], end]):
            if start in units:  # within a statement on one line
                continue
            if (
                start > begins[0]
                and brace != FILE
                and not pieces.newlines[start]
                and pieces.kinds[start] != COMMENT
            ):
                add(row, stop)
                continue
            row = start
            if not any(pieces.newlines[start + 1 : stop]):
                add(start, stop)
                continue
            for node in list(pieces.nodes(start, stop)):
                if pieces.kinds[node] == "LBRACE":
                    add(start, node + 1)
                    start = pieces.partners[node] + 1
                    if node not in pieces.long:
                        add(node, start)
            if start < stop:
                add(start, stop)
    return units
