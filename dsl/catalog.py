"""The components that specs can name: those of the runtime package, and a user's own beside them.

The catalog is read, not registered: it is made from source text (`mfc.dsl.read`) and kept in the user's cache
folder, so that a check neither imports the runtime nor parses it again.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import xxhash

from mfc.dsl.component import REQUIRED, Component, Parameter, Reading, ReadProblem
from mfc.dsl.component import reading_from_json as _from_json
from mfc.dsl.component import reading_to_json as _to_json
from mfc.dsl.filecache import FileCache, files_version

__all__ = [
    "REQUIRED", "Catalog", "Component", "Parameter", "ReadProblem", "builtin_catalog", "read_catalog",
    "read_components",
]  # fmt: skip

READERS = (
    "annotations.py", "augmented.py", "component.py", "events.py", "ranges.py", "read.py", "read_rules.py", "rules.py", "types.py",
    "wording.py",
)  # fmt: skip
"""The files of this folder that decide what is read from a source text."""


class Catalog:
    """Components by kind and name, and constants by name.

    One name may stand for components of several kinds, as `flip` does for items and for batches.
    """

    def __init__(
        self,
        components: Iterable[Component],
        constants: Mapping[str, Any] = {},
        constant_docs: Mapping[str, str] = {},
    ) -> None:
        self.constants: dict[str, Any] = dict(constants)
        self.constant_docs: dict[str, str] = dict(constant_docs)
        self.components: dict[tuple[str, str], Component] = {}
        self._kinds: dict[str, dict[str, None]] = {}
        for component in components:
            self.components[component.kind, component.name] = component
            self._kinds.setdefault(component.name, {})[component.kind] = None

    def lookup(self, kind: str, name: str) -> Component | None:
        """The component of that kind and name."""
        return self.components.get((kind, name))

    def named(self, name: str, kinds: Iterable[str] | None = None) -> list[Component]:
        """The components of that name, of one of `kinds` if those are given."""
        own = self.kinds_of(name)
        return [self.components[kind, name] for kind in (own if kinds is None else kinds) if kind in own]

    def kinds_of(self, name: str) -> tuple[str, ...]:
        """The kinds in which there is a component of that name."""
        return tuple(self._kinds.get(name, ()))

    def names(self, kind: str) -> list[str]:
        """The names of all components of a kind, sorted."""
        return sorted(name for own, name in self.components if own == kind)

    def all_names(self) -> list[str]:
        """The names of all components, sorted."""
        return sorted(self._kinds)

    def __iter__(self) -> Iterator[Component]:
        return iter(self.components.values())

    def __len__(self) -> int:
        return len(self.components)


@cache
def builtin_catalog() -> Catalog:
    """All components and constants of the runtime package, read once a process."""
    spec = importlib.util.find_spec("mfc")
    assert spec is not None and spec.submodule_search_locations, "this module is in the package"
    catalog, _ = read_catalog(os.path.join(spec.submodule_search_locations[0], "runtime"), "mfc.runtime")
    return catalog


def read_catalog(folder: str, package: str) -> tuple[Catalog, dict[str, list[ReadProblem]]]:
    """The catalog of a package's folder and all folders below, and what is wrong with each of its files.

    `package` is the dotted name that the folder is imported as.
    """
    folder = os.path.abspath(folder)
    modules = dict(_modules(folder, package))
    here = os.path.dirname(os.path.abspath(__file__))
    decorators = os.path.join(os.path.dirname(here), "runtime", "component.py")
    version = files_version([*(os.path.join(here, name) for name in READERS), decorators])
    name = f"catalog-{xxhash.xxh3_64_hexdigest(os.fsencode(folder))}"
    table = FileCache(name, version, lambda path, text: _to_json(_read(text, path, modules[path])))
    readings = {path: _from_json(table.get(path)) for path in modules}
    table.save()
    components = [component for reading in readings.values() for component in reading.components]
    constants = {name: value for reading in readings.values() for name, value in reading.constants.items()}
    docs = {name: doc for reading in readings.values() for name, doc in reading.constant_docs.items()}
    problems = {path: list(reading.problems) for path, reading in readings.items() if reading.problems}
    return Catalog(components, constants, docs), problems


def read_components(text: str, path: str, module: str | None) -> tuple[list[Component], list[ReadProblem]]:
    """The components in a Python file's text, and what is wrong with them; nothing is imported or run.

    `path` is the file's absolute path, `module` its dotted name, None for a file of the user's own. Where a
    problem is `fatal`, the components are not to be relied on.
    """
    reading = _read(text, path, module)
    return list(reading.components), list(reading.problems)


def _read(text: str, path: str, module: str | None) -> Reading:
    from mfc.dsl.read import read_file  # with Python's parser, which a cached catalog does without

    return read_file(text, path, module)


def _modules(folder: str, package: str) -> Iterator[tuple[str, str]]:
    """Path and dotted name of every module of a package, sorted."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if entry.name.isidentifier() and entry.name != "__pycache__":
                yield from _modules(entry.path, f"{package}.{entry.name}")
        elif entry.name.endswith(".py"):
            stem = entry.name.removesuffix(".py")
            yield entry.path, package if stem == "__init__" else f"{package}.{stem}"
