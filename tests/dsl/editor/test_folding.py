"""What can be folded away, and what is selected around a place."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.folding import Fold, folds, selections
from tests.dsl.editor.damage import damaged
from tests.dsl.editor.documents import of_text

TEXT = """\
## Documentation
## on two lines

import "std/cnn.mfs" (cnn)
import "std/mlp.mfs" (
    mlp,
)

data digits: image -> category {
    # one line
    source = among(
        "😀"
    )
    item_transforms = [resize(
        16), flip(
    )]
}
block broken(nf) {
    if then nf
    linear(
        8
    )
}
block open(nf) {
    linear(
        8)
train fit {
    epochs = 1 }
block small { relu() }
model net {
    if x.width > 3 {
        relu()
    } else {
        relu()
    }
}
"""


def lines(document: Document, fold: Fold) -> tuple[int, int]:
    return document.source.position(fold.span.start)[0], document.source.position(fold.span.end)[0]


def test_folds_are_bodies_lists_comments_and_imports() -> None:
    document = of_text(TEXT)
    assert [(*lines(document, fold), fold.kind) for fold in folds(document)] == [
        (1, 2, "comment"),
        (4, 7, "imports"),
        (5, 6, "region"),
        (9, 16, "region"),
        (11, 12, "region"),
        (14, 15, "region"),
        (18, 22, "region"),
        (20, 21, "region"),
        (25, 26, "region"),
        (27, 28, "region"),
        (30, 35, "region"),
        (31, 32, "region"),
        (33, 34, "region"),
    ]


@settings(max_examples=60)
@given(damaged())
def test_folds_lie_within_one_another_or_apart(text: str) -> None:
    document = of_text(text)
    found = [(*lines(document, fold), fold.kind) for fold in folds(document)]
    assert [first for first, *_ in found] == sorted({first for first, *_ in found})
    assert all(1 <= first < last <= text.count("\n") + 1 for first, last, _ in found)
    regions = [(first, last) for first, last, kind in found if kind == "region"]
    for outer, outer_last in regions:
        for inner, inner_last in regions:
            assert not outer < inner < outer_last < inner_last


def test_selections_grow_from_the_word_to_the_file() -> None:
    text = """let a = 1
## Some layers
block conv(nf, ks = 3) {
    conv2d(nf, ks = 2 * ks)
    relu()
}
"""
    found = [span.text for span in selections(of_text(text), text.index("ks)"))]
    conv = "conv2d(nf, ks = 2 * ks)"
    block = text[text.index("block") : -1]
    assert found == [
        "ks",
        "2 * ks",
        "ks = 2 * ks",
        "nf, ks = 2 * ks",
        "(nf, ks = 2 * ks)",
        conv,
        f"{conv}\n    relu()",
        f"\n    {conv}\n    relu()\n",
        f"{{\n    {conv}\n    relu()\n}}",
        block,
        f"## Some layers\n{block}",
        text,
    ]


def test_selections_begin_within_strings_and_comments() -> None:
    text = 'let a = r"é/😀"  # a comment\r\nblock broken { if then "text" }\r\n'
    document = of_text(text)
    assert [s.text for s in selections(document, text.index("😀"))][:3] == [
        "é/😀",
        'r"é/😀"',
        'let a = r"é/😀"',
    ]
    assert [s.text for s in selections(document, text.index("comment"))] == ["# a comment", text]
    assert [s.text for s in selections(document, text.index("ext"))][:4] == [
        "text", '"text"', 'if then "text"', ' if then "text" ',
    ]  # fmt: skip


@settings(max_examples=150)
@given(damaged(), st.data())
def test_each_selection_contains_the_one_before(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    found = [(span.start, span.end) for span in selections(of_text(text), offset)]
    assert found[0][0] <= offset <= found[0][1]
    assert found[-1] == (0, len(text))
    for (inner, inner_end), (outer, outer_end) in pairwise(found):
        assert outer <= inner and inner_end <= outer_end and (outer, outer_end) != (inner, inner_end)
