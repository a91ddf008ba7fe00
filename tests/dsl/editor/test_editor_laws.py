"""What holds of all that editors ask, at any place of specs and of what is left of them while they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.hover import hover
from tests.dsl.editor.documents import SPECS, of_file, of_file_with

ALL = sorted(SPECS.rglob("*.mfs"))
TEXTS = {path: path.read_text() for path in ALL}


def ask(document: Document, offset: int) -> None:
    """Asks all that can be asked at a place: what is answered lies within the text."""
    found = hover(document, offset)
    if found is not None:
        assert found.markdown.strip() and found.span.start <= offset <= found.span.end


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(SPECS).as_posix())
def test_every_place_of_the_specs_has_an_answer(path: Path) -> None:
    document = of_file(path)
    for offset in range(0, len(document.text) + 1, 7):  # 7 is no divisor of the indentation
        ask(document, offset)


@st.composite
def broken(draw: st.DrawFn) -> tuple[Path, str]:
    """A spec with some of its pieces left out."""
    path = draw(st.sampled_from(ALL))
    text = TEXTS[path]
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + text[start + draw(st.integers(1, 12)) :]
    return path, text


@given(broken(), st.lists(st.floats(0, 1), min_size=5, max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_place_of_broken_specs_has_an_answer(spec: tuple[Path, str], places: list[float]) -> None:
    document = of_file_with(*spec)
    for place in places:
        ask(document, round(place * len(document.text)))
