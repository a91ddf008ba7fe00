"""A law: whatever is typed, the workspace never fails, and what it says of the files is what a fresh check says. Once
all is worked out, it knows what one does that has never seen other texts.

`MFC_EDITS` is how many edits are tried: 300 by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsprotocol import types
from pygls.uris import from_fs_path

from mfc.dsl import chunks, recovery
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import compile
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.source import Source
from mfc.lsp import reading, writing
from mfc.lsp.analysis import OpenFile
from mfc.lsp.diagnostics import diagnostic_of
from mfc.lsp.features import FEATURES
from mfc.lsp.positions import UTF8, UTF16, UTF32, Positions
from mfc.lsp.question import FileQuestion, Refusal
from mfc.lsp.workspace import Client, Workspace
from tests.lsp import specs

EDITS = int(os.environ.get("MFC_EDITS", "300"))
STEPS = 20
"""Edits of one example, at most."""

PART = """import "../blocks.mfs" (dense)
import "leaf.mfs" (leaf)
block part(nf) { dense(nf)  leaf(nf) }
"""
LEAF = "block leaf(nf) { linear(nf) }\n"
ASIDE = "block aside(nf) { linear(nf) }\nlet apart = 1\n"
"""Of a file that no other imports: only those who look for a name look into it."""

TEXTS = {
    "spec.mfs": f'import "parts/part.mfs" (part)\r\n{specs.SPEC}',
    "blocks.mfs": specs.BLOCKS,
    "parts/part.mfs": PART,  # may read blocks.mfs where the spec imports it alone
}
SPECS = Path(chunks.__file__).parents[1] / "specs"
FRAGMENTS = sorted(
    {
        fragment
        for text in (*TEXTS.values(), *(path.read_text() for path in sorted(SPECS.rglob("*.mfs"))))
        for start, end in chunks.cut(text)
        for fragment in (text[start:end], *text[start:end].splitlines(keepends=True))
    }
)
LETTERS = "ax1_ \t\n\r()[]{}<>,.:=+-*/%#\"'\\🙂é\u200d\u2028\x0c\0\ud83d\ufeff"


@st.composite
def changes(draw: st.DrawFn, length: int) -> tuple[int, int, str]:
    """What an edit does to a text: something is typed, deleted, replaced or pasted."""
    start = draw(st.integers(0, length))
    kind = draw(st.sampled_from(["type", "delete", "replace", "paste"]))
    if kind in ("type", "paste"):
        end = start
    else:
        end = draw(st.integers(start, min(length, start + draw(st.sampled_from([1, 5, 40, length])))))
    if kind == "delete":
        return start, end, ""
    if kind == "type":
        return start, end, draw(st.text(st.sampled_from(LETTERS), min_size=1, max_size=3))
    fragment = draw(st.sampled_from(FRAGMENTS))
    if draw(st.booleans()):
        fragment = fragment[: draw(st.integers(0, len(fragment)))]
    return start, end, fragment


class Files(dict[str, OpenFile]):
    """Open files. One can be changed in between, once: when it was looked up, and nothing was made of it yet."""

    change: Callable[[str], None] | None = None

    def get(self, path: str, default: Any = None) -> Any:
        found = super().get(path, default)
        if self.change is not None and path in self:
            change, self.change = self.change, None
            change(path)
        return found


class Typing:
    """A workspace with its open files, and their texts as the client has them."""

    def __init__(self, folder: Path, encoding: str) -> None:
        self.folder = folder
        self.encoding = encoding
        self.texts = dict(TEXTS)
        self.versions = dict.fromkeys(TEXTS, 1)
        self.write(LEAF)
        self.workspace = self.opened([*TEXTS])

    def opened(self, names: Iterable[str]) -> Workspace:
        """A workspace that has seen nothing but the texts of these files."""
        workspace = Workspace(Client(self.encoding), [str(self.folder)])
        workspace.files = Files()
        for name in names:
            workspace.open(self.uri(name), self.versions[name], self.texts[name])
        return workspace

    @property
    def open(self) -> list[str]:
        return [name for name in TEXTS if str(self.folder / name) in self.workspace.files]

    def toggle(self, name: str) -> None:
        """Closes a file, or opens it again."""
        if name in self.open:
            self.workspace.close(self.uri(name))
        else:
            self.workspace.open(self.uri(name), self.versions[name], self.texts[name])

    def write(self, text: str) -> None:
        """Writes a file that is never open; each time it is one that differs in its length."""
        path = self.folder / "parts" / "leaf.mfs"
        before = path.read_text().count("#") if path.exists() else 0
        path.write_text(f"{text}\n{'#' * (before + 1)}\n")

    def uri(self, name: str) -> str:
        return str(from_fs_path(str(self.folder / name)))

    def edit(self, name: str, made: list[tuple[int, int, str]]) -> None:
        events: list[types.TextDocumentContentChangeEvent] = []
        for start, end, new in made:
            text = self.texts[name]
            place = Positions(text, self.encoding).range(min(start, len(text)), min(end, len(text)))
            start, end = Positions(text, self.encoding).offsets(place)  # none is within the end of a line
            events.append(types.TextDocumentContentChangePartial(place, new))
            self.texts[name] = text[:start] + new + text[end:]
        self.versions[name] += 1
        self.workspace.edit(self.uri(name), self.versions[name], events)
        assert self.workspace.files[str(self.folder / name)].text == self.texts[name]

    def settle(self, change: Callable[[str], None] | None = None) -> None:
        """Works out all that is due, as the server does, whose messages may change a file while it is read."""
        files = self.workspace.files
        assert isinstance(files, Files)
        files.change = change
        settle(self.workspace)
        files.change = None

    def known(self) -> dict[str, Any]:
        return known(self.workspace)

    def anew(self) -> dict[str, Any]:
        """The same where all files are opened as they are now."""
        workspace = self.opened(self.open)
        settle(workspace)
        return known(workspace)

    def question(self, name: str) -> FileQuestion:
        analysis = self.workspace.analysis(self.uri(name))
        assert analysis is not None
        return FileQuestion(self.workspace, analysis)

    def fresh(self, name: str) -> list[tuple[Any, ...]]:
        """What a check says that has never seen the files before."""
        path = str(self.folder / name)
        overlay = self.question(name).analysis.overlay.unnoted()
        with patch.object(chunks, "read_chunk", recovery.read):
            source = Source(overlay.display(path), self.texts[name])
            compiled = compile(source, path, overlay, builtin_catalog(), opening=True)
        return [said(diagnostic) for diagnostic in compiled.diagnostics]


def settle(workspace: Workspace) -> None:
    while analysis := workspace.due():
        assert analysis.document
        if workspace.analyses.get(analysis.file.path) is analysis:  # else the report was given up
            workspace.done(analysis)


def known(workspace: Workspace) -> dict[str, Any]:
    """By path what is wrong with each file, what it may read, and on which files that hangs; all being as they are."""
    assert not any(analysis.outdated for analysis in workspace.analyses.values())
    found: dict[str, Any] = {
        path: sorted((f.diagnostic.code, f.diagnostic.span.start, f.diagnostic.message) for f in findings)
        for path, findings in workspace.findings().items()
        if findings
    }
    hangs = {p: ({*a.overlay.roots}, {*a.overlay.asked}) for p, a in workspace.analyses.items()}
    return {"wrong": found, "hangs": hangs}


def said(diagnostic: Diagnostic) -> tuple[Any, ...]:
    """All that a diagnostic says, as plain data."""

    def place(span: Any) -> tuple[Any, ...]:
        return span.source.name, span.start, span.end

    fix = diagnostic.fix and (diagnostic.fix.title, place(diagnostic.fix.span), diagnostic.fix.text)
    labels = [(*place(span), text) for span, text in diagnostic.labels]
    d = diagnostic
    return d.code, d.message, place(d.span), d.label, labels, d.help, d.notes, fix


def asked(method: str, question: FileQuestion, place: types.Range) -> Any:
    """Something to ask about a place."""
    kind: Any = types.METHOD_TO_TYPES[method][2]
    given = {
        "text_document": types.TextDocumentIdentifier(question.analysis.file.uri),
        "position": place.start,
        "positions": [place.start, place.end],
        "range": place,
        "context": types.ReferenceContext(include_declaration=True),
        "new_name": "renamed",
        "options": types.FormattingOptions(tab_size=4, insert_spaces=True),
    }
    if method == types.TEXT_DOCUMENT_CODE_ACTION:
        given["context"] = types.CodeActionContext(diagnostics=[])
    names = {attribute.name for attribute in kind.__attrs_attrs__}
    return kind(**{name: value for name, value in given.items() if name in names})


def ask_all(question: FileQuestion, place: types.Range) -> None:
    """Asks all that can be asked about a place, right after an edit and when all is known."""
    near = types.CompletionParams(types.TextDocumentIdentifier(question.analysis.file.uri), place.start)
    for _ in range(2):
        offered = writing.offer(question, near)
        for item in offered.items[:3]:
            writing.resolve(offered, item)
        reading.show_hover(question, types.HoverParams(near.text_document, near.position))
        assert question.document.path == question.analysis.file.path  # compiles the whole
    for method, feature in FEATURES.items():
        with suppress(Refusal):
            feature(question, asked(method, question, place))
    reading.tokens(question)
    reading.tokens(question, place)
    reading.symbols_of_workspace(question, types.WorkspaceSymbolParams("e"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("specs")
    specs.write(folder)
    (folder / "aside.mfs").write_text(ASIDE)
    (folder / "parts").mkdir()
    yield folder


@settings(
    max_examples=max(1, EDITS // STEPS),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
@given(data=st.data(), encoding=st.sampled_from([UTF8, UTF16, UTF32]))
def test_whatever_is_typed(folder: Path, data: st.DataObject, encoding: str) -> None:
    typing = Typing(folder, encoding)

    def edit(name: str) -> None:
        length = len(typing.texts[name])
        typing.edit(name, data.draw(st.lists(changes(length), min_size=1, max_size=3)))

    for _ in range(STEPS):
        name = data.draw(st.sampled_from(["spec.mfs", "spec.mfs", *typing.open]))
        if name not in typing.open:
            typing.toggle(name)
        edit(name)
        text = typing.texts[name]
        start = data.draw(st.integers(0, len(text)))
        ask_all(typing.question(name), Positions(text, encoding).range(start, min(len(text), start + 30)))
        for other in typing.open:
            diagnostics = typing.question(other).document.compiled.diagnostics
            assert [said(diagnostic) for diagnostic in diagnostics] == typing.fresh(other)
        for findings in typing.workspace.findings().values():
            for finding in findings:
                diagnostic_of(finding, typing.workspace)
        match data.draw(st.sampled_from(["", "", "edit", "toggle", "write"])):
            case "edit":
                edit(name)
                typing.settle(lambda path: edit(os.path.relpath(path, folder)))
            case "toggle":
                typing.toggle(data.draw(st.sampled_from([*TEXTS])))
                typing.settle()
            case "write":
                typing.write(data.draw(st.sampled_from([LEAF, ASIDE])))
                typing.workspace.look_again()
                typing.settle()
            case _:
                continue
        assert typing.known() == typing.anew()
