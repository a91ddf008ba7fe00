"""Fixes that come with diagnostics: each mends what it is for, wherever the golden cases have one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.scan import scan
from tests.dsl.editor.documents import of_file_with, of_text

CASES = Path(__file__).parents[1] / "cases"
ALL = sorted(CASES.rglob("*.mfs"))


def fixed(diagnostic: Diagnostic) -> str:
    """The text of a file with a fix of a diagnostic in it."""
    assert diagnostic.fix is not None
    span, text = diagnostic.fix.span, diagnostic.span.source.text
    return text[: span.start] + diagnostic.fix.text + text[span.end :]


def found(path: Path, text: str) -> list[Diagnostic]:
    document = of_file_with(path, text)
    assert all(d.fix is None or d.fix.span.source is d.span.source for d in document.compiled.diagnostics)
    return [d for d in document.compiled.diagnostics if d.span.source is document.source]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(CASES).with_suffix("").as_posix())
def test_each_fix_mends_what_it_is_for(path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    before = found(path, text)
    for diagnostic in before:
        if diagnostic.fix is not None:
            after = [d.message for d in found(path, fixed(diagnostic))]
            same = [d.message for d in before].count(diagnostic.message)
            assert after.count(diagnostic.message) < same, diagnostic.fix


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(CASES).with_suffix("").as_posix())
def test_what_is_certain_changes_no_word_beside_it(path: Path) -> None:
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    unchanged_beside(path, text)
    unchanged_beside(path, re.sub(r"(?<=[,;|&!]) +(?=\S)", "", text))


def unchanged_beside(path: Path, text: str) -> None:
    """Holds that each fix of a text which is certain brings no mistake of another kind in how it is written, and leaves
    all other words as they are."""
    before = found(path, text)
    for diagnostic in before:
        if (fix := diagnostic.fix) is None or not fix.certain:
            continue
        after = fixed(diagnostic)
        codes = {d.code for d in found(path, after)} - {d.code for d in before}
        assert not any(code.startswith("E01") for code in codes), (fix, codes)
        longer = len(after) - len(text)
        kept = {(t.text, t.start) for t in scan(text).tokens if t.end <= fix.span.start}
        kept |= {(t.text, t.start + longer) for t in scan(text).tokens if t.start >= fix.span.end}
        assert kept <= {(t.text, t.start) for t in scan(after).tokens}, fix


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("train fit { epochs: 3,data: d }\n", "train fit { epochs = 3 data = d }\n"),
        ("train fit { epochs = 3,data = d }\n", "train fit { epochs = 3 data = d }\n"),
        ("train fit { epochs = 3;data = d }\n", "train fit { epochs = 3 data = d }\n"),
        ("train fit { loss: mse(),data: d }\n", "train fit { loss = mse() data = d }\n"),
        ("train fit { loss: mse(),}\n", "train fit { loss = mse()}\n"),
        ("model net { relu(),relu(),,relu() }\n", "model net { relu() relu() relu() }\n"),
        ("model net { a.b,c() }\n", "model net { a.b c() }\n"),
        ("let a = [1,,2]\n", "let a = [1, 2]\n"),
        ("let a = [,1]\n", "let a = [1]\n"),
        ("let a = b&&c||!d\n", "let a = b and c or not d\n"),
        ("let a = b&&(c)\n", "let a = b and(c)\n"),
        ('let a = b&&"c"\n', 'let a = b and "c"\n'),
        ("model net { if a { relu() }elif b { relu() } }\n", "model net { if a { relu() }else if b { relu() } }\n"),
        ("let a = [i for i in(b)if c else d]\n", "let a = [i for i in if c then (b) else d]\n"),
        ("def model net { relu() }\n", "model net { relu() }\n"),
    ],
)  # fmt: skip
def test_words_stay_apart_where_something_is_left_out_or_replaced(text: str, mended: str) -> None:
    everything = text
    while certain := [d for d in of_text(everything).compiled.diagnostics if d.fix and d.fix.certain]:
        unchanged_beside(Path("/spec/main.mfs"), everything)
        everything = fixed(certain[0])
    assert everything == mended


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("let a = wdth\nlet width = 3\n", "let a = width\n"),
        ("model net { conv2dd(3) }\n", "model net { conv2d(3) }\n"),
        ("train fit { lossf = 3 }\n", "train fit { loss = 3 }\n"),
        ("train fit { criterion = mse() }\n", "train fit { loss = mse() }\n"),
        ("param a: itn = 3\n", "param a: int = 3\n"),
        ("param a: list(itn) = [3]\n", "param a: list(int) = [3]\n"),
        ("data d: imgae -> category { }\n", "data d: image -> category { }\n"),
        ("model net { linear(nff = 3) }\n", "model net { linear(nf = 3) }\n"),
        (
            'data d: image -> category { on_error = "skp" }\n',
            'data d: image -> category { on_error = "skip" }\n',
        ),
        ('import "std/cnn.mfs" (cn)\n', 'import "std/cnn.mfs" (cnn)\n'),
    ],
)
def test_what_was_meant_is_a_fix(text: str, instead: str) -> None:
    diagnostics = of_text(text).compiled.diagnostics
    fixes = [d for d in diagnostics if d.fix is not None]
    assert [fixed(d).partition("\n")[0] for d in fixes] == [instead.partition("\n")[0]]
    assert all(d.fix is not None and not d.fix.certain for d in fixes)


def test_each_place_of_a_word_has_its_own() -> None:
    first, second = of_text("let a = min(wdth, 3) + wdth\nlet width = 3\n").compiled.diagnostics
    assert fixed(first).startswith("let a = min(width, 3) + wdth")
    assert fixed(second).startswith("let a = min(wdth, 3) + width")


TRAINED = """
data pets: image -> category {
    source = image_files("pets")
    split  = random()
    label  = parent()
    item_transforms = [resize(8)]
}
train fit { data = pets  model = a  loss = cross_entropy()  epochs = 1 }
"""


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ("(cnn, xs)", "(cnn)"),
        ("(xs, cnn)", "(cnn)"),
        ("(cnn, xs, mlp)", "(cnn, mlp)"),
        ("(\n    cnn,  # first\n    xs,  # second\n)", "(\n    cnn,  # first\n)"),
        ("(\r\n    cnn,  # first\r\n    xs\r\n)", "(\r\n    cnn,  # first\r\n)"),
        ("(\n    xs,  # first\n    cnn,  # second\n)", "(\n    cnn,  # second\n)"),
        ("(\n    xs,\n    # second\n    cnn)", "(\n    # second\n    cnn)"),
        ("(cnn,  # first\n    xs)", "(cnn,  # first\n    )"),
        ("(cnn,  # first\n    xs, mlp)", "(cnn,  # first\n    mlp)"),
        ("(xs,  # first\n    cnn)", "(\n    cnn)"),
    ],
)
def test_an_import_is_left_out_with_its_comment_and_no_other(names: str, left: str) -> None:
    parts = "".join(f"block {name}() {{ relu() }}\n" for name in ("cnn", "mlp", "xs"))
    layers = " ".join(f"{name}()" for name in ("cnn", "mlp") if name in names)
    body = f"\nmodel a {{ {layers}  flatten()  linear(pets.classes) }}\n" + TRAINED
    [unused] = of_text(f'import "parts.mfs" {names}{body}', parts=parts).compiled.diagnostics
    assert fixed(unused) == f'import "parts.mfs" {left}{body}'
