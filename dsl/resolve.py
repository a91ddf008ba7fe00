"""Gives the names at the top of each file their meaning: declarations, imports, the user's own components.

Bodies and expressions are not looked into here; `mfc.dsl.evaluate` does that with the scopes made here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mfc.dsl.catalog import Catalog, read_components
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics, Fix
from mfc.dsl.parse import parse
from mfc.dsl.source import Source, Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import (
    BodyDecl,
    BrokenDecl,
    DataDecl,
    Decl,
    File,
    Import,
    Language,
    LetStmt,
    Name,
    Param,
    ValueDecl,
)

LANGUAGE_VERSION = 1
STANDARD_FOLDER = "std/"
MAX_FILES = 200


class Files(Protocol):
    """Where sources come from. The compiler itself touches no disk."""

    roots: Sequence[str]
    """The folders that imports may not leave: absolute posix paths, that of the spec first."""

    standard: str
    """The folder that holds `std/`: an absolute posix path."""

    def read(self, path: str) -> str:
        """The text at an absolute path. Raises OSError, UnicodeDecodeError, or ValueError for what is no path."""
        ...

    def display(self, path: str) -> str:
        """The path as messages show it."""
        ...


@dataclass(frozen=True, eq=False)
class Declared:
    """A name that stands for a declaration, in the module where it was declared."""

    module: Module
    decl: Param | LetStmt | DataDecl | ValueDecl | BodyDecl | BrokenDecl

    @property
    def name(self) -> str:
        assert self.decl.name is not None
        return self.decl.name.text


@dataclass(frozen=True)
class Used:
    """A name that stands for components of the user's own."""

    components: tuple[Component, ...]


@dataclass(frozen=True)
class Unavailable:
    """A name that a broken or missing file should have brought: known, but not reported again."""


Binding: TypeAlias = Declared | Used | Unavailable


@dataclass(eq=False)
class Module:
    """One file with what its names mean."""

    path: str
    file: File
    names: dict[str, Binding] = field(default_factory=dict)

    def declarations(self) -> Iterator[Declared]:
        """The file's own declarations that have a name, in order."""
        for binding in self.names.values():
            if isinstance(binding, Declared) and binding.module is self:
                yield binding


@dataclass(eq=False)
class Program:
    """Everything that a spec consists of: its own file first, then what it imports."""

    entry: Module
    modules: dict[str, Module]
    user_files: dict[str, str]
    """Path and text of the Python files that `use` names."""


def resolve(entry: Source, path: str, files: Files, catalog: Catalog, diagnostics: Diagnostics) -> Program:
    """Reads a spec and all that it imports. `path` is the absolute posix path of `entry`."""
    return _Resolver(files, catalog, diagnostics).program(entry, path)


def import_path(decl: Import, path: str, standard: str) -> str:
    """The absolute path that an import names which stands in the file at `path`."""
    written = str(decl.path.value)
    ships = written.startswith(STANDARD_FOLDER) and decl.kind == "import"
    return posixpath.normpath(posixpath.join(standard if ships else posixpath.dirname(path), written))


class _Resolver:
    def __init__(self, files: Files, catalog: Catalog, diagnostics: Diagnostics) -> None:
        self.files = files
        self.catalog = catalog
        self.diagnostics = diagnostics
        self.modules: dict[str, Module] = {}
        self.user_files: dict[str, str] = {}
        self.used: dict[str, list[Component] | None] = {}
        self.open: list[str] = []

    def program(self, entry: Source, path: str) -> Program:
        module = self.module(entry, path)
        return Program(module, self.modules, self.user_files)

    def module(self, source: Source, path: str) -> Module:
        module = Module(path, parse(source, self.diagnostics))
        self.modules[path] = module
        self.open.append(path)
        spans: dict[str, Span] = {}
        for decl in module.file.declarations:
            match decl:
                case Language():
                    self.language(decl)
                case Import(kind="import"):
                    for name, binding in self.imported(decl, module):
                        self.bind(module, name, binding, spans)
                case Import():
                    for name, binding in self.user_components(decl, module):
                        self.bind(module, name, binding, spans)
                case _ if decl.name is not None:
                    self.bind(module, decl.name, Declared(module, decl), spans)
                    self.shadows(decl)
                    self.parameters(decl)
        self.open.pop()
        return module

    def bind(self, module: Module, name: Name, binding: Binding, spans: dict[str, Span]) -> None:
        first = spans.setdefault(name.text, name.span)
        if first is not name.span:
            self.diagnostics.add(
                "E0202",
                name.span,
                f"`{name.text}` is declared twice",
                "declared again here",
                labels=((first, "first declared here"),),
                help="give one of the two another name",
            )
            return
        module.names[name.text] = binding

    def shadows(self, decl: Decl) -> None:
        """A user's name wins over a built-in, so that a release never breaks a spec; it is said all the same."""
        name = decl.name if isinstance(decl, ValueDecl | BodyDecl | LetStmt) else None
        if name is not None and (kinds := self.catalog.kinds_of(name.text)):
            kind = kinds[0].replace("_", " ")
            self.diagnostics.add(
                "W0203",
                name.span,
                f"`{name.text}` hides the built-in {kind} of that name",
                "wins over the built-in",
                help="rename it if the built-in is wanted anywhere in this file",
            )

    def parameters(self, decl: Decl) -> None:
        """Each parameter of a declaration has a name of its own."""
        first: dict[str, Span] = {}
        for parameter in getattr(decl, "params", None) or ():
            name = parameter.name
            if first.setdefault(name.text, name.span) is not name.span:
                self.diagnostics.add(
                    "E0202",
                    name.span,
                    f"two parameters are called `{name.text}`",
                    "named again here",
                    labels=((first[name.text], "first here"),),
                    help="give one of the two another name",
                )

    def language(self, decl: Language) -> None:
        if decl.version != LANGUAGE_VERSION:
            self.diagnostics.add(
                "E0218",
                decl.span,
                f"language version {decl.version} is not known",
                "this mfc reads language 1",
                help="write `language 1`, or install the version of mfc that the spec was written for",
            )

    # ── other files ─────────────────────────────────────────────────────────────────────────────────────

    def locate(self, decl: Import, module: Module) -> str | None:
        """The absolute path that an import means, or None where it can't be that of such a file, or leaves the spec's
        folder tree."""
        written = str(decl.path.value)
        if not written.strip("./") or written.endswith("/"):
            self.unread(decl, "it names no file", help='write a path such as `"blocks.mfs"`')
            return None
        other, suffix = ("use", ".py") if decl.kind == "import" else ("import", ".mfs")
        if written.endswith(suffix):
            word = Span(decl.span.source, decl.span.start, decl.span.start + len(decl.kind))
            holds = "Python components" if other == "use" else "declarations"
            help, fix = f"write `{other}`: it holds {holds}", Fix(f"Write `{other}`", word, other)
            self.unread(decl, f"`{decl.kind}` reads no {suffix} files", help=help, fix=fix)
            return None
        path = import_path(decl, module.path, self.files.standard)
        roots = (*self.files.roots, posixpath.join(self.files.standard, STANDARD_FOLDER.rstrip("/")))
        if any(path.startswith(root.rstrip("/") + "/") for root in roots):
            return path
        self.diagnostics.add(
            "E0214",
            decl.path.span,
            f'"{decl.path.value}" lies outside the spec\'s folder',
            f"leaves {self.files.display(self.files.roots[0])}",
            help="move the file into the folder of the spec, or allow more with `--allow-outside FOLDER`",
        )
        return None

    def text(self, decl: Import, path: str) -> str | None:
        try:
            return self.files.read(path)
        except UnicodeDecodeError:
            self.unread(decl, "it is not UTF-8 text", path)
        except FileNotFoundError:
            help = "paths are relative to the folder of the file that names them"
            self.unread(decl, "there is no such file", path, help)
        except IsADirectoryError:
            self.unread(decl, "it is a folder", path)
        except OSError as error:
            self.unread(decl, error.strerror or str(error), path)
        except ValueError:
            self.unread(decl, "no file can have such a name", path)
        return None

    def unread(
        self, decl: Import, reason: str, path: str = "", help: str = "", fix: Fix | None = None
    ) -> None:
        """Reports that what an import names can't be read, at `path` if it was looked for."""
        label = f"looked for {self.files.display(path)}" if path else ""
        message = f'"{decl.path.value}" can\'t be read: {reason}'
        self.diagnostics.add("E0212", decl.path.span, message, label, help=help, fix=fix)

    def imported(self, decl: Import, module: Module) -> Iterator[tuple[Name, Binding]]:
        other = self.imported_module(decl, module)
        for name in decl.names:
            if other is None:
                yield name, Unavailable()
            elif name.text in other.names:
                yield name, other.names[name.text]
            else:
                self.diagnostics.add(
                    "E0213",
                    name.span,
                    f'"{decl.path.value}" declares no `{name.text}`',
                    "not declared there",
                    help=lambda name=name: did_you_mean(name.text, other.names),
                )
                yield name, Unavailable()

    def imported_module(self, decl: Import, module: Module) -> Module | None:
        path = self.locate(decl, module)
        if path is None:
            return None
        if path in self.open:
            chain = [*self.open[self.open.index(path) :], path]
            self.diagnostics.add(
                "E0211",
                decl.path.span,
                "files import each other in a circle",
                "closes the circle",
                notes=(" -> ".join(self.files.display(p) for p in chain),),
                help="move what both need into a third file",
            )
            return None
        if path in self.modules:
            return self.modules[path]
        if len(self.modules) >= MAX_FILES:
            self.diagnostics.add(
                "E0602", decl.span, f"more than {MAX_FILES} files are imported", "one too many"
            )
            return None
        text = self.text(decl, path)
        return None if text is None else self.module(Source(self.files.display(path), text), path)

    def user_components(self, decl: Import, module: Module) -> Iterator[tuple[Name, Binding]]:
        path = self.locate(decl, module)
        components = None if path is None else self.components(decl, path)
        for name in decl.names:
            named = tuple(c for c in components or () if c.name == name.text)
            if components is not None and not named:
                self.diagnostics.add(
                    "E0213",
                    name.span,
                    f'"{decl.path.value}" has no component `{name.text}`',
                    "not found there",
                    help=lambda name=name: (
                        did_you_mean(name.text, [c.name for c in components])
                        or "a component is a top-level function or class with a decorator such as `@mfc.layer(...)`"
                    ),
                )
            yield name, Used(named) if named else Unavailable()

    def components(self, decl: Import, path: str) -> list[Component] | None:
        """The components of a Python file, read from its text and never run."""
        if path not in self.used:
            text = self.text(decl, path)
            self.used[path] = None if text is None else self.read_components(decl, path, text)
        return self.used[path]

    def read_components(self, decl: Import, path: str, text: str) -> list[Component] | None:
        self.user_files[path] = text
        source = Source(self.files.display(path), text)
        components, problems = read_components(text, path, module=None)
        for problem in problems:
            lines = source.line_starts
            line = lines[min(problem.line, len(lines)) - 1]
            self.diagnostics.add(
                problem.code,
                Span(source, line + problem.column, line + problem.end),
                problem.message,
                "here",
                labels=((decl.path.span, "used here"),),
                help=problem.help,
            )
        return None if any(problem.fatal for problem in problems) else components
