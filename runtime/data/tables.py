"""Tables in files of comma-separated values: their columns, and rows that are read when they are asked for.

A row is found by the place in the file where it begins, which one pass finds out, so that a table need not fit into
memory. One that is compressed, or in an encoding whose line breaks are not those of ASCII, is held there.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import difflib
import gzip
import io
import lzma
import os
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeVar

from mfc.runtime.data.paths import shown
from mfc.runtime.data.text_sources import checked_encoding
from mfc.runtime.data.walk import unreadable
from mfc.runtime.errors import RunError

LONGEST = 1 << 24
"""Characters of a field at most: where there are more, a quote has mostly no end."""


COMPRESSED: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b\x08": gzip.decompress,
    **{b"BZh%d1AY" % level: bz2.decompress for level in range(1, 10)},
    b"\xfd7zXZ\0": lzma.decompress,
}
"""What undoes a compression, by how files of it begin."""

LONGEST_MARK = 8
"""Bytes of the longest of the beginnings that are known here."""

OTHER_ENCODING = 'name the right `encoding`, or go on without such bytes with `errors = "replace"`'

SUFFIXES = (".gz", ".bz2", ".xz")

NO_TABLES = {
    b"PK\x03\x04": "a ZIP archive, as spreadsheets are",
    b"PAR1\x15": "a Parquet file",
    b"(\xb5/\xfd": "compressed by zstd",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
}
"""What files are that hold tables in other ways, by how they begin."""

WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""The byte order marks that are not UTF-8's; those of UTF-32 first, which begin with one of UTF-16."""


class Held(NamedTuple):
    """What a table holds, and the encoding of that: one whose line breaks are ASCII's."""

    content: bytes
    encoding: str


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
        file: the table, which may be compressed by gzip, bzip2 or xz; `~` is the home folder.
        delimiter: what stands between fields; by default a tab in files `.tsv` and `.tab`, else a comma.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`. With
            `utf-8`, a file that begins with the byte order mark of UTF-16 or UTF-32 is read in that.
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
        name = self.file.name.lower()
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        by_name = "\t" if name.endswith((".tsv", ".tab")) else ","
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
        headless = "its first row is read as the names of columns: where it is data, write one above it"
        raise RunError(
            "R0133",
            f"`{self.file}` has no column `{name}`",
            help=f"did you mean `{near[0]}`?" if near else headless,
            notes=[f"there are {shown(self.header, 12)}"],
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
        """The table as a file whose lines end in ASCII's line breaks."""
        try:
            held = self.held
            with open(self.file, "rb") if held is None else io.BytesIO(held.content) as opened:
                yield opened
        except FileNotFoundError as error:
            raise self._missing() from error
        except OSError as error:
            raise unreadable(str(self.file), error) from error

    @cached_property
    def held(self) -> Held | None:
        """The whole table, where its rows can't be found by their places in the file; else None."""
        with open(self.file, "rb") as file:
            start = file.read(LONGEST_MARK)
            undo = _beginning(start, COMPRESSED)
            if undo is None and self._wide(start) is None:
                self._check(start)
                return None
            content = start + file.read()
        if undo is not None:
            content = self._decompressed(undo, content)
            self._check(content)
        wide = self._wide(content)
        return Held(content, self.encoding) if wide is None else Held(self._narrowed(content, wide), "utf-8")

    def _wide(self, content: bytes) -> str | None:
        """The encoding of a content, where its line breaks are not ASCII's."""
        if "\n".encode(self.encoding) != b"\n":
            return self.encoding
        is_utf8 = codecs.lookup(self.encoding).name == "utf-8"
        return _beginning(content, WIDE_MARKS) if is_utf8 else None

    def _check(self, content: bytes) -> None:
        if (what := _beginning(content, NO_TABLES)) is not None:
            help = "save it as comma-separated values"
            raise RunError("R0130", f"`{self.file}` is no text: it is {what}", help=help)

    def _decompressed(self, undo: Callable[[bytes], bytes], content: bytes) -> bytes:
        try:
            return undo(content)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            message = f"can't read `{self.file}`: what is compressed in it is cut off or damaged"
            raise RunError("R0103", message, help="copy or download it again") from error

    def _narrowed(self, content: bytes, encoding: str) -> bytes:
        """A content as UTF-8. Raises RunError R0130."""
        try:
            return content.decode(encoding, self.errors).encode()
        except UnicodeDecodeError as error:
            line = content[: error.start].decode(encoding, "replace").count("\n") + 1
            raise RunError(
                "R0130",
                f"line {line:,} of `{self.file}` is no text in {encoding}: {error.reason}",
                help=OTHER_ENCODING,
            ) from error

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
        held, errors = self.table.held, self.table.errors
        encoding = self.table.encoding if held is None else held.encoding
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
            help=OTHER_ENCODING,
        )


M = TypeVar("M")


def _beginning(content: bytes, known: Mapping[bytes, M]) -> M | None:
    """What is known of contents that begin so."""
    return next((meaning for mark, meaning in known.items() if content.startswith(mark)), None)


def _why(error: csv.Error) -> str:
    """What Python's reader of tables means."""
    said = str(error)
    if said == "unexpected end of data":
        return "the last field's closing quote is missing"
    return "a quote within a field is not doubled" if "expected after" in said else said
