"""Texts with mistakes, for laws that hold for any text."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.dsl.editor.documents import SPECS

TEXTS = [path.read_text() for path in sorted(SPECS.rglob("*.mfs"))]
_PIECES = [
    *"(){}[]=:,.\"'#\n\r xé👩\0",
    "let",
    "group",
    "\r\n",
    "\nmodel m {\n",
    "\n}\n",
    "##",
    " 😀 ",
    'import "',
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A spec with up to three changes: a part cut out, put in, doubled or moved; perhaps with other line ends."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        part = draw(st.sampled_from(_PIECES)) if draw(st.booleans()) else text[start:end] * 2
        text = text[:start] + part * draw(st.integers(0, 2)) + text[end:]
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text
