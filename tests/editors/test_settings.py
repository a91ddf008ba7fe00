"""The settings of the server, as the editors' own files and the documents name them."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from mfc.dsl.editor.inlay_hints import HintOptions
from tests.packaging.wheel import ROOT

EDITORS = ROOT / "editors"
SETTINGS = ("settings", "allowOutside", "hints")
HINTS = {field.name: field.default for field in fields(HintOptions)}

pytestmark = pytest.mark.skipif(not EDITORS.exists(), reason="the editors' files are not here")


def test_vs_code_has_them_all() -> None:
    manifest = json.loads((EDITORS / "vscode" / "package.json").read_text())
    declared = manifest["contributes"]["configuration"]["properties"]
    hints = {name: value for name, value in declared.items() if name.startswith("mfc.hints.")}
    assert {name.removeprefix("mfc.hints."): value["default"] for name, value in hints.items()} == HINTS
    assert {name.split(".")[1] for name in declared} >= {*SETTINGS}
    for document in (EDITORS / "vscode" / "README.md", ROOT / "docs" / "editors.md"):
        text = document.read_text()
        assert not [name for name in SETTINGS if f"`mfc.{name}" not in text], document.name


def test_neovims_manual_tells_of_them_all() -> None:
    text = (EDITORS / "nvim" / "doc" / "mfc.txt").read_text()
    assert not [name for name in (*SETTINGS, *HINTS) if f"`{name}`" not in text]
