"""What was read from files, kept between runs: a table in the user's cache folder, as JSON.

An entry holds for a file's content. Size and modification time only decide whether the content has to be
looked at again; a file that was changed within the last seconds is, since a clock may be that coarse.
The folder is `MFC_CACHE` if set, else `mfc` in `XDG_CACHE_HOME`, else `~/.cache/mfc`. Without a folder that
can be written to, everything works, only slower.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import xxhash

FRESH = 2_000_000_000
"""Nanoseconds within which two changes of a file may bear the same time."""

LIMIT = 4_000
"""Entries beyond which those that the process had no use for are dropped."""


def cache_folder() -> str:
    """The folder for what can be made again."""
    if folder := os.environ.get("MFC_CACHE"):
        return os.path.expanduser(folder)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "mfc")


def files_version(paths: Iterable[str]) -> str:
    """A version for what the source files `paths` make of others: another one when they or Python change."""
    stats = [os.stat(path) for path in paths]
    seen = (sys.version_info[:2], [(stat.st_size, stat.st_mtime_ns) for stat in stats])
    return xxhash.xxh3_64_hexdigest(repr(seen).encode())


class FileCache:
    """A function of a file's path and text, remembered: `make(path, text)`, which JSON must be able to hold.

    `name` names the table; entries made by another `version` of the function are not used.
    """

    def __init__(self, name: str, version: str, make: Callable[[str, str], Any]) -> None:
        self.path = os.path.join(cache_folder(), f"{name}.json")
        self.version = version
        self.make = make
        self.changed = False
        self.used: set[str] = set()
        self.entries = self._load()

    def get(self, path: str) -> Any:
        """What `make(path, text)` gives for the file's present text.

        Raises OSError where it can't be read, UnicodeDecodeError where it is no UTF-8.
        """
        stat = os.stat(path)
        seen = [stat.st_size, stat.st_mtime_ns]
        entry = self.entries.get(path)
        self.used.add(path)
        if entry is not None and entry[0] == seen:
            return entry[2]
        now = time.time_ns()
        with open(path, "rb") as file:
            content = file.read()
        digest = xxhash.xxh3_128_hexdigest(content)
        if entry is None or entry[1] != digest:
            text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
            entry = [[], digest, self.make(path, text)]
        if now - stat.st_mtime_ns > FRESH:
            entry[0] = seen
        self.entries[path] = entry
        self.changed = True
        return entry[2]

    def save(self) -> None:
        """Writes the table, if it changed and the folder lets it."""
        if not self.changed:
            return
        if len(self.entries) > LIMIT:
            self.entries = {path: entry for path, entry in self.entries.items() if path in self.used}
        text = json.dumps({"version": self.version, "entries": self.entries}, separators=(",", ":"))
        temporary = f"{self.path}.{os.getpid()}"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                with open(temporary, "w", encoding="ascii") as file:
                    file.write(text)
                os.replace(temporary, self.path)
            except OSError:
                os.unlink(temporary)
        self.changed = False

    def _load(self) -> dict[str, list[Any]]:
        try:
            with open(self.path, encoding="ascii") as file:
                table = json.load(file)
            if table["version"] == self.version and isinstance(table["entries"], dict):
                return table["entries"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # absent, damaged or of another version: made anew
        return {}
