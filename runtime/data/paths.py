"""Items as paths: what splits and labels have in common."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from mfc.runtime.errors import RunError


def runs(items: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(folder, start, stop) of neighbours in one folder, for sorted items; the top folder is `""`.

    Ends of runs are found by bisection, so what is done once a folder costs next to nothing a file.
    """
    start = 0
    while start < len(items):
        folder = items[start].rpartition("/")[0]
        # "0" follows "/": everything below the folder sorts before it
        stop = bisect_left(items, folder + "0", start) if folder else len(items)
        depth = folder.count("/") + 1 if folder else 0
        if "".join(items[start:stop]).count("/") != depth * (
            stop - start
        ):  # there are folders among the files
            stop = start + 1
            while stop < len(items) and items[stop].rpartition("/")[0] == folder:
                stop += 1
        yield folder, start, stop
        start = stop


def compiled(pattern: str, groups: int = 0) -> re.Pattern[str]:
    """A regular expression with at least so many groups; RunError for one that is none."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise RunError("R0110", f"`{pattern}` is no regular expression: {error}") from error
    if expression.groups < groups:
        raise RunError(
            "R0110",
            f"the regular expression `{pattern}` has no group",
            help="put parentheses around the part that is the label",
        )
    return expression


def shown(names: Sequence[str], limit: int = 5) -> str:
    """Names for a message: the first few in backticks, and how many more there are."""
    text = ", ".join(f"`{name}`" for name in names[:limit])
    return f"{text} and {len(names) - limit:,} more" if len(names) > limit else text
