"""Every code that the data block raises, for images or texts, has its page, and every page a code."""

import re
from pathlib import Path

from mfc.runtime import data, text

PAGES = Path(__file__).parents[3] / "docs" / "errors"


def test_every_code_has_its_page():
    files = [file for package in (data, text) for file in Path(package.__path__[0]).glob("*.py")]
    raised = {code for file in files for code in re.findall(r'"(R01\d\d)"', file.read_text())}
    pages = {page.stem: page.read_text() for page in PAGES.glob("R01*.md")}
    assert raised == set(pages)
    for code, page in pages.items():
        assert page.startswith(f"# {code}: ") and f"error[{code}]: " in page and "\n## What to do\n" in page
