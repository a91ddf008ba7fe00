"""Names in specs and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfc.dsl.syntax import Attribute, CallExpr, LayerStmt, Name, children
from mfc.dsl.types import INT, Kind
from mfc.dsl.values import ComponentValue, Instance
from tests.dsl.editor.documents import SPECS, imported, of_file, of_text

ALL = sorted(SPECS.rglob("*.mfs"))

TEXT = """import "parts.mfs" (conv)

param width: int = 16

data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2)
    label      = parent()
    item_transforms  = [flip()]
    batch_transforms = [flip()]
}

block twice(nf, deep = true) {
    let before = x
    for i in range(2) { conv(nf, ks = 3) }
    if deep { add(before) }
}

model net(classes) {
    group body {
        conv(width)
        twice(width)
    }
    group head { adaptive_avg_pool(1)  flatten()  linear(classes) }
}

train fit {
    data    = digits
    model   = net(digits.classes)
    loss    = cross_entropy()
    metrics = [accuracy()]
    phase all { epochs = 1 }
}

train more { data = digits  model = net(digits.classes)  loss = cross_entropy()  weights = fit.body  epochs = 1 }
"""
DIGITS = """data digits: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.2)
    label  = parent()
}
"""
PARTS = "block conv(nf, ks: int = 3) { conv2d(nf, ks)  relu() }\n"


def nodes(inside: Any) -> list[Any]:
    return [inside, *(found for child in children(inside) for found in nodes(child))]


def symbols(text: str, written: str, document: Any) -> list[tuple[str, str, int]]:
    found = [o for o in document.bindings.occurrences if o.span.text == written]
    return [(o.symbol.kind, o.symbol.home, o.symbol.at) for o in found]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(SPECS).as_posix())
def test_every_name_of_the_specs_stands_for_something(path: Path) -> None:
    document = of_file(path)
    written = [n for decl in document.file.declarations for n in nodes(decl) if isinstance(n, Name)]
    named = {o.span.start: o for o in document.bindings.occurrences}
    assert [n.text for n in written if n.span.start not in named] == []
    assert all(o.span.text == o.symbol.name for o in named.values() if o.symbol.kind != "file")
    members = {
        n.name.span.start
        for decl in document.file.declarations
        for n in nodes(decl)
        if isinstance(n, Attribute)
    }
    unknown = [
        o.span.text for o in named.values() if o.symbol.kind == "unknown" and o.span.start not in members
    ]
    assert unknown == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(SPECS).as_posix())
def test_the_check_finds_the_same_behind_names(path: Path) -> None:
    """What the text alone tells against what the evaluation came to."""
    document, compared = of_file(path), 0
    symbol = {o.span.start: o.symbol for o in document.bindings.occurrences}
    for node in (n for decl in document.file.declarations for n in nodes(decl)):
        if not isinstance(node, Name | CallExpr):
            continue
        name = node if isinstance(node, Name) else node.callee
        for value in document.values(node):
            found = symbol[name.span.start]
            if isinstance(value, ComponentValue) and found.kind == "component":
                assert found.home == value.info.target
                compared += 1
            if isinstance(value, Instance) and found.kind in ("data", "block", "model", "train"):
                assert found.target is value.declared
                compared += 1
    assert compared or "std" in path.parts


def test_names_lead_to_where_they_are_defined() -> None:
    document = of_text(TEXT, parts=PARTS)
    assert document.compiled.errors == []
    conv = ("block", "/spec/parts.mfs", PARTS.index("conv"))
    assert symbols(TEXT, "conv", document) == [conv] * 3
    ks = ("parameter", "/spec/parts.mfs", PARTS.index("ks"))
    assert symbols(TEXT, "ks", document) == [ks]
    assert ks in symbols(PARTS, "ks", imported(document, "parts"))
    body = ("group", "/spec/main.mfs", TEXT.index("body"))
    assert symbols(TEXT, "body", document) == [body] * 2
    before = ("tensor", "/spec/main.mfs", TEXT.index("before"))
    assert symbols(TEXT, "before", document) == [before] * 2
    flips = [home.rpartition(".")[2] for _, home, _ in symbols(TEXT, "flip", document)]
    assert flips == ["item_transforms:flip", "batch_geometric:flip"]


def test_definitions_are_marked() -> None:
    document = of_text(TEXT, parts=PARTS)
    defined = [o.span.text for o in document.bindings.occurrences if o.defines]
    assert defined == [
        "width", "digits", "twice", "nf", "deep", "before", "i", "net", "classes", "body", "head", "fit", "all", "more",
    ]  # fmt: skip


def test_local_names_end_with_their_braces() -> None:
    document = of_text(TEXT, parts=PARTS)

    def names(at: str) -> list[str]:
        return sorted(document.bindings.locals_at(TEXT.index(at)))

    assert names("conv(nf") == ["before", "deep", "i", "nf"]
    assert names("add(") == ["before", "deep", "nf"]
    assert names("let before") == ["deep", "nf"]
    assert names("train fit") == []


def test_names_of_comprehensions_are_known_before_they_stand() -> None:
    text = "let squares = [n * n for n in range(4) if n > 1]\n"
    document = of_text(text)
    assert {(o.symbol.kind, o.symbol.at) for o in document.bindings.occurrences if o.span.text == "n"} == {
        ("variable", text.index("n in"))
    }
    assert list(document.bindings.locals_at(text.index("n * n"))) == ["n"]


def test_wants_are_those_of_fields_and_arguments() -> None:
    document = of_text(TEXT, parts=PARTS)
    wants = {expr.span.text: want for expr, want in document.bindings.wants.items()}
    assert wants["cross_entropy()"] == Kind("loss")
    assert wants["accuracy()"] == Kind("metric")
    assert wants["3"] == INT
    assert wants["twice(width)"] == Kind("layer")


def test_what_a_mistake_spoils_is_no_more_than_its_declaration() -> None:
    text = "model broken { conv2d(\nlet a = 3\nlet b = a\nlet c = nowhere\n"
    document = of_text(text)
    assert symbols(text, "a", document) == [("let", "/spec/main.mfs", text.index("a = 3"))] * 2
    assert [kind for kind, _, _ in symbols(text, "nowhere", document)] == ["unknown"]


def test_values_and_shapes_are_those_of_the_check() -> None:
    document = of_text(TEXT, parts=PARTS)
    at = TEXT.index("width)\n        twice")
    name = next(n for n in document.nodes_at(at) if isinstance(n, Name))
    assert list(document.values(name)) == [16]
    flat = next(n for n in document.nodes_at(TEXT.index("flatten()") + 1) if isinstance(n, LayerStmt))
    assert [[str(side) for side in passed.out] for passed in document.passed(flat)] == [["batch", "16"]]


def kinds(text: str, written: str, **others: str) -> list[tuple[str, int]]:
    return [(kind, at) for kind, _, at in symbols(text, written, of_text(text, **others))]


def test_a_group_is_a_name_of_the_body_only_where_it_keeps_tensors() -> None:
    text = """let body = 3
model plain { group body { linear(8) }  linear(body) }
model skips { group body { let half = x }  add(body.half) }
"""
    declared, plain, skips = (
        text.index(f"{word} body") + len(word) + 1 for word in ("let", "{ group", "s { group")
    )
    assert kinds(text, "body") == [
        ("let", declared), ("group", plain), ("let", declared), ("group", skips), ("group", skips),
    ]  # fmt: skip
    assert kinds(text, "half") == [("tensor", text.index("half"))] * 2


def test_a_group_that_is_made_in_either_branch_is_one() -> None:
    text = """param big: bool = true
model net { if big { group body { linear(8) } } else { group body { linear(4) } } }
train fit { model = net }
train more { model = net  weights = fit.body }
"""
    assert kinds(text, "body") == [("group", text.index("body"))] * 3


def test_groups_within_groups_are_no_members_of_what_was_trained() -> None:
    text = (
        "model net { group body { group stem { linear(8) } } }\ntrain fit { model = net }\nlet a = fit.stem\n"
    )
    assert kinds(text, "stem") == [("group", text.index("stem")), ("unknown", -1)]


def test_what_only_a_call_tells_is_what_the_check_found() -> None:
    text = (
        DIGITS
        + """
model net { group body { flatten()  linear(8) }  linear(digits.classes) }
train fit(what) { data = digits  model = what  loss = cross_entropy()  epochs = 1 }
let first = fit(net)
train more(before) { data = digits  model = net  weights = before.body  loss = cross_entropy()  epochs = 1 }
evaluate both { model = [more(first), more([first][0])]  metrics = [accuracy()] }
block known(image) { linear(image.height) }
model other { let image = x  known(image)  group body { relu() } }
train last { data = digits  model = other  weights = first.body  loss = cross_entropy()  epochs = 1 }
"""
    )
    document = of_text(text)
    body = ("group", "/spec/main.mfs", text.index("body"))
    other = ("group", "/spec/main.mfs", text.index("body { relu"))
    assert symbols(text, "body", document) == [body, body, other, body]
    assert symbols(text, "height", document) == [("attribute", "tensor", -1)]


def test_names_in_what_cannot_be_read_are_those_of_other_declarations() -> None:
    text = """param width: int = 16
let named = 3
block conv(nf) {
    conv2d(width, ks = named)
    let named = x.width
    if then width }
    linear(width = width)
}
let last = width
"""
    document = of_text(text)
    assert symbols(text, "width", document) == [("param", "/spec/main.mfs", text.index("width"))] * 5
    assert [kind for kind, _, _ in symbols(text, "conv2d", document)] == ["component"]
    assert symbols(text, "named", document) == [("let", "/spec/main.mfs", text.index("named"))]
