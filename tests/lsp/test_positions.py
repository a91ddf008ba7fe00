"""Places in a text against Python's own codecs, for all three encodings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position

from mfc.lsp.positions import UTF8, UTF16, UTF32, Positions

TEXTS = st.text(st.sampled_from("ab\n\r\té§\u2028\x0c漢🙂👩\u200d"), max_size=30)
ENCODINGS = {UTF8: ("utf-8", 1), UTF16: ("utf-16-le", 2), UTF32: ("utf-32-le", 4)}


def units(text: str, encoding: str) -> int:
    """How long a text is in an encoding."""
    codec, size = ENCODINGS[encoding]
    return len(text.encode(codec)) // size


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=TEXTS, data=st.data())
def test_places_are_those_of_the_encoded_lines(encoding: str, text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    if text[offset - 1 : offset + 1] == "\r\n" and offset:
        offset -= 1  # a place in the middle of a line's end is none
    lines = re.split(r"\r\n|\r|\n", text[:offset])
    positions = Positions(text, encoding)
    place = Position(len(lines) - 1, units(lines[-1], encoding))
    assert positions.position(offset) == place
    assert positions.offset(place) == offset


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=TEXTS, line=st.integers(0, 40), character=st.integers(0, 200))
def test_places_that_are_none_are_near_ones(encoding: str, text: str, line: int, character: int) -> None:
    lines = re.split(r"\r\n|\r|\n", text)
    positions = Positions(text, encoding)
    offset = positions.offset(Position(line, character))
    if line >= len(lines):
        assert offset == len(text)
        return
    place = positions.position(offset)
    assert place.line == line
    assert place.character <= min(character, units(lines[line], encoding))
    following = text[offset : offset + 1]
    if character < units(lines[line], encoding):  # else it is at the end of the line
        assert place.character + units(following, encoding) > character


def test_an_emoji_is_two_units_of_utf_16() -> None:
    text = '# 🙂 é\r\nlet a = "👩\u200d🔬"\n'
    assert Positions(text).position(text.index("é")) == Position(0, 5)
    assert Positions(text, UTF8).position(text.index("é")) == Position(0, 7)
    assert Positions(text, UTF32).position(text.index("é")) == Position(0, 4)
    assert Positions(text).all.end == Position(2, 0)
    assert Positions(text).offset(Position(0, 3)) == 2  # between the two halves


def test_a_range_that_is_turned_around_is_turned_back() -> None:
    positions = Positions("let a = 1")
    there = positions.range(4, 5)
    there.start, there.end = there.end, there.start
    assert positions.offsets(there) == (4, 5)
