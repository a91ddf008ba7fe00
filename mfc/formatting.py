"""Files that are formatted: which ones are meant, what formatting makes of them, and how it is written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.format import format
from mfc.dsl.parse import parse
from mfc.dsl.source import Source
from mfc.runtime.disk import replacing
from mfc.spec import MAX_BYTES, decoded


@dataclass(frozen=True)
class Formatted:
    """A spec before and after formatting. One that can't be parsed stays as it is, and `errors` say why."""

    name: str
    before: str
    after: str
    errors: Sequence[Diagnostic] = ()

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def difference(self) -> str:
        """What formatting changes, as `diff -u` and git show it."""
        from difflib import unified_diff

        return "".join(unified_diff(_lines(self.before), _lines(self.after), self.name, self.name))


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([f"{last}\n\\ No newline at end of file\n"] if last else [])


def specs_in(paths: Iterable[str]) -> Iterator[str]:
    """The files that are meant: those named, and all specs in folders that are named and below. Folders whose names
    begin with a dot are left out, and so are links to folders, pipes and devices."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, inside, files in os.walk(path):
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            specs = (os.path.join(folder, name) for name in sorted(files) if name.endswith(".mfs"))
            yield from (spec for spec in specs if os.path.isfile(spec) or not os.path.exists(spec))


def read_formatted(path: str) -> Formatted:
    """A file and what formatting makes of it. Raises OSError where it can't be read, or is no text."""
    with open(path, "rb") as file:
        return formatted(path, file.read(MAX_BYTES))


def formatted(name: str, content: bytes) -> Formatted:
    """What formatting makes of the content of a file. Raises OSError where it is no text: a byte that is none could not
    be written again."""
    text = decoded(content, name)
    found = Diagnostics()
    parse(Source(name, text.removeprefix("\ufeff")), found)
    return Formatted(name, text, text if found.errors else format(text), found.errors)


def write_formatted(spec: Formatted) -> None:
    """Writes a file anew, whole or not at all, with the permissions that it had. A link stays one.

    Raises OSError where it is read-only, and RunError where the disk refuses.
    """
    path = Path(os.path.realpath(spec.name))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), spec.name)
    with replacing(path) as temporary:
        temporary.write_bytes(spec.after.encode())
        shutil.copymode(path, temporary)
