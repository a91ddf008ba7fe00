"""The server: takes the protocol's messages, asks the workspace, and answers.

All that takes time is done by one worker, one thing after another, so that messages are always read, and what is known
of a spec is never worked out twice at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, TypeVar

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.editor.semantic_tokens import OF_GRAMMAR
from mfc.dsl.grammar import parser
from mfc.lsp import commands, features, reading, writing
from mfc.lsp.diagnostics import diagnostic_of
from mfc.lsp.positions import UTF16
from mfc.lsp.question import FileQuestion, Question, Refusal
from mfc.lsp.workspace import Client, Workspace

T = TypeVar("T")

DEBOUNCE = 0.02
"""Seconds without a key stroke after which a spec is checked."""

SWITCH = 0.001
"""Seconds after which the worker lets messages be read."""

REST = 0.02
"""Seconds after a report after which what is no longer used is cleared away: that takes longer than most answers."""

CLUTTER = 150_000
"""Objects that are there since, after which that is done at once: about 30 MB."""

SECTION = "mfc"

log = logging.getLogger(__name__)


class SpecServer(LanguageServer):
    """What one client is told about its specs."""

    def __init__(self) -> None:
        super().__init__("mfc", version("mfc"))
        self.specs = Workspace()
        self.ended = False
        self._worker = ThreadPoolExecutor(1, "compiler")
        self._reporting: asyncio.Task[None] | None = None
        self._published: dict[str, Any] = {}
        self._offered: writing.Offered | None = None
        self._tokens: dict[str, tuple[int, list[int]]] = {}
        for method in _SYNCHRONISATION:  # pygls counts lines otherwise than the protocol
            del self.protocol.fm.builtin_features[method]

    async def work(self, task: Callable[[], T]) -> T:
        """Lets the worker do a task. One that is cancelled before its turn is not done."""

        def done() -> T:
            if gc.get_count()[0] > CLUTTER:
                gc.collect()
            return task()

        return await asyncio.get_running_loop().run_in_executor(self._worker, done)

    async def answer(self, task: Callable[[], T]) -> T | None:
        """What a task gives; None where it fails: a mistake in this package costs an answer, and not the server."""
        try:
            return await self.work(task)
        except Refusal:
            raise
        except Exception as error:
            self.failed(error)
            return None

    async def about(self, uri: str, what: Callable[[FileQuestion], T | None]) -> T | None:
        """The answer to a question about an open file, as it is now; None where there is none."""
        analysis = self.specs.analysis(uri)
        if analysis is None:
            return None
        question = FileQuestion(self.specs, analysis)
        return await self.answer(lambda: what(question))

    def look_again(self) -> None:
        """Has what hangs on files that have changed on disk be worked out and reported anew."""
        if self.specs.look_again():
            self.report()

    def failed(self, error: Exception) -> None:
        """Tells of a mistake in this package."""
        log.error("a request failed", exc_info=error)
        message = f"mfc failed: {type(error).__name__}: {error}"
        self.window_log_message(types.LogMessageParams(types.MessageType.Error, message))

    # ── diagnostics ─────────────────────────────────────────────────────────────────────────────────────

    def report(self) -> None:
        """Checks what has changed as soon as nothing changes any more, and tells the client what came out."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = asyncio.create_task(self._report())

    async def _report(self) -> None:
        try:
            await self._report_all()
        except Exception as error:
            self.failed(error)

    async def _report_all(self) -> None:
        await asyncio.sleep(DEBOUNCE)
        while analysis := self.specs.due():
            await self.answer(lambda analysis=analysis: analysis.findings)
            self.specs.done(analysis)
            self._publish()
        self._publish(all=True)
        if self.specs.renewed:
            self.specs.renewed = False
            self._refresh()
        await asyncio.sleep(REST)
        await self.work(gc.collect)

    def _publish(self, all: bool = False) -> None:
        """Publishes what differs from what the client has. What is not open waits until `all` is known of it."""
        findings = self.specs.findings()
        for path in [*findings, *(self._published.keys() - findings.keys())]:
            file, analysis = self.specs.files.get(path), self.specs.analyses.get(path)
            if not (all if analysis is None else analysis.done or analysis.settled):
                continue
            diagnostics = [diagnostic_of(finding, self.specs) for finding in findings.get(path, ())]
            known = (file.version if file else None, diagnostics)
            if known == self._published.get(path, (None, [])):
                continue
            self._published[path] = known
            if not file and not diagnostics:
                del self._published[path]
            self.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(self.specs.uri(path), diagnostics, known[0])
            )

    def _refresh(self) -> None:
        """Has the client ask anew about files that it did not change itself."""
        able = self.client_capabilities
        if get_capability(able, "workspace.semantic_tokens.refresh_support"):
            self.workspace_semantic_tokens_refresh(None)
        if get_capability(able, "workspace.inlay_hint.refresh_support"):
            self.workspace_inlay_hint_refresh(None)
        if get_capability(able, "workspace.code_lens.refresh_support"):
            self.workspace_code_lens_refresh(None)

    def close(self, uri: str) -> None:
        self.specs.close(uri)
        self._tokens.pop(uri, None)

    # ── completion ──────────────────────────────────────────────────────────────────────────────────────

    async def completions(self, params: types.CompletionParams) -> types.CompletionList | None:
        found = await self.about(params.text_document.uri, lambda question: writing.offer(question, params))
        if found is None:
            return None
        self._offered = found
        return types.CompletionList(is_incomplete=False, items=found.items)

    async def documented(self, item: types.CompletionItem) -> types.CompletionItem:
        offered = self._offered
        known = offered.items[item.data : item.data + 1] if offered and isinstance(item.data, int) else ()
        if offered is None or not known or known[0].label != item.label:
            return item  # of a list that was offered before the last one
        return await self.answer(lambda: writing.resolve(offered, item)) or item

    # ── semantic tokens ─────────────────────────────────────────────────────────────────────────────────

    async def some_tokens(self, uri: str, part: types.Range | None = None) -> list[int] | None:
        """Without those that a client has of a grammar: that one tells escapes from the text around them."""
        can = self.client_capabilities
        augments = get_capability(can, "text_document.semantic_tokens.augments_syntax_tokens", False)
        without = OF_GRAMMAR if augments else ()
        return await self.about(uri, lambda question: reading.tokens(question, part, without))

    async def tokens(self, uri: str) -> types.SemanticTokens | None:
        found = await self.some_tokens(uri)
        if found is None:
            return None
        number = self._tokens.get(uri, (0, []))[0] + 1
        self._tokens[uri] = number, found
        return types.SemanticTokens(found, str(number))

    async def changed_tokens(
        self, uri: str, known: str
    ) -> types.SemanticTokens | types.SemanticTokensDelta | None:
        number, old = self._tokens.get(uri, (0, []))
        new = await self.tokens(uri)
        if new is None or known != str(number):
            return new
        return types.SemanticTokensDelta(reading.difference(old, new.data), new.result_id)


_SYNCHRONISATION = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)


def make_server() -> SpecServer:
    """A server with all its features, for one client."""
    server = SpecServer()

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        able = params.capabilities
        server.specs = Workspace(
            Client(
                server.workspace.position_encoding or UTF16,
                snippets=get_capability(
                    able, "text_document.completion.completion_item.snippet_support", False
                ),
                versioned_edits=get_capability(able, "workspace.workspace_edit.document_changes", False),
            )
        )
        root = [folder for folder in [to_fs_path(params.root_uri or "")] if folder]
        server.specs.set_folders(folders() or root)
        server.specs.configure(params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        able = server.client_capabilities
        if get_capability(able, "workspace.did_change_watched_files.dynamic_registration"):
            watcher = types.FileSystemWatcher("**/*.{mfs,py}")
            options = types.DidChangeWatchedFilesRegistrationOptions([watcher])
            method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
            await server.client_register_capability_async(
                types.RegistrationParams([types.Registration(method, method, options)])
            )

    @server.feature(types.SHUTDOWN)
    def shutdown(_: None) -> None:
        server.ended = True

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        server.specs.open(document.uri, document.version, document.text)
        server.report()

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        server.specs.edit(document.uri, document.version, params.content_changes)
        server.report()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)
        server.report()

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(_: types.DidSaveTextDocumentParams) -> None:
        server.look_again()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(params: types.DidChangeWatchedFilesParams) -> None:
        server.specs.changed(server.specs.path(change.uri) for change in params.changes)
        server.report()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_workspace_folders(_: types.DidChangeWorkspaceFoldersParams) -> None:
        server.specs.set_folders(folders())
        server.report()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        given = params.settings
        if not given and get_capability(server.client_capabilities, "workspace.configuration"):
            items = [types.ConfigurationItem(section=SECTION)]
            given = (await server.workspace_configuration_async(types.ConfigurationParams(items)))[0]
        server.specs.configure(given.get(SECTION, given) if isinstance(given, dict) else given)
        server.report()

    def folders() -> list[str]:
        found = [to_fs_path(folder.uri) for folder in server.workspace.folders.values()]
        return [folder for folder in found if folder]

    def add(method: str, feature: Callable[[FileQuestion, Any], Any]) -> None:
        @server.feature(method, features.OPTIONS.get(method))
        async def asked(params: Any) -> Any:
            if method in features.OVER_FILES:
                server.look_again()
            return await server.about(params.text_document.uri, lambda question: feature(question, params))

    for method, feature in features.FEATURES.items():
        add(method, feature)

    @server.feature(types.WORKSPACE_SYMBOL)
    async def symbols(params: types.WorkspaceSymbolParams) -> Any:
        question = Question(server.specs)
        return await server.answer(lambda: reading.symbols_of_workspace(question, params))

    @server.feature(types.WORKSPACE_WILL_RENAME_FILES, features.MOVES)
    async def move_files(params: types.RenameFilesParams) -> Any:
        question = Question(server.specs)
        return await server.answer(lambda: writing.move_files(question, params))

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, features.COMPLETION)
    async def completion(params: types.CompletionParams) -> Any:
        return await server.completions(params)

    @server.feature(types.COMPLETION_ITEM_RESOLVE)
    async def resolve(item: types.CompletionItem) -> Any:
        return await server.documented(item)

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, reading.LEGEND)
    async def tokens(params: types.SemanticTokensParams) -> Any:
        return await server.tokens(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL_DELTA, reading.LEGEND)
    async def changed_tokens(params: types.SemanticTokensDeltaParams) -> Any:
        return await server.changed_tokens(params.text_document.uri, params.previous_result_id)

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_RANGE, reading.LEGEND)
    async def some_tokens(params: types.SemanticTokensRangeParams) -> Any:
        found = await server.some_tokens(params.text_document.uri, params.range)
        return None if found is None else types.SemanticTokens(found)

    @server.command(commands.OPTIONS)
    async def options(uri: str) -> list[str]:
        return await server.work(lambda: commands.options(server.specs, server.specs.path(uri)))

    @server.command(commands.PLAN_TEXT)
    async def plan_text(uri: str, *targets: str) -> str:
        return await commands.plan_text(server.specs.path(uri), await options(uri), targets)

    return server


def serve(address: tuple[str, int] | None = None) -> bool:
    """Serves one client on standard input and output, or the first that connects to an address. Gives whether it ended
    as the protocol asks. Raises OSError where the address can't be listened on."""
    sys.setswitchinterval(SWITCH)
    logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_no_refusal)
    server = make_server()
    builtin_catalog()
    parser()
    gc.freeze()  # what stays is not looked through again and again
    gc.disable()  # Python would clear away in the middle of a task: see `REST`
    if address is None:
        out, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may be said there
        server.start_io(stdout=out)
    else:
        server.start_tcp(*address)
    return server.ended


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether a log has to be written: not of what was answered as it should be."""
    return not (record.exc_info and isinstance(record.exc_info[1], Refusal))
