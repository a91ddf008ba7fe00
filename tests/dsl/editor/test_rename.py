"""Other names for what specs define."""

from __future__ import annotations

import re

import pytest

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.rename import Refused, Renamable, Rename, prepare, rename
from tests.dsl.editor.documents import applied, of_text, program

TEXT = """# 😀 \r
import "parts.mfs" (conv, width)\r
data digits: image -> category {\r
    source = builtin("digits")\r
    split  = random(valid = 0.2)  # 🎲\r
    label  = parent()\r
}\r
block broken(nf) { if then nf width }\r
model net(classes, depth = 2) {\r
    group body {\r
        conv(width, ks = 1)\r
        let half = x\r
        for i in range(depth) { relu() }\r
        group stem { let side = branch { conv(8) }  add(side) }\r
    }\r
    add(body.half)\r
    group head { flatten()  linear(classes) }\r
}\r
let small = net(digits.classes, depth = 1)\r
train fit {\r
    data      = digits\r
    model     = small\r
    loss      = cross_entropy()\r
    callbacks = [activation_stats(layers = ["body.conv.relu", "body.stem.side.conv", "conv"])]\r
    phase first { epochs = 1 }\r
}\r
model other { group body { conv(width) }  group head { flatten()  linear(digits.classes) } }\r
train more {\r
    data    = digits\r
    model   = other\r
    weights = [fit.body, only("head", kaiming())]\r
    loss    = cross_entropy()\r
    epochs  = 1\r
}\r
let squares = [n * n for n in range(width)]\r
"""
PARTS = "block conv(nf, ks: int = 3) { conv2d(nf, ks)  relu() }\nlet width = 16\nlet more_width = width + 1\n"


def at(marked: str, text: str = TEXT) -> int:
    """The place of `|` in the text."""
    before, after = marked.split("|")
    assert text.count(before + after) == 1, marked
    return text.index(before + after) + len(before)


def example(text: str = TEXT) -> list[Document]:
    return program(of_text(text, parts=PARTS))


@pytest.mark.parametrize(
    ("marked", "changed"),
    [
        ("body {\r\n        co|nv(width", "conv"),
        ("(conv, wid|th)", "width"),
        ("model n|et(", "net"),
        ("net(cl|asses,", "classes"),
        ("digits.classes, dep|th = 1", "depth"),
        ("i in range(dep|th)", "depth"),
        ("conv(width, k|s = 1", "ks"),
        ("add(body.ha|lf)", "half"),
        ("group st|em", "stem"),
        ("let si|de =", "side"),
        ("phase fi|rst", "first"),
        ("squares = [n| *", "n"),
        ("train fi|t {", "fit"),
        ("block bro|ken", "broken"),
        ("let smal|l", "small"),
    ],
)
def test_a_name_changes_wherever_it_means_the_same(marked: str, changed: str) -> None:
    documents = example()
    found = rename(documents, documents[0], at(marked), "fresh")
    assert isinstance(found, Rename)
    texts = applied(documents, found.edits)
    expected = {
        "conv": {"main.mfs": re.sub(r"\bconv\b", "fresh", TEXT), "parts.mfs": PARTS.replace("conv(", "fresh(")},
        "width": {"main.mfs": TEXT.replace("width", "fresh"),
                  "parts.mfs": PARTS.replace("width", "fresh").replace("more_fresh", "more_width")},
        "net": {"main.mfs": TEXT.replace("net(", "fresh(")},
        "classes": {"main.mfs": TEXT.replace("net(classes", "net(fresh").replace("linear(classes", "linear(fresh")},
        "depth": {"main.mfs": TEXT.replace("depth", "fresh")},
        "ks": {"main.mfs": TEXT.replace("ks = 1", "fresh = 1"), "parts.mfs": PARTS.replace("ks", "fresh")},
        "half": {"main.mfs": TEXT.replace("half", "fresh")},
        "stem": {"main.mfs": TEXT.replace("stem", "fresh")},
        "side": {"main.mfs": TEXT.replace("side", "fresh")},
        "first": {"main.mfs": TEXT.replace("phase first", "phase fresh")},
        "n": {"main.mfs": TEXT.replace("n * n for n in", "fresh * fresh for fresh in")},
        "fit": {"main.mfs": TEXT.replace("train fit", "train fresh").replace("fit.body", "fresh.body")},
        "broken": {"main.mfs": TEXT.replace("broken", "fresh")},
        "small": {"main.mfs": TEXT.replace("small", "fresh")},
    }[changed]  # fmt: skip
    assert texts == {f"/spec/{name}": text for name, text in expected.items()}


def test_groups_that_give_weights_to_one_another_keep_one_name() -> None:
    documents = example()
    for marked in ("fit.bo|dy", "group bo|dy {\r", "add(bo|dy.half", '"bo|dy.conv'):
        found = rename(documents, documents[0], at(marked), "fresh")
        assert isinstance(found, Rename)
        assert applied(documents, found.edits) == {"/spec/main.mfs": TEXT.replace("body", "fresh")}
    found = rename(documents, documents[0], at('only("he|ad"'), "fresh")
    assert isinstance(found, Rename)  # that of the other model alone, which no weights come from
    before, after = TEXT.split("model other")
    assert applied(documents, found.edits) == {
        "/spec/main.mfs": f"{before}model other{after.replace('head', 'fresh')}"
    }


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        ("# |😀", "no name stands here"),
        ("da|ta digits", "no name stands here"),
        ('"par|ts.mfs"', "a path changes when its file is moved"),
        ("mod|el     = small", "`model` is a word of the language"),
        ("random(val|id", "`valid` is a word of the language"),
        ("rand|om(valid", "`random` comes with mfc"),
        ("im|age -> ", "`image` is a word of the language"),
        ("small = net(digits.cla|sses", "`classes` is a word of the language"),
        ("let half = x|", "`x` is a word of the language"),
        ("in ran|ge(depth", "`range` is a word of the language"),
    ],
)
def test_what_the_language_names_keeps_its_name(marked: str, reason: str) -> None:
    documents = example()
    assert prepare(documents[0], at(marked)) == Refused(reason)
    assert rename(documents, documents[0], at(marked), "fresh") == Refused(reason)


def test_components_of_ones_own_are_renamed_in_python() -> None:
    layers = "import mfc\n\n@mfc.labeler\nclass mine:\n    'Labels.'\n"
    document = of_text('use "layers.py" (mine)\n', layers_py=layers)
    assert prepare(document, 17) == Refused("`mine` is renamed where it is defined, in Python")


def test_what_comes_with_mfc_keeps_its_name() -> None:
    text = """import "std/cnn.mfs" (cnn)
data digits: image -> category { source = builtin("digits")  split = random(valid = 0.2)  label = parent() }
model own { group body { relu() }  flatten()  linear(2) }
train first { data = digits  model = cnn(classes = 10)  loss = cross_entropy()  epochs = 1 }
let begun = first.body
train second { data = digits  model = own  weights = begun  loss = cross_entropy()  epochs = 1 }
"""
    document = of_text(text)
    documents = program(document)
    assert len(documents) == 2
    for marked, name in [("(cn|n)", "cnn"), ("(cla|sses", "classes"), ("first.bo|dy", "body")]:
        assert prepare(document, at(marked, text)) == Refused(f"`{name}` comes with mfc")
        assert rename(documents, document, at(marked, text), "fresh") == Refused(f"`{name}` comes with mfc")
    linked = "weights go between groups of one name, and `body` comes with mfc"
    assert rename(documents, document, at("group bo|dy", text), "fresh") == Refused(linked)
    assert rename(documents, document, at("train fi|rst", text), "first") == Rename({})


def test_only_files_that_may_be_changed_are() -> None:
    documents = example()
    beyond = Refused("`conv` stands in /spec/parts.mfs, which is no file of this workspace")
    for marked in ("(co|nv, width)", "{\r\n        co|nv(width"):
        assert prepare(documents[0], at(marked), "/spec/main.mfs".__eq__) == beyond
        assert rename(documents, documents[0], at(marked), "fresh", "/spec/main.mfs".__eq__) == beyond
        assert rename(documents[:1], documents[0], at(marked), "fresh") == beyond
    parts = documents[1]
    found = rename(documents, parts, parts.text.index("conv"), "fresh", "/spec/parts.mfs".__eq__)
    assert found == Refused("it is named in line 2 of main.mfs, which is no file of this workspace")
    found = rename(documents, parts, parts.text.index("nf"), "fresh", "/spec/parts.mfs".__eq__)
    assert isinstance(found, Rename)


def test_a_name_that_can_be_changed_is_shown_as_it_stands() -> None:
    documents = example()
    found = prepare(documents[0], at('"body.st|em.side'))
    assert isinstance(found, Renamable)
    assert (found.name, found.span.start) == ("stem", at('"body.|stem.side'))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "`` is no name: names are made of letters, digits and underscores, and begin with no digit"),
        ("2nd", "`2nd` is no name: names are made of letters, digits and underscores, and begin with no digit"),
        ("größe", "`größe` is no name: names are made of letters, digits and underscores, and begin with no digit"),
        ("a b", "`a b` is no name: names are made of letters, digits and underscores, and begin with no digit"),
        ("else", "`else` is a word of the language and can't be a name"),
        ("None", "`None` is a word of the language and can't be a name"),
        ("x", "`x` is reserved: it is the current tensor"),
    ],
)  # fmt: skip
def test_a_name_must_be_one(name: str, reason: str) -> None:
    documents = example()
    assert rename(documents, documents[0], at("model n|et("), name) == Refused(reason)


THEN = "means something else, and would then mean this"
SCOPES = """let a = 1
let b = 2
let c = a + missing
block one(p, q) {
    let r = p
    for s in range(3) { let t = s  conv2d(b) }
    let u = branch { relu() }
    if true { let v = branch { relu() } } else { let w = branch { relu() } }
    linear(q)
}
model net(classes) { group body { relu() }  group head { one(1, q = 2) } }
train fit { model = net(3)  phase first { epochs = 1 }  phase last { epochs = 2 } }
let squares = [[m * a for n in range(m)] for m in range(3)]
let kept = [digits_stats, fit.body, fit.history]
param arch: choice(small, large) = small
"""


@pytest.mark.parametrize(
    ("marked", "name", "reason"),
    [
        ("let a| = 1", "b", "there is a `b` already, in line 2 of main.mfs"),
        ("let a| = 1", "missing", f"the `missing` in line 3 of main.mfs {THEN}"),
        ("let b| = 2", "s", "in line 6 of main.mfs `s` means something else already"),
        ("let b| = 2", "conv2d", f"the `conv2d` in line 6 of main.mfs {THEN}"),
        ("let b| = 2", "digits_stats", f"the `digits_stats` in line 14 of main.mfs {THEN}"),
        ("let b| = 2", "small", f"the `small` in line 15 of main.mfs {THEN}"),
        ("let r| = p", "q", "there is a `q` already, in line 4 of main.mfs"),
        ("let r| = p", "u", "there is a `u` already, in line 7 of main.mfs"),
        ("one(p|, q", "s", None),
        ("let t| = s", "p", None),
        ("one(p, q|)", "u", "there is a `u` already, in line 7 of main.mfs"),
        ("for s| in", "b", f"the `b` in line 6 of main.mfs {THEN}"),
        ("let v| =", "w", None),
        ("let v| =", "u", "there is a `u` already, in line 7 of main.mfs"),
        ("group bo|dy", "head", "there is a `head` already, in line 11 of main.mfs"),
        ("group hea|d", "one", None),
        ("group bo|dy", "history", "in line 14 of main.mfs `history` means something else already"),
        ("phase las|t", "first", "there is a `first` already, in line 12 of main.mfs"),
        ("phase las|t", "body", None),
        ("for m| in", "n", "in line 13 of main.mfs `n` means something else already"),
        ("for m| in", "a", f"the `a` in line 13 of main.mfs {THEN}"),
        ("for n| in", "m", f"the `m` in line 13 of main.mfs {THEN}"),
        ("let a| = 1", "net", "there is a `net` already, in line 11 of main.mfs"),
        ("let a| = 1", "group", None),
        ("let a| = 1", "data", None),
    ],
)  # fmt: skip
def test_a_name_that_is_given_already_is_refused(marked: str, name: str, reason: str | None) -> None:
    document = of_text(SCOPES)
    found = rename([document], document, at(marked, SCOPES), name)
    assert found == Refused(reason) if reason is not None else isinstance(found, Rename), found
