"""What an item's label is, found from its path, or from its row where the source is a table.

A labeler has `label(item)`; one that is quicker on many items has `labels(items)` too. One that has `reads_column`, the
name of a column of the source's table, is called with what the item has there as well: `label(item, value)`,
`labels(items, values)`; where it is a list of names, a value is a list.

A label is a text. For several classes an item it may be a list of texts, for values a number or a list of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from mfc.runtime.component import labeler
from mfc.runtime.data.paths import compiled, runs
from mfc.runtime.errors import RunError

Label: TypeAlias = str | float | list[str] | list[float]


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
        delimiter: what stands between several labels, or numbers, in the group; by default it is one.
    """

    def __init__(self, pattern: str, delimiter: str | None = None) -> None:
        self.pattern, self.delimiter = pattern, _checked_delimiter(delimiter)
        self.search = compiled(pattern, groups=1).search

    def label(self, item: str) -> Label:
        match = self.search(item)
        if match is None or match[1] is None:
            raise unlabelled(item, f"`{self.pattern}` is not found in its path")
        return match[1] if self.delimiter is None else _split(match[1], self.delimiter)


@labeler
class stem:
    """The item's file name without its suffix: `faces/23.5.jpg` is labelled `23.5`."""

    def label(self, item: str) -> str:
        name = item.rpartition("/")[2]
        return name.rpartition(".")[0] or name


@labeler(reads_column=True)
class column:
    """What a column of the table says in the item's row, as it stands there: a class, or the number that it is.

    The source is one with columns, such as `text_table` or `image_table`. A row whose value is empty has no label;
    with a `delimiter` it has none of the classes.

    Args:
        name: the column, by its name in the header; a list of columns for several numbers, or classes, an item.
        delimiter: what stands between several labels, or numbers, in the column; by default it is one.
    """

    def __init__(self, name: str | list[str], delimiter: str | None = None) -> None:
        self.reads_column, self.delimiter = name, _checked_delimiter(delimiter)
        if not name:
            raise RunError("R0110", "`column` names no column", help='name one: `column("tags")`')

    def label(self, item: str, value: str | list[str]) -> Label:
        return self.labels([item], [value])[0]

    def labels(self, items: Sequence[str], values: Sequence[str | list[str]]) -> list[Label]:
        if (delimiter := self.delimiter) is not None:
            return [_split(delimiter.join(_listed(value)), delimiter) for value in values]
        for item, value in zip(items, values):
            for name, cell in zip(_listed(self.reads_column), _listed(value)):
                if not cell.strip():
                    raise unlabelled(item, f"its `{name}` is empty")
        return list(values)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _split(text: str, delimiter: str) -> list[str]:
    """The parts of a text, without space around them and without empty ones."""
    return [part.strip() for part in text.split(delimiter) if part.strip()]


def _checked_delimiter(delimiter: str | None) -> str | None:
    if delimiter == "":
        raise RunError(
            "R0110", "`delimiter` is empty", help='name what stands between labels: `delimiter = " "`'
        )
    return delimiter


def unlabelled(item: str, why: str) -> RunError:
    """The error for an item for which a labeler finds no label."""
    return RunError("R0108", f"`{item}` has no label: {why}", item=item)


def label_all(
    labeler: Any, items: Sequence[str], *values: Sequence[Any], target: str = "category"
) -> list[Any]:
    """Each item's label. What a user's own labeler raises becomes a RunError that names the item.

    Args:
        values: what the items have in the column that the labeler reads, if it reads one.
        target: a text is wanted for a category; for `multi_category` a list of texts may stand for it, for `value` a
            number or a list of numbers or texts.
    """
    if hasattr(labeler, "labels"):
        found = labeler.labels(items, *values)
    else:
        found = [_label(labeler, item, *value) for item, *value in zip(items, *values)]
    if all(type(label) is str for label in found):
        return found
    for item, label in zip(items, found):
        if not _is_label(label, target):
            wanted = {"multi_category": "no list of texts", "value": "no number"}.get(target, "no text")
            raise unlabelled(item, f"`{type(labeler).__name__}` gave {label!r}, which is {wanted}")
    return found


def _label(labeler: Any, item: str, *value: Any) -> Any:
    try:
        return labeler.label(item, *value)
    except RunError:
        raise
    except Exception as error:
        raise failed(labeler, f"`{item}`", error, item) from error


def _is_label(label: Any, target: str) -> bool:
    if isinstance(label, list | tuple) and target in ("multi_category", "value"):
        return all(_is_label(one, target) and not isinstance(one, list | tuple) for one in label)
    number = isinstance(label, int | float) and not isinstance(label, bool)
    return isinstance(label, str) or (target == "value" and number)


def failed(component: Any, what: str, error: Exception, item: str | None = None) -> RunError:
    """The error for a component that raised, on an item or on several. It says where in its source."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    notes = [f"raised at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}"] if where else []
    name = getattr(component, "__name__", type(component).__name__)
    message = f"`{name}` failed on {what}: {type(error).__name__}: {error}"
    return RunError("R0111", message, notes=notes, item=item)
