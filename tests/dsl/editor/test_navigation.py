"""From names to where they are defined and to where they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.navigation import (
    Location,
    Place,
    PythonLocation,
    definition,
    highlights,
    references,
    symbol_at,
    type_definition,
)
from tests.dsl.editor.documents import SPECS, imported, of_file, of_text

TEXT = """# 😀 \r
import "parts.mfs" (conv, width)\r
import "std/cnn.mfs" (cnn)\r
use "layers.py" (wave)\r
data digits: image -> category {\r
    source = builtin("digits")\r
    split  = random(valid = 0.2)  # 🎲\r
    label  = parent()\r
}\r
block broken(nf) { if then nf width }\r
model net(classes) {\r
    group body { conv(width, ks = 1)  wave(3, speed = 2)  let half = x }\r
    add(body.half)\r
    group head { flatten()  linear(classes) }\r
}\r
let small = net(digits.classes)\r
model large = cnn(digits.classes)\r
train fit(of = small) {\r
    data   = digits\r
    model  = of\r
    loss   = cross_entropy()\r
    epochs = 1\r
}\r
train more { data = digits  model = small  weights = fit().body  loss = cross_entropy()  epochs = 1 }\r
"""
PARTS = "block conv(nf, ks: int = 3) { conv2d(nf, ks)  relu() }\nlet width = 16\n"
LAYERS = '''"""Layers."""
import mfc
from torch import nn

@mfc.layer(shape="b c h w -> b nf h w")
class wave(nn.Module):
    def __init__(self, nf: int, speed: float = 1.0):
        super().__init__()
'''


@pytest.fixture(scope="module")
def document() -> Document:
    return of_text(TEXT, parts=PARTS, layers_py=LAYERS)


def at(marked: str, text: str = TEXT) -> int:
    """The place of `|` in the text."""
    before, after = marked.split("|")
    return text.index(before + after) + len(before)


def shown(places: list[Place] | list[Location]) -> list[tuple[str, str]]:
    """Each place as its file's name and its line, from the place on."""
    found = []
    for place in places:
        name = place.path.rpartition("/")[2]
        if isinstance(place, PythonLocation):
            text = LAYERS if name == "layers.py" else Path(place.path).read_text()
            line = text.splitlines()[place.line - 1]
            found.append((name, line[place.column :][: place.length]))
        else:
            found.append((name, place.span.source.text[place.span.start :].splitlines()[0]))
    return found


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("body { co|nv(width", [("parts.mfs", PARTS.splitlines()[0].removeprefix("block "))]),
        ("(|conv, width)", [("parts.mfs", "conv(nf, ks: int = 3) { conv2d(nf, ks)  relu() }")]),
        ("conv(wid|th,", [("parts.mfs", "width = 16")]),
        ("(width, k|s = 1", [("parts.mfs", "ks: int = 3) { conv2d(nf, ks)  relu() }")]),
        ("import \"pa|rts", [("parts.mfs", PARTS.splitlines()[0])]),
        ("use \"lay|ers", [("layers.py", "")]),
        ("std/|cnn", [("cnn.mfs", "## A plain convolutional network: each block halves height and width.")]),
        ("large = c|nn", [("cnn.mfs", "cnn(classes, widths = [32, 64, 128, 256]) {")]),
        ("wa|ve(3", [("layers.py", "wave")]),
        ("spee|d = 2", [("layers.py", "speed")]),
        ("flat|ten()", [("reshape.py", "flatten")]),
        ("random(va|lid", [("splits.py", "valid")]),
        ("fit().bo|dy", [("main.mfs", "body { conv(width, ks = 1)  wave(3, speed = 2)  let half = x }")]),
        ("body.ha|lf", [("main.mfs", "half = x }")]),
        ("linear(cl|asses)", [("main.mfs", "classes) {")]),
        ("model  = o|f", [("main.mfs", "of = small) {")]),
        ("block bro|ken", [("main.mfs", "broken(nf) { if then nf width }")]),
        ("then nf wid|th", [("parts.mfs", "width = 16")]),
        ("model  |= of", []),
        ("mo|del  = of", []),
        ("digits.cla|sses)\r\nmodel", []),
        ("# |😀", []),
        ("split|  = random", []),
    ],
)  # fmt: skip
def test_definitions(document: Document, marked: str, expected: list[tuple[str, str]]) -> None:
    assert shown(definition(document, at(marked))) == expected


def test_a_definition_has_all_that_is_defined(document: Document) -> None:
    (found,) = definition(document, at("conv(wid|th,"))
    assert isinstance(found, Location)
    assert found.whole.text == "let width = 16"


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("model = sma|ll", [("main.mfs", "net(classes) {")]),
        ("let sm|all", [("main.mfs", "net(classes) {")]),
        ("model la|rge", [("cnn.mfs", "cnn(classes, widths = [32, 64, 128, 256]) {")]),
        ("large = c|nn", [("cnn.mfs", "cnn(classes, widths = [32, 64, 128, 256]) {")]),
        ("model  = o|f", [("main.mfs", "net(classes) {")]),
        ("fit().bo|dy", [("main.mfs", "fit(of = small) {")]),
        ("cross|_entropy", [("losses.py", "cross_entropy")]),
        ("conv(wid|th,", []),
        ("linear(cl|asses)", []),
    ],
)
def test_type_definitions(document: Document, marked: str, expected: list[tuple[str, str]]) -> None:
    assert shown(type_definition(document, at(marked))) == expected


def test_references_are_found_over_files(document: Document) -> None:
    other = of_text('import "parts.mfs" (width)\nlet twice = 2 * width\n', "other", parts=PARTS)
    files = [document, imported(document, "parts"), other, imported(other, "parts")]
    symbol = symbol_at(document, at("conv(wid|th,"))
    assert symbol is not None
    everywhere = shown(references(files, symbol, include_definition=True))
    assert everywhere == [
        ("main.mfs", "width)"),
        ("main.mfs", "width }"),
        ("main.mfs", "width, ks = 1)  wave(3, speed = 2)  let half = x }"),
        ("parts.mfs", "width = 16"),
        ("other.mfs", "width)"),
        ("other.mfs", "width"),
    ]
    assert shown(references(files, symbol, include_definition=False)) == [
        place for place in everywhere if place != ("parts.mfs", "width = 16")
    ]


def test_uses_of_components_and_of_files_are_found_over_files(document: Document) -> None:
    other = of_text('import "./parts.mfs" (conv)\nblock wide { conv2d(64)  flip() }\n', "other", parts=PARTS)
    files = [document, imported(document, "parts"), other]
    conv2d, parts = (symbol_at(other, other.text.index(word) + 1) for word in ("conv2d", "./parts"))
    assert conv2d is not None and parts is not None
    assert [line[:10] for _, line in shown(references(files, conv2d, True))] == ["conv2d(nf,", "conv2d(64)"]
    assert [line[:12] for _, line in shown(references(files, parts, True))] == [
        '"parts.mfs" ',
        '"./parts.mfs',
    ]


def test_highlights_tell_definitions_from_uses(document: Document) -> None:
    found = highlights(document, at("fit().bo|dy"))
    assert [(h.span.start, h.defines) for h in found] == [
        (at("group |body"), True), (at("add(|body"), False), (at("fit().|body"), False),
    ]  # fmt: skip
    assert highlights(document, at("# |😀")) == []


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.mfs")), ids=lambda path: path.stem)
def test_every_name_of_the_specs_leads_to_one_of_its_references(path: Path) -> None:
    document = of_file(path)
    for occurrence in document.bindings.occurrences:
        symbol = occurrence.symbol
        places = definition(document, occurrence.span.start)
        defined = (
            symbol.in_spec or symbol.kind in ("component", "file") or ":" in symbol.home
        )  # of a component
        assert bool(places) == defined, symbol
        used = references([document], symbol, include_definition=True)
        assert occurrence.span in [place.span for place in used]
        for place in places:
            if isinstance(place, Location) and symbol.kind != "file":
                assert place.span.text == symbol.name
                assert place.whole.start <= place.span.start and place.span.end <= place.whole.end
            elif isinstance(place, PythonLocation) and symbol.kind == "component":
                assert shown([place]) == [(Path(place.path).name, symbol.name)]
