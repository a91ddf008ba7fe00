"""An editor for tests: a client of a real `mfc lsp` process, with a folder of specs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.uris import from_fs_path
from pytest_lsp import LanguageClient, client_capabilities
from pytest_lsp.client import DEFAULT_CLIENT_FEATURES

from mfc.lsp.positions import UTF16, Positions

COMMAND = (sys.executable, "-m", "mfc", "lsp")
LONGEST = 60
"""Seconds after which a test gives up waiting for what the server should say."""


_REFRESHES = (
    types.WORKSPACE_CODE_LENS_REFRESH,
    types.WORKSPACE_INLAY_HINT_REFRESH,
    types.WORKSPACE_SEMANTIC_TOKENS_REFRESH,
)


class Editor(LanguageClient):
    """Keeps the text of open files, and what the server said about them."""

    def __init__(self, folder: Path, encoding: str = UTF16) -> None:
        super().__init__()
        self.folder = folder
        self.encoding = encoding
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.published: list[types.PublishDiagnosticsParams] = []
        self.registered: list[types.Registration] = []
        self.refreshed: list[str] = []
        self.sent = asyncio.Condition()

        @self.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        async def publish(params: types.PublishDiagnosticsParams) -> None:
            async with self.sent:
                self.published.append(params)
                self.sent.notify_all()

        @self.feature(types.CLIENT_REGISTER_CAPABILITY)
        def register(params: types.RegistrationParams) -> None:
            self.registered += params.registrations

        async def refresh(method: str) -> None:
            async with self.sent:
                self.refreshed.append(method)
                self.sent.notify_all()

        for method in _REFRESHES:
            self.feature(method)(lambda _, method=method: asyncio.ensure_future(refresh(method)) and None)

        for method, handler in DEFAULT_CLIENT_FEATURES.items():
            if method not in self.protocol.fm.features:
                self.feature(method)(handler)

    @property
    def server_pid(self) -> int | None:
        return self._server.pid if self._server else None

    def kill(self) -> None:
        """Ends the server without a word."""
        if self._server is not None and self._server.returncode is None:
            self._server.kill()

    def uri(self, name: str) -> str:
        return str(from_fs_path(str(self.folder / name)))

    def document(self, name: str) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri(name))

    # ── what a user does ────────────────────────────────────────────────────────────────────────────────

    def open(self, name: str, text: str | None = None) -> None:
        """Opens a file, with another text than it has on disk if one is given."""
        self.texts[name] = (self.folder / name).read_bytes().decode() if text is None else text
        self.versions[name] = 1
        item = types.TextDocumentItem(self.uri(name), "mfs", 1, self.texts[name])
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def replace(self, name: str, old: str, new: str) -> None:
        """Replaces a piece of text that is there once."""
        assert self.texts[name].count(old) == 1, old
        start = self.texts[name].index(old)
        self.edit(name, [(start, start + len(old), new)])

    def edit(self, name: str, changes: Sequence[tuple[int, int, str]]) -> None:
        """Changes pieces of text one after another, each given as it is after the ones before."""
        events: list[types.TextDocumentContentChangeEvent] = []
        for start, end, new in changes:
            text = self.texts[name]
            place = Positions(text, self.encoding).range(start, end)
            events.append(types.TextDocumentContentChangePartial(place, new))
            self.texts[name] = text[:start] + new + text[end:]
        self.versions[name] += 1
        document = types.VersionedTextDocumentIdentifier(self.versions[name], self.uri(name))
        self.text_document_did_change(types.DidChangeTextDocumentParams(document, events))

    def close(self, name: str) -> None:
        self.text_document_did_close(types.DidCloseTextDocumentParams(self.document(name)))
        del self.texts[name], self.versions[name]

    # ── what a user sees ────────────────────────────────────────────────────────────────────────────────

    async def findings(self, name: str) -> Sequence[types.Diagnostic]:
        """The diagnostics of an open file as it is now."""
        uri, version = self.uri(name), self.versions[name]

        def said() -> list[types.PublishDiagnosticsParams]:
            return [p for p in self.published if p.uri == uri and p.version == version]

        await self.until(lambda: bool(said()))
        return said()[-1].diagnostics

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until what the server said of itself fulfils a condition."""
        async with self.sent:
            await asyncio.wait_for(self.sent.wait_for(condition), LONGEST)

    def last(self, name: str) -> Sequence[types.Diagnostic] | None:
        """What was said last about a file, open or not."""
        said = [p.diagnostics for p in self.published if p.uri == self.uri(name)]
        return said[-1] if said else None

    def shown(self, name: str, place: types.Range) -> str:
        """The text of an open file in a range."""
        start, end = Positions(self.texts[name], self.encoding).offsets(place)
        return self.texts[name][start:end]

    def applied(self, name: str, edits: Sequence[types.TextEdit]) -> str:
        """The text of an open file as it were after edits."""
        text = self.texts[name]
        positions = Positions(text, self.encoding)
        made = [(*positions.offsets(edit.range), edit.new_text) for edit in edits]
        for start, end, new in sorted(made, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def at(self, name: str, mark: str, behind: str = "") -> types.Position:
        """The place of a piece of text that is there once, or behind a part that it begins with."""
        assert self.texts[name].count(mark) == 1 and mark.startswith(behind), mark
        return Positions(self.texts[name], self.encoding).position(self.texts[name].index(mark) + len(behind))


def codes(found: Sequence[types.Diagnostic] | None) -> list[str] | None:
    """The codes of what was said of a file; None where nothing was said yet."""
    return None if found is None else [str(diagnostic.code) for diagnostic in found]


@asynccontextmanager
async def editing(
    folder: Path,
    command: Sequence[str],
    *,
    encoding: str = UTF16,
    options: Any = None,
    snippets: bool = True,
    grammar: bool = False,
) -> AsyncIterator[Editor]:
    """An editor with a folder open, whose server runs as a process of its own."""
    editor = Editor(folder, encoding)
    await editor.start_io(*command, env={**os.environ, "MFC_CACHE": str(folder / "cache")})
    capabilities = client_capabilities("visual-studio-code")
    capabilities.general = types.GeneralClientCapabilities(position_encodings=[encoding])  # type: ignore[list-item]
    assert capabilities.workspace is not None
    capabilities.workspace.inlay_hint = types.InlayHintWorkspaceClientCapabilities(refresh_support=True)
    item = get_capability(capabilities, "text_document.completion.completion_item")
    assert item is not None and item.snippet_support
    item.snippet_support = snippets
    tokens = get_capability(capabilities, "text_document.semantic_tokens")
    assert tokens is not None
    tokens.augments_syntax_tokens = grammar
    root = types.WorkspaceFolder(str(from_fs_path(str(folder))), folder.name)
    await editor.initialize_session(
        types.InitializeParams(
            capabilities=capabilities, workspace_folders=[root], initialization_options=options
        )
    )
    try:
        yield editor
        await asyncio.wait_for(editor.shutdown_session(), LONGEST)
    except BaseException:
        editor.kill()  # else it is waited for
        raise
    finally:
        await editor.stop()
