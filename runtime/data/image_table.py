"""Images that a table names: a file of comma-separated values with an image in each row."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import xxhash

from mfc.runtime.component import source
from mfc.runtime.data.paths import shown
from mfc.runtime.data.sources import Caches, image_files
from mfc.runtime.data.tables import Row, Table
from mfc.runtime.data.templates import filled, placeholders
from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from PIL import Image


@source(shape="-> channels h w", items="image", columns=True, templates=("image",))
class image_table:
    """The images that the rows of a table name, in a folder.

    The file is one of comma-separated values: its first row has the names of the columns, fields with commas, quotes
    or line breaks are in double quotes, and a quote in them is doubled. Items are the images' paths from `folder`, so
    that `column(...)` and `by_column(...)` read what a row says, and a labeler or split of paths works too. Each
    image has one row.

    Args:
        file: the table, which may be compressed by gzip, bzip2 or xz; `~` is the home folder.
        folder: where the images lie.
        image: an image's path from `folder`, with columns in braces: `"{image_name}.jpg"`.
        channels: 3 converts every image to RGB, 1 to grey.
        delimiter: what stands between fields; by default a tab in files `.tsv` and `.tab`, else a comma.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`. With
            `utf-8`, a file that begins with the byte order mark of UTF-16 or UTF-32 is read in that.
        errors: `strict` stops at bytes that are none in the encoding, `replace` puts U+FFFD in their place.
    """

    def __init__(
        self,
        file: Path,
        folder: Path,
        image: str,
        channels: Literal[1, 3] = 3,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        errors: Literal["strict", "replace"] = "strict",
    ) -> None:
        self.table = Table(file, delimiter, encoding, errors)
        self.files, self.image = image_files(folder, channels=channels), image
        if not placeholders(image):
            raise RunError(
                "R0110",
                f"`{image}` names the same image for each row",
                help='put a column in braces: `image = "{name}.jpg"`',
            )

    def scan(self) -> list[str]:
        """The items, sorted.

        Raises:
            RunError: the table is missing, holds no row, or a row that is none; it has no such column. R0138 for an
                image in several rows, R0139 for images that are not there.
        """
        items = sorted(self._rows)
        if missing := [item for item in items if not os.path.isfile(f"{self.files.root}/{item}")]:
            are = "images that are" if len(missing) > 1 else "an image that is"
            raise RunError(
                "R0139",
                f"`{self.table.file}` names {are} not there: {shown(missing)}",
                help=f"`image` says where they lie in `{self.files.root}`, with their suffix: "
                '`image = "{name}.jpg"`',
            )
        return items

    def open(self, item: str) -> Image.Image:
        """An item as an image in mode RGB or L. The pixels of a JPEG may be unread still."""
        return self.files.open(item)

    def column(self, name: str, items: Sequence[str]) -> list[str]:
        """What items have in a column, as it stands there. Raises RunError as `scan` does."""
        place = self.table.place(name)
        return [self._rows[item].fields[place] for item in items]

    def where(self, item: str) -> str:
        """Where an item's row begins, for messages."""
        return f"line {self._rows[item].line:,} of `{self.table.file}`"

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """A hash of each image's content and of what its row says beside its name."""
        names = {self.table.place(name) for name in placeholders(self.image)}
        kept = [place for place in range(len(self.table.header)) if place not in names]
        header = [self.table.header[place] for place in kept]
        rows = (json.dumps([header, [self._rows[item].fields[place] for place in kept]]) for item in items)
        images = self.files.digests(items, caches)
        return [xxhash.xxh3_128_hexdigest(f"{image}/{row}".encode()) for image, row in zip(images, rows)]

    @cached_property
    def _rows(self) -> dict[str, Row]:
        """Each item's row."""
        columns = {name: self.table.place(name) for name in placeholders(self.image)}
        found: dict[str, Row] = {}
        for row in self.table.rows():
            path = filled(self.image, {name: row.fields[place] for name, place in columns.items()})
            item = posixpath.normpath(path)
            if item == ".." or item.startswith(("../", "/")):
                raise RunError(
                    "R0139",
                    f"`{self.table.file}` names `{path}` in line {row.line:,}, which is not in `{self.files.root}`",
                    help="give the folder that all images are below as `folder`",
                )
            if item in found:
                raise RunError(
                    "R0138",
                    f"`{self.table.file}` has more than one row for `{item}`: lines {found[item].line:,} and "
                    f"{row.line:,}",
                    help='several labels of an image stand in one field: `column(NAME, delimiter = " ")`',
                )
            found[item] = row
        if not found:
            raise RunError("R0136", f"`{self.table.file}` has no rows, only the names of columns")
        return found
