"""Laws of formatting: it is done once, means the same, keeps all comments where they are, and changes nothing else."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfc
from mfc.dsl import syntax
from mfc.dsl.chunks import readings
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.format import Edit, apply, format, format_edits, format_range
from mfc.dsl.parse import MAX_LINES, parse
from mfc.dsl.scan import scan
from mfc.dsl.source import Source
from tests.dsl.generated_specs import generate, scrambled
from tests.dsl.test_parse import damaged

GENERATED = 2_000
SPACES = set(" \t\r\n\f\v\ufeff,")  # commas are moved before comments
PACKAGE = sorted((Path(mfc.__file__).parent / "specs").rglob("*.mfs"))
CASES = sorted((Path(__file__).parents[1] / "cases").rglob("*.mfs"))
NODES = {name for name, node in vars(syntax).items() if isinstance(node, type) and hasattr(node, "span")} - {
    "BrokenDecl", "Comment", "Missing",
}  # fmt: skip


def bare(value: Any) -> Any:
    """A tree as plain data, without spans and comments."""
    if isinstance(value, (tuple, list)):
        return [bare(item) for item in value]
    if not is_dataclass(value):
        return value
    inside = {
        f.name: bare(getattr(value, f.name))
        for f in fields(value)
        if f.name not in ("span", "source", "comments")
    }
    return type(value).__name__, inside


def read(text: str) -> tuple[Any, list[str]]:
    """The bare tree of a text, and the codes of what is wrong in it."""
    found = Diagnostics()
    return bare(parse(Source("test.mfs", text), found)), [diagnostic.code for diagnostic in found]


def tokens(text: str) -> list[str]:
    return [token.text for token in scan(text).tokens if token.type != "COMMA"]


def comments(text: str) -> list[tuple[str, int, bool]]:
    """Comments, each with how many tokens stand before it, and whether it has a line of its own, but for a comma."""
    found = scan(text)
    ends = [token.end for token in found.tokens if token.type != "COMMA"]
    return [
        (
            text[start:end],
            sum(token_end <= start for token_end in ends),
            not text[text.rfind("\n", 0, start) + 1 : start].strip(" \t\r\f\v\ufeff,"),
        )
        for start, end in found.comments
    ]


def holds(text: str) -> None:
    """The laws for a text that parses."""
    edits = format_edits(text)
    formatted = apply(text, edits)
    assert format_edits(formatted) == []
    assert read(formatted) == (read(text)[0], [])
    assert tokens(formatted) == tokens(text)
    assert comments(formatted) == comments(text)
    are_minimal(text, edits)
    assert_tidy(formatted)


def assert_tidy(formatted: str) -> None:
    """What is seen of the style in any text."""
    lines = formatted.removeprefix("\ufeff").split("\r\n" if "\r\n" in formatted else "\n")
    assert lines[-1] == "" and lines[:2] != ["", ""] and (len(lines) == 1 or lines[-2])
    for line, following in zip(lines, [*lines[1:], ""]):
        assert line == line.rstrip() and "\n" not in line
        assert line or following or following is lines[-1], "one empty line at most"
        assert (len(line) - len(line.lstrip(" "))) % 4 == 0 and not line.startswith("\t")


def are_minimal(text: str, edits: list[Edit]) -> None:
    """Edits are in order, change spaces and commas only, and nothing that may stay."""
    at = 0
    for edit in edits:
        assert at <= edit.start <= edit.end <= len(text)
        at = edit.end
        old = text[edit.start : edit.end]
        assert old != edit.text and set(old + edit.text) <= SPACES
        assert not old or not edit.text or (old[0] != edit.text[0] and old[-1] != edit.text[-1])


VALID = [spec for spec in [*PACKAGE, *CASES] if not read(spec.read_bytes().decode())[1]]


def named(spec: Path) -> str:
    return "/".join(spec.parts[-3:])


# ── on all that there is ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spec", VALID, ids=named)
def test_laws_on_each_spec_of_the_repository(spec: Path) -> None:
    text = spec.read_bytes().decode()
    for layout in (
        text,
        text.replace("\r\n", "\n").replace("\n", "\r\n"),
        "\ufeff" + text,
        scrambled(text, 1),
    ):
        holds(layout)


@pytest.mark.parametrize("first", range(20))
def test_laws_on_generated_specs(first: int) -> None:
    for seed in range(first, GENERATED, 20):
        holds(generate(seed))


def test_generated_specs_are_specs_and_have_everything_in_them() -> None:
    texts = [generate(seed) for seed in range(400)]
    trees = [read(text) for text in texts]
    assert [seed for seed, (_, codes) in enumerate(trees) if codes] == []
    assert {name for name in NODES if f"'{name}'" in str(trees)} == NODES
    together = "".join(texts)
    assert all(mark in together for mark in ("\r\n", "\ufeff", "\t", "\f", "\n\n\n", "# ", "## "))


def test_the_specs_of_the_package_are_formatted() -> None:
    assert [
        named(spec) for spec in PACKAGE if format(spec.read_bytes().decode()) != spec.read_bytes().decode()
    ] == []


@pytest.mark.parametrize("spec", [spec for spec in VALID if spec in PACKAGE], ids=named)
def test_tidy_specs_stay_tidy(spec: Path) -> None:
    """One character too many or too few between two lines is all that is changed."""
    text = spec.read_text()
    assert format(text.replace("\n", "  \n").replace("\n  \n", "\n\n\n") + "\n\n") == text


# ── on what can't be read ───────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300)
@given(damaged())
def test_a_broken_declaration_stays_as_it_is(text: str) -> None:
    formatted = format(text)
    assert read(formatted) == read(text)
    assert format(formatted) == formatted
    found = list(readings(text))
    for (start, reading), end in zip(found, [*(start for start, _ in found[1:]), len(text)]):
        if reading.problems:
            assert text[max(start, text.startswith("\ufeff")) : end] in formatted
    are_minimal(text, format_edits(text))


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_at_all(text: str) -> None:
    assert format(format(text)) == format(text)


def test_a_file_that_is_too_large_stays_as_it_is() -> None:
    text = "let  a = 1\n" * MAX_LINES
    assert format(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + "f(b or c and d == 1 + 2 * -(3) ** " * 31 + "1" + ")" * 31,
        "let a = " + "[if a then b else c or d and e < f + g * h ** " * 60 + "1" + "]" * 60,
        "block b { " + "if a { b = c + [d, # e\n f] " * 60 + "}" * 61,
        "let a = b" + "(c)" * 4_000,
        "let a = b" + "[0]" * 4_000,
        "let a = " + "if a then b else " * 2_000 + "c",
        "let a = [" + "1, " * 10_000 + "]",
    ],
    ids=lambda text: text[:24].strip(),
)
def test_what_is_deep_or_long_is_formatted(text: str) -> None:
    formatted = format(text)
    assert formatted != text and format(formatted) == formatted


# ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300)
@given(st.integers(0, GENERATED), st.floats(0, 1), st.floats(0, 1))
def test_a_range_changes_nothing_outside(seed: int, first: float, second: float) -> None:
    text = generate(seed)
    start, end = sorted((round(first * len(text)), round(second * len(text))))
    edits = format_range(text, start, end)
    assert set(edits) <= set(format_edits(text))
    changed = apply(text, edits)
    assert changed.startswith(text[:start]) and changed.endswith(text[end:])
    assert read(changed) == read(text) and comments(changed) == comments(text)


@settings(max_examples=200)
@given(st.integers(0, GENERATED), st.floats(0, 1), st.floats(0, 1))
def test_lines_may_be_formatted_one_after_the_other(seed: int, first: float, second: float) -> None:
    text = generate(seed)
    start, end = sorted((round(first * len(text)), round(second * len(text))))
    start, end = text.rfind("\n", 0, start) + 1, (text.find("\n", end) + 1 or len(text))
    changed = apply(text, format_range(text, start, end))
    found, expected = format(changed), format(text)
    if first_line_end(changed) != first_line_end(text):  # it was that of a blank line, which is gone
        found, expected = (whole.replace("\r\n", "\n") for whole in (found, expected))
    assert found == expected


def first_line_end(text: str) -> str | None:
    found = re.search(r"\r?\n", text)
    return None if found is None else found[0]


@settings(max_examples=100)
@given(st.one_of(st.integers(0, GENERATED).map(generate), damaged()))
def test_the_whole_as_a_range(text: str) -> None:
    assert format_range(text, 0, len(text)) == format_edits(text)


UNTIDY = """\
let  a=1
train fit {
  data=digits
      loss   = cross_entropy( )


  phase all {epochs=1}
}
let  b=2
"""


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        ("  data=digits\n", "    data = digits\n"),
        ("data=digits", "  data = digits"),
        ("data=dig", "  data=dig"),
        (
            "  data=digits\n      loss   = cross_entropy( )\n",
            "    data = digits\n    loss = cross_entropy()\n",
        ),
        ("\n\n  phase all {epochs=1}\n", "\n    phase all { epochs = 1 }\n"),
        ("let  b=2", "let b = 2"),
        ("train fit {\n", "train fit {\n"),
    ],
)
def test_the_statements_in_a_range_are_formatted(selected: str, expected: str) -> None:
    start = UNTIDY.index(selected)
    edits = format_range(UNTIDY, start, start + len(selected))
    assert apply(UNTIDY, edits) == UNTIDY.replace(selected, expected)


def test_a_statement_is_aligned_with_those_outside_of_a_range() -> None:
    text = "train fit {\n    data      = digits\n    model=net\n    optimizer = adam()\n}\n"
    start = text.index("    model")
    assert apply(text, format_range(text, start, text.index("\n", start))) == format(text)


# ── edits ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_edits_change_no_more_than_has_to_be() -> None:
    text = "let a = [1,2 ,3]\ntrain fit {\n\n  epochs = 1\n\n\n\n\tloss = f(\n)\n}"
    assert [(text[edit.start : edit.end], edit.text) for edit in format_edits(text)] == [
        ("", " "),
        (" ", ""),
        ("", " "),
        ("\n", ""),
        ("", "  "),
        ("\n\n", ""),
        ("\t", "    "),
        ("\n", ""),
        ("", "\n"),
    ]


def test_nothing_is_edited_in_what_is_formatted() -> None:
    assert [format_edits(format(generate(seed))) for seed in range(50)] == [[]] * 50


# ── line ends ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "let a=[1, # one\r\n2]\r\n\r\n\r\n\r\nlet  b = 2",
            "let a = [\r\n    1,  # one\r\n    2,\r\n]\r\n\r\nlet b = 2\r\n",
        ),
        ("let a=1\r\nlet b=2\nlet c=3\n", "let a = 1\r\nlet b = 2\r\nlet c = 3\r\n"),
        ("let a=1\nlet b=2\r\n", "let a = 1\nlet b = 2\n"),
        ("let a=1\rlet b=2", "let a = 1\nlet b = 2\n"),
        ("\ufeff\n\nlet a=1", "\ufefflet a = 1\n"),
        ("\ufeff", "\ufeff"),
        ("let a = 1\n\ufefflet b = 2", "let a = 1\nlet b = 2\n"),
        ("", ""),
        ("\n \n\t\n", ""),
        ("# only a comment", "# only a comment\n"),
        ("\t# a comment \t\f\n", "# a comment\n"),
    ],
)
def test_line_ends(text: str, expected: str) -> None:
    assert format(text) == expected
