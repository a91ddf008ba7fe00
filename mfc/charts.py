"""Tables and charts out of characters: lines in braille, of which each cell has two by four dots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

Points = Sequence[tuple[float, float]]

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bits of the dots of a braille character, by column and row."""

WIDTH, HEIGHT = 64, 6
"""Cells of a chart, without its axes."""


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Rows in columns two spaces apart; the columns of `right` are set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    right = set(right)
    lines = (
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def chart(
    lines: Sequence[Points],
    ticks: Mapping[float, str],
    marks: Mapping[float, str] = {},
    width: int = WIDTH,
    height: int = HEIGHT,
    indent: str = "  ",
) -> str:
    """Lines drawn over a common x axis, with their least and greatest values at the left.

    Args:
        lines: points of each, by x.
        ticks: what stands below the axis, by its place on it; what would run into its neighbour is left out.
        marks: single characters in a row above the axis.
    """
    xs, ys = ([point[axis] for line in lines for point in line] for axis in (0, 1))
    places = (*xs, *ticks)
    if min(ys) == max(ys):
        height = 1
    left, right, low, high = min(places), max(places), min(ys), max(ys)
    column = _scale(left, right, 2 * width - 1)
    row = _scale(high, low, 4 * height - 1)
    cells = [[0] * width for _ in range(height)]
    for line in lines:
        for x, y in _dots([(column(x), row(y)) for x, y in line]):
            cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"][:height]
    margin = max(map(len, labels))
    drawn = [
        f"{indent}{label.rjust(margin)} {'┤' if label else '│'}"
        + "".join(chr(0x2800 + dots) for dots in cells_)
        for label, cells_ in zip(labels, cells)
    ]
    # an empty cell of braille is a space, so that lines end where they do
    body = [line.replace(chr(0x2800), " ").rstrip() for line in drawn]
    below = f"{indent}{' ' * margin} "
    marked = {column(x) // 2: mark for x, mark in marks.items()}
    if marked:
        body.append(f"{below}│{''.join(marked.get(i, ' ') for i in range(width))}".rstrip())
    body.append(f"{below}└{'─' * width}")
    body.append(f"{below} {_texts({column(x) // 2: text for x, text in ticks.items()}, width)}")
    return "\n".join(body)


def _scale(first: float, last: float, steps: int) -> Callable[[float], int]:
    """From a value to the number of its dot, `first` at 0 and `last` at `steps`."""

    def place(value: float) -> int:
        return round((value - first) / (last - first) * steps) if last != first else 0

    return place


def _dots(points: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The dots of a line through points, in each column from one height to the next without a gap."""
    yield from points[:1]
    for (x, y), (next_x, next_y) in pairwise(points):
        steps = max(abs(next_x - x), abs(next_y - y), 1)
        for step in range(1, steps + 1):
            yield round(x + (next_x - x) * step / steps), round(y + (next_y - y) * step / steps)


def _texts(places: Mapping[int, str], width: int) -> str:
    """Texts in one line, each beginning at its place, or ending with the line."""
    line = ""
    for place, text in sorted(places.items()):
        place = min(place, max(width - len(text), 0))
        if not line or place > len(line):
            line = line.ljust(place) + text
    return line
