"""Predictions as a table, a row an item."""

from __future__ import annotations

import csv as standard
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfc.runtime.component import table_format
from mfc.runtime.disk import write_file
from mfc.runtime.errors import RunError


@dataclass(frozen=True)
class Table:
    """What a model says of items.

    Attributes:
        paths: of the items.
        predictions: a label each, a list of labels, or numbers.
        labels: what they are, in the same form; None where that is not known.
        losses: None where labels are not known.
        vocab: the classes.
        probabilities: of an item those of its classes; rows without numbers for values.
    """

    paths: Sequence[str]
    predictions: Sequence[Any]
    labels: Sequence[Any] | None
    losses: Sequence[Any] | None
    vocab: Sequence[str]
    probabilities: Sequence[Sequence[Any]]


@table_format
class csv:
    """A file of comma-separated values in UTF-8, with a head: `path` and `label`, where labels are known `true` and
    `loss`, and the probability of each class, such as `p(cat)`.

    `label` is the predicted class, or several joined by `delimiter`, or numbers; of values there are no probabilities.
    Several models that are no ensemble have their rows one after another, with a column `model` before the others.

    Args:
        name: of the file, which lies in the folder of the evaluation's results.
        id: the name of the column with the items' paths.
        label: the name of the column with the predictions.
        delimiter: what stands between several labels, or numbers, of an item; not empty.
    """

    def __init__(self, name: str, id: str = "path", label: str = "label", delimiter: str = ";") -> None:
        self.name, self.id, self.label, self.delimiter = name, id, label, delimiter

    def write(self, folder: Path, tables: Mapping[str, Table]) -> None:
        """Writes the table. Raises RunError R0218 where a class's name has the delimiter in it."""
        text = io.StringIO()
        writer = standard.writer(
            text
        )  # lines end as RFC 4180 says, so that what has a line's end in it is quoted
        several = len(tables) > 1
        for number, (model, table) in enumerate(tables.items()):
            if number == 0:
                writer.writerow([*(["model"] if several else []), *self._head(table)])
            for row in self._rows(table):
                writer.writerow([model, *row] if several else row)
        write_file(folder / self.name, text.getvalue().encode("utf-8", "surrogateescape"))

    def _head(self, table: Table) -> list[str]:
        known = ["true", "loss"] if table.labels is not None else []
        return [self.id, self.label, *known, *(f"p({name})" for name in table.vocab)]

    def _rows(self, table: Table) -> Iterator[list[Any]]:
        for i, path in enumerate(table.paths):
            row: list[Any] = [path, self._one(table.predictions[i])]
            if table.labels is not None and table.losses is not None:
                row += [self._one(table.labels[i]), _text(table.losses[i])]
            yield row + list(map(_text, table.probabilities[i]))

    def _one(self, answer: Any) -> str:
        if not isinstance(answer, list):
            return _text(answer)
        parts = list(map(_text, answer))
        if wrong := next((part for part in parts if self.delimiter in part), None):
            message = f"the class `{wrong}` has `{self.delimiter}` in its name, which stands between classes"
            raise RunError("R0218", message, help='choose another one: `csv(..., delimiter = "|")`')
        return self.delimiter.join(parts)


def _text(answer: Any) -> str:
    """A label, or a number in as many digits as tell it from the next float32; nothing for one that is not finite."""
    if not isinstance(answer, float | np.floating):
        return str(answer)
    return str(np.float32(answer)) if np.isfinite(answer) else ""
