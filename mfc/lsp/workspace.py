"""The files that an editor has open, over those on disk, and what the compiler makes of them.

An open file never changes: an edit puts another one in its place. Each has one `Analysis`, which is made when it is
first asked for, and is replaced when the file, or one that was read for it, changes. So an answer is always about the
text that the question was about.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lsprotocol.types import TextDocumentContentChangeEvent, TextDocumentContentChangePartial
from pygls.uris import from_fs_path, to_fs_path

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import Compiled, compile
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.params import Text
from mfc.dsl.source import Source
from mfc.lsp.positions import UTF16, Positions
from mfc.spec import DiskFiles


@dataclass(frozen=True, eq=False)
class OpenFile:
    """A file as the editor has it at one version. `uri` is spelled as the editor does."""

    uri: str
    path: str
    version: int
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
        self.asked: set[str] = set()
        self.named: dict[str, str] = {}
        """Path by the name that messages have for it."""

    def read(self, path: str) -> str:
        self.asked.add(path)  # before it is read: an edit in between then only asks for more than is needed
        file = self.files.get(path)
        return super().read(path) if file is None else file.text

    def display(self, path: str) -> str:
        """Relative to the spec's folder where it lies below it."""
        folder = os.path.join(self.roots[0], "")
        name = path.removeprefix(folder)
        self.named[name] = path
        return name


class Analysis:
    """An open file as a spec: what the compiler makes of it, as all files are when it is first asked for."""

    def __init__(self, file: OpenFile, overlay: Overlay, settings: Mapping[str, Any]) -> None:
        self.file = file
        self.overlay = overlay
        self.settings = settings

    @cached_property
    def compiled(self) -> Compiled:
        path = self.file.path
        source = Source(self.overlay.display(path), self.file.text)
        return compile(source, path, self.overlay, builtin_catalog(), self.settings, opening=True)

    @property
    def done(self) -> bool:
        return "compiled" in self.__dict__

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
        for diagnostic in self.compiled.diagnostics:
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


class Workspace:
    """All open files, by path."""

    def __init__(self, encoding: str = UTF16, folder: str | None = None) -> None:
        self.encoding = encoding
        self.folder = folder or os.getcwd()
        self.files: dict[str, OpenFile] = {}
        self.analyses: dict[str, Analysis] = {}
        self.settings: Mapping[str, Any] = {}
        self.allow_outside: Path | None = None

    def path(self, uri: str) -> str:
        """The absolute path of what a client names. A text that is in no file yet is taken to lie in the folder."""
        name = to_fs_path(uri) or uri.replace("/", "_")
        return os.path.normpath(os.path.join(self.folder, name))

    def uri(self, path: str) -> str:
        """The name of a file, spelled as the client does."""
        return self.files[path].uri if path in self.files else str(from_fs_path(path))

    # ── what happens to files ───────────────────────────────────────────────────────────────────────────

    def configure(self, settings: Mapping[str, Any], allow_outside: str | None) -> None:
        """Sets values of params, for all specs that have them, and a folder that all may read."""
        self.settings = {n: Text(v) if isinstance(v, str) else v for n, v in settings.items()}
        self.allow_outside = Path(self.folder, os.path.expanduser(allow_outside)) if allow_outside else None
        self._renew(self.files)

    def open(self, uri: str, version: int, text: str) -> None:
        path = self.path(uri)
        self.files[path] = OpenFile(uri, path, version, text, self.encoding)
        self.changed([path])

    def edit(self, uri: str, version: int, changes: Iterable[TextDocumentContentChangeEvent]) -> None:
        """Raises KeyError where the file is not open."""
        path = self.path(uri)
        self.files[path] = self.files[path].edited(version, changes)
        self.changed([path])

    def close(self, uri: str) -> None:
        path = self.path(uri)
        self.files.pop(path, None)
        self.analyses.pop(path, None)
        self.changed([path])

    def changed(self, paths: Iterable[str]) -> None:
        """Forgets what hangs on files that have changed, in the editor or on disk."""
        paths = set(paths)
        hanging = [p for p, analysis in self.analyses.items() if any(map(analysis.reads, paths))]
        self._renew([*(paths & self.files.keys()), *hanging])

    def saved(self) -> None:
        """Forgets what hangs on files that are not open: not every client tells when those change."""
        self.changed({path for a in self.analyses.values() for path in a.overlay.asked} - self.files.keys())

    def _renew(self, paths: Iterable[str]) -> None:
        for path in dict.fromkeys(paths):
            file = self.files[path]
            roots = [Path(path).parent, *([self.allow_outside] if self.allow_outside else [])]
            self.analyses.pop(path, None)  # what changed last stands last
            self.analyses[path] = Analysis(file, Overlay(self.files, roots), self.settings)

    # ── what is known of them ───────────────────────────────────────────────────────────────────────────

    def analysis(self, uri: str) -> Analysis | None:
        """That of an open file as it is now."""
        return self.analyses.get(self.path(uri))

    @property
    def due(self) -> Iterator[Analysis]:
        """Those that nobody asked for yet, what changed last first."""
        return (analysis for analysis in reversed([*self.analyses.values()]) if not analysis.done)

    def findings(self) -> Mapping[str, Sequence[Finding]]:
        """What is known of each file by now, its own analysis and those of the files that import it taken together.
        What is about a text that an open file no longer has is left out."""
        found: dict[str, dict[Any, Finding]] = {path: {} for path in self.files}
        for analysis in self.analyses.values():
            for path, diagnostics in analysis.findings.items() if analysis.done else ():
                for diagnostic in diagnostics:
                    span = diagnostic.span
                    if path not in self.files or self.files[path].text == span.source.text:
                        key = (diagnostic.code, span.start, span.end, diagnostic.message)
                        found.setdefault(path, {}).setdefault(key, Finding(diagnostic, analysis))
        return {path: [*by_key.values()] for path, by_key in found.items()}
