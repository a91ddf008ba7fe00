"""Commands of the server, and the options of a command line that mean what its settings do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol import types

from mfc.arguments import parse
from mfc.dsl.params import Text, parse_setting
from mfc.dsl.types import BOOL, FLOAT, INT, STRING, Choice, ListOf
from mfc.lsp.commands import options
from mfc.lsp.server import make_server
from mfc.lsp.workspace import Workspace
from mfc.spec import read
from tests.dsl.editor.documents import SPECS
from tests.lsp.editor import COMMAND, Editor, codes, editing

PARAMS = """param size: int
param lr: float = 1.0
param fast: bool = false
param name: string = "a"
param arch: choice(small, large) = small
param sizes: list(int) = [1]
param names: list(string) = ["a"]
let net = 1
"""

KINDS = {
    "size": INT,
    "lr": FLOAT,
    "fast": BOOL,
    "name": STRING,
    "arch": Choice(("small", "large")),
    "sizes": ListOf(INT),
    "names": ListOf(STRING),
}

GIVEN = {
    "size": 16,
    "lr": 0.1 + 0.2,
    "fast": True,
    "name": 'two words, "quoted", $HOME',
    "arch": "large",
    "sizes": [2, 3],
    "names": ["one, two", 'a "b" \\ c', "plain", ""],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts.mfs").write_text("let depth = 3\n")
    (tmp_path / "specs").mkdir()
    digits = (SPECS / "digits.mfs").read_text()
    for name in ("open.mfs", "closed.mfs"):
        text = f'import "../parts.mfs" (depth)\nparam size: int\nlet both = size + depth\n{digits}'
        (tmp_path / "specs" / name).write_text(text)
    return tmp_path


@pytest_asyncio.fixture
async def editor(folder: Path) -> AsyncIterator[Editor]:
    given = {"settings": {"size": 8, "other": 1}, "allowOutside": "."}
    async with editing(folder, COMMAND, options=given) as editor:
        yield editor
    assert not editor.log_messages and not editor.messages


async def answer(editor: Editor, command: str, *arguments: str) -> Any:
    return await editor.workspace_execute_command_async(types.ExecuteCommandParams(command, [*arguments]))


# ── options ─────────────────────────────────────────────────────────────────────────────────────────────


def test_options_mean_what_the_settings_do(tmp_path: Path) -> None:
    path = tmp_path / "spec.mfs"
    path.write_text(PARAMS)
    workspace = Workspace(folders=[str(tmp_path)])
    workspace.configure({"settings": {**GIVEN, "net": 2, "other": 3}})
    given = parse(["check", *options(workspace, str(path)), str(path)])
    assert given.allow_outside is None
    assert {name: parse_setting(value, KINDS[name]) for name, value in given.set} == GIVEN
    assert not read(path, {name: Text(value) for name, value in given.set}).errors


def test_a_string_in_quotes_is_read_as_a_spec_has_it() -> None:
    listed = parse_setting(r'["a, b", "c\nd", plain, "\\"]', ListOf(STRING))
    assert listed == ["a, b", "c\nd", "plain", "\\"]


def test_a_spec_that_is_not_there_has_what_hangs_on_none(tmp_path: Path) -> None:
    workspace = Workspace(folders=[str(tmp_path)])
    workspace.configure({"settings": GIVEN, "allowOutside": "out"})
    assert options(workspace, str(tmp_path / "no.mfs")) == ["--allow-outside", str(tmp_path / "out")]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["specs/open.mfs", "specs/closed.mfs"])
async def test_options_of_a_spec_that_is_open_or_not(editor: Editor, name: str) -> None:
    editor.open("specs/open.mfs")
    assert codes(await editor.findings("specs/open.mfs")) == []
    assert await answer(editor, "mfc.options", editor.uri(name)) == [
        "--allow-outside", str(editor.folder), "--set", "size=8",
    ]  # fmt: skip


def test_what_runs_is_left_to_the_client() -> None:
    """It would be run twice, or not at all, where a client takes the server's commands for all there are."""
    assert {*make_server().protocol.fm.commands} == {"mfc.options", "mfc.planText"}


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["specs/open.mfs", "specs/closed.mfs"])
async def test_a_plan_has_the_settings_of_the_editor(editor: Editor, name: str) -> None:
    editor.open("specs/open.mfs")
    text = await answer(editor, "mfc.planText", editor.uri(name), "fit")
    assert "fit" in text and "error" not in text
