"""The history as a table that spreadsheets open."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mfc.runtime import disk
from mfc.runtime.component import callback
from mfc.runtime.errors import RunError
from mfc.runtime.training.events import Callback
from mfc.runtime.training.history import finite

TABLE = "history.csv"


@callback(observes=True, once=True)
class csv_logger(Callback):
    """Writes the history to `history.csv` in the run's folder: a row an epoch, a column for each thing measured.

    What is no finite number is an empty cell. It only looks on: adding it trains nothing anew.
    """

    order = -70  # after_epoch: when the row is complete, whatever other callbacks add to it

    def before_fit(self) -> None:
        if self.learner.folder is None:
            message = "csv_logger keeps a file, and the Learner has no folder"
            raise RunError("R0241", message, help="give it one: `Learner(..., folder=Path(...))`")
        self._write()

    def after_epoch(self) -> None:
        self._write()

    def _write(self) -> None:
        """Writes the table whole, so that it never has more than the history, also where a run went on."""
        assert self.learner.folder is not None
        disk.write_file(self.learner.folder / TABLE, as_table(self.learner.history).encode())


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV, with a head; the columns are those of all rows, in the order in which they come."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    if columns:
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(finite(row) for row in rows)
    return text.getvalue()
