"""Open files over those on disk, without a client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lsprotocol.types import (
    CodeActionContext,
    CodeActionParams,
    CompletionParams,
    FileRename,
    Position,
    PrepareRenameParams,
    Range,
    RenameFilesParams,
    RenameParams,
    TextDocumentContentChangeWholeDocument,
    TextDocumentIdentifier,
    TextEdit,
    WorkspaceSymbolParams,
)

from mfc.dsl.parse import parse
from mfc.dsl.source import Source
from mfc.lsp.analysis import OpenFile, Overlay
from mfc.lsp.positions import Positions
from mfc.lsp.question import FileQuestion, Question, Refusal
from mfc.lsp.reading import symbols_of_workspace
from mfc.lsp.workspace import Client, Workspace
from mfc.lsp.writing import move_files, offer, offer_actions, prepare_rename, rename_symbol


def check(workspace: Workspace) -> None:
    while analysis := workspace.due():
        assert analysis.document
        workspace.done(analysis)


@pytest.mark.parametrize("asked", [False, True])
def test_what_an_imported_file_may_read_does_not_hang_on_who_asks_first(tmp_path: Path, asked: bool) -> None:
    texts = {
        "main.mfs": 'import "parts/twice.mfs" (twice)\nmodel net { twice(8) }\n',
        "parts/twice.mfs": 'import "../once.mfs" (once)\nblock twice(n) { once(n)  once(n) }\n',
        "once.mfs": "block once(n) { conv2d(n) }\n",
    }
    (tmp_path / "parts").mkdir()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    workspace = Workspace(folders=[str(tmp_path)])
    found = []
    for name in ("parts/twice.mfs", "main.mfs"):
        uri = (tmp_path / name).as_uri()
        workspace.open(uri, 1, texts[name])
        if asked and (analysis := workspace.analysis(uri)):
            assert analysis.document  # as a hover does before the report has its turn
        check(workspace)
        findings = workspace.findings().values()
        found.append([finding.diagnostic.code for of_file in findings for finding in of_file])
    assert found == [["E0214"], []]


def test_a_folder_has_a_file_once_whether_it_is_open_or_not(tmp_path: Path) -> None:
    (tmp_path / "open.mfs").write_text("")
    (tmp_path / "closed.mfs").write_text("")
    names = ("open.mfs", "unsaved.mfs")
    files = {str(tmp_path / n): OpenFile("", str(tmp_path / n), 1, "", "utf-16") for n in names}
    listed = sorted(Overlay(files, [tmp_path]).list_for_import(str(tmp_path)))
    assert listed == ["closed.mfs", "open.mfs", "unsaved.mfs"]


def write(folder: Path, texts: dict[str, str]) -> Workspace:
    """A workspace with a folder of specs, all of which are open."""
    workspace = Workspace(folders=[str(folder)])
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        workspace.open((folder / name).as_uri(), 1, text)
    return workspace


def replace(workspace: Workspace, path: Path, text: str) -> None:
    """Puts another text into an open file."""
    version = (workspace.files[str(path)].version or 0) + 1
    workspace.edit(path.as_uri(), version, [TextDocumentContentChangeWholeDocument(text)])


def codes(workspace: Workspace) -> dict[str, list[str]]:
    """The codes of what is known of each file that has mistakes, by its name."""
    found = {
        os.path.basename(path): [finding.diagnostic.code for finding in of_file]
        for path, of_file in workspace.findings().items()
    }
    return {name: of_file for name, of_file in found.items() if of_file}


def question(workspace: Workspace, path: Path) -> FileQuestion:
    analysis = workspace.analysis(path.as_uri())
    assert analysis is not None
    return FileQuestion(workspace, analysis)


def renaming(workspace: Workspace, path: Path, name: str) -> dict[str, str]:
    """The texts of all files after the first name `name` of an open file was changed to `new`, by their names."""
    workspace.look_again()
    file = workspace.files[str(path)]
    position = file.positions.position(file.text.index(name))
    params = RenameParams(TextDocumentIdentifier(file.uri), position, "new")
    edits = rename_symbol(question(workspace, path), params).changes or {}
    return {
        uri.rpartition("/")[2]: applied(path.parent / uri.rpartition("/")[2], made)
        for uri, made in edits.items()
    }


def applied(path: Path, edits: Sequence[TextEdit]) -> str:
    text = path.read_text()
    positions = Positions(text)
    for edit in sorted(edits, key=lambda edit: positions.offsets(edit.range), reverse=True):
        start, end = positions.offsets(edit.range)
        text = text[:start] + edit.new_text + text[end:]
    return text


USER = 'import "parts.mfs" (old)\nblock two() { old()  old() }\n'
PARTS = "block old() { relu() }\n"


@pytest.fixture
def specs(tmp_path: Path) -> Workspace:
    """A folder with a part that two specs import, one of which is open."""
    for name, text in (("main.mfs", USER), ("other.mfs", USER), ("parts.mfs", PARTS)):
        (tmp_path / name).write_text(text)
    workspace = Workspace(Client(versioned_edits=False), [str(tmp_path)])
    workspace.open((tmp_path / "main.mfs").as_uri(), 1, USER)
    check(workspace)
    return workspace


def test_a_name_is_changed_in_files_as_they_are_though_no_client_tells_that_they_changed(
    specs: Workspace, tmp_path: Path
) -> None:
    assert set(renaming(specs, tmp_path / "main.mfs", "old")) == {"main.mfs", "other.mfs", "parts.mfs"}
    (tmp_path / "parts.mfs").write_text(f"# a line more\n{PARTS}")
    (tmp_path / "other.mfs").write_text(f"# a line more\n{USER}")
    assert renaming(specs, tmp_path / "main.mfs", "old") == {
        "main.mfs": USER.replace("old", "new"),
        "other.mfs": f"# a line more\n{USER}".replace("old", "new"),
        "parts.mfs": f"# a line more\n{PARTS}".replace("old", "new"),
    }


def test_what_hangs_on_files_that_changed_on_disk_is_forgotten_and_the_editor_asked_to_ask_again(
    specs: Workspace, tmp_path: Path
) -> None:
    known = specs.analysis((tmp_path / "main.mfs").as_uri())
    specs.renewed = False
    assert not specs.look_again()
    assert specs.analysis((tmp_path / "main.mfs").as_uri()) is known and not specs.renewed
    (tmp_path / "parts.mfs").write_text("block other() { relu() }\n")
    assert specs.look_again()
    assert specs.renewed
    check(specs)
    assert codes(specs) == {"main.mfs": ["E0213"]}
    assert not specs.look_again()


def test_the_editor_asks_again_about_a_file_that_may_read_more_than_before(tmp_path: Path) -> None:
    texts = {
        "once.mfs": PARTS,
        "parts/twice.mfs": 'import "../once.mfs" (old)\nblock twice() { old()  old() }\n',
    }
    workspace = write(tmp_path, texts)
    check(workspace)
    assert codes(workspace) == {"twice.mfs": ["E0214"]}
    workspace.renewed = False
    workspace.open((tmp_path / "main.mfs").as_uri(), 1, 'import "parts/twice.mfs" (twice)\n')
    check(workspace)
    assert "twice.mfs" not in codes(workspace)
    assert workspace.renewed


def test_a_name_is_not_changed_while_files_change(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Overlay.read

    def changing(overlay: Overlay, path: str) -> str:
        text = read(overlay, path)
        if path.endswith("other.mfs"):
            (tmp_path / "parts.mfs").write_text(f"# a line more\n{PARTS}")
        return text

    monkeypatch.setattr(Overlay, "read", changing)
    with pytest.raises(Refusal, match="changed meanwhile"):
        renaming(specs, tmp_path / "main.mfs", "old")
    monkeypatch.undo()
    assert (
        renaming(specs, tmp_path / "main.mfs", "old")["parts.mfs"]
        == "# a line more\nblock new() { relu() }\n"
    )


def test_closed_specs_may_read_what_the_settings_say_though_these_change_in_between(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Overlay.read

    def configuring(overlay: Overlay, path: str) -> str:
        specs.configure({"allowOutside": "/elsewhere", "settings": {"epochs": 3}})
        return read(overlay, path)

    monkeypatch.setattr(Overlay, "read", configuring)
    assert [*specs.closed()]
    monkeypatch.undo()
    assert all("/elsewhere" in analysis.overlay.roots for analysis in specs.closed())
    assert all(analysis.settings == {"epochs": 3} for analysis in specs.closed())


def test_closed_specs_are_looked_at_again_where_an_open_file_that_they_import_has_changed(
    specs: Workspace, tmp_path: Path
) -> None:
    uri = (tmp_path / "parts.mfs").as_uri()
    specs.open(uri, 1, PARTS)
    assert not any(analysis.document.compiled.errors for analysis in specs.closed())
    specs.edit(uri, 2, [TextDocumentContentChangeWholeDocument("block other() { relu() }\n")])
    assert [[error.code for error in a.document.compiled.errors] for a in specs.closed()] == [["E0213"]]
    assert [id(analysis) for analysis in specs.closed()] == [id(analysis) for analysis in specs.closed()]


def test_a_folder_that_is_allowed_may_lie_beside_the_one_that_is_open(tmp_path: Path) -> None:
    texts = {"shared/parts.mfs": PARTS, "specs/main.mfs": USER.replace("parts.mfs", "../shared/parts.mfs")}
    workspace = write(tmp_path, texts)
    workspace.set_folders([str(tmp_path / "specs")])
    workspace.configure({"allowOutside": "../shared"})
    check(workspace)
    assert codes(workspace) == {}
    workspace.set_folders([str(tmp_path / "shared" / "nowhere")])
    check(workspace)
    assert codes(workspace) == {"main.mfs": ["E0214"]}


def test_of_closed_specs_that_are_too_many_the_first_are_kept(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (tmp_path / f"parts{number}.mfs").write_text(PARTS)
    monkeypatch.setattr("mfc.lsp.workspace.MAX_KEPT", len(USER) + 3 * len(PARTS))
    before, after = [[*specs.closed()] for _ in range(2)]
    assert len(before) == len(after) == 7
    assert [a is b for a, b in zip(before, after, strict=True)] == [True] * 4 + [False] * 3


def test_symbols_of_the_workspace_check_no_spec_that_is_not_open(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> list[str]:
        found = symbols_of_workspace(Question(specs), WorkspaceSymbolParams(""))
        return sorted(symbol.name for symbol in found)

    monkeypatch.setattr(Workspace, "closed", lambda *_: pytest.fail("a spec is compiled"))
    assert asked() == ["old", "two", "two"]
    parsed: list[Source] = []
    monkeypatch.setattr(
        "mfc.lsp.workspace.parse", lambda source, found: parsed.append(source) or parse(source, found)
    )
    assert (asked(), parsed) == (["old", "two", "two"], [])
    (tmp_path / "other.mfs").write_text("block three() { relu() }\n")
    assert asked() == ["old", "three", "two"]
    assert [source.text for source in parsed] == ["block three() { relu() }\n"]


def test_what_the_text_alone_tells_waits_for_no_check(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(specs, tmp_path / "main.mfs", f"let more = 1\n{USER}")
    monkeypatch.setattr("mfc.lsp.analysis.compile", lambda *_, **__: pytest.fail("a spec is compiled"))
    found = symbols_of_workspace(Question(specs), WorkspaceSymbolParams(""))
    assert sorted(symbol.name for symbol in found) == ["more", "old", "two", "two"]
    moves = RenameFilesParams([FileRename(*((tmp_path / name).as_uri() for name in ("parts.mfs", "b.mfs")))])
    edit = move_files(Question(specs), moves)
    assert edit is not None and edit.changes is not None
    assert sorted(uri.rpartition("/")[2] for uri in edit.changes) == ["main.mfs", "other.mfs"]


def test_symbols_are_those_of_what_open_specs_import_too(tmp_path: Path) -> None:
    workspace = write(tmp_path, {"parts/two.mfs": 'import "../parts.mfs" (old)\n', "parts.mfs": PARTS})
    workspace.folders = []
    workspace.close((tmp_path / "parts.mfs").as_uri())

    def asked() -> list[str]:
        found = symbols_of_workspace(Question(workspace), WorkspaceSymbolParams(""))
        return [symbol.name for symbol in found]

    assert asked() == []  # it may not read above its folder
    workspace.configure({"allowOutside": str(tmp_path)})
    assert asked() == ["old"]


def test_whether_a_name_can_be_changed_is_told_by_its_spec_alone(
    specs: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = question(specs, tmp_path / "main.mfs")
    position = asked.analysis.file.positions.position(USER.index("old"))
    monkeypatch.setattr("mfc.lsp.analysis.compile", lambda *_, **__: pytest.fail("a spec is compiled"))
    found = prepare_rename(asked, PrepareRenameParams(TextDocumentIdentifier(""), position))
    assert found.placeholder == "old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_that_is_called_as_a_spec_is_passed_over(specs: Workspace, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mfs")
    assert len(symbols_of_workspace(Question(specs), WorkspaceSymbolParams(""))) == 3
    assert len([*specs.closed()]) == 2


def test_data_is_listed_wherever_it_lies_and_imports_only_where_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "a.csv").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    overlay = Overlay({}, [tmp_path / "specs"])
    assert (
        sorted(overlay.list_for_data("~/"))
        == sorted(overlay.list_for_data(str(tmp_path / "home")))
        == ["a.csv", "data/"]
    )
    assert (
        [*overlay.list_for_import(str(tmp_path / "home"))]
        == [*overlay.list_for_data(str(tmp_path / "nowhere"))]
        == []
    )


@pytest.mark.parametrize("change", ["edited", "opened", "told"])
def test_a_file_that_changes_while_it_is_looked_up_is_looked_up_again(tmp_path: Path, change: str) -> None:
    workspace = write(tmp_path, {"parts.mfs": PARTS, "main.mfs": USER})
    check(workspace)
    parts, other = tmp_path / "parts.mfs", "block other() { relu() }\n"
    if change != "edited":
        workspace.close(parts.as_uri())
        check(workspace)
    changes = {
        "edited": lambda: replace(workspace, parts, other),
        "opened": lambda: workspace.open(parts.as_uri(), 1, other),
        "told": lambda: parts.write_text(other) and workspace.changed([str(parts)]),
    }

    class Changing(dict[str, OpenFile]):
        """Open files of which one changes when it was looked up and not yet read."""

        def get(self, path: str, default: Any = None) -> Any:
            found = super().get(path, default)
            if path == str(parts) and change in changes:
                changes.pop(change)()
            return found

    replace(workspace, tmp_path / "main.mfs", f"# a line more\n{USER}")
    analysis = workspace.analysis((tmp_path / "main.mfs").as_uri())
    assert analysis is not None
    workspace.files = analysis.overlay.files = Changing(workspace.files)
    check(workspace)
    assert change not in changes
    assert codes(workspace) == {"main.mfs": ["E0213"]}


def test_a_spec_hangs_on_no_file_that_was_merely_looked_into(tmp_path: Path) -> None:
    texts = {"main.mfs": "model net { old() }\n", "other.mfs": PARTS, "third.mfs": 'import "x'}
    workspace = write(tmp_path, texts)
    check(workspace)
    asked = {path: question(workspace, tmp_path / path) for path in ("main.mfs", "third.mfs")}
    everything = Range(Position(0, 0), Position(1, 0))
    document = TextDocumentIdentifier("")
    actions = offer_actions(asked["main.mfs"], CodeActionParams(document, everything, CodeActionContext([])))
    assert any("other.mfs" in action.title for action in actions)
    assert offer(asked["third.mfs"], CompletionParams(document, Position(0, 9))).items
    known = dict(workspace.analyses)
    workspace.renewed = False
    replace(workspace, tmp_path / "other.mfs", "block other() { relu() }\n")
    assert {os.path.basename(p) for p, a in workspace.analyses.items() if a is not known[p]} == {"other.mfs"}
    assert not workspace.renewed


def test_only_what_a_spec_imports_may_read_what_the_spec_may(tmp_path: Path) -> None:
    texts = {
        "parts/twice.mfs": 'import "../once.mfs" (once)\nblock twice(n) { once(n)  once(n) }\n',
        "once.mfs": "block once(n) { conv2d(n) }\n",
        "main.mfs": 'import "parts/" (twice)\n',
    }
    workspace = write(tmp_path, texts)
    asked = question(workspace, tmp_path / "main.mfs")
    offered = offer(asked, CompletionParams(TextDocumentIdentifier(""), Position(0, 14)))
    assert [item.label for item in offered.items] == ["twice.mfs"]
    check(workspace)
    assert codes(workspace)["twice.mfs"] == ["E0214"]
