"""Texts out of a table: a file of comma-separated values with a text in each row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import xxhash

from mfc.runtime.component import source
from mfc.runtime.data.sources import Caches
from mfc.runtime.data.tables import Table
from mfc.runtime.errors import RunError

FIELD = "xxfld"
"""The token before each of several texts of a row, as `mfc.runtime.text.rules` has it."""


@source(shape="-> tokens", items="text", columns=True)
class text_table:
    """The rows of a table in a file, with the text in one column or several.

    The file is one of comma-separated values: its first row has the names of the columns, fields with commas, quotes
    or line breaks are in double quotes, and a quote in them is doubled. A byte order mark and empty lines are no part
    of the table. Items are the rows' numbers, counted from 0, such as `00000017`; `label = column(...)` and
    `split = by_column(...)` read other columns. Lines of a text end in `\\n` whatever the file has. An empty field
    is an empty text. Several columns make one text with marks between them, as in fastai:
    `xxfld 1 ... xxfld 2 ...`.

    Args:
        file: the table, which may be compressed by gzip, bzip2 or xz; `~` is the home folder.
        text: the column that holds the text, by its name in the header, or a list of columns.
        delimiter: what stands between fields; by default a tab in files `.tsv` and `.tab`, else a comma.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`. With
            `utf-8`, a file that begins with the byte order mark of UTF-16 or UTF-32 is read in that.
        errors: `strict` stops at bytes that are none in the encoding, `replace` puts U+FFFD in their place.
    """

    def __init__(
        self,
        file: Path,
        text: str | list[str],
        delimiter: str | None = None,
        encoding: str = "utf-8",
        errors: Literal["strict", "replace"] = "strict",
    ) -> None:
        self.table = Table(file, delimiter, encoding, errors)
        self.text = [text] if isinstance(text, str) else text
        if not self.text:
            raise RunError("R0110", "`text` names no column", help='name one: `text = "review"`')

    def scan(self) -> list[str]:
        """The items, sorted.

        Raises:
            RunError: the file is missing, holds no row, or a row that is none; it has no such column.
        """
        for name in self.text:
            self.table.place(name)
        return [f"{number:08}" for number in range(len(self.table.starts))]

    def open(self, item: str) -> str:
        """An item's text. Raises RunError as `scan` does, and where the file has become another one since."""
        fields = self.table.row(int(item))
        if fields is None:
            raise self._changed(item)
        return self.joined(fields)

    def joined(self, fields: Sequence[str]) -> str:
        """The text of a row with these fields."""
        texts = [fields[place].replace("\r\n", "\n").replace("\r", "\n") for place in self._places]
        if len(texts) == 1:
            return texts[0]
        return " ".join(f"{FIELD} {number} {text}" for number, text in enumerate(texts, 1))

    def column(self, name: str, items: Sequence[str]) -> list[str]:
        """What items have in a column, as it stands there. Raises RunError as `scan` does."""
        place = self.table.place(name)
        values = [row.fields[place] for row in self.table.rows()]
        if items and int(items[-1]) >= len(values):
            raise self._changed(items[-1])
        return [values[int(item)] for item in items]

    def where(self, item: str) -> str:
        """Where an item's row begins, for messages."""
        row = next(islice(self.table.rows(), int(item), None))
        return f"line {row.line:,} of `{self.table.file}`"

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """A hash of each item's content: of the file, of how it is read, and of the row's number."""
        file = self.table.file
        (digest,) = caches(str(file.parent)).digests([file.name])
        return [xxhash.xxh3_128_hexdigest(f"{digest}/{self.table.how}/{item}".encode()) for item in items]

    def _changed(self, item: str) -> RunError:
        return RunError(
            "R0103", f"can't read row {item} of `{self.table.file}`: the file was changed meanwhile"
        )

    @cached_property
    def _places(self) -> list[int]:
        """Which of a row's fields are its text."""
        return [self.table.place(name) for name in self.text]
