"""The table of language servers marks what `mfc lsp` answers; `pytest --update` writes its column anew."""

from __future__ import annotations

import re
from pathlib import Path

from lsprotocol import types

from mfc.lsp.server import make_server
from tests.conftest import Golden

PAGE = Path(__file__).resolve().parents[2] / "docs" / "editors" / "comparison.md"
ROW = re.compile(r"^(\|[^|]*\| `([\w/]+)` \|)([^|]*)(\|.*)$", re.MULTILINE)

NO_FEATURES = re.compile(
    r"(initialized?|shutdown|exit)$|\$/|window/|notebookDocument/|(textDocument|workspace)/(did|will)"
    r"|textDocument/semanticTokens/(range|full/delta)|(inlayHint|codeLens|codeAction|documentLink)/resolve"
)
"""What a server hears beside requests for a feature, and parts of features."""


def answered() -> set[str]:
    """The requests that the server answers. It publishes mistakes where it hears of changes."""
    manager = make_server().protocol.fm
    found = set(manager.features)
    found |= {types.WORKSPACE_EXECUTE_COMMAND} if manager.commands else set()
    return found | (
        {types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS} if types.TEXT_DOCUMENT_DID_CHANGE in found else set()
    )


def test_the_table_marks_what_the_server_answers(golden: Golden) -> None:
    known = answered()
    text = ROW.sub(lambda row: f"{row[1]} {'yes ' if row[2] in known else ''}{row[4]}", PAGE.read_text())
    golden(PAGE, text)


def test_no_feature_of_the_server_is_left_out() -> None:
    listed = {method for _, method, *_ in ROW.findall(PAGE.read_text())}
    assert len(listed) > 20
    assert {method for method in answered() if not NO_FEATURES.match(method)} <= listed
