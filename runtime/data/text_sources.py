"""Where texts come from: folders of text files. What a source is, `mfc.runtime.data.sources` says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

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
