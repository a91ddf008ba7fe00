"""What holds of all that editors ask, at any place of specs and of what is left of them while they are typed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.dsl.editor.code_actions import code_actions, fix_all
from mfc.dsl.editor.code_lens import code_lenses
from mfc.dsl.editor.completion import Completion, complete, documentation
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.hover import hover
from mfc.dsl.editor.inlay_hints import inlay_hints
from mfc.dsl.editor.signature_help import signature_help
from mfc.dsl.syntax import children
from tests.dsl import generated_specs
from tests.dsl.editor.documents import NEARBY, SPECS, of_file, of_file_with, of_text

ALL = sorted(SPECS.rglob("*.mfs"))
TEXTS = {path: path.read_text() for path in ALL}


def ask(document: Document, offset: int) -> None:
    """Asks all that can be asked at a place: what is answered lies around it."""
    found = hover(document, offset)
    if found is not None:
        assert found.markdown.strip() and found.span.start <= offset <= found.span.end
    helped = signature_help(document, offset)
    if helped is not None:
        assert helped.active is None or helped.active < len(helped.parameters)
        assert all(p.start < p.end <= len(helped.label) for p in helped.parameters)
    for offered in complete(document, offset, NEARBY)[::17]:
        assert offered.span.start <= offset <= offered.span.end
        documentation(document, offered)


def ask_of_whole(document: Document) -> None:
    """Asks all that can be asked of a whole text."""
    end = len(document.text)
    hints = inlay_hints(document, 0, end)
    assert all(0 <= hint.offset <= end and hint.label for hint in hints)
    middle = [hint for hint in hints if end // 3 <= hint.offset <= end // 2]
    assert inlay_hints(document, end // 3, end // 2) == middle
    assert all(lens.span.text == lens.target for lens in code_lenses(document))
    for action in code_actions(document, 0, end, NEARBY):
        assert all(0 <= e.span.start <= e.span.end <= end for e in action.edits) and action.diagnostic
    everything = fix_all(document)
    edits = everything.edits if everything else ()
    assert all(one.span.end <= other.span.start for one, other in itertools.pairwise(edits))


def around(document: Document, offset: int) -> list[Any]:
    """The nodes around a place, all being looked at: of two that meet there the second."""
    found: list[Any] = []
    inside = [*document.file.declarations]
    while holding := [node for node in inside if node.span.start <= offset <= node.span.end]:
        found.append(holding[-1])
        inside = [*children(holding[-1])]
    return found


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.data())
def test_the_nodes_around_a_place_are_found_without_a_look_at_all(seed: int, data: st.DataObject) -> None:
    text = generated_specs.generate(seed)
    document = of_text(text[: data.draw(st.integers(0, len(text)), "end")])
    for offset in range(0, len(document.text) + 1, 3):
        assert document.nodes_at(offset) == around(document, offset)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(SPECS).as_posix())
def test_every_place_of_the_specs_has_an_answer(path: Path) -> None:
    document = of_file(path)
    ask_of_whole(document)
    for offset in range(0, len(document.text) + 1, 31):  # no divisor of the indentation
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
@settings(max_examples=60)
def test_every_place_of_broken_specs_has_an_answer(spec: tuple[Path, str], places: list[float]) -> None:
    document = of_file_with(*spec)
    ask_of_whole(document)
    for place in places:
        ask(document, round(place * len(document.text)))


# ── what is offered can be written ──────────────────────────────────────────────────────────────────────

WORDS = re.compile(r"[A-Za-z_]\w*")
HOLES = re.compile(r"\$\{\d+:[^}]*\}|\$\d+")
CHOICES = re.compile(r"\$\{\d+\|([^,|]*)[^}]*\}")


def written(document: Document, offered: Completion) -> tuple[str, int, int]:
    """The text with what was offered, its places filled with a 1, and where that begins and ends."""
    text = (
        HOLES.sub("1", CHOICES.sub(r"\1", offered.text.replace("$0", "")))
        if offered.snippet
        else offered.text
    )
    text = f"{text}1" if text.endswith("= ") else text
    start = offered.span.start
    whole = document.text[:start] + text + document.text[offered.span.end :]
    for edit in offered.edits:
        assert edit.span.end <= start
        whole = whole[: edit.span.start] + edit.text + whole[edit.span.end :]
        start += len(edit.text) - (edit.span.end - edit.span.start)
    return whole, start, start + len(text)


@given(st.sampled_from(ALL), st.floats(0, 1), st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=80)
def test_what_is_offered_is_known_where_it_is_written(path: Path, place: float, which: list[float]) -> None:
    """In the place of any word of a spec, as it is while that is typed."""
    words = [*WORDS.finditer(TEXTS[path])]
    word = words[round(place * (len(words) - 1))]
    document = of_file_with(path, TEXTS[path][: word.start()] + TEXTS[path][word.end() :])
    by_rank: dict[int, list[Completion]] = {}
    for offered in complete(document, word.start(), NEARBY):
        if offered.kind not in ("declaration", "keyword", "folder"):
            by_rank.setdefault(offered.rank, []).append(offered)
    for share, among in zip(which, itertools.cycle(by_rank.values())):
        offered = among[round(share * (len(among) - 1))]
        text, start, end = written(document, offered)
        checked = of_file_with(path, text).compiled.diagnostics
        tensor = (
            offered.symbol is not None and offered.symbol.home == "tensor"
        )  # its shape tells which there are
        mistakes = [
            (d.code, d.message)
            for d in checked
            if d.code.startswith("E02")
            and d.span.source.text == text
            and d.span.start < end
            and d.span.end > start
        ]
        assert tensor or not mistakes, (offered.label, text[start - 60 : end + 20])
