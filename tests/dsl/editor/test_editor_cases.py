"""What editors show of specs with marks: each case is a spec in `cases/<feature>` with its result beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.hover import hover
from tests.conftest import Golden
from tests.dsl.editor.marked import cases, marked, shown


def run_hover(document: Document, offset: int) -> str:
    found = hover(document, offset)
    return "nothing" if found is None else f"{found.span.text!r}\n{found.markdown.rstrip()}"


AT_MARKS: dict[str, Callable[[Document, int], str]] = {"hover": run_hover}
ALL = [(feature, path) for feature in AT_MARKS for path in cases(feature)]


@pytest.mark.parametrize(("feature", "path"), ALL, ids=[f"{feature}/{path.stem}" for feature, path in ALL])
def test_at_marks(feature: str, path: Path, golden: Golden) -> None:
    document, offsets = marked(path)
    answers = [f"── {shown(document, at)}\n{AT_MARKS[feature](document, at)}\n" for at in offsets]
    golden(path.with_suffix(".out"), "\n".join(answers))


def test_cases_are_found() -> None:
    folder = Path(__file__).parent / "cases"
    assert {path.name for path in folder.iterdir()} == set(AT_MARKS)
    assert len(ALL) >= 2
    assert {path.with_suffix(".out") for _, path in ALL} == set(folder.rglob("*.out"))
