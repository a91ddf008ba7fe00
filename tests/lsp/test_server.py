"""The server as a process: what it says of specs while they are edited, and how it begins and ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.uris import from_fs_path

from mfc.lsp.positions import UTF8, UTF16, UTF32, Positions
from tests.lsp.editor import COMMAND, LONGEST, Editor, codes, editing

pytestmark = pytest.mark.asyncio

BLOCKS = """block dense(nf) {
    linear(nf)
    relu()
}
"""

SPEC = (
    'import "blocks.mfs" (dense)  # 🙂\r\n'
    "\r\n"
    'param size: int = 8  # 👩\u200d🔬 "quoted" 🙂\r\n'
    "\r\n"
    "data digits: image -> category {\r\n"
    '    source     = builtin("digits")\r\n'
    "    split      = random(valid = 0.2, seed = 42)\r\n"
    "    label      = parent()\r\n"
    "    batch_size = 64\r\n"
    "}\r\n"
    "\r\n"
    "model net {\r\n"
    "    flatten()\r\n"
    "    dense(size)\r\n"
    "    linear(digits.classes)\r\n"
    "}\r\n"
    "\r\n"
    "train fit {\r\n"
    "    data    = digits\r\n"
    "    model   = net\r\n"
    "    loss    = cross_entropy()\r\n"
    "    metrics = [accuracy()]\r\n"
    "    epochs  = 1\r\n"
    "}\r\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blocks.mfs").write_text(BLOCKS)
    (tmp_path / "spec.mfs").write_bytes(SPEC.encode())
    return tmp_path


@pytest_asyncio.fixture
async def editor(folder: Path) -> AsyncIterator[Editor]:
    async with editing(folder, COMMAND) as editor:
        yield editor
    assert not editor.log_messages and not editor.messages


# ── diagnostics ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_mistake_is_shown_while_it_is_there(editor: Editor) -> None:
    editor.open("spec.mfs")
    assert await editor.findings("spec.mfs") == ()
    editor.replace("spec.mfs", "accuracy", "acuracy")
    [found] = await editor.findings("spec.mfs")
    assert (found.code, found.source, found.severity) == ("E0204", "mfc", types.DiagnosticSeverity.Error)
    assert editor.shown("spec.mfs", found.range) == "acuracy"
    assert found.message.splitlines()[-1] == "help: did you mean `accuracy`?"
    assert found.code_description is not None and found.code_description.href.endswith("/E0204.md")
    editor.replace("spec.mfs", "acuracy", "accuracy")
    assert await editor.findings("spec.mfs") == ()


async def test_a_syntax_error_hides_no_other_mistake(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "linear(digits.classes)", "linear(digits.")
    editor.replace("spec.mfs", "accuracy", "acuracy")
    found = codes(await editor.findings("spec.mfs"))
    assert found and "E0204" in found and any(code.startswith("E01") for code in found)


@pytest.mark.parametrize("encoding", [UTF8, UTF16, UTF32])
async def test_places_are_counted_as_the_client_does(folder: Path, encoding: str) -> None:
    async with editing(folder, COMMAND, encoding=encoding) as editor:
        editor.open("spec.mfs")
        at = editor.texts["spec.mfs"].index(' "quoted"')
        # three changes at once: before, behind and between letters of several units
        editor.edit(
            "spec.mfs", [(at, at, "🙂é"), (at - 1, at, ""), (at + 1, at + 1, "\r\nlet a = nothing # 🙂")]
        )
        [found] = await editor.findings("spec.mfs")
        assert editor.shown("spec.mfs", found.range) == "nothing"


async def test_only_the_newest_version_is_reported(editor: Editor) -> None:
    editor.open("spec.mfs")
    await editor.findings("spec.mfs")
    for letter in "acuracy":
        at = editor.texts["spec.mfs"].index("accuracy()")
        editor.edit("spec.mfs", [(at, at, letter)])
    await editor.findings("spec.mfs")
    versions = [p.version for p in editor.published if p.uri == editor.uri("spec.mfs")]
    assert versions == sorted(v for v in versions if v is not None)
    assert versions[-1] == editor.versions["spec.mfs"]


async def test_an_edit_of_an_imported_file_reaches_those_that_import_it(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.open("blocks.mfs")
    assert await editor.findings("spec.mfs") == () == await editor.findings("blocks.mfs")
    editor.replace("blocks.mfs", "block dense(nf)", "block thick(nf)")
    await editor.until(lambda: codes(editor.last("spec.mfs")) == ["E0213"])
    assert await editor.findings("blocks.mfs") == ()
    await editor.until(lambda: len(editor.refreshed) >= 3)  # what the editor shows of the spec is of before
    editor.close("blocks.mfs")  # what is on disk counts again
    await editor.until(lambda: editor.last("spec.mfs") == ())


async def test_mistakes_in_files_that_are_not_open_are_shown_there(editor: Editor, folder: Path) -> None:
    (folder / "blocks.mfs").write_text(BLOCKS.replace("relu", "relo"))
    editor.open("spec.mfs")
    await editor.until(lambda: codes(editor.last("blocks.mfs")) == ["E0204"])
    assert await editor.findings("spec.mfs") == ()
    (folder / "blocks.mfs").write_text(BLOCKS)
    change = types.FileEvent(editor.uri("blocks.mfs"), types.FileChangeType.Changed)
    editor.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([change]))
    await editor.until(lambda: editor.last("blocks.mfs") == ())


async def test_a_save_looks_at_files_that_are_not_open(editor: Editor, folder: Path) -> None:
    editor.open("spec.mfs")
    assert await editor.findings("spec.mfs") == ()
    (folder / "blocks.mfs").unlink()
    editor.text_document_did_save(types.DidSaveTextDocumentParams(editor.document("spec.mfs")))
    await editor.until(lambda: codes(editor.last("spec.mfs")) == ["E0212"])
    await editor.until(lambda: len(editor.refreshed) >= 3)  # what the editor shows of the spec is of before


async def test_places_are_told_of_files_as_they_are_though_no_client_tells_that_they_changed(
    editor: Editor, folder: Path
) -> None:
    editor.open("spec.mfs")
    assert await editor.findings("spec.mfs") == ()
    document, position = editor.document("spec.mfs"), editor.at("spec.mfs", "dense(size)")
    for lines in (1, 2):
        (folder / "blocks.mfs").write_text("let a = b\n" * lines + BLOCKS)
        context = types.ReferenceContext(include_declaration=True)
        found = await (
            editor.text_document_definition_async(types.DefinitionParams(document, position))
            if lines == 1
            else editor.text_document_references_async(types.ReferenceParams(context, document, position))
        )
        assert isinstance(found, Sequence)
        places = [(place.uri, place.range.start.line) for place in found if isinstance(place, types.Location)]
        assert (editor.uri("blocks.mfs"), lines) in places
        await editor.until(lambda lines=lines: len(editor.last("blocks.mfs") or ()) == lines)


async def test_other_places_are_related(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "param size", "let size = 1\r\nparam size")
    [found] = await editor.findings("spec.mfs")
    assert found.code == "E0202" and found.related_information
    [related] = found.related_information
    assert related.message == "first declared here"
    assert related.location.uri == editor.uri("spec.mfs")
    assert related.location.range.start == editor.at("spec.mfs", "size = 1")


async def test_what_is_closed_has_no_mistakes_any_more(editor: Editor) -> None:
    editor.open("spec.mfs", "let a = b")
    assert codes(await editor.findings("spec.mfs")) == ["E0201"]
    editor.close("spec.mfs")
    await editor.until(lambda: editor.last("spec.mfs") == ())


async def test_a_text_that_lies_in_no_file_is_checked(editor: Editor) -> None:
    item = types.TextDocumentItem("untitled:Untitled-1", "mfs", 1, SPEC)
    editor.text_document_did_open(types.DidOpenTextDocumentParams(item))
    await editor.until(lambda: any(p.uri == item.uri and not p.diagnostics for p in editor.published))


async def test_a_hostile_spec_keeps_nobody_waiting(editor: Editor) -> None:
    loop = "for a in range(9999) { for b in range(9999) { relu() } }"
    editor.open("hostile.mfs", "".join(f"model m{i} {{ {loop} }}\n" for i in range(200)))
    editor.open("spec.mfs", "let a = b")
    assert codes(await editor.findings("spec.mfs")) == ["E0201"]
    found = codes(await editor.findings("hostile.mfs"))
    assert found and "E0602" in found


@pytest.mark.parametrize("snippets", [True, False])
async def test_what_is_typed_is_completed_at_once(folder: Path, snippets: bool) -> None:
    async with editing(folder, COMMAND, snippets=snippets) as editor:
        editor.open("spec.mfs")
        editor.replace("spec.mfs", "    epochs  = 1", "    epochs  = 1\r\n    call")
        where = editor.at("spec.mfs", "call\r", "call")
        found = await editor.text_document_completion_async(
            types.CompletionParams(editor.document("spec.mfs"), where)
        )
        assert isinstance(found, types.CompletionList)
        [item] = [item for item in found.items if item.label == "callbacks"]
        assert isinstance(item.text_edit, types.TextEdit)
        assert editor.shown("spec.mfs", item.text_edit.range) == "call"
        if snippets:
            assert item.insert_text_format == types.InsertTextFormat.Snippet
            assert item.text_edit.new_text.startswith("callbacks = [$")
        else:
            assert item.insert_text_format is None and item.text_edit.new_text == "callbacks"


# ── semantic tokens ─────────────────────────────────────────────────────────────────────────────────────


async def test_of_tokens_only_the_difference_is_sent(editor: Editor) -> None:
    editor.open("spec.mfs")
    document = editor.document("spec.mfs")
    first = await editor.text_document_semantic_tokens_full_async(types.SemanticTokensParams(document))
    assert first is not None and first.result_id is not None
    data = [*first.data]
    last = first.result_id
    for old, new in (("flatten()", "flatten()\r\n    relu()"), ("param size", "param  size"), ("64", "65")):
        editor.replace("spec.mfs", old, new)
        asked = types.SemanticTokensDeltaParams(document, last)
        delta = await editor.text_document_semantic_tokens_full_delta_async(asked)
        assert isinstance(delta, types.SemanticTokensDelta) and delta.result_id is not None
        for edit in delta.edits:
            assert len(edit.data or ()) < 20
            data[edit.start : edit.start + edit.delete_count] = edit.data or ()
        last = delta.result_id
    whole = await editor.text_document_semantic_tokens_full_async(types.SemanticTokensParams(document))
    assert whole is not None and data == [*whole.data] != [*first.data]
    asked = types.SemanticTokensDeltaParams(document, "unknown")
    anew = await editor.text_document_semantic_tokens_full_delta_async(asked)
    assert isinstance(anew, types.SemanticTokens) and anew.data == whole.data


# ── code actions ────────────────────────────────────────────────────────────────────────────────────────


async def actions(
    editor: Editor, found: types.Diagnostic, *only: str, where: types.Range | None = None
) -> dict[str, tuple[types.CodeAction, str]]:
    """What is offered for a mistake, or in a range, by title, each with the text that it leads to."""
    context = types.CodeActionContext([found], only=only or None)  # type: ignore[arg-type]
    asked = types.CodeActionParams(editor.document("spec.mfs"), where or found.range, context)
    offered = {}
    for action in await editor.text_document_code_action_async(asked) or ():
        assert isinstance(action, types.CodeAction) and action.edit and action.edit.document_changes
        [change] = action.edit.document_changes
        assert isinstance(change, types.TextDocumentEdit)
        assert change.text_document.version == editor.versions["spec.mfs"]
        edits = [edit for edit in change.edits if isinstance(edit, types.TextEdit)]
        offered[action.title] = action, editor.applied("spec.mfs", edits)
    return offered


async def test_a_near_name_mends_a_mistake(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "accuracy", "acuracy")
    [found] = await editor.findings("spec.mfs")
    offered = await actions(editor, found, types.CodeActionKind.QuickFix)
    [(action, text)] = offered.values()
    assert action.is_preferred and action.diagnostics == (found,) and text == SPEC
    assert await actions(editor, found, types.CodeActionKind.Refactor) == {}


async def test_a_missing_import_is_added(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", SPEC.split("\r\n")[0] + "\r\n", "")
    [found] = await editor.findings("spec.mfs")
    offered = await actions(editor, found)
    _, text = offered['Import `dense` from "blocks.mfs"']
    assert 'import "blocks.mfs" (dense)\r\n' in text and "\n" not in text.replace("\r\n", "")


async def test_what_is_unused_is_pale_and_can_be_removed(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "    flatten()\r\n", "    let spare = 1\r\n    flatten()\r\n")
    [found] = await editor.findings("spec.mfs")
    assert found.tags == (types.DiagnosticTag.Unnecessary,)
    assert found.severity == types.DiagnosticSeverity.Warning
    assert SPEC in {text for _, text in (await actions(editor, found)).values()}


async def test_all_that_is_certain_is_mended_at_once(editor: Editor) -> None:
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "epochs  = 1", "epochs  : 1")
    editor.replace("spec.mfs", "loss    = cross", "loss    : cross")
    first, second, *_ = await editor.findings("spec.mfs")
    everything = "Fix all that is certain"
    for asked in ("source.fixAll", "source"):
        offered = await actions(editor, first, asked)
        assert [*offered] == [everything]
        [(action, text)] = offered.values()
        assert action.kind == "source.fixAll.mfc" and text == SPEC
    assert everything not in await actions(editor, first), "at one mistake, only that is mended"
    both = types.Range(*sorted([first.range.start, second.range.start]))
    assert everything in await actions(editor, first, where=both)
    start = types.Position(0, 0)
    assert [*await actions(editor, first, where=types.Range(start, start))] == [everything]


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────


async def test_values_of_params_can_be_set(folder: Path) -> None:
    async with editing(folder, COMMAND, options={"settings": {"size": "small", "other": 1}}) as editor:
        editor.open("spec.mfs")
        [found] = await editor.findings("spec.mfs")
        assert found.code == "E0306" and editor.shown("spec.mfs", found.range) == "param size: int = 8"
        editor.workspace_did_change_configuration(
            types.DidChangeConfigurationParams({"mfc": {"settings": {"size": "16"}}})
        )
        await editor.until(lambda: editor.last("spec.mfs") == ())


async def test_a_client_is_asked_for_settings_that_it_does_not_send(editor: Editor) -> None:
    editor.set_configuration({"mfc": {"settings": {"size": "small"}}})
    editor.open("spec.mfs")
    editor.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
    await editor.until(lambda: codes(editor.last("spec.mfs")) == ["E0306"])


async def test_hints_can_be_left_out(editor: Editor) -> None:
    async def hints() -> set[str]:
        whole = Positions(editor.texts["spec.mfs"]).all
        asked = types.InlayHintParams(editor.document("spec.mfs"), whole)
        found = await editor.text_document_inlay_hint_async(asked)
        return {str(hint.label) for hint in found or ()}

    editor.open("spec.mfs")
    assert "64" in await hints()
    options = {"hints": {"layers": False, "arguments": "no", "others": True}}
    editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({"mfc": options}))
    await editor.until(lambda: types.WORKSPACE_INLAY_HINT_REFRESH in editor.refreshed)
    assert "64" not in await hints()


async def test_a_folder_outside_can_be_allowed(folder: Path) -> None:
    (folder / "spec").mkdir()
    (folder / "spec" / "spec.mfs").write_bytes(SPEC.replace('"blocks', '"../blocks').encode())
    async with editing(folder, COMMAND) as editor:
        editor.open("spec/spec.mfs")
        assert codes(await editor.findings("spec/spec.mfs")) == ["E0214"]
        editor.workspace_did_change_configuration(types.DidChangeConfigurationParams({"allowOutside": "."}))
        await editor.until(lambda: editor.last("spec/spec.mfs") == ())


async def test_a_folder_that_is_allowed_is_looked_for_in_the_folder_that_is_open_now(folder: Path) -> None:
    (folder / "specs" / "inner").mkdir(parents=True)
    (folder / "specs" / "inner" / "spec.mfs").write_bytes(SPEC.replace('"blocks', '"../../blocks').encode())
    async with editing(folder / "specs", COMMAND, options={"allowOutside": "."}) as editor:
        editor.open("inner/spec.mfs")
        assert codes(await editor.findings("inner/spec.mfs")) == ["E0214"]
        added, removed = (
            types.WorkspaceFolder(from_fs_path(str(path)) or "", path.name)
            for path in (folder, folder / "specs")
        )
        event = types.WorkspaceFoldersChangeEvent([added], [removed])
        editor.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        await editor.until(lambda: editor.last("inner/spec.mfs") == ())
        await editor.until(lambda: types.WORKSPACE_INLAY_HINT_REFRESH in editor.refreshed)


async def test_an_imported_file_may_read_what_the_spec_may(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "twice.mfs").write_text(
        'import "../blocks.mfs" (dense)\nblock twice() { dense(8) dense(8) }\n'
    )
    (folder / "spec.mfs").write_bytes(
        SPEC.replace('"blocks.mfs" (dense)', '"parts/twice.mfs" (twice)')
        .replace("dense(size)", "twice()")
        .encode()
    )
    async with editing(folder, COMMAND) as editor:
        editor.open("parts/twice.mfs")
        assert codes(await editor.findings("parts/twice.mfs")) == ["E0214"]
        editor.open("spec.mfs")
        await editor.until(lambda: editor.last("parts/twice.mfs") == ())
        assert await editor.findings("spec.mfs") == ()
        editor.replace("parts/twice.mfs", "dense(8) dense(8)", "dense(8)")
        assert await editor.findings("parts/twice.mfs") == ()
        editor.close("spec.mfs")
        await editor.until(lambda: codes(editor.last("parts/twice.mfs")) == ["E0214"])


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────


async def hover(editor: Editor, name: str, mark: str, behind: str = "") -> str | None:
    """What is said of a place."""
    asked = types.HoverParams(editor.document(name), editor.at(name, mark, behind))
    found = await editor.text_document_hover_async(asked)
    assert found is None or isinstance(found.contents, types.MarkupContent)
    return found and found.contents.value  # type: ignore[union-attr]


async def test_a_mistake_in_a_feature_costs_an_answer_alone(folder: Path) -> None:
    broken = "import mfc.lsp.reading as r, mfc.cli; r.definition = None; mfc.cli.main(['lsp'])"
    async with editing(folder, (COMMAND[0], "-c", broken)) as editor:
        editor.open("spec.mfs")
        asked = types.DefinitionParams(editor.document("spec.mfs"), editor.at("spec.mfs", "dense(size)"))
        assert await editor.text_document_definition_async(asked) is None
        assert await hover(editor, "spec.mfs", "dense(size)") is not None
        [told] = editor.log_messages
        assert told.message == "mfc failed: TypeError: 'NoneType' object is not callable"


async def test_a_compiler_that_fails_is_told_of_once_for_each_text(folder: Path) -> None:
    broken = (
        "import mfc.lsp.analysis as a, mfc.cli; real = a.compile\n"
        "a.compile = lambda source, *r, **k: real(source, *r, **k) if 'dense' in source.text else 1 / 0\n"
        "mfc.cli.main(['lsp'])"
    )
    async with editing(folder, (COMMAND[0], "-c", broken)) as editor:
        editor.open("spec.mfs", "let a = 1")
        editor.open("blocks.mfs")
        assert await editor.findings("blocks.mfs") == ()
        async with asyncio.timeout(LONGEST):
            while not editor.log_messages:
                await asyncio.sleep(0.05)
        assert [told.message for told in editor.log_messages] == [
            "mfc failed: ZeroDivisionError: division by zero"
        ]
        assert await editor.findings("spec.mfs") == ()  # what it said of the text before would be wrong
        editor.edit("spec.mfs", [(0, 0, "let dense = b\n")])
        assert codes(await editor.findings("spec.mfs")) == ["E0201"]


async def test_a_question_can_be_taken_back(editor: Editor) -> None:
    loop = "for a in range(9999) { for b in range(9999) { relu() } }"
    editor.open("hostile.mfs", "".join(f"model m{i} {{ {loop} }}\n" for i in range(200)))
    asked = types.HoverParams(editor.document("hostile.mfs"), types.Position(3, 6))
    questions = [
        asyncio.ensure_future(
            editor.protocol.send_request_async(types.TEXT_DOCUMENT_HOVER, asked, msg_id=f"hover {number}")
        )
        for number in range(3)
    ]
    await asyncio.sleep(0)  # they are sent
    for number in (1, 2):
        editor.cancel_request(types.CancelParams(f"hover {number}"))
    assert await questions[0] is not None
    for question in questions[1:]:
        with pytest.raises(JsonRpcException) as error:
            await question
        assert error.value.code == types.LSPErrorCodes.RequestCancelled.value


async def test_what_is_not_open_is_not_known(editor: Editor) -> None:
    asked = types.HoverParams(editor.document("spec.mfs"), types.Position(0, 0))
    assert await editor.text_document_hover_async(asked) is None


async def test_a_message_that_is_none_is_survived(folder: Path) -> None:
    async with editing(folder, COMMAND) as editor:
        writer = editor.protocol.writer
        assert writer is not None
        writer.write(b"Content-Length: 5\r\n\r\n{not}")
        editor.open("spec.mfs")
        assert await editor.findings("spec.mfs") == ()
        assert len(editor.messages) == 1


async def test_torch_is_not_loaded(editor: Editor) -> None:
    editor.open("spec.mfs")
    assert await hover(editor, "spec.mfs", "dense(size)") is not None
    assert editor.server_pid is not None
    loaded = Path(f"/proc/{editor.server_pid}/maps").read_text()
    assert "python" in loaded
    assert not [name for name in ("torch", "numpy", "PIL", "matplotlib") if f"/{name}/" in loaded]


# ── files that are moved ────────────────────────────────────────────────────────────────────────────────


async def test_imports_follow_files_that_are_moved(editor: Editor, folder: Path) -> None:
    (folder / "closed.mfs").write_text('use "mine.py" (double)\nimport "blocks.mfs" (dense)\n')
    editor.open("spec.mfs")
    editor.replace("spec.mfs", "\r\n\r\nparam size", "\r\n# 🙂\r\nparam size")
    moves = [
        types.FileRename(editor.uri("blocks.mfs"), editor.uri("parts/blocks.mfs")),
        types.FileRename(editor.uri("mine.py"), editor.uri("layers.py")),
    ]
    found = await editor.workspace_will_rename_files_async(types.RenameFilesParams(moves))
    assert found is not None and found.document_changes is not None
    edits = {}
    for change in found.document_changes:
        assert isinstance(change, types.TextDocumentEdit)
        name = change.text_document.uri.rpartition("/")[2]
        assert change.text_document.version == editor.versions.get(name)
        edits[name] = [
            (e.range.start.line, e.range.start.character, e.new_text)
            for e in change.edits
            if isinstance(e, types.TextEdit)
        ]
    assert edits == {
        "spec.mfs": [(0, 7, '"parts/blocks.mfs"')],
        "closed.mfs": [(0, 4, '"layers.py"'), (1, 7, '"parts/blocks.mfs"')],
    }
    assert await editor.workspace_will_rename_files_async(types.RenameFilesParams([])) is None


# ── the process ─────────────────────────────────────────────────────────────────────────────────────────


async def test_files_are_watched(editor: Editor) -> None:
    editor.open("spec.mfs")
    await editor.findings("spec.mfs")
    assert [registration.method for registration in editor.registered] == [
        types.WORKSPACE_DID_CHANGE_WATCHED_FILES
    ]


async def test_it_can_be_reached_over_tcp(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(*COMMAND, "--tcp", str(port))
    editor = Editor(folder)
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                await editor.start_tcp("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.1)
    await editor.initialize_session(types.InitializeParams(capabilities=types.ClientCapabilities()))
    editor.open("spec.mfs", "let a = b")
    assert codes(await editor.findings("spec.mfs")) == ["E0201"]
    await editor.shutdown_session()
    assert await asyncio.wait_for(process.wait(), LONGEST) == 0
    await editor.stop()


async def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--tcp", f"127.0.0.1:{port}", stderr=asyncio.subprocess.PIPE
        )
        _, error = await asyncio.wait_for(process.communicate(), LONGEST)
    assert process.returncode == 2
    assert error.decode().startswith(f"error: can't listen on 127.0.0.1:{port}: ")
    assert error.decode().endswith("address already in use\n")


async def test_it_ends_with_its_client(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(b""), LONGEST)
    assert process.returncode == 1  # it was not told to end
    assert out == b""
