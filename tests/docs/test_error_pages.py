"""Each code that mfc can report has a page of one form, and there is no page without a code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mfc

PACKAGE = Path(mfc.__file__).parent
PAGES = sorted((PACKAGE / "errors").glob("*.md"))
CODE = re.compile(r'"([EWR]\d{4})"')


def reported() -> set[str]:
    """The codes that the source names."""
    files = [f for folder in ("dsl", "runtime") for f in (PACKAGE / folder).glob("**/*.py")]
    return {code for file in [*files, *PACKAGE.glob("*.py")] for code in CODE.findall(file.read_text())}


def test_codes_and_pages_agree() -> None:
    codes = reported()
    assert len(codes) > 50
    assert {page.stem for page in PAGES} == codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_a_title_and_says_what_to_do(page: Path) -> None:
    text = page.read_text()
    first, *rest = text.splitlines()
    assert re.fullmatch(rf"# {page.stem}: \S.*[^.]", first)
    assert len(" ".join(rest).split()) >= 30
    assert text.endswith("\n") and "\n\n\n" not in text
