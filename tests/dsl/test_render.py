"""The forms of a diagnostic. What users see of each error is in the golden cases."""

from __future__ import annotations

import json
import re

import pytest

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.render import json_line, lsp_range, one_line, render, summary
from mfc.dsl.source import Source, Span

TEXT = "data d: image -> category {\n    item_transforms  = [resise(size)]\n}\n"
SOURCE = Source("cifar10.mfs", "\n" * 8 + TEXT)
SPAN = Span(SOURCE, SOURCE.text.index("resise"), SOURCE.text.index("resise") + 6)
UNKNOWN = Diagnostic(
    "E0204",
    "`resise` is not an item transform",
    SPAN,
    "unknown item transform",
    help="did you mean `resize`?",
)


def marked(text: str, part: str, **more: object) -> Diagnostic:
    """A diagnostic about a part of a text."""
    source = Source("a.mfs", text)
    at = text.index(part)
    return Diagnostic("E0101", "wrong", Span(source, at, at + len(part)), "here", **more)  # type: ignore[arg-type]


def test_the_form_of_the_language_reference() -> None:
    assert render(UNKNOWN) == (
        "error[E0204]: `resise` is not an item transform\n"
        "  --> cifar10.mfs:10:25\n"
        "   |\n"
        "10 |     item_transforms  = [resise(size)]\n"
        "   |                         ^^^^^^ unknown item transform\n"
        "   = help: did you mean `resize`?"
    )


def test_one_line() -> None:
    assert one_line(UNKNOWN) == "cifar10.mfs:10:25: error[E0204]: `resise` is not an item transform"


def test_json() -> None:
    assert json.loads(json_line(UNKNOWN)) == {
        "file": "cifar10.mfs",
        "code": "E0204",
        "severity": "error",
        "message": "`resise` is not an item transform",
        "range": {"start": {"line": 9, "character": 24}, "end": {"line": 9, "character": 30}},
        "help": "did you mean `resize`?",
    }


def test_positions_in_json_count_utf_16() -> None:
    text = 'let é = "👩x"\n'
    source = Source("a.mfs", text)
    at = text.index("x")
    assert lsp_range(Span(source, at, len(text))) == {
        "start": {"line": 0, "character": 11},
        "end": {"line": 1, "character": 0},
    }


def test_summary() -> None:
    warning = Diagnostic("W0203", "hides a built-in", SPAN)
    assert summary([UNKNOWN, UNKNOWN, warning], "a.mfs") == "2 errors, 1 warning in a.mfs"
    assert summary([warning], "a.mfs") == "1 warning in a.mfs"
    assert summary([], "a.mfs") == "no errors in a.mfs"


def test_labels_in_another_file_and_far_away() -> None:
    other = Source("b.mfs", "\n\nlet b = 1\n")
    source = Source("a.mfs", "let b = 1\n" + "\n" * 10 + "let b = 2\n")
    diagnostic = Diagnostic(
        "E0202",
        "declared twice",
        Span(source, 24, 25),
        "again",
        labels=((Span(source, 4, 5), "first"), (Span(other, 6, 7), "imported")),
        notes=("one", "two"),
    )
    assert render(diagnostic) == (
        "error[E0202]: declared twice\n"
        "  --> a.mfs:12:5\n"
        "   |\n"
        " 1 | let b = 1\n"
        "   |     - first\n"
        "...\n"
        "12 | let b = 2\n"
        "   |     ^ again\n"
        "  ::: b.mfs:3:5\n"
        "   |\n"
        " 3 | let b = 1\n"
        "   |     - imported\n"
        "   = note: one\n"
        "   = note: two"
    )


@pytest.mark.parametrize(
    ("text", "part", "line", "marks"),
    [
        ("a\tbad", "bad", "a    bad", "     ^^^ here"),
        ("日本 bad", "bad", "日本 bad", "     ^^^ here"),
        ("x 日本", "日本", "x 日本", "  ^^^^ here"),
        ("e\u0301 bad", "bad", "e\u0301 bad", "  ^^^ here"),
        ("\x1b[31m bad\x07", "bad", "\ufffd[31m bad\ufffd", "      ^^^ here"),
        ("bad\nmore", "bad\nmore", "bad", "^^^ here"),
        ("bad\r\n", "bad", "bad", "^^^ here"),
    ],
)
def test_marks_stand_below_what_they_mark(text: str, part: str, line: str, marks: str) -> None:
    shown = render(marked(text, part)).splitlines()
    assert shown[3:] == [f"1 | {line}", f"  | {marks}"]


def test_a_place_at_the_end_is_marked() -> None:
    source = Source("a.mfs", "let a =")
    shown = render(Diagnostic("E0101", "wrong", Span(source, 7, 7), "here")).splitlines()
    assert shown[-1] == "  |        ^ here"


@pytest.mark.parametrize("at", [0, 40, 250, 499])
def test_a_long_line_is_cut_around_the_place(at: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(500))
    source = Source("a.mfs", text)
    *_, line, marks = render(Diagnostic("E0101", "wrong", Span(source, at, at + 1), "here")).splitlines()
    assert len(line) <= 120
    assert line[marks.index("^")] == text[at]


def test_nothing_but_text_reaches_the_terminal() -> None:
    source = Source("a\x1b]0;.mfs", "\x1b[2J\u202eabc")
    shown = render(
        Diagnostic("E0101", "m\x1b[2J", Span(source, 0, 3), "l\x1b", help="h\x07", notes=("n\x1b",))
    )
    assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f\u202e]*", shown)


def test_colour_adds_only_colour() -> None:
    shown = render(UNKNOWN, colour=True)
    assert "\033[1;31merror[E0204]\033[0m" in shown
    assert re.sub(r"\033\[[0-9;]*m", "", shown) == render(UNKNOWN)
