"""New items for a trained model: the files that paths name, and rows of tables, read as its data block's are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.data.image_table import image_table
from mfc.runtime.data.sources import image_files
from mfc.runtime.data.templates import filled, placeholders
from mfc.runtime.data.text_sources import text_files
from mfc.runtime.data.text_table import text_table
from mfc.runtime.errors import RunError

TABLES = (".csv", ".tab", ".tsv")
"""How the names of tables end; the one that was trained on may end in another way, and then others may too."""


class NewItem(NamedTuple):
    """An item to predict.

    Args:
        name: what it is called: its path as it was given, of a row of texts `reviews.csv:7` with the line where it
            begins, of a text by itself `-:7` or `text:1`, of an image by itself `image`.
        source: opens it.
        item: what its source calls it.
    """

    name: str
    source: Any
    item: str


class Texts(NamedTuple):
    """A source of one text."""

    text: str

    def open(self, item: str) -> str:
        return self.text


class Picture(NamedTuple):
    """A source of one image, which stays as it is."""

    image: Image.Image
    files: image_files

    def open(self, item: str) -> Image.Image:
        return self.files.converted(self._anew())

    def _anew(self) -> Image.Image:
        """A JPEG that was not read yet is opened anew, since its decoder may then skip pixels as it does for a file."""
        file = self.image.fp if isinstance(self.image, ImageFile) and self.image.tile else None
        if file is None or self.image.format != "JPEG":
            return self.image.copy()
        place = file.tell()
        file.seek(0)
        anew = Image.open(BytesIO(file.read()))
        file.seek(place)
        return anew


def given(texts: Iterable[str], name: str = "text") -> Iterator[NewItem]:
    """Texts by themselves as items."""
    for number, text in enumerate(texts, 1):
        yield NewItem(f"{name}:{number}", Texts(text), "")


def lines(stream: Iterable[bytes]) -> Iterator[NewItem | RunError]:
    """The lines of a stream, each a text in UTF-8, as items."""
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            yield RunError("R0130", f"line {number:,} of `-` is no text in UTF-8: {error.reason}")
            continue
        yield NewItem(f"-:{number}", Texts(text), "")


@dataclass(frozen=True)
class Finder:
    """Finds new items where paths say.

    Args:
        own: the source of the data block, as the plan has it.
        channels: of its images; None for texts.
        images: where the images lie that tables name; by default a table's own folder.
    """

    own: ir.Call
    channels: int | None
    images: str | None = None
    _sources: dict[str, Any] = field(default_factory=dict)

    def __call__(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[NewItem | RunError]:
        """The items of files, of folders, which are walked as the data block's source does, and of tables, row by row.
        What can't be read is an error in its place."""
        for path in paths:
            try:
                if not isinstance(path, str | os.PathLike):
                    message = f"files are predicted by their paths, and {type(path).__name__} is none"
                    raise RunError("R0503", message, help="`predict` takes an image of Pillow, or a text")
                yield from self._at(os.path.expanduser(os.fspath(path)))
            except RunError as error:
                yield error

    def image(self, image: Image.Image) -> NewItem:
        """An image by itself as an item, which is read as a file with it would be."""
        own = self._source(".") if self.own.target == _IMAGE_FILES else None
        files = own or image_files(Path("."), channels=self.channels)  # type: ignore[arg-type]
        return NewItem("image", Picture(image, files), "")

    def _at(self, path: str) -> Iterator[NewItem]:
        if os.path.isdir(path):
            source = self._source(path)
            for item in source.scan():
                yield NewItem(os.path.join(path, item), source, item)
        elif not os.path.exists(path):
            raise RunError("R0103", f"can't read `{path}`: there is no such file")
        elif self.is_table(path):
            yield from self._rows(path)
        else:
            folder, name = os.path.split(path)
            yield NewItem(path, self._source(folder or "."), name)

    def _source(self, folder: str) -> Any:
        """The data block's own source at another folder, where it is one of a folder, else one of plain files."""
        if folder in self._sources:
            return self._sources[folder]
        at = [name for name, value in self.own.args.items() if isinstance(value, ir.File)]
        if len(at) == 1 and not self._of_table:
            # which folders to look into is said of the folder that was trained on
            args = {name: value for name, value in self.own.args.items() if name != "folders"}
            source = build(replace(self.own, args={**args, at[0]: ir.File(folder)}))
        elif self.channels is None:
            how = {name: self.own.args[name] for name in ("encoding", "errors") if name in self.own.args}
            source = text_files(folder, **how)  # type: ignore[arg-type]
        else:
            source = image_files(folder, channels=self.channels)  # type: ignore[arg-type]
        self._sources[folder] = source
        return source

    @property
    def _of_table(self) -> bool:
        return self.own.target in _TARGETS

    @property
    def of_images(self) -> bool:
        """Whether tables are read whose rows name images."""
        return self.own.target == _TARGETS[0]

    def is_table(self, path: str) -> bool:
        """Whether a path is read as a table."""
        if not self._of_table:
            return False
        own = self.own.args["file"]
        assert isinstance(own, ir.File)
        return os.path.splitext(path)[1].lower() in (*TABLES, os.path.splitext(own.path)[1].lower())

    def _rows(self, path: str) -> Iterator[NewItem]:
        folder = self.images if self.images is not None else os.path.dirname(path) or "."
        args = {**self.own.args, "file": ir.File(path)}
        args |= {"folder": ir.File(folder)} if "folder" in args else {}
        source = build(replace(self.own, args=args))
        if isinstance(source, text_table):
            for row in source.table.rows():
                yield NewItem(f"{path}:{row.line}", Texts(source.joined(row.fields)), "")
            return
        columns = {name: source.table.place(name) for name in placeholders(source.image)}
        for row in source.table.rows():
            item = filled(source.image, {name: row.fields[place] for name, place in columns.items()})
            yield NewItem(os.path.join(folder, item), source.files, item)


_IMAGE_FILES = f"{image_files.__module__}:{image_files.__name__}"

_TARGETS = [f"{source.__module__}:{source.__name__}" for source in (image_table, text_table)]
"""The sources of rows of a table."""
