"""Every feature of the server, asked by a client of a real process about a spec with mistakes in its middle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from mfc.dsl.format import format
from mfc.lsp.positions import Positions
from mfc.lsp.reading import LEGEND
from tests.dsl.editor.documents import SPECS
from tests.lsp import specs
from tests.lsp.editor import COMMAND, Editor, codes, editing

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPEC, BLOCKS = "spec.mfs", "blocks.mfs"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def editor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Editor]:
    """An editor that has both files open; nothing in them is changed."""
    folder = tmp_path_factory.mktemp("specs")
    specs.write(folder)
    async with editing(folder, COMMAND) as editor:
        editor.open(SPEC)
        editor.open(BLOCKS)
        yield editor
    assert not editor.log_messages and not editor.messages


def place(editor: Editor, name: str, mark: str, word: str) -> types.Location:
    """Where a word stands in a piece of text that is there once."""
    text = editor.texts[name]
    assert text.count(mark) == 1 and mark.count(word) == 1, mark
    start = text.index(mark) + mark.index(word)
    return types.Location(editor.uri(name), Positions(text, editor.encoding).range(start, start + len(word)))


def at(editor: Editor, mark: str, word: str, name: str = SPEC) -> types.TextDocumentPositionParams:
    """In the middle of a word."""
    there = place(editor, name, mark, word).range
    middle = types.Position(there.start.line, (there.start.character + there.end.character) // 2)
    return types.TextDocumentPositionParams(editor.document(name), middle)


async def test_diagnostics(editor: Editor) -> None:
    assert codes(await editor.findings(SPEC)) == ["E0102", "E0101"]
    assert codes(await editor.findings(BLOCKS)) == []


# ── hover ───────────────────────────────────────────────────────────────────────────────────────────────


async def hover(editor: Editor, mark: str, word: str, name: str = SPEC) -> str:
    asked = at(editor, mark, word, name)
    found = await editor.text_document_hover_async(types.HoverParams(asked.text_document, asked.position))
    assert found is not None and isinstance(found.contents, types.MarkupContent) and found.range is not None
    assert editor.shown(name, found.range) == word
    return found.contents.value


async def test_hover_over_a_component_has_its_documentation(editor: Editor) -> None:
    text = await hover(editor, "label_smoothing = tenth", "label_smoothing")
    assert "label_smoothing" in text and "0..1" in text
    assert "one_cycle(" in await hover(editor, "one_cycle(lr", "one_cycle")


async def test_hover_over_a_name_has_its_value_and_documentation(editor: Editor) -> None:
    assert "0.1" in await hover(editor, "let tenth", "tenth")
    assert "How wide 🙂 the net is." in await hover(editor, "dense(width)", "width")


async def test_hover_over_a_layer_has_its_shapes(editor: Editor) -> None:
    assert "64" in await hover(editor, "flatten()", "flatten")


async def test_hover_over_what_comes_from_other_files(editor: Editor) -> None:
    assert "A linear layer 🙂" in await hover(editor, "dense(width)", "dense")
    assert "Doubles what comes in." in await hover(editor, "    double()", "double")


async def test_hover_over_nothing(editor: Editor) -> None:
    where = types.HoverParams(editor.document(SPEC), editor.at(SPEC, "# 🙂🙂"))
    assert await editor.text_document_hover_async(where) is None


# ── from a name to its definition and back ──────────────────────────────────────────────────────────────


async def definition(editor: Editor, mark: str, word: str) -> Sequence[types.Location]:
    asked = at(editor, mark, word)
    found = await editor.text_document_definition_async(
        types.DefinitionParams(asked.text_document, asked.position)
    )
    assert isinstance(found, list | tuple)
    return [location for location in found if isinstance(location, types.Location)]


async def test_definition_in_the_file(editor: Editor) -> None:
    assert await definition(editor, "= tenth)", "tenth") == [place(editor, SPEC, "let tenth", "tenth")]


async def test_definition_in_another_file(editor: Editor) -> None:
    assert await definition(editor, "dense(width)", "dense") == [
        place(editor, BLOCKS, "block dense", "dense")
    ]


async def test_definition_in_python(editor: Editor) -> None:
    line = specs.MINE.splitlines().index("class double:")
    there = types.Range(types.Position(line, 6), types.Position(line, 12))
    assert await definition(editor, "    double()", "double") == [
        types.Location(editor.uri("mine.py"), there)
    ]
    [found] = await definition(editor, "one_cycle(lr", "one_cycle")
    assert found.uri.endswith("/runtime/optim/schedules.py")


async def test_definition_of_a_file(editor: Editor) -> None:
    [found] = await definition(editor, '"blocks.mfs"', "blocks.mfs")
    assert found.uri == editor.uri(BLOCKS)


async def test_type_definition(editor: Editor) -> None:
    asked = at(editor, "= digits\r", "digits")
    found = await editor.text_document_type_definition_async(
        types.TypeDefinitionParams(asked.text_document, asked.position)
    )
    assert isinstance(found, list | tuple)
    assert [*found] == [place(editor, SPEC, "data digits", "digits")]


async def test_references_in_open_and_other_files(editor: Editor) -> None:
    (editor.folder / "sub").mkdir(exist_ok=True)
    (editor.folder / "other.mfs").write_text(
        'import "blocks.mfs" (dense)\nblock twice() { dense(1) dense(2) }\n'
    )
    asked = at(editor, "block dense", "dense", BLOCKS)
    everywhere = types.ReferenceContext(include_declaration=True)
    found = await editor.text_document_references_async(
        types.ReferenceParams(everywhere, asked.text_document, asked.position)
    )
    (editor.folder / "other.mfs").unlink()
    assert found is not None
    assert [location.uri for location in found].count(editor.uri("other.mfs")) == 3
    own = [location for location in found if location.uri != editor.uri("other.mfs")]
    assert sorted(own, key=str) == sorted(
        [
            place(editor, BLOCKS, "block dense", "dense"),
            place(editor, SPEC, "(dense)", "dense"),
            place(editor, SPEC, "dense(width)", "dense"),
        ],
        key=str,
    )


async def test_highlights(editor: Editor) -> None:
    asked = at(editor, "dense(width)", "width")
    found = await editor.text_document_document_highlight_async(
        types.DocumentHighlightParams(asked.text_document, asked.position)
    )
    kinds = types.DocumentHighlightKind
    assert found is not None
    assert [(h.range, h.kind) for h in found] == [
        (place(editor, SPEC, "param width", "width").range, kinds.Write),
        (place(editor, SPEC, "dense(width)", "width").range, kinds.Read),
    ]


async def test_links(editor: Editor) -> None:
    found = await editor.text_document_document_link_async(types.DocumentLinkParams(editor.document(SPEC)))
    assert found is not None
    assert [(editor.shown(SPEC, link.range), link.target) for link in found] == [
        ("blocks.mfs", editor.uri(BLOCKS)),
        ("mine.py", editor.uri("mine.py")),
    ]


# ── what is in files ────────────────────────────────────────────────────────────────────────────────────


async def test_document_symbols(editor: Editor) -> None:
    found = await editor.text_document_document_symbol_async(
        types.DocumentSymbolParams(editor.document(SPEC))
    )
    assert found is not None
    symbols = [symbol for symbol in found if isinstance(symbol, types.DocumentSymbol)]
    assert [symbol.name for symbol in symbols] == [
        "width", "tenth", "digits", "broken", "net", "fit",
    ]  # fmt: skip
    net = symbols[4]
    assert [child.name for child in net.children or ()] == ["body", "head"]
    assert editor.shown(SPEC, net.selection_range) == "net"
    assert editor.shown(SPEC, net.range).startswith("model net {")


async def test_workspace_symbols(editor: Editor) -> None:
    (editor.folder / "far").mkdir(exist_ok=True)
    (editor.folder / "far" / "away.mfs").write_text("block distant() { relu() }\n")
    found = await editor.workspace_symbol_async(types.WorkspaceSymbolParams("d"))
    assert found is not None
    assert {"dense", "digits", "distant"} <= {symbol.name for symbol in found}
    [dense] = [symbol for symbol in found if symbol.name == "dense"]
    assert dense.location == place(editor, BLOCKS, "block dense", "dense")


# ── how files look ──────────────────────────────────────────────────────────────────────────────────────


def decoded(editor: Editor, name: str, data: Sequence[int]) -> dict[str, tuple[str, set[str]]]:
    """Text, type and modifiers of tokens; of those that are there several times the last."""
    found, line, column = {}, 0, 0
    for i in range(0, len(data), 5):
        down, right, length, kind, modifiers = data[i : i + 5]
        line, column = line + down, right if down else column + right
        there = types.Range(types.Position(line, column), types.Position(line, column + length))
        named = {m for bit, m in enumerate(LEGEND.token_modifiers) if modifiers & 1 << bit}
        found[editor.shown(name, there)] = LEGEND.token_types[kind], named
    return found


async def test_semantic_tokens(editor: Editor) -> None:
    found = await editor.text_document_semantic_tokens_full_async(
        types.SemanticTokensParams(editor.document(SPEC))
    )
    assert found is not None
    tokens = decoded(editor, SPEC, found.data)
    assert tokens["# 👩\u200d🔬 a tenth 🙂"] == ("comment", set())
    assert tokens["flatten"] == ("function", {"defaultLibrary"})
    assert tokens["double"] == ("function", set())
    assert tokens["train"][0] == "keyword" and tokens["3e-3"][0] == "number"
    part = types.Range(editor.at(SPEC, "train fit"), editor.at(SPEC, "loss  "))
    some = await editor.text_document_semantic_tokens_range_async(
        types.SemanticTokensRangeParams(editor.document(SPEC), part)
    )
    assert some is not None
    assert [*decoded(editor, SPEC, some.data)] == ["train", "fit", "data", "=", "digits", "model", "net"]


async def test_semantic_tokens_beside_those_of_a_grammar(tmp_path: Path) -> None:
    (tmp_path / SPEC).write_text('let a = "b"  # c\nlet d = a + 1\n')
    async with editing(tmp_path, COMMAND, grammar=True) as editor:
        editor.open(SPEC)
        asked = types.SemanticTokensParams(editor.document(SPEC))
        found = await editor.text_document_semantic_tokens_full_async(asked)
        assert found is not None
        assert decoded(editor, SPEC, found.data) == {
            "a": ("variable", {"readonly"}),
            "d": ("variable", {"definition", "readonly"}),
        }


async def test_folding(editor: Editor) -> None:
    found = await editor.text_document_folding_range_async(types.FoldingRangeParams(editor.document(SPEC)))
    assert found is not None
    lines = editor.texts[SPEC].split("\r\n")
    folded = {lines[fold.start_line]: (lines[fold.end_line], fold.kind) for fold in found}
    assert folded['import "blocks.mfs" (dense)'] == (lines[1], types.FoldingRangeKind.Imports)
    assert folded["model net {"] == (
        "    group head { linear(digits.classes) }",
        types.FoldingRangeKind.Region,
    )


async def test_selections(editor: Editor) -> None:
    spots = [editor.at(SPEC, "dense(width)", "dense(wi"), editor.at(SPEC, "# 🙂🙂", "# ")]
    found = await editor.text_document_selection_range_async(
        types.SelectionRangeParams(editor.document(SPEC), spots)
    )
    assert found is not None and len(found) == 2
    shown, around = [], found[0]
    while around is not None:
        shown.append(editor.shown(SPEC, around.range))
        around = around.parent
    assert shown[:3] == ["width", "(width)", "dense(width)"]
    assert shown[-1] == editor.texts[SPEC]


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────


async def completions(editor: Editor, mark: str, behind: str) -> dict[str, types.CompletionItem]:
    """What is offered behind a part that a piece of text begins with."""
    where = types.CompletionParams(editor.document(SPEC), editor.at(SPEC, mark, behind))
    found = await editor.text_document_completion_async(where)
    assert isinstance(found, types.CompletionList) and not found.is_incomplete
    assert [item.sort_text for item in found.items] == sorted(str(item.sort_text) for item in found.items)
    return {item.label: item for item in found.items}


async def test_completion_of_values(editor: Editor) -> None:
    found = await completions(editor, "loss      = cross_entropy", "loss      = cross")
    item = found["cross_entropy"]
    assert item.kind == types.CompletionItemKind.Function
    assert isinstance(item.text_edit, types.TextEdit)
    assert editor.shown(SPEC, item.text_edit.range) in ("cross", "cross_entropy")
    resolved = await editor.completion_item_resolve_async(item)
    assert isinstance(resolved.documentation, types.MarkupContent)
    assert "cross_entropy" in resolved.documentation.value
    assert "adam" not in found


async def test_completion_of_fields(editor: Editor) -> None:
    found = await completions(editor, "    epochs    = 2", "    epochs")
    assert found["callbacks"].kind == types.CompletionItemKind.Field


async def test_completion_of_members_and_references(editor: Editor) -> None:
    assert "classes" in await completions(editor, "linear(digits.classes", "linear(digits.")
    assert {"width", "tenth"} <= {*await completions(editor, "dense(width)", "dense(")}


async def test_completion_of_paths(editor: Editor) -> None:
    found = await completions(editor, 'import "blocks.mfs"', 'import "')
    assert found["blocks.mfs"].kind == types.CompletionItemKind.File
    assert "std/" in found


async def test_completion_in_what_can_not_be_read(editor: Editor) -> None:
    assert "builtin" in await completions(editor, 'source = builtin("digits"\r', "source = buil")


async def test_an_item_of_an_earlier_list_is_left_as_it_is(editor: Editor) -> None:
    old = (await completions(editor, "dense(width)", "dense("))["width"]
    await completions(editor, 'import "blocks.mfs"', 'import "')
    assert await editor.completion_item_resolve_async(old) == old


async def test_rename_over_files(editor: Editor) -> None:
    asked = at(editor, "dense(width)", "dense")
    found = await editor.text_document_prepare_rename_async(
        types.PrepareRenameParams(asked.text_document, asked.position)
    )
    assert isinstance(found, types.PrepareRenamePlaceholder)
    assert (editor.shown(SPEC, found.range), found.placeholder) == ("dense", "dense")
    edit = await editor.text_document_rename_async(
        types.RenameParams(asked.text_document, asked.position, "thick")
    )
    assert edit is not None and edit.document_changes is not None
    changed = {}
    for change in edit.document_changes:
        assert isinstance(change, types.TextDocumentEdit) and change.text_document.version == 1
        changed[change.text_document.uri] = [e.range for e in change.edits if isinstance(e, types.TextEdit)]
        assert {e.new_text for e in change.edits if isinstance(e, types.TextEdit)} == {"thick"}
    assert changed == {
        editor.uri(BLOCKS): [place(editor, BLOCKS, "block dense", "dense").range],
        editor.uri(SPEC): [
            place(editor, SPEC, "(dense)", "dense").range,
            place(editor, SPEC, "dense(width)", "dense").range,
        ],
    }


async def test_a_rename_that_can_not_be_is_refused_with_its_reason(editor: Editor) -> None:
    asked = at(editor, "flatten()", "flatten")
    with pytest.raises(JsonRpcException, match="comes with mfc") as error:
        await editor.text_document_prepare_rename_async(
            types.PrepareRenameParams(asked.text_document, asked.position)
        )
    assert error.value.code == types.LSPErrorCodes.RequestFailed.value
    asked = at(editor, "let tenth", "tenth")
    with pytest.raises(JsonRpcException):
        await editor.text_document_rename_async(
            types.RenameParams(asked.text_document, asked.position, "not a name")
        )


async def test_what_comes_with_mfc_or_lies_elsewhere_is_not_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "beyond.mfs").write_text("block outer() { relu() }\n")
    (folder / "spec.mfs").write_text(
        'import "std/cnn.mfs" (cnn)\nimport "../beyond.mfs" (outer)\nlet a = cnn(classes = 2)\n'
    )
    async with editing(folder, COMMAND, options={"allowOutside": str(tmp_path)}) as editor:
        editor.open("spec.mfs")
        assert "E0214" not in (codes(await editor.findings("spec.mfs")) or [])
        for name, reason in [("cnn)", "comes with mfc"), ("classes", "comes with mfc"),
                             ("outer", "is no file of this workspace")]:  # fmt: skip
            place = editor.document("spec.mfs"), editor.at("spec.mfs", name)
            with pytest.raises(JsonRpcException, match=reason):
                await editor.text_document_prepare_rename_async(types.PrepareRenameParams(*place))
            with pytest.raises(JsonRpcException, match=reason):
                await editor.text_document_rename_async(types.RenameParams(*place, "fresh"))


# ── layout ──────────────────────────────────────────────────────────────────────────────────────────────


OPTIONS = types.FormattingOptions(tab_size=4, insert_spaces=True)


async def test_formatting(editor: Editor) -> None:
    edits = await editor.text_document_formatting_async(
        types.DocumentFormattingParams(editor.document(BLOCKS), OPTIONS)
    )
    assert edits is not None
    assert editor.applied(BLOCKS, edits) == format(specs.BLOCKS) != specs.BLOCKS


async def test_formatting_of_a_part(editor: Editor) -> None:
    part = types.Range(editor.at(SPEC, "data digits", "data "), editor.at(SPEC, "batch_size", "ba"))
    edits = await editor.text_document_range_formatting_async(
        types.DocumentRangeFormattingParams(editor.document(SPEC), part, OPTIONS)
    )
    assert edits is not None
    after = editor.applied(SPEC, edits)
    assert "    label            = parent()\r\n" in after
    assert after.replace(" ", "") == specs.SPEC.replace(" ", "") and after != specs.SPEC


async def test_formatting_of_an_empty_range_is_of_its_line(editor: Editor) -> None:
    """Neovim 0.7 asks so for `gqq`."""
    line = next(i for i, text in enumerate(specs.SPEC.splitlines()) if "label" in text)
    start = types.Position(line, 0)
    edits = await editor.text_document_range_formatting_async(
        types.DocumentRangeFormattingParams(editor.document(SPEC), types.Range(start, start), OPTIONS)
    )
    assert edits is not None and {edit.range.start.line for edit in edits} == {line}


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_signature_help(editor: Editor) -> None:
    where = types.SignatureHelpParams(
        editor.document(SPEC), editor.at(SPEC, "one_cycle(lr = 3e-3)", "one_cycle(lr = 3")
    )
    found = await editor.text_document_signature_help_async(where)
    assert found is not None
    [signature] = found.signatures
    assert signature.label.startswith("one_cycle(") and signature.parameters
    assert found.active_parameter == signature.active_parameter == 0
    start, end = signature.parameters[0].label
    assert isinstance(start, int) and isinstance(end, int)
    assert signature.label[start:end].startswith("lr")


async def test_declaration_is_definition(editor: Editor) -> None:
    asked = at(editor, "= tenth)", "tenth")
    found = await editor.text_document_declaration_async(
        types.DeclarationParams(asked.text_document, asked.position)
    )
    assert isinstance(found, list | tuple)
    assert [*found] == [place(editor, SPEC, "let tenth", "tenth")]


# ── hints and lenses ────────────────────────────────────────────────────────────────────────────────────


async def hints(editor: Editor, part: types.Range) -> dict[str, types.InlayHint]:
    """The hints of a part of the spec by the text of their line, up to where they stand."""
    found = await editor.text_document_inlay_hint_async(types.InlayHintParams(editor.document(SPEC), part))
    assert found is not None
    return {
        editor.shown(SPEC, types.Range(types.Position(hint.position.line, 0), hint.position)).strip(): hint
        for hint in found
    }


async def test_inlay_hints(editor: Editor) -> None:
    found = await hints(editor, Positions(editor.texts[SPEC]).all)
    assert found["let tenth = 1 / 10"].label == "= 0.1"
    assert found["flatten()"].kind == types.InlayHintKind.Type and "64" in str(found["flatten()"].label)
    assert "32" in str(found["dense(width)"].label)
    some = await hints(editor, place(editor, SPEC, "        dense(width)", "dense(width)").range)
    assert some == {"dense(width)": found["dense(width)"]}


async def test_lenses_name_commands_of_the_client(editor: Editor) -> None:
    found = await editor.text_document_code_lens_async(types.CodeLensParams(editor.document(SPEC)))
    assert found is not None
    assert [(editor.shown(SPEC, lens.range), lens.command) for lens in found] == [
        ("fit", types.Command("Run", "mfc.run", arguments=(editor.uri(SPEC), "fit"))),
        ("fit", types.Command("Plan", "mfc.plan", arguments=(editor.uri(SPEC), "fit"))),
    ]


# ── commands ────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_plan_of_a_spec_is_given_as_text(editor: Editor) -> None:
    command = types.ExecuteCommandParams("mfc.planText", [editor.uri(SPEC)])
    assert "error[E0102]" in str(await editor.workspace_execute_command_async(command))
    (editor.folder / "digits.mfs").write_text((SPECS / "digits.mfs").read_text())
    command.arguments = [editor.uri("digits.mfs"), "fit"]
    text = await editor.workspace_execute_command_async(command)
    assert isinstance(text, str) and "fit" in text and "error" not in text
