"""What bears on a place is enough to know what is known there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.dsl.editor.hover import hover
from tests.dsl.editor.documents import SPECS, of_file_with

FILES = sorted(SPECS.rglob("*.mfs"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@settings(max_examples=8)
@given(data=st.data())
def test_a_place_is_told_of_as_if_all_was_checked(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    offset = data.draw(st.integers(0, len(text)))
    if data.draw(st.booleans()):  # where something is being typed
        text = text[:offset] + data.draw(st.sampled_from("a,.(=}")) + text[offset:]
    part, whole = (hover(of_file_with(path, text, at), offset) for at in (offset, None))
    assert (part and part.markdown) == (whole and whole.markdown)
