"""The files that an editor has open, over those on disk, and what the compiler makes of them.

An open file never changes: an edit puts another one in its place. Each has one `Analysis`, which is made when it is
first asked for, and is replaced when the file, or one that was read for it, changes. So an answer is always about the
text that the question was about.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from lsprotocol.types import TextDocumentContentChangeEvent
from pygls.uris import from_fs_path, to_fs_path

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.inlay_hints import HintOptions
from mfc.dsl.params import Text
from mfc.dsl.parse import parse
from mfc.dsl.resolve import import_path
from mfc.dsl.source import Source
from mfc.dsl.syntax import File, Import
from mfc.lsp.analysis import Analysis, Finding, OpenFile, Overlay, stamp
from mfc.lsp.positions import UTF16
from mfc.spec import DiskFiles

SPEC = ".mfs"

MAX_ENTRIES = 50_000
"""Files and folders of a workspace that are looked at in search of specs, those further up first."""

MAX_KEPT = 250_000
"""Characters of the specs that are not open and yet kept as they were compiled: they take 130 bytes each."""


@dataclass(frozen=True)
class Client:
    """What a client can do: `encoding` is the one in which it counts positions; with `snippets`, it has the user fill
    in what a text leaves open; with `versioned_edits`, it changes a file only in the version that is meant."""

    encoding: str = UTF16
    snippets: bool = True
    versioned_edits: bool = True


class Workspace:
    """All open files by path, and the specs in the folders that are open."""

    def __init__(self, client: Client | None = None, folders: Sequence[str] = ()) -> None:
        self.client = client or Client()
        self.folders = folders
        self.files: dict[str, OpenFile] = {}
        self.analyses: dict[str, Analysis] = {}
        self.renewed = False
        """Whether something was learnt anew of files that were not edited themselves."""
        self._importers: dict[str, dict[str, Sequence[str]]] = {}
        """By the path of a file that is imported: the open specs that do, and the folders that they may read from."""
        self._closed: dict[str, Analysis] = {}
        self._parsed: dict[str, tuple[Any, File]] = {}
        """Both are the worker's alone, which looks whether they are as they were: so none is ever in another's way."""
        self.settings: Mapping[str, Any] = {}
        self._outside = ""
        self.hints = HintOptions()

    @property
    def folder(self) -> str:
        """Where relative paths start."""
        return self.folders[0] if self.folders else os.getcwd()

    @property
    def allow_outside(self) -> Path | None:
        """The folder that all specs may read, as the settings name it."""
        if not self._outside:
            return None
        return Path(os.path.normpath(os.path.join(self.folder, os.path.expanduser(self._outside))))

    @property
    def standard(self) -> str:
        """The folder of what comes with the package."""
        return DiskFiles(()).standard

    def path(self, uri: str) -> str:
        """The absolute path of what a client names. A text that is in no file yet is taken to lie in the folder."""
        name = to_fs_path(uri) or uri.replace("/", "_")
        return os.path.normpath(os.path.join(self.folder, name))

    def uri(self, path: str) -> str:
        """The name of a file, spelled as the client does."""
        return self.files[path].uri if path in self.files else str(from_fs_path(path))

    def holds(self, path: str) -> bool:
        """Whether a file is open, or lies in one of the folders that are."""
        return path in self.files or any(path.startswith(os.path.join(f, "")) for f in self.folders)

    # ── what happens to files ───────────────────────────────────────────────────────────────────────────

    def configure(self, given: Any) -> None:
        """Takes `{"settings": {"epochs": 3}, "allowOutside": "../shared", "hints": {"items": false}}`: values of
        params, for all specs that have them; a folder that all may read; inlay hints that are not shown. What is left
        out is as it is by default."""
        settings, outside, hints = (_part(given, name) for name in ("settings", "allowOutside", "hints"))
        self.settings = {n: Text(v) if isinstance(v, str) else v for n, v in _items(settings)}
        known = {field.name for field in fields(HintOptions)}
        self.hints = HintOptions(**{n: v for n, v in _items(hints) if n in known and isinstance(v, bool)})
        self._outside = outside if isinstance(outside, str) else ""
        self._renew_unedited([*self.files])

    def set_folders(self, folders: Sequence[str]) -> None:
        """Has other folders open: relative paths start in the first."""
        self.folders = folders
        self._reach()

    def open(self, uri: str, version: int, text: str) -> None:
        path = self.path(uri)
        self.files[path] = OpenFile(uri, path, version, text, self.client.encoding)
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
        self._forget_importer(path)
        self.changed([path])
        self._reach()

    def changed(self, paths: Iterable[str]) -> None:
        """Forgets what hangs on files that have changed, in the editor or on disk."""
        paths = set(paths)
        hanging = [p for p, analysis in self.analyses.items() if any(map(analysis.reads, paths))]
        self.renewed |= not paths.issuperset(hanging)
        self._renew([*(paths & self.files.keys()), *hanging])

    def look_again(self) -> bool:
        """Forgets what hangs on files that have changed on disk, and gives whether anything does. Not every client
        tells of them, so this comes before a question whose answer names places in other files."""
        hanging = [path for path, analysis in self.analyses.items() if analysis.overlay.changed()]
        self._renew_unedited(hanging)
        return bool(hanging)

    def _renew(self, paths: Iterable[str]) -> None:
        for path in dict.fromkeys(paths):
            self.analyses.pop(path, None)  # what changed last stands last
            self.analyses[path] = Analysis(self.files[path], self._overlay(path), self.settings)

    def _renew_unedited(self, paths: Sequence[str]) -> None:
        """The same of files whose own text is as it was."""
        self.renewed |= bool(paths)
        self._renew(paths)

    def _forget_importer(self, path: str) -> None:
        for imported, importers in [*self._importers.items()]:
            importers.pop(path, None)
            if not importers:
                del self._importers[imported]

    def _roots(self, path: str) -> list[str]:
        """The folders that a file may read from: its own, the one that the settings name, and those that are allowed to
        the open specs which import it."""
        outside = self.allow_outside
        own = [Path(path).parent, *([outside] if outside else [])]
        importing = [root for roots in [*self._importers.get(path, {}).values()] for root in roots]
        return [*dict.fromkeys([*(folder.as_posix() for folder in own), *importing])]

    def _overlay(self, path: str) -> Overlay:
        return Overlay(self.files, [Path(root) for root in self._roots(path)])

    # ── what is known of them ───────────────────────────────────────────────────────────────────────────

    def analysis(self, uri: str) -> Analysis | None:
        """That of an open file as it is now."""
        return self.analyses.get(self.path(uri))

    def due(self) -> Analysis | None:
        """One that is to be worked out, what changed last first; also where a question has had that done already."""
        return next((a for a in reversed(self.analyses.values()) if not a.settled), None)

    def done(self, analysis: Analysis) -> None:
        """Is told that an analysis was worked out, or can't be: open files that it imports may read what it may, from
        now on."""
        analysis.settled = True
        self._forget_importer(analysis.file.path)
        for path in analysis.imports:
            self._importers.setdefault(path, {})[analysis.file.path] = analysis.overlay.roots
        self._reach()

    def _reach(self) -> None:
        """Forgets what was found out about files when they were allowed to read others than they are now."""
        self._renew_unedited([p for p, a in self.analyses.items() if {*self._roots(p)} != {*a.overlay.roots}])

    def closed(self, word: str = "") -> Iterator[Analysis]:
        """The specs in the workspace's folders that are not open and have a word in their text, as they lie on disk."""
        kept: dict[str, Analysis] = {}
        length = 0
        for path in _specs(self.folders):
            if path in self.files:
                continue
            known = self._closed.get(path)
            if known is None or known.outdated or not self._same_rules(known):
                overlay = self._overlay(path)
                try:
                    text = overlay.read(path)
                except (OSError, ValueError):
                    continue
                known = Analysis(
                    OpenFile(self.uri(path), path, None, text, self.client.encoding), overlay, self.settings
                )
            length += len(known.file.text)
            if length <= MAX_KEPT:  # it is the first ones that are found again next time
                kept[path] = known
            if word in known.file.text:
                yield known
        self._closed = kept

    def _same_rules(self, analysis: Analysis) -> bool:
        """Whether an analysis would be made with the same settings, and might read the same folders."""
        roots = {*self._roots(analysis.file.path)}
        return analysis.settings is self.settings and {*analysis.overlay.roots} == roots

    def parsed(self, files: Mapping[str, OpenFile]) -> Iterator[tuple[str, File]]:
        """Files that are open, what they import, and the specs in the workspace's folders, by path: they are read, and
        not checked."""
        kept: dict[str, tuple[Any, File]] = {}
        length = 0
        todo = deque((path, path) for path in (*files, *_specs(self.folders)))
        met: set[str] = set()
        while todo:
            path, importer = todo.popleft()
            if path in met:
                continue
            met.add(path)
            seen, known = files.get(path) or stamp(path), self._parsed.get(path)
            if known is None or known[0] != seen:
                try:
                    text = files[path].text if path in files else self._disk(importer).read(path)
                except (OSError, ValueError):
                    continue
                known = seen, parse(Source(path, text), Diagnostics())
            length += len(known[1].source.text)
            if length <= MAX_KEPT:
                kept[path] = known
            yield path, known[1]
            if importer in files:
                imports = (d for d in known[1].declarations if isinstance(d, Import) and d.kind == "import")
                todo += [(import_path(decl, path, self.standard), importer) for decl in imports]
        self._parsed = kept

    def _disk(self, path: str) -> DiskFiles:
        """What a file may read, as it lies on disk."""
        return DiskFiles([Path(root) for root in self._roots(path)])

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


def _part(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _items(given: Any) -> list[tuple[str, Any]]:
    return [*given.items()] if isinstance(given, dict) else []


def _specs(folders: Iterable[str]) -> Iterator[str]:
    """The specs in folders and in those below, without hidden ones."""
    todo, left = deque(folders), MAX_ENTRIES
    while todo and left > 0:
        try:
            with os.scandir(todo.popleft()) as found:
                entries = sorted(islice(found, left), key=lambda entry: entry.name)
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in ("__pycache__", "node_modules"):
                continue
            if entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)
            elif entry.name.endswith(SPEC):
                yield entry.path
