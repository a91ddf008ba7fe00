"""Texts out of a table: a file of comma-separated values with a text in each row.

A row is found by the place in the file where it begins, which one pass finds out; the rows themselves are read
when they are asked for, so that a table need not fit into memory.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import xxhash

from mfc.runtime.component import source
from mfc.runtime.data.paths import shown
from mfc.runtime.data.sources import Caches
from mfc.runtime.data.text_sources import checked_encoding
from mfc.runtime.data.walk import unreadable
from mfc.runtime.errors import RunError

FIELD = "xxfld"
"""The token before each of several texts of a row, as `mfc.runtime.text.rules` has it."""

LONGEST = 1 << 24
"""Characters of a field at most: where there are more, a quote has mostly no end."""


class Row(NamedTuple):
    """A row of a table: the byte and the line where it begins, and its fields."""

    start: int
    line: int
    fields: list[str]


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
        file: the table; `~` is the home folder.
        text: the column that holds the text, by its name in the header, or a list of columns.
        delimiter: what stands between fields; by default a tab in files `.tsv` and `.tab`, else a comma.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`.
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
        self.file = Path(os.path.abspath(os.path.expanduser(file)))
        self.text = [text] if isinstance(text, str) else text
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
        if not self.text:
            raise RunError("R0110", "`text` names no column", help='name one: `text = "review"`')

    def scan(self) -> list[str]:
        """The items, sorted.

        Raises:
            RunError: the file is missing, holds no row, or a row that is none; it has no such column.
        """
        for name in self.text:
            self._place(name)
        return [f"{number:08}" for number in range(len(self._starts))]

    def open(self, item: str) -> str:
        """An item's text. Raises RunError as `scan` does, and where the file has become another one since."""
        if int(item) >= len(self._starts):
            raise self._changed(item)
        with self._opened() as file:
            file.seek(self._starts[int(item)])
            row = next(self._rows(file), None)
        if row is None or len(row.fields) != len(self._header):
            raise self._changed(item)
        texts = [row.fields[place].replace("\r\n", "\n").replace("\r", "\n") for place in self._places]
        if len(texts) == 1:
            return texts[0]
        return " ".join(f"{FIELD} {number} {text}" for number, text in enumerate(texts, 1))

    def column(self, name: str, items: Sequence[str]) -> list[str]:
        """What items have in a column, as it stands there. Raises RunError as `scan` does."""
        place = self._place(name)
        with self._opened() as file:
            values = [row.fields[place] for row in self._table(file)][1:]
        if items and int(items[-1]) >= len(values):
            raise self._changed(items[-1])
        return [values[int(item)] for item in items]

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """A hash of each item's content: of the file, of how it is read, and of the row's number."""
        (file,) = caches(str(self.file.parent)).digests([self.file.name])
        read = f"{file}/{self.delimiter}/{self.encoding}/{self.errors}"
        return [xxhash.xxh3_128_hexdigest(f"{read}/{item}".encode()) for item in items]

    def _changed(self, item: str) -> RunError:
        return RunError("R0103", f"can't read row {item} of `{self.file}`: the file was changed meanwhile")

    # ── the columns ─────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _places(self) -> list[int]:
        """Which of a row's fields are its text."""
        return [self._place(name) for name in self.text]

    def _place(self, name: str) -> int:
        if name in self._header:
            return self._header.index(name)
        near = difflib.get_close_matches(name, self._header, 1) or [
            there for there in self._header if there.strip().lower() == name.strip().lower()
        ]
        there = f"there are {shown(self._header, 12)}"
        raise RunError(
            "R0133",
            f"`{self.file}` has no column `{name}`",
            help=f"did you mean `{near[0]}`?" if near else there,
            notes=[there] if near else [],
        )

    @cached_property
    def _header(self) -> list[str]:
        """The names of the columns. Those without a name can't be asked for."""
        with self._opened() as file:
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
    def _starts(self) -> array[int]:
        """The byte at which each row begins. All of the file is read, and what is wrong with it is found."""
        with self._opened() as file:
            starts = array("q", (row.start for row in self._table(file)))
        if len(starts) == 1:
            raise RunError("R0136", f"`{self.file}` has no rows, only the names of columns")
        return starts[1:]

    def _table(self, file: BinaryIO) -> Iterator[Row]:
        """The header and the rows, each as long as the header."""
        length = len(self._header)
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
    def _opened(self) -> Iterator[BinaryIO]:
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

    def __init__(self, file: BinaryIO, table: text_table) -> None:
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
