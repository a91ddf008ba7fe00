"""Tables in files of comma-separated values: their columns, and rows that are read when they are asked for.

A row is found by the place in the file where it begins, which one pass finds out, so that a table need not fit into
memory.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from mfc.runtime.data.paths import shown
from mfc.runtime.data.text_sources import checked_encoding
from mfc.runtime.data.walk import unreadable
from mfc.runtime.errors import RunError

LONGEST = 1 << 24
"""Characters of a field at most: where there are more, a quote has mostly no end."""


class Row(NamedTuple):
    """A row of a table: the byte and the line where it begins, and its fields."""

    start: int
    line: int
    fields: list[str]


class Table:
    """A table in a file, whose first row has the names of the columns.

    Fields with commas, quotes or line breaks are in double quotes, and a quote in them is doubled. A byte order mark
    and empty lines are no part of the table. Raises RunError R0110 for an encoding or a delimiter that can't be.

    Args:
        file: the table; `~` is the home folder.
        delimiter: what stands between fields; by default a tab in files `.tsv` and `.tab`, else a comma.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`.
        errors: `strict` stops at bytes that are none in the encoding, `replace` puts U+FFFD in their place.
    """

    def __init__(
        self,
        file: Path,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        errors: Literal["strict", "replace"] = "strict",
    ) -> None:
        self.file = Path(os.path.abspath(os.path.expanduser(file)))
        self.encoding, self.errors = checked_encoding(encoding), errors
        if codecs.lookup(encoding).name == "utf-8-sig":  # a byte order mark is left out in any case
            self.encoding = encoding = "utf-8"
        if "\n".encode(encoding) != b"\n":
            raise RunError(
                "R0110",
                f"a table can't be read in `{encoding}`",
                help="save the file as UTF-8: it holds any text",
            )
        by_name = "\t" if self.file.suffix.lower() in (".tsv", ".tab") else ","
        self.delimiter = by_name if delimiter is None else delimiter
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise RunError("R0110", f"the delimiter of a table is one character, not {delimiter!r}")

    @property
    def how(self) -> str:
        """How the file is read, as a part of the hash of what it holds."""
        return f"{self.delimiter}/{self.encoding}/{self.errors}"

    def row(self, number: int) -> list[str] | None:
        """The fields of a row, counted from 0; None where the file has become another one since it was looked at."""
        if number >= len(self.starts):
            return None
        with self.opened() as file:
            file.seek(self.starts[number])
            row = next(self._rows(file), None)
        return row.fields if row is not None and len(row.fields) == len(self.header) else None

    def rows(self) -> Iterator[Row]:
        """All rows but the header, each as long as that. Raises RunError R0135 for one that is none."""
        with self.opened() as file:
            rows = self._table(file)
            next(rows, None)
            yield from rows

    # ── the columns ─────────────────────────────────────────────────────────────────────────────────────

    def place(self, name: str) -> int:
        """Which of a row's fields is the column of that name. Raises RunError R0133 where there is none."""
        if name in self.header:
            return self.header.index(name)
        near = difflib.get_close_matches(name, self.header, 1) or [
            there for there in self.header if there.strip().lower() == name.strip().lower()
        ]
        there = f"there are {shown(self.header, 12)}"
        raise RunError(
            "R0133",
            f"`{self.file}` has no column `{name}`",
            help=f"did you mean `{near[0]}`?" if near else there,
            notes=[there] if near else [],
        )

    @cached_property
    def header(self) -> list[str]:
        """The names of the columns. Those without a name can't be asked for."""
        with self.opened() as file:
            header = next(self._rows(file), Row(0, 1, [])).fields
        names = [name for name in header if name]
        if not names:
            raise RunError(
                "R0136", f"`{self.file}` is empty", help="its first row has the names of the columns"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RunError(
                "R0134",
                f"`{self.file}` has more than one column of the name {shown(twice)}",
                help="rename all but one in the first row of the file",
            )
        return header

    # ── the rows ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def starts(self) -> array[int]:
        """The byte at which each row begins. All of the file is read, and what is wrong with it is found."""
        with self.opened() as file:
            starts = array("q", (row.start for row in self._table(file)))
        if len(starts) == 1:
            raise RunError("R0136", f"`{self.file}` has no rows, only the names of columns")
        return starts[1:]

    def _table(self, file: BinaryIO) -> Iterator[Row]:
        """The header and the rows, each as long as the header."""
        length = len(self.header)
        for row in self._rows(file):
            if len(row.fields) != length:
                raise RunError(
                    "R0135",
                    f"line {row.line:,} of `{self.file}` has {len(row.fields)} "
                    f"field{'s' if len(row.fields) > 1 else ''}, and the header {length}",
                    help="a field that holds the delimiter, a quote or a line break has to be in double quotes; "
                    '`delimiter = "..."` names another delimiter',
                )
            yield row

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        """The rows of a file from where it stands, without empty lines."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # by default texts are cut off at 131,072
        lines = _Lines(file, self)
        rows = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            start, line = lines.end, lines.number + 1
            try:
                fields = next(rows, None)
            except csv.Error as error:
                raise self._broken(line, _why(error)) from error
            if fields is None:
                return
            if fields:
                yield Row(start, line, fields)

    def _broken(self, line: int, why: str) -> RunError:
        return RunError(
            "R0135",
            f"the row in line {line:,} of `{self.file}` can't be read: {why}",
            help="see that each double quote that opens a field is followed by one that closes it",
        )

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        try:
            with open(self.file, "rb") as file:
                yield file
        except FileNotFoundError as error:
            raise self._missing() from error
        except OSError as error:
            raise unreadable(str(self.file), error) from error

    def _missing(self) -> RunError:
        """The error for a file that is not there, with the nearest name of those that are."""
        folder = self.file.parent
        names = [path.name for path in folder.iterdir()] if os.access(folder, os.R_OK) else []
        near = difflib.get_close_matches(self.file.name, names, 1)
        help = f"did you mean `{folder / near[0]}`?" if near else None
        if not folder.is_dir():
            help = f"there is no folder `{folder}` either"
        return RunError("R0101", f"there is no file `{self.file}`", help=help)


class _Lines:
    """The lines of a file as texts, and how far it was read: `end` in bytes, `number` in lines."""

    def __init__(self, file: BinaryIO, table: Table) -> None:
        self.file, self.table = file, table
        self.end, self.number = file.tell(), 0

    def __iter__(self) -> Iterator[str]:
        encoding, errors = self.table.encoding, self.table.errors
        for chunk in self.file:
            # lines end in \n, \r\n or \r, as for Python's own files
            for line in chunk.splitlines(keepends=True) if b"\r" in chunk else (chunk,):
                try:
                    text = line.decode(encoding, errors)
                except UnicodeDecodeError as error:
                    raise self._undecodable(line, error) from error
                if self.end == 0:
                    text = text.removeprefix("\ufeff")
                self.end += len(line)
                self.number += 1
                yield text

    def _undecodable(self, line: bytes, error: UnicodeDecodeError) -> RunError:
        return RunError(
            "R0130",
            f"line {self.number + 1:,} of `{self.table.file}` is no text in {self.table.encoding}: its byte "
            f"{error.start:,} is 0x{line[error.start]:02x}, {error.reason}",
            help='name the right `encoding`, or go on without such bytes with `errors = "replace"`',
        )


def _why(error: csv.Error) -> str:
    """What Python's reader of tables means."""
    said = str(error)
    if said == "unexpected end of data":
        return "the last field's closing quote is missing"
    return "a quote within a field is not doubled" if "expected after" in said else said
