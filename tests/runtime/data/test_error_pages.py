"""Every code that the data block raises has its page, and every page a code."""

import re
from pathlib import Path

from mfc.runtime import data

PAGES = Path(__file__).parents[3] / "docs" / "errors"


def test_every_code_has_its_page():
    folder = Path(data.__file__).parent
    raised = {code for file in folder.glob("*.py") for code in re.findall(r'"(R01\d\d)"', file.read_text())}
    pages = {page.stem: page.read_text() for page in PAGES.glob("R01*.md")}
    assert raised == set(pages)
    for code, text in pages.items():
        assert text.startswith(f"# {code}: ") and f"error[{code}]: " in text and "\n## What to do\n" in text
