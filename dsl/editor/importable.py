"""Names of other files that a spec may bring in."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from mfc.dsl.catalog import read_components
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.document import Document
from mfc.dsl.parse import parse
from mfc.dsl.resolve import STANDARD_FOLDER, Declared, Module, import_path
from mfc.dsl.source import Source
from mfc.dsl.syntax import Import, Language

MAX_FILES = 50
"""Files of a folder that are looked into."""


class Nearby(Protocol):
    """The files that a spec may import, as they are."""

    def list_for_import(self, folder: str) -> Iterable[str]:
        """The names in a folder that imports may reach, which is an absolute posix path; those of folders end with `/`.
        Nothing where it can't be read."""
        ...

    def list_for_data(self, folder: str) -> Iterable[str]:
        """The same of any folder, as data lies anywhere; a leading `~` is the user's own."""
        ...

    def read(self, path: str) -> str:
        """The text at an absolute path. Raises OSError or ValueError."""
        ...


class NoFiles:
    """Where nothing can be listed or read."""

    def list_for_import(self, folder: str) -> Iterable[str]:
        return ()

    def list_for_data(self, folder: str) -> Iterable[str]:
        return ()

    def read(self, path: str) -> str:
        raise FileNotFoundError(path)


class Importable(NamedTuple):
    """A declaration of another file, and the path that an import names that file by."""

    declared: Declared
    path: str


def importable(document: Document, nearby: Nearby) -> Iterator[Importable]:
    """What the files in the folder of the document declare, then those that ship with the package."""
    standard = posixpath.join(document.compiled.standard, STANDARD_FOLDER.rstrip("/"))
    for folder, prefix in ((posixpath.dirname(document.path), ""), (standard, STANDARD_FOLDER)):
        for name in [n for n in sorted(nearby.list_for_import(folder)) if n.endswith(".mfs")][:MAX_FILES]:
            path = posixpath.join(folder, name)
            if not imports(path, document.path, document.compiled.standard, nearby):
                yield from (Importable(d, prefix + name) for d in declarations(path, nearby))


def imports(path: str, other: str, standard: str, nearby: Nearby) -> bool:
    """Whether a file is another one or imports it, maybe by way of others: then that can't import it."""
    seen, waiting = {path}, [path]
    while waiting:
        path = waiting.pop()
        if path == other:
            return True
        new = {import_path(decl, path, standard) for decl in _read(path, nearby).imports} - seen
        seen |= new
        waiting += new
    return False


def importable_components(document: Document, nearby: Nearby) -> Iterator[tuple[Component, str]]:
    """The components of the Python files in the folder of the document, each with its file's name."""
    folder = posixpath.dirname(document.path)
    for name in [n for n in sorted(nearby.list_for_import(folder)) if n.endswith(".py")][:MAX_FILES]:
        yield from ((component, name) for component in components(posixpath.join(folder, name), nearby))


def declarations(path: str, nearby: Nearby) -> Sequence[Declared]:
    """What a file declares; nothing where it can't be read."""
    return _read(path, nearby).declared


class _File(NamedTuple):
    declared: Sequence[Declared]
    imports: Sequence[Import]


def _read(path: str, nearby: Nearby) -> _File:
    try:
        return _parsed(path, nearby.read(path))
    except (OSError, ValueError):
        return _File((), ())


@lru_cache(maxsize=256)
def _parsed(path: str, text: str) -> _File:
    file = parse(Source(posixpath.basename(path), text), Diagnostics())
    module = Module(path, file)
    named = [d for d in file.declarations if not isinstance(d, Import | Language) and d.name is not None]
    imports = [d for d in file.declarations if isinstance(d, Import) and d.kind == "import"]
    return _File([Declared(module, decl) for decl in named], imports)


def components(path: str, nearby: Nearby) -> Sequence[Component]:
    """The components of a Python file; nothing where it can't be read."""
    try:
        return _components(path, nearby.read(path))
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=64)
def _components(path: str, text: str) -> Sequence[Component]:
    return read_components(text, path, module=None)[0]
