"""The file of a bundle: a zip of plain files and a manifest with their checksums, which a folder may hold as well.

Everything in it is data: JSON, safetensors, the files of tokenizers and texts. What a manifest does not name is not
read, and what is read is what the checksum was taken of.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from mfc.runtime.disk import replacing, writes
from mfc.runtime.errors import RunError
from mfc.runtime.stagekey import versions

FORMAT = 1
"""Raised when older versions of mfc could not read what is written."""

MANIFEST = "manifest.json"
MOST = 16_000_000
"""Bytes of a manifest at most; a larger one is none."""
PIECE = 1 << 20
_TIME = (1980, 1, 1, 0, 0, 0)  # the same content is the same file, whenever it was written
_UNREADABLE = (KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile)
"""What `zipfile` raises for a damaged file. A flipped bit may claim an encryption or a later format (RuntimeError)."""
_PART = re.compile(r"[^/\\:\0]+")
_MEND = "export it again, or copy it again from where it is whole"

Open = Callable[[str], IO[bytes]]
"""Opens a file of a bundle by its name. Raises KeyError or OSError where there is none."""


def write_archive(path: Path, files: Mapping[str, bytes | Path]) -> None:
    """Writes files, given by their content or by where they lie, as one bundle. Raises RunError."""
    sums: dict[str, str] = {}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            if not _inside(name):
                raise RunError(
                    "R0604", f"a bundle can't hold a file called `{name}`", help="give it another name"
                )
            sums[name] = _add(archive, name, content)
        manifest = {"format": FORMAT, **versions(["mfc", "torch"]), "files": sums}
        _add(archive, MANIFEST, json.dumps(manifest, indent=1).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> str:
    """Adds a file; gives its checksum."""
    info = zipfile.ZipInfo(name, _TIME)
    info.external_attr = 0o644 << 16
    state = hashlib.sha256()
    with archive.open(info, "w", force_zip64=True) as out:
        for piece in _pieces(content):
            state.update(piece)
            out.write(piece)
    return state.hexdigest()


def _pieces(content: bytes | Path) -> Any:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def unpack(path: Path, into: Path) -> dict[str, Any]:
    """Copies what the manifest of a bundle names into an empty folder, and gives the manifest.

    Raises:
        RunError: R0601, it is no bundle, is damaged, or names files outside of itself; R0602, a later format.
    """
    with contextlib.ExitStack() as opened:
        source = _opened(path, opened)
        manifest = _manifest(path, source)
        for name, checksum in manifest["files"].items():
            try:
                with source(name) as file:
                    _copy(path, name, file, into / name, checksum)
            except _UNREADABLE as error:
                raise broken(path, f"its file `{name}` can't be read: {reason(error)}") from error
    return manifest


def broken(path: Path, reason: str) -> RunError:
    """The error for what can't be read as a bundle."""
    return RunError("R0601", f"`{path}` is no whole bundle: {reason}", help=_MEND)


def reason(error: Exception) -> str:
    """What an error says. That of a dict, which gives its key alone, says that something is missing."""
    if isinstance(error, EOFError):
        return "it ends too early"
    if not isinstance(error, KeyError):
        return str(error)
    said = str(error.args[0])
    return said if " " in said else f"there is no `{said}` in it"


def _opened(path: Path, opened: contextlib.ExitStack) -> Open:
    """What opens the files of a bundle."""
    if path.is_dir():
        root = os.path.realpath(path)

        def open_in_folder(name: str) -> IO[bytes]:
            real = os.path.realpath(os.path.join(root, name))
            if os.path.commonpath([root, real]) != root or not os.path.isfile(real):
                raise KeyError("there is no such file in the folder")
            return open(real, "rb")

        return open_in_folder
    try:
        archive = opened.enter_context(zipfile.ZipFile(path))
    except FileNotFoundError:
        raise RunError(
            "R0601", f"there is no bundle `{path}`", help="an export's `bundle()` writes one"
        ) from None
    except (*_UNREADABLE, ValueError) as error:
        raise broken(path, f"it is no zip file that can be read: {reason(error)}") from error
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise broken(path, "it has two files of one name")

    def open_in_zip(name: str) -> IO[bytes]:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise KeyError("it is compressed; unpack the zip and open the folder")
        return archive.open(info)

    return open_in_zip


def _manifest(path: Path, source: Open) -> dict[str, Any]:
    try:
        with source(MANIFEST) as file:
            manifest = json.loads(file.read(MOST))
        form, files = manifest["format"], manifest["files"]
        if type(form) is not int:
            raise TypeError("its format is no number")
        if form > FORMAT:
            written = f"by mfc {manifest.get('mfc', '?')}, format {form}; this one reads format {FORMAT}"
            raise RunError("R0602", f"`{path}` was written {written}", help="update mfc: pip install -U mfc")
        if not all(isinstance(s, str) for pair in files.items() for s in pair):
            raise TypeError("its checksums are no texts")
    except (*_UNREADABLE, TypeError, ValueError, AttributeError) as error:
        raise broken(path, f"its `{MANIFEST}` can't be read: {reason(error)}") from error
    for name in files:
        if not _inside(name):
            raise broken(path, f"it names a file outside of itself, `{name}`")
    return manifest


def _inside(name: str) -> bool:
    """Whether the name of a file leads into a bundle, on any system."""
    return all(_PART.fullmatch(part) and part not in (".", "..") for part in name.split("/"))


def _copy(path: Path, name: str, file: IO[bytes], to: Path, checksum: str) -> None:
    state = hashlib.sha256()
    with writes(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as out:
            while piece := file.read(PIECE):
                state.update(piece)
                out.write(piece)
    if state.hexdigest() != checksum:
        raise broken(path, f"the checksum of `{name}` is another one")
