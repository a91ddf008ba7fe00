"""Documents for tests: specs of the package by their files, others by their text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import mfc
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import compile
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit
from mfc.dsl.recording import Recording
from mfc.dsl.source import Source
from mfc.spec import DiskFiles

SPECS = Path(mfc.__file__).parent / "specs"


class _Files(DiskFiles):
    """Some files that lie on no disk, beside those that do."""

    def __init__(self, folder: Path, texts: Mapping[str, str]) -> None:
        super().__init__([folder])
        self.texts = texts

    def read(self, path: str) -> str:
        return self.texts[path] if path in self.texts else super().read(path)


class NearbyFiles(DiskFiles):
    """Files on disk, which can be listed as well."""

    def list_for_import(self, folder: str) -> list[str]:
        found = Path(folder)
        return [f"{p.name}/" if p.is_dir() else p.name for p in found.iterdir()] if found.is_dir() else []

    def list_for_data(self, folder: str) -> list[str]:
        return self.list_for_import(folder)


NEARBY = NearbyFiles([Path("/")])


def of_text(text: str, name: str = "main", **others: str) -> Document:
    """The document of a text, in a file of a name; `others` are files beside it: `parts="..."` is `parts.mfs`,
    `parts_py="..."` is `parts.py`."""
    texts = {f"/spec/{_file_name(key)}": other for key, other in others.items()}
    return _document(Source(f"{name}.mfs", text), f"/spec/{name}.mfs", _Files(Path("/spec"), texts))


def _file_name(name: str) -> str:
    return f"{name.removesuffix('_py')}.py" if name.endswith("_py") else f"{name}.mfs"


def of_file(path: Path) -> Document:
    return of_file_with(path, path.read_text())


def of_copy(path: Path) -> Document:
    """The document of a file as if it, with those beside it, were the user's own and did not come with the package."""
    texts = {f"/spec/{beside.name}": beside.read_text() for beside in path.parent.glob("*.mfs")}
    here = f"/spec/{path.name}"
    return _document(Source(path.name, texts[here]), here, _Files(Path("/spec"), texts))


def of_file_with(path: Path, text: str, at: int | None = None) -> Document:
    """The document of a file as if another text stood in it; with `at`, only what bears on a place of it is checked."""
    return _document(Source(path.name, text), path.as_posix(), DiskFiles([path.parent]), at)


def _document(source: Source, path: str, files: DiskFiles, at: int | None = None) -> Document:
    recording = Recording()
    compiled = compile(source, path, files, builtin_catalog(), opening=True, recording=recording, at=at)
    return Document(compiled, compiled.program.entry, recording)


def rewritten(document: Document, texts: Mapping[str, str]) -> Document:
    """A document again, when some files have other texts: absolute paths and what stands there."""
    path, program = document.path, document.compiled.program
    known = {p: module.file.source.text for p, module in program.modules.items()} | program.user_files
    files = _Files(Path(path).parent, {**known, **texts})
    return _document(Source(document.source.name, files.read(path)), path, files)


def applied(documents: Iterable[Document], edits: Mapping[str, Sequence[Edit]]) -> dict[str, str]:
    """The texts of the files that edits change, by path."""
    texts = {document.path: document.text for document in documents}
    for path, changes in edits.items():
        for edit in sorted(changes, key=lambda edit: -edit.span.start):
            texts[path] = texts[path][: edit.span.start] + edit.text + texts[path][edit.span.end :]
    return {path: texts[path] for path in edits}


def program(document: Document) -> list[Document]:
    """All documents of the program that a document is the entry of, that first."""
    modules = document.compiled.program.modules.values()
    return [Document(document.compiled, module, document.recording) for module in modules]


def imported(document: Document, name: str) -> Document:
    """The document of a file that another one imports."""
    modules = document.compiled.program.modules
    return Document(document.compiled, modules[f"/spec/{name}.mfs"], document.recording)
