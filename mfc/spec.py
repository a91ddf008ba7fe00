"""Specs as Python sees them: a file with the values of its params, and what the compiler says about both."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import Compiled, compile
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.source import Source

MAX_BYTES = 8_000_000
"""A file larger than this is no spec; it is cut off, and the parser says that it is too long."""


class SpecError(Exception):
    """A spec has errors. `diagnostics` holds them with everything else that was found; `str` shows them all."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        super().__init__(diagnostics)

    def __str__(self) -> str:
        from mfc.dsl.render import render

        return "\n\n".join(render(diagnostic) for diagnostic in self.diagnostics)


class DiskFiles:
    """The files of a spec on disk: `roots` are the folders that imports may not leave."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots: Sequence[str] = [root.as_posix() for root in roots]
        self.standard = Path(__file__).parent.joinpath("specs").resolve().as_posix()

    def read(self, path: str) -> str:
        real = os.path.realpath(path)
        if not self.allows(real):
            raise PermissionError(errno.EACCES, "it is a link that leaves the spec's folder")
        mode = os.stat(real).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe may never end, nor ever begin
            raise OSError(errno.EINVAL, "it is a pipe or device, and no file")
        with open(real, "rb") as file:
            return file.read(MAX_BYTES).decode("utf-8-sig")

    def allows(self, real: str) -> bool:
        """Whether a file, or a folder, may be read. `real` leads over no links."""
        allowed = (os.path.join(os.path.realpath(root), "") for root in (*self.roots, self.standard))
        return os.path.join(real, "").startswith(tuple(allowed))

    def display(self, path: str) -> str:
        """Relative to the working folder where it lies below it."""
        relative = os.path.relpath(path)
        return path if relative.startswith("..") else relative


@dataclass(frozen=True)
class Spec:
    """A spec that was read and checked. Bad ones are specs too: see `diagnostics`."""

    path: Path
    text: str = field(repr=False)
    settings: Mapping[str, Any]
    roots: Sequence[Path] = field(repr=False)
    compiled: Compiled = field(repr=False)

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return self.compiled.program.entry.file.source.name

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """All that the compiler has to say, by file and place."""
        return self.compiled.diagnostics

    @property
    def errors(self) -> Sequence[Diagnostic]:
        """The diagnostics that keep the spec from being run."""
        return self.compiled.errors

    def errors_for(self, targets: Sequence[str]) -> Sequence[Diagnostic]:
        """The errors that keep targets of a run from being run: those in what they need; all without targets."""
        return self.compiled.errors_for(targets)

    @property
    def ok(self) -> bool:
        """Whether the spec can be compiled to a plan."""
        return not self.errors

    def with_facts(self, facts: Mapping[str, Any]) -> Spec:
        """The spec checked again with what was found out about its data, such as `{"cifar.classes": 10}`."""
        return _compile(self.path, self.text, self.settings, self.roots, facts)


def load(path: str | os.PathLike[str], /, **settings: Any) -> Spec:
    """Reads and checks a spec with values for its params. Nothing of the spec's own code is executed.

    What is wrong in the file is no exception: see `Spec.diagnostics`. Raises OSError where it can't be read, or is no
    text.
    """
    return read(path, settings)


def read(
    path: str | os.PathLike[str],
    settings: Mapping[str, Any],
    *,
    allow_outside: str | os.PathLike[str] | None = None,
    opening: bool = False,
) -> Spec:
    """Does what `load` does, and can be told more.

    Args:
        path: the `.mfs` file.
        settings: values of params by name; a `mfc.dsl.params.Text` is read as the param's type asks.
        allow_outside: a folder that `import` and `use` may read beside the folder of the spec.
        opening: only look at it: a param without a value is no error.
    """
    file = Path(os.path.abspath(path))
    roots = [file.parent, *([Path(os.path.abspath(allow_outside))] if allow_outside is not None else [])]
    with open(file, "rb") as opened:
        text = decoded(opened.read(MAX_BYTES), os.fspath(path)).removeprefix("\ufeff")
    return _compile(file, text, {n: _plain(v) for n, v in settings.items()}, roots, {}, opening)


def decoded(content: bytes, name: str) -> str:
    """The text of a file. Raises OSError where it is none in UTF-8."""
    try:
        whole = len(content) < MAX_BYTES  # what was cut off may end within a letter
        return codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise OSError(errno.EILSEQ, f"line {line} has a byte that is no text in utf-8", name) from error


def _plain(value: Any) -> Any:
    """A setting as the language has it: paths are text, and what is listed is a list."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _compile(
    path: Path,
    text: str,
    settings: Mapping[str, Any],
    roots: Sequence[Path],
    facts: Mapping[str, Any],
    opening: bool = False,
) -> Spec:
    files = DiskFiles(roots)
    source = Source(files.display(path.as_posix()), text)
    compiled = compile(source, path.as_posix(), files, builtin_catalog(), settings, facts, opening)
    return Spec(path, text, settings, roots, compiled)
