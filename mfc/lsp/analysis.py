"""What the compiler makes of a spec as an editor has it, and what of it is wrong where."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from lsprotocol.types import TextDocumentContentChangeEvent, TextDocumentContentChangePartial

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import compile
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.editor.document import Document
from mfc.dsl.recording import Recording
from mfc.dsl.source import Source
from mfc.lsp.positions import Positions
from mfc.spec import DiskFiles

MAX_LISTED = 1_000
"""Files of a folder that are listed: there are folders with all images of a data set."""

_UNSEEN = object()
"""Stands for the state of a file that is about to be looked at."""


@dataclass(frozen=True, eq=False)
class OpenFile:
    """A file as the editor has it at one version, or without one as it lies on disk. `uri` is spelled as the editor
    does."""

    uri: str
    path: str
    version: int | None
    text: str
    encoding: str

    @cached_property
    def positions(self) -> Positions:
        return Positions(self.text, self.encoding)

    def edited(self, version: int, changes: Iterable[TextDocumentContentChangeEvent]) -> OpenFile:
        """The file after changes, each of which is about what the one before it left."""
        file = replace(self, version=version)
        for change in changes:
            text = change.text
            if isinstance(change, TextDocumentContentChangePartial):
                start, end = file.positions.offsets(change.range)
                text = file.text[:start] + text + file.text[end:]
            file = replace(file, text=text)
        return file


class Overlay(DiskFiles):
    """The files that a spec may read: as they are open, else as they lie on disk. Notes which were asked for."""

    def __init__(self, files: Mapping[str, OpenFile], roots: Sequence[Path]) -> None:
        super().__init__(roots)
        self.files = files
        self.asked: dict[str, Any] = {}
        """What was read, each with what tells whether it is another one since."""
        self.named: dict[str, str] = {}
        """Path by the name that messages have for it."""

    def read(self, path: str) -> str:
        # It is noted before it is looked up: who changes it from here on learns that this hangs on it.
        first = self.asked.setdefault(path, _UNSEEN) is _UNSEEN
        file = self.files.get(path)
        if first:  # before it is read: what it is afterwards may be another one
            self.asked[path] = stamp(path) if file is None else file
        return super().read(path) if file is None else file.text

    def unnoted(self) -> Overlay:
        """The same files for those who look around: what they read is nothing that the spec hangs on."""
        return Overlay(self.files, [Path(root) for root in self.roots])

    def list_for_import(self, folder: str) -> Iterator[str]:
        """The names of what lies in a folder that imports may reach; those of folders end with `/`."""
        opened = {os.path.basename(path) for path in [*self.files] if os.path.dirname(path) == folder}
        yield from opened
        if self.allows(os.path.realpath(folder)):
            yield from (name for name in self.list_for_data(folder) if name not in opened)

    def list_for_data(self, folder: str) -> Iterator[str]:
        """The same of any folder on disk, without what is open alone."""
        try:
            with os.scandir(os.path.expanduser(folder)) as found:
                yield from (e.name + "/" if e.is_dir() else e.name for e in islice(found, MAX_LISTED))
        except (OSError, ValueError):
            return

    def display(self, path: str) -> str:
        """Relative to the spec's folder where it lies below it."""
        name = path.removeprefix(os.path.join(self.roots[0], ""))
        self.named[name] = path
        return name

    def changed(self) -> bool:
        """Whether something that was read has changed since, in the editor or on disk."""
        now = self.files.get
        known = [(path, seen) for path, seen in [*self.asked.items()] if seen is not _UNSEEN]
        return any((now(path) or stamp(path)) != seen for path, seen in known)


def stamp(path: str) -> Any:
    """What differs between two states of a file on disk; None where there is none."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Analysis:
    """A file as a spec, and what the compiler makes of it, all files being as they are when it is first asked."""

    def __init__(self, file: OpenFile, overlay: Overlay, settings: Mapping[str, Any]) -> None:
        self.file = file
        self.overlay = overlay
        self.settings = settings
        self.settled = False
        """Whether the workspace was told what came out, or that the compiler failed."""
        self._near: tuple[int, Document] | None = None

    @cached_property
    def document(self) -> Document:
        return self._compile()

    @property
    def done(self) -> bool:
        return "document" in self.__dict__

    def near(self, offset: int) -> Document:
        """The document with all that is known at a place, and at other places maybe less: it is there sooner."""
        if self.done:
            return self.document
        if self._near is None or self._near[0] != offset:
            self._near = offset, self._compile(offset)
        return self._near[1]

    @property
    def outdated(self) -> bool:
        """Whether another text would be read now, be it of the file itself or of one that it imports."""
        open_ = self.overlay.files.get(self.file.path)
        return (open_ is not None and open_ is not self.file) or self.overlay.changed()

    def _compile(self, at: int | None = None) -> Document:
        recording = Recording()
        path = self.file.path
        source = Source(self.overlay.display(path), self.file.text)
        compiled = compile(
            source,
            path,
            self.overlay,
            builtin_catalog(),
            self.settings,
            opening=True,
            recording=recording,
            at=at,
        )
        return Document(compiled, compiled.program.entry, recording)

    def documents(self) -> Iterator[Document]:
        """The file and all that it imports."""
        whole = self.document
        for module in whole.compiled.program.modules.values():
            entry = module is whole.module
            yield whole if entry else Document(whole.compiled, module, whole.recording)

    @property
    def imports(self) -> Sequence[str]:
        """The paths of what the file imports, also by way of others; none where the compiler failed."""
        return [*(self.document.compiled.program.modules if self.done else {}).keys() - {self.file.path}]

    def reads(self, path: str) -> bool:
        """Whether what is known so far hangs on the file at a path."""
        return path == self.file.path or path in self.overlay.asked

    def path(self, source: Source) -> str | None:
        """Where a source of this spec lies; None for what is no file, such as the editor's settings."""
        return self.overlay.named.get(source.name)

    @cached_property
    def findings(self) -> Mapping[str, Sequence[Diagnostic]]:
        """The diagnostics by the path of the file that they are about."""
        found: dict[str, list[Diagnostic]] = {}
        for diagnostic in self.document.compiled.diagnostics:
            spans = (diagnostic.span, *(span for span, _ in diagnostic.labels))
            span = next((span for span in spans if self.path(span.source) is not None), None)
            if span is not None:  # else it is about settings, which other specs of the workspace may have
                path = self.overlay.named[span.source.name]
                found.setdefault(path, []).append(replace(diagnostic, span=span))
        return found


@dataclass(frozen=True)
class Finding:
    """A diagnostic with the analysis that it comes from."""

    diagnostic: Diagnostic
    analysis: Analysis
