"""Open files over those on disk, without a client."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfc.lsp.workspace import Workspace


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
