"""What an item's label is, found from its path, or from its row where the source is a table.

A labeler has `label(item) -> str`; one that is quicker on many items has `labels(items) -> list[str]` too. One that
has `reads_column`, the name of a column of the source's table, is called with what the item has there as well:
`label(item, value)`, `labels(items, values)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfc.runtime.component import labeler
from mfc.runtime.data.paths import compiled, runs
from mfc.runtime.errors import RunError


@labeler
class parent:
    """The name of the folder that the item lies in: `train/cat/1.jpg` is a `cat`."""

    def label(self, item: str) -> str:
        return self.labels([item])[0]

    def labels(self, items: Sequence[str]) -> list[str]:
        found: list[str] = []
        for folder, start, stop in runs(items):
            if not folder:
                raise unlabelled(items[start], "it lies in no folder below the source's")
            found += [folder.rpartition("/")[2]] * (stop - start)
        return found


@labeler
class regex:
    """The first group of a regular expression that is searched for in the item's path.

    `regex(r"([^/]+)_\\d+\\.jpg$")` finds `great_pyrenees` in `images/great_pyrenees_12.jpg`.

    Args:
        pattern: the regular expression, with a group around the label.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.search = compiled(pattern, groups=1).search

    def label(self, item: str) -> str:
        match = self.search(item)
        if match is None or match[1] is None:
            raise unlabelled(item, f"`{self.pattern}` is not found in its path")
        return match[1]


@labeler
class stem:
    """The item's file name without its suffix: `faces/23.5.jpg` is labelled `23.5`."""

    def label(self, item: str) -> str:
        name = item.rpartition("/")[2]
        return name.rpartition(".")[0] or name


@labeler(reads_column=True)
class column:
    """What a column of the table says in the item's row, as it stands there: a class, or the number that it is.

    The source is one with columns, such as `text_table`. A row whose value is empty has no label.

    Args:
        name: the column, by its name in the header.
    """

    def __init__(self, name: str) -> None:
        self.reads_column = name

    def label(self, item: str, value: str) -> str:
        return self.labels([item], [value])[0]

    def labels(self, items: Sequence[str], values: Sequence[str]) -> list[str]:
        for item, value in zip(items, values):
            if not value.strip():
                raise unlabelled(item, f"its `{self.reads_column}` is empty")
        return list(values)


def unlabelled(item: str, why: str) -> RunError:
    """The error for an item for which a labeler finds no label."""
    return RunError("R0108", f"`{item}` has no label: {why}")


def label_all(labeler: Any, items: Sequence[str], *values: Sequence[str]) -> list[str]:
    """Each item's label. What a user's own labeler raises becomes a RunError that names the item.

    Args:
        values: what the items have in the column that the labeler reads, if it reads one.
    """
    if hasattr(labeler, "labels"):
        return labeler.labels(items, *values)
    found = []
    for item, *value in zip(items, *values):
        try:
            label = labeler.label(item, *value)
        except RunError:
            raise
        except Exception as error:
            raise failed(labeler, f"`{item}`", error) from error
        if not isinstance(label, str):
            raise unlabelled(item, f"`{type(labeler).__name__}` gave {label!r}, which is no text")
        found.append(label)
    return found


def failed(component: Any, what: str, error: Exception) -> RunError:
    """The error for a component that raised on an item. It says where in its source."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    notes = [f"raised at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"] if where else []
    name = getattr(component, "__name__", type(component).__name__)
    return RunError("R0111", f"`{name}` failed on {what}: {type(error).__name__}: {error}", notes=notes)
