"""The examples on the pages of errors: the first spec on a page has the error, the second has not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mfc
from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.explain import codes, explain
from mfc.dsl.parse import parse
from mfc.dsl.source import Source

BLOCK = re.compile(r"^```mfs\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {code: BLOCK.findall(explain(code) or "") for code in codes()}
WITH_EXAMPLES = [code for code, specs in PAGES.items() if specs]


def found(code: str, text: str, folder: Path) -> list[Diagnostic]:
    """What is said of a spec: by the parser alone for its own codes, else by the whole compiler."""
    if code.startswith("E01"):
        diagnostics = Diagnostics()
        parse(Source("example.mfs", text), diagnostics)
        return list(diagnostics)
    spec = folder / "example.mfs"
    spec.write_text(text)
    return list(mfc.load(spec).diagnostics)


@pytest.mark.parametrize("code", WITH_EXAMPLES)
def test_examples_do_what_the_page_says(code: str, tmp_path: Path) -> None:
    wrong, *right = PAGES[code]
    assert {diagnostic.code for diagnostic in found(code, wrong, tmp_path)} == {code}
    assert right, "a page shows how it is done, too"
    for text in right:
        assert [diagnostic.message for diagnostic in found(code, text, tmp_path)] == []


def test_each_syntax_error_has_an_example() -> None:
    without = [code for code in PAGES if code.startswith("E01") and code not in WITH_EXAMPLES]
    assert without == ["E0116"]  # its example would be a page of 5,000 lines


def test_explain() -> None:
    assert (explain("e0101") or "").startswith("# E0101: ")
    assert explain("E9999") is None
    assert explain("../E0101") is None
