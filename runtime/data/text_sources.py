"""Where texts come from: folders of text files, and texts that ship with the package.

What a source is, `mfc.runtime.data.sources` says.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import xxhash

from mfc.runtime.component import source
from mfc.runtime.data.sources import Caches
from mfc.runtime.data.walk import FileTree, unreadable
from mfc.runtime.errors import RunError


@source(shape="-> tokens", items="text")
class text_files:
    """All text files in a folder and the folders below it.

    Names that begin with a dot are skipped. Links are followed; a link to a folder that it lies in is not.
    Items are paths relative to `folder` and come in sorted order. An empty file is an empty text. Lines end in
    `\\n` whatever the file has, and a byte order mark at its start is no part of the text.

    Args:
        folder: where to look; `~` is the home folder.
        extensions: which files to take, such as `["txt", "md"]`, in any case; by default `txt`.
        encoding: how characters are written as bytes, by its name in Python: `utf-8`, `latin-1`, `cp1252`.
        errors: `strict` stops at bytes that are none in the encoding, `replace` puts U+FFFD in their place.
        recurse: whether to look into folders below.
        folders: only look into these folders at the top of `folder`.
        hidden: whether to take names that begin with a dot as well.
    """

    def __init__(
        self,
        folder: Path,
        extensions: list[str] | None = None,
        encoding: str = "utf-8",
        errors: Literal["strict", "replace"] = "strict",
        recurse: bool = True,
        folders: list[str] | None = None,
        hidden: bool = False,
    ) -> None:
        self.files = FileTree(folder, extensions or ["txt"], "texts", recurse, folders, hidden)
        self.encoding, self.errors = checked_encoding(encoding), errors

    def scan(self) -> list[str]:
        """The items, sorted. Raises RunError where the folder is missing or holds no text."""
        return self.files.scan()

    def open(self, item: str) -> str:
        """An item's text. Raises RunError R0130 where it is none in the encoding, R0103 where it can't be read."""
        path = f"{self.files.root}/{item}"
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            text = data.decode(self.encoding, self.errors)
        except UnicodeDecodeError as error:
            raise RunError(
                "R0130",
                f"`{item}` is no text in {self.encoding}: its byte {error.start:,} is 0x{data[error.start]:02x}, "
                f"{error.reason}",
                help='name the right `encoding`, or go on without such bytes with `errors = "replace"`',
            ) from error
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """XXH3 (128 bits) of each file's content."""
        return caches(self.files.root).digests(items)


def checked_encoding(name: str) -> str:
    """The name of an encoding. Raises RunError R0110 where Python knows none of that name."""
    try:
        b"-".decode(name, "replace")  # codecs that give no text are refused as well
    except (LookupError, UnicodeError) as error:
        raise RunError(
            "R0110",
            f"`{name}` is no encoding of texts that Python knows",
            help="common ones are utf-8, utf-16, latin-1 and cp1252",
        ) from error
    return name


@source(shape="-> tokens", items="text")
class builtin_texts:
    """Small real texts that ship with the package.

    `authors`: 1,859 passages of about 40 words, whole sentences each, by three authors: Lewis Carroll ("Alice's
    Adventures in Wonderland", 1865), John Milton ("Paradise Lost", 1674) and William Shakespeare ("As You Like It",
    about 1600), all in the public domain. Verses run on, and who speaks is left out. Items are paths such as
    `train/milton/007`, so that `parent()` gives the author; `grandparent()` lets the last fifth of each work validate.

    Args:
        name: which texts.
    """

    def __init__(self, name: Literal["authors"]) -> None:
        self.file = Path(__file__).with_name(f"{name}.tsv.gz")

    def scan(self) -> list[str]:
        """The items, sorted."""
        return list(self._texts)

    def open(self, item: str) -> str:
        """An item's text."""
        return self._texts[item]

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """A hash of each item's text."""
        return [xxhash.xxh3_128_hexdigest(self._texts[item].encode()) for item in items]

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The texts by item: in the file, a line each, with a tab between them."""
        lines = gzip.decompress(self.file.read_bytes()).decode().splitlines()
        return dict(line.split("\t", 1) for line in lines)  # type: ignore[misc]
