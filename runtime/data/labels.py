"""What an item's label is, found from its path.

A labeler has `label(item) -> str`; one that is quicker on many items has `labels(items) -> list[str]` too.
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


def unlabelled(item: str, why: str) -> RunError:
    """The error for an item for which a labeler finds no label."""
    return RunError("R0108", f"`{item}` has no label: {why}")


def label_all(labeler: Any, items: Sequence[str]) -> list[str]:
    """Each item's label. What a user's own labeler raises becomes a RunError that names the item."""
    if hasattr(labeler, "labels"):
        return labeler.labels(items)
    found = []
    for item in items:
        try:
            label = labeler.label(item)
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
