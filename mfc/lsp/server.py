"""The server: takes the protocol's messages, asks the workspace, and answers.

All that takes time is done by one worker, one thing after another, so that messages are always read, and what is known
of a spec is never worked out twice at once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from mfc.lsp.diagnostics import diagnostic_of
from mfc.lsp.positions import UTF16
from mfc.lsp.workspace import Analysis, Workspace

T = TypeVar("T")

DEBOUNCE = 0.02
"""Seconds without a key stroke after which a spec is checked."""

SWITCH = 0.001
"""Seconds after which the worker lets messages be read."""

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
        for method in _SYNCHRONISATION:  # pygls counts lines otherwise than the protocol
            del self.protocol.fm.builtin_features[method]

    async def work(self, task: Callable[[], T]) -> T:
        """Lets the worker do a task. One that is cancelled before its turn is not done."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, task)

    async def ask(self, uri: str, what: Callable[[Analysis], T | None]) -> T | None:
        """The answer to a question about an open file, as it is now; None where there is none. A mistake in this
        package costs an answer, and not the server."""
        analysis = self.specs.analysis(uri)
        if analysis is None:
            return None
        try:
            return await self.work(lambda: what(analysis))
        except Exception as error:
            self.failed(error)
            return None

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
        await asyncio.sleep(DEBOUNCE)
        for analysis in [*self.specs.due]:
            try:
                await self.work(lambda analysis=analysis: analysis.findings)
            except Exception as error:
                self.failed(error)
            self._publish()
        self._publish(all=True)

    def _publish(self, all: bool = False) -> None:
        """Publishes what differs from what the client has. What is not open waits until `all` is known of it."""
        findings = self.specs.findings()
        for path in [*findings, *(self._published.keys() - findings.keys())]:
            file, analysis = self.specs.files.get(path), self.specs.analyses.get(path)
            if not (all if analysis is None else analysis.done):
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
        folders = [folder.uri for folder in params.workspace_folders or ()]
        root = next(iter(folders), params.root_uri)
        encoding = server.workspace.position_encoding or UTF16
        server.specs = Workspace(encoding, to_fs_path(root) if root else None)
        configure(params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        watched = workspace and workspace.did_change_watched_files
        if watched and watched.dynamic_registration:
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
        server.specs.close(params.text_document.uri)
        server.report()

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(_: types.DidSaveTextDocumentParams) -> None:
        server.specs.saved()
        server.report()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(params: types.DidChangeWatchedFilesParams) -> None:
        server.specs.changed(server.specs.path(change.uri) for change in params.changes)
        server.report()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        given = params.settings
        workspace = server.client_capabilities.workspace
        if not given and workspace and workspace.configuration:
            items = [types.ConfigurationItem(section=SECTION)]
            given = (await server.workspace_configuration_async(types.ConfigurationParams(items)))[0]
        configure(given.get(SECTION, given) if isinstance(given, dict) else given)
        server.report()

    def configure(given: Any) -> None:
        """Takes `{"settings": {"epochs": 3}, "allowOutside": "../shared"}`; what is left out is not set."""
        given = given if isinstance(given, dict) else {}
        settings, folder = given.get("settings"), given.get("allowOutside")
        server.specs.configure(
            settings if isinstance(settings, dict) else {}, folder if isinstance(folder, str) else None
        )

    return server


def serve(address: tuple[str, int] | None = None) -> bool:
    """Serves one client on standard input and output, or the first that connects to an address. Gives whether it ended
    as the protocol asks. Raises OSError where the address can't be listened on."""
    sys.setswitchinterval(SWITCH)
    server = make_server()
    if address is None:
        out, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may be said there
        server.start_io(stdout=out)
    else:
        server.start_tcp(*address)
    return server.ended
