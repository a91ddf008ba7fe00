"""The plugin in a real Neovim, 0.7 or later: what a user types, and what is then in the buffers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfc.grammars.highlighting import CLASSES, pieces
from tests.editors.neovim import PLUGIN, PROGRAM, SERVER, Neovim, neovim
from tests.grammars.test_highlighting import TEXTS

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="there is no Neovim: apt-get install neovim"),
    pytest.mark.skipif(not PLUGIN.exists(), reason="the plugin is not here"),
]

BLOCKS = """block dense(nf) {
    linear(nf)
    relu()
}
"""

SPEC = """import "blocks.mfs" (dense)

param width: int = 8  # 🙂 é

data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2)
    label      = parent()
    batch_size = 64
}

model net {
    flatten()
    dense(width)
    linear(digits.classes)
}

train fit {
    data    = digits
    model   = net
    loss    = cross_entropy()
    metrics = [accuracy()]
    epochs  = 1
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blocks.mfs").write_text(BLOCKS)
    (tmp_path / "spec.mfs").write_text(SPEC)
    return tmp_path


@pytest.fixture
def editor(folder: Path) -> Iterator[Neovim]:
    """One with the spec open, of which the server has said what is wrong with it: nothing."""
    with neovim(folder) as editor:
        editor.command("edit spec.mfs")
        ready(editor)
        yield editor
        assert editor.lua("seen") == []


def ready(editor: Neovim) -> None:
    """Waits for the server: it has started, and has said something about a mistake that then is mended."""
    editor.until(lambda: editor.lua("#vim.lsp.buf_get_clients(0)") == 1)
    editor.type("Golet wrong = nothing<Esc>")
    editor.until(lambda: diagnostics(editor))
    editor.type("dd")
    editor.until(lambda: not diagnostics(editor))


def diagnostics(editor: Neovim) -> list[tuple[str, str]]:
    """The diagnostics of the current buffer: what is marked, and what is said."""
    lines = [line.encode() for line in editor.text().split("\n")]
    return [
        (lines[found["lnum"]][found["col"] : found["end_col"]].decode(), found["message"])
        for found in editor.lua("vim.diagnostic.get(0)")
    ]


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_mistake_is_shown_while_it_is_there(editor: Neovim) -> None:
    """Behind letters that are longer in one encoding than in another."""
    editor.go("model net")
    editor.type('Olet a = ["🙂 é", nothing]<Esc>')
    [(marked, message)] = editor.until(lambda: diagnostics(editor))
    assert marked == "nothing" and message.startswith("nothing is called `nothing`")
    editor.type("u")
    editor.until(lambda: not diagnostics(editor))


def test_a_syntax_error_hides_no_other_mistake(editor: Neovim) -> None:
    editor.go("linear(digits.classes)")
    editor.type("Clinear(digits.<Esc>")
    editor.go("accuracy")
    editor.type("cwacuracy<Esc>")
    editor.until(lambda: "acuracy" in dict(diagnostics(editor)) and len(diagnostics(editor)) > 1)


def test_what_is_begun_is_completed(editor: Neovim) -> None:
    editor.go("accuracy")
    editor.type("ciwaccu<C-x><C-o>")
    editor.until(lambda: editor.value("pumvisible()"))
    words = [item["word"] for item in editor.value("complete_info(['items']).items")]
    assert words[:2] == ["accuracy", "accuracy_multi"]
    editor.type("<C-y><Esc>")
    assert editor.text() == SPEC


def test_a_name_leads_to_its_definition_in_another_file(editor: Neovim) -> None:
    editor.go("dense(width)")
    editor.type("<C-]>")
    editor.until(lambda: editor.cursor()[0] == "blocks.mfs")
    assert editor.cursor() == ("blocks.mfs", 1, "dense(nf) {")
    editor.type("<C-t>")
    assert editor.cursor() == ("spec.mfs", 14, "dense(width)")


def test_a_component_leads_to_its_source(editor: Neovim) -> None:
    editor.go("flatten()")
    editor.command("lua vim.lsp.buf.definition()")
    editor.until(lambda: editor.cursor()[0] == "reshape.py")
    assert editor.cursor()[2].startswith("flatten()")


def test_a_block_is_renamed_where_it_is_used_too(editor: Neovim, folder: Path) -> None:
    editor.go("dense(width)")
    editor.command('lua vim.lsp.buf.rename("wide")')
    editor.until(lambda: "wide(width)" in editor.text())
    assert editor.text() == SPEC.replace("dense", "wide")
    assert editor.text("blocks.mfs") == BLOCKS.replace("dense", "wide")
    editor.command("wall")
    editor.until(lambda: (folder / "blocks.mfs").read_text() == BLOCKS.replace("dense", "wide"))
    editor.until(lambda: diagnostics(editor) == [])


def test_a_spec_is_formatted(editor: Neovim) -> None:
    editor.go("batch_size = 64")
    editor.type("Cbatch_size=64   # of a GPU<Esc>")
    editor.command("lua (vim.lsp.buf.format or vim.lsp.buf.formatting_sync)()")
    editor.until(lambda: "batch_size = 64" in editor.text())
    assert editor.text() == SPEC.replace("batch_size = 64", "batch_size = 64  # of a GPU")


def test_a_part_is_formatted(editor: Neovim) -> None:
    for written, untidy in (("epochs  = 1", "epochs=1"), ("label      = parent()", "label=parent()")):
        editor.go(written)
        editor.type(f"C{untidy}<Esc>")
    editor.type("gg/data digits<CR>V/}<CR>gq")
    editor.until(lambda: "label      = parent()" in editor.text())
    assert editor.text() == SPEC.replace("epochs  = 1", "epochs=1")
    editor.go("epochs=1")
    editor.type("gqq")
    editor.until(lambda: editor.text() == SPEC)
    editor.go("label      = parent()")
    editor.type("Clabel=parent()<Esc>kVjgq")  # the last line of a selection
    editor.until(lambda: editor.text() == SPEC)


def test_a_hover_tells_of_a_name(editor: Neovim) -> None:
    editor.go("flatten()")
    editor.command("lua vim.lsp.buf.hover()")
    windows = "filter(getwininfo(), 'nvim_win_get_config(v:val.winid).relative != \"\"')"
    [window] = editor.until(lambda: editor.value(windows))
    assert "All dimensions but the first as one" in editor.text(window["bufnr"])


def test_a_later_neovim_colours_names_by_what_they_mean(editor: Neovim) -> None:
    if not editor.value("has('nvim-0.9')"):
        pytest.skip("this Neovim knows no semantic tokens")
    editor.go("width)")
    group = "function(token) return token.opts.hl_group end"
    found = editor.until(lambda: editor.lua(f"vim.tbl_map({group}, vim.inspect_pos().semantic_tokens)"))
    assert any(group.startswith("@lsp.type.") for group in found)


def test_a_later_neovim_shows_shapes(editor: Neovim) -> None:
    if not editor.value("has('nvim-0.10')"):
        pytest.skip("this Neovim knows no inlay hints")
    hints = editor.until(lambda: editor.lua("vim.lsp.inlay_hint.get({ bufnr = 0 })"))
    [flattened] = [
        hint["inlay_hint"]["label"] for hint in hints if hint["inlay_hint"]["position"]["line"] == 12
    ]
    assert "64" in str(flattened)


# ── running ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plan_is_shown_below(editor: Neovim) -> None:
    editor.command("MfcPlan fit")
    editor.until(lambda: "stages would run" in editor.text())
    assert editor.value("[&buftype, winnr('$')]") == ["terminal", 2]


def test_a_lens_runs_what_it_stands_above(editor: Neovim) -> None:
    editor.go("train fit")
    editor.until(lambda: editor.lua("#vim.lsp.codelens.get(0)") >= 2)
    assert editor.value("getcompletion('MfcRun ', 'cmdline')") == ["fit"]
    editor.command("lua vim.ui.select = function(all, _, done) offered = all done(all[2]) end")
    editor.command("lua vim.lsp.codelens.run()")
    editor.until(lambda: "stages would run" in editor.text())


def test_a_spec_is_saved_before_it_runs(editor: Neovim, folder: Path) -> None:
    editor.go("epochs  = 1")
    editor.type("A0<Esc>")
    editor.command("MfcPlan")
    editor.until(lambda: "stages would run" in editor.text())
    assert (folder / "spec.mfs").read_text() == SPEC.replace("epochs  = 1", "epochs  = 10")


OUTSIDE = 'import "../blocks.mfs" (dense)\nparam batches: int\n' + SPEC.split("\n", 1)[1].replace(
    "64", "batches"
)

TOLD = f'{SERVER}, settings = {{ settings = {{ batches = 32, other = 1 }}, allowOutside = "." }}'


@pytest.mark.parametrize("spec", ["below/spec.mfs", "below/other.mfs"])
def test_a_spec_is_run_as_it_is_checked_open_or_not(folder: Path, spec: str) -> None:
    (folder / ".git").mkdir()
    (folder / "below").mkdir()
    for name in ("spec.mfs", "other.mfs"):
        (folder / "below" / name).write_text(OUTSIDE)
    with neovim(folder, TOLD) as editor:
        editor.command("edit below/spec.mfs")
        editor.command(f'lua require("mfc").execute("plan", "{folder / spec}", "fit")')
        editor.until(lambda: "stages would run" in editor.text())
        assert "error" not in editor.text() and editor.lua("seen") == []


def test_a_lens_runs_with_the_settings_that_its_spec_is_checked_with(folder: Path) -> None:
    (folder / "spec.mfs").write_text(OUTSIDE.replace("../", ""))
    with neovim(folder, TOLD) as editor:
        editor.command("edit spec.mfs")
        editor.until(lambda: editor.lua("#vim.lsp.codelens.get(0)") >= 2)
        editor.go("train fit")
        editor.command("lua vim.ui.select = function(all, _, done) done(all[2]) end")
        editor.command("lua vim.lsp.codelens.run()")
        editor.until(lambda: "stages would run" in editor.text())
        assert "error" not in editor.text()


def test_nothing_is_run_with_other_settings_than_the_servers(editor: Neovim) -> None:
    """A server that fails is not taken for one that has none."""
    editor.command("lua vim.lsp.get_client_by_id(1).request_sync = function() return nil, 'timeout' end")
    editor.command("MfcPlan")
    [message] = editor.until(lambda: editor.lua("seen"))
    assert message.startswith("mfc: nothing is run") and message.endswith("timeout")
    assert editor.value("[&buftype, winnr('$')]") == ["", 1]
    editor.command("lua seen = {}")


def test_a_spec_runs_without_a_server(folder: Path) -> None:
    with neovim(folder) as editor:
        editor.command("edit spec.mfs")
        ready(editor)
        editor.command("lua vim.lsp.stop_client(vim.lsp.get_active_clients())")
        editor.until(lambda: editor.lua("#vim.lsp.get_active_clients()") == 0)
        editor.command("MfcPlan")
        editor.until(lambda: "stages would run" in editor.text())


# ── colours and indents ─────────────────────────────────────────────────────────────────────────────────

GROUPS = {f"mfs{name.capitalize()}": name for name in CLASSES} | {
    "mfsRaw": "string", "mfsFile": "string", "mfsLet": "declaration", "mfsPartWord": "declaration",
    "mfsModule": "declaration", "mfsTypeOf": "type", "mfsPartOfType": "argument", "mfsMethod": "called",
    "mfsArrow": "operator",
}  # fmt: skip
"""The classes of the other highlighters by the groups of this one."""

AROUND = {
    "", "mfsArguments", "mfsList", "mfsBody", "mfsImports", "mfsParameters", "mfsAnnotation", "mfsDefault",
    "mfsSignature", "mfsTypeArguments", "mfsChoices",
}  # fmt: skip
"""The groups of what has no class: blanks, within brackets and elsewhere."""

OF_LINE = "map(range(1, len(getline(l))), {_, c -> synIDattr(synID(l, c, 1), 'name')})"


def test_colours_are_those_of_the_other_highlighters(tmp_path: Path) -> None:
    """Of all that is no mistake: specs of the package, of the documents and of the parser's tests."""
    with neovim(tmp_path, None) as editor:
        for name, text in TEXTS.items():
            (tmp_path / "spec.mfs").write_text(text)
            editor.command("edit! spec.mfs")
            groups = editor.value(f"map(range(1, line('$')), {{_, l -> {OF_LINE}}})")
            found = [["" if group in AROUND else GROUPS[group] for group in line] for line in groups]
            assert found == classes(text), name


def classes(text: str) -> list[list[str]]:
    """The class of each byte of each line; strings have one, and blanks none."""
    lines: list[list[str]] = [[]]
    for _, kind, piece in pieces(text):
        for letter in piece:
            if letter == "\n":
                lines.append([])
            else:
                kind = "string" if kind in ("raw", "quote") else kind
                lines[-1] += [kind] * len(letter.encode())
    return lines[:-1] if lines[1:] and not lines[-1] else lines


def test_lines_are_indented_as_they_are_typed(tmp_path: Path) -> None:
    with neovim(tmp_path, None) as editor:
        editor.command("edit spec.mfs")
        editor.type('imodel net(a) {  # {<CR>dense(<CR>nf = "(",<CR>)<CR>if a {<CR>relu()<CR>} else {<CR>')
        editor.type("let b = [1,<CR>2]<CR>}<CR>}<CR>let c = 1<Esc>")
        editor.until(lambda: "let c" in editor.text())
        assert editor.text() == INDENTED
        editor.type("gg=G")
        assert editor.text() == INDENTED


INDENTED = """model net(a) {  # {
    dense(
        nf = "(",
    )
    if a {
        relu()
    } else {
        let b = [1,
            2]
    }
}
let c = 1
"""


def test_comments_go_on(tmp_path: Path) -> None:
    with neovim(tmp_path, None) as editor:
        editor.command("edit spec.mfs")
        editor.type("i## A model<CR>of two layers.<Esc>")
        editor.until(lambda: "layers." in editor.text())
        assert editor.text() == "## A model\n## of two layers.\n"


# ── set-up ──────────────────────────────────────────────────────────────────────────────────────────────


POOLED = "param size: int = 3\nmodel net {\n    input = image(3, 8, 8)\n    max_pool(size)\n}\n"


def test_what_setup_is_told(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "below").mkdir()
    (folder / "below" / "net.mfs").write_text(POOLED)
    attach = (
        "on_attach = function(client, bufnr) attached = { client.name, client.config.root_dir, bufnr } end"
    )
    with neovim(folder, f"{SERVER}, {attach}, settings = {{ settings = {{ size = 20 }} }}") as editor:
        editor.command("edit below/net.mfs")
        [(marked, message)] = editor.until(lambda: diagnostics(editor))
        assert marked == "max_pool(size)" and "ks = 20" in message
        assert editor.lua("attached") == ["mfc", str(folder), editor.value("bufnr()")]


def test_hints_can_be_left_out(folder: Path) -> None:
    (folder / "net.mfs").write_text(POOLED.replace("max_pool(size)", "flatten()"))
    whole = "range = { start = { line = 0, character = 0 }, ['end'] = { line = 5, character = 0 } }"
    asked = f"{{ textDocument = vim.lsp.util.make_text_document_params(), {whole} }}"
    for hints, found in (("true", 1), ("false", 0)):
        with neovim(folder, f"{SERVER}, settings = {{ hints = {{ layers = {hints} }} }}") as editor:
            editor.command("edit net.mfs")
            ready(editor)
            answers = f"vim.lsp.buf_request_sync(0, 'textDocument/inlayHint', {asked}, 10000)"
            assert editor.lua(f"#{answers}[1].result") == found


def test_files_of_one_folder_share_a_server(editor: Neovim) -> None:
    editor.command("edit blocks.mfs")
    editor.until(lambda: editor.lua("#vim.lsp.buf_get_clients(0)") == 1)
    assert editor.lua("#vim.lsp.get_active_clients()") == 1


def test_a_server_that_is_not_there_is_told_of(folder: Path) -> None:
    with neovim(folder, 'cmd = { "no-such-mfc", "lsp" }') as editor:
        editor.command("edit spec.mfs")
        [message] = editor.until(lambda: editor.lua("seen"))
        assert message.startswith("mfc: there is no program `no-such-mfc`")
        assert editor.value("&filetype") == "mfs"


def test_the_manual_is_found(tmp_path: Path) -> None:
    shutil.copytree(PLUGIN / "doc", tmp_path / "doc")
    with neovim(tmp_path, None) as editor:
        editor.command(f"set runtimepath+={tmp_path}")
        editor.command(f"helptags {tmp_path}/doc")
        for tag in ("mfc", "mfc-setup", "mfc-keys", ":MfcRun", ":MfcPlan", "mfc-colours"):
            editor.command(f"help {tag}")
            assert editor.cursor()[0] == "mfc.txt" and f"*{tag}*" in editor.value("getline('.')")
