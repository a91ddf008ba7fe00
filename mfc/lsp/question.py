"""What a client asks, with the places in it translated from and into the protocol's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lsprotocol.types import (
    Location,
    LSPErrorCodes,
    OptionalVersionedTextDocumentIdentifier,
    Position,
    Range,
    TextDocumentEdit,
    TextEdit,
    WorkspaceEdit,
)
from pygls.exceptions import JsonRpcException

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.navigation import PythonLocation
from mfc.dsl.source import Span
from mfc.dsl.syntax import File
from mfc.lsp.analysis import Analysis
from mfc.lsp.positions import Positions, range_of
from mfc.lsp.workspace import Workspace


class Refusal(JsonRpcException):
    """What was asked for can't be done: the client shows why."""

    CODE = LSPErrorCodes.RequestFailed.value


class Question:
    """A question about all files, as the open ones are when it is asked."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.encoding = workspace.client.encoding
        self.files = dict(workspace.files)
        self.open = [*workspace.analyses.values()]

    def range(self, span: Span) -> Range:
        return range_of(span, self.encoding)

    def location(self, path: str, span: Span) -> Location:
        return Location(self.workspace.uri(path), self.range(span))

    def documents(self, word: str = "") -> Iterator[Document]:
        """All files in which a word may stand: those that are open, what they import, and the specs in the workspace's
        folders."""
        for analysis in self.analyses(word):
            yield from analysis.documents()

    def analyses(self, word: str = "") -> Iterator[Analysis]:
        """Those of all specs in which a word may stand, open or not."""
        yield from self.open
        yield from self.workspace.closed(word)

    def parsed(self) -> Iterator[tuple[str, File]]:
        """All files by path, as far as the text alone tells."""
        yield from self.workspace.parsed(self.files)

    def workspace_edit(self, edits: Mapping[str, list[TextEdit]]) -> WorkspaceEdit:
        """Changes of files by path. Of open ones the version is told, so that no other is changed, where the client
        takes that."""
        uri = self.workspace.uri
        if not self.workspace.client.versioned_edits:
            return WorkspaceEdit(changes={uri(path): edits[path] for path in edits})
        changes = []
        for path, of_file in edits.items():
            version = self.files[path].version if path in self.files else None
            document = OptionalVersionedTextDocumentIdentifier(uri(path), version)
            changes.append(TextDocumentEdit(document, [*of_file]))
        return WorkspaceEdit(document_changes=changes)


class FileQuestion(Question):
    """A question about one file before all others."""

    def __init__(self, workspace: Workspace, analysis: Analysis) -> None:
        super().__init__(workspace)
        self.analysis = analysis
        self.open = [analysis, *(other for other in self.open if other is not analysis)]

    @property
    def document(self) -> Document:
        return self.analysis.document

    def near(self, position: Position) -> tuple[Document, int]:
        """The document with what is known at a position, and the offset of that."""
        offset = self.offset(position)
        return self.analysis.near(offset), offset

    def lines(self, text: str) -> str:
        """A text that is to be put into the file, with the ends of lines that the file has."""
        return text.replace("\n", "\r\n") if "\r\n" in self.analysis.file.text and "\r" not in text else text

    def offset(self, position: Position) -> int:
        return self.analysis.file.positions.offset(position)

    def range(self, span: Span) -> Range:
        if span.source.text is self.analysis.file.text:
            return self.analysis.file.positions.range(span.start, span.end)
        return super().range(span)

    def python_location(self, place: PythonLocation) -> Location:
        """A place in a Python file. What can't be read any more is taken to be plain."""
        file = self.files.get(place.path)
        try:
            text = Path(place.path).read_text("utf-8", errors="replace") if file is None else file.text
        except OSError:
            text = ""
        lines = text.split("\n")[place.line - 1 : place.line]
        at = Positions(lines[0] if lines else " " * (place.column + place.length), self.encoding)
        there = at.range(place.column, place.column + place.length)
        there.start.line = there.end.line = place.line - 1
        return Location(self.workspace.uri(place.path), there)
