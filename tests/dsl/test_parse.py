"""Laws of the parser that hold for any text: it ends, it places what it finds, one mistake spoils one thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mfc.dsl import syntax
from mfc.dsl.chunks import Remembered, cut, read_chunk
from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.parse import MAX_CHARACTERS, MAX_ERRORS, MAX_LINES, parse
from mfc.dsl.render import json_line, one_line, render
from mfc.dsl.source import Source, Span
from tests.dump import dump

CASES = Path(__file__).parents[1] / "cases" / "parse"
VALID = {spec.stem: spec.read_text(encoding="utf-8") for spec in sorted((CASES / "valid").glob("*.mfs"))}
SPECS = list(VALID.values())
AT_COLUMN_0 = [
    text for name, text in VALID.items() if name not in ("column_zero", "lines")
]  # and nothing else is
WORDS = [
    "==",
    "->",
    "..",
    "if",
    "else",
    "for",
    "in",
    "True",
    "elif",
    "lambda",
    '"""',
    "1e999",
    "let",
    "group",
    "phase",
]
PIECES = st.sampled_from(
    [*"(){}[]=:,.+-*/<>!#\"'\\\n\t\r x1é👩\0", *WORDS, "\nmodel m {\n", "\nlet b = 2\n", "\n}\n"]
)


def read(text: str) -> tuple[syntax.File, list[Diagnostic]]:
    diagnostics = Diagnostics()
    return parse(Source("test.mfs", text), diagnostics), list(diagnostics)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A valid spec with up to three changes: a part cut out, put in, doubled or moved."""
    text = draw(st.sampled_from(SPECS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        part = draw(PIECES) if draw(st.booleans()) else text[start:end] * 2
        text = text[:start] + part * draw(st.integers(0, 2)) + text[end:]
    return text


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each node of a tree with the node that holds it."""
    waiting = [(value, None)]
    while waiting:
        node, parent = waiting.pop()
        if isinstance(node, (tuple, list)):
            waiting += [(item, parent) for item in node]
        elif is_dataclass(node) and not isinstance(node, (Span, Source)):
            yield node, parent
            waiting += [(getattr(node, field.name), node) for field in fields(node)]


def named(file: syntax.File) -> dict[str, syntax.Decl]:
    """The declarations of a file that have a name, by it."""
    names = [(getattr(declaration, "name", None), declaration) for declaration in file.declarations]
    return {name.text: declaration for name, declaration in names if name}


def shape(value: Any) -> Any:
    """A tree as plain data, spans as pairs."""
    if isinstance(value, Span):
        return value.start, value.end
    if isinstance(value, (tuple, list)):
        return [shape(item) for item in value]
    if is_dataclass(value) and not isinstance(value, Source):
        return [
            type(value).__name__,
            *(shape(getattr(value, f.name)) for f in fields(value) if f.name != "source"),
        ]
    return value


@settings(max_examples=400)
@given(damaged())
def test_no_text_breaks_the_parser(text: str) -> None:
    file, found = read(text)
    for node, parent in nodes([*file.declarations, *file.comments]):
        span = node.span
        assert span.source is file.source
        assert 0 <= span.start <= span.end <= len(text)
        if parent is not None:
            assert parent.span.start <= span.start and span.end <= parent.span.end, (parent, node)
    for diagnostic in found:
        spans = [diagnostic.span, *(span for span, _ in diagnostic.labels)]
        assert all(0 <= span.start <= span.end <= len(text) for span in spans)
        assert diagnostic.fix is None or 0 <= diagnostic.fix.span.start <= diagnostic.fix.span.end <= len(
            text
        )
        assert render(diagnostic) and one_line(diagnostic) and json_line(diagnostic)
    broken = [
        node
        for node, _ in nodes(list(file.declarations))
        if isinstance(node, syntax.BrokenDecl | syntax.Missing)
    ]
    assert found or not broken, "what could not be read is reported"


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_text_at_all(text: str) -> None:
    file, _ = read(text)
    assert file.source.text == text


@settings(max_examples=150)
@given(damaged(), damaged())
def test_the_cache_changes_nothing(first: str, second: str) -> None:
    read_chunk.clear()
    fresh = shape(read(second))
    read(first)
    again = shape(read(second))
    moved, found = read("# one line more\n" + second)
    assert fresh == again
    if not second.startswith("\ufeff"):
        assert [d.code for d in found] == [d[1] for d in fresh[1]]
        assert len(moved.declarations) == len(fresh[0][1])


def test_only_the_chunk_that_was_edited_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"block b{i}(nf) {{\n    linear(nf)\n}}\n" for i in range(20))
    read_chunk.clear()
    read(text)
    again: list[str] = []
    whole = read_chunk.function
    monkeypatch.setattr(read_chunk, "function", lambda chunk: again.append(chunk) or whole(chunk))
    read("# above\n" + text.replace("b7(nf) {\n    linear(", "b7(nf) {\n    liner("))
    assert again == ["# above\n", "block b7(nf) {\n    liner(nf)\n}\n"]


def test_what_is_remembered_of_texts_is_bounded() -> None:
    made: list[str] = []
    remembered = Remembered(lambda text: made.append(text) or len(text), 10)
    for text in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb", "d" * 20, "d" * 20, "aaaa"):
        assert remembered(text) == len(text)
    assert made == ["aaaa", "bbbb", "cccc", "bbbb", "d" * 20, "aaaa"]


def inner_places(text: str) -> list[tuple[int, int, int]]:
    """The places within the lines of each declaration but its first, with where the declaration starts and ends."""
    return [
        (start, end, at)
        for start, end in cut(text)
        for at in range(text.find("\n", start, end) + 1 or end, end)
        if "\n" not in text[at - 1 : at + 1]
    ]


@settings(max_examples=150)
@given(st.sampled_from([text for text in AT_COLUMN_0 if inner_places(text)]), st.data())
def test_a_mistake_spoils_one_declaration(text: str, data: st.DataObject) -> None:
    start, end, at = data.draw(st.sampled_from(inner_places(text)))
    file, _ = read(text[:at] + data.draw(st.sampled_from("(){}[]=:,\"'!")) + text[at:])
    here = named(read(text[start:end])[0])
    left = named(file)
    for name in named(read(text)[0]):
        assert name in left, "a broken declaration is still known by its name"
        assert name in here or not isinstance(left[name], syntax.BrokenDecl)


@settings(max_examples=100)
@given(st.data())
def test_a_fix_mends_what_it_is_for(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([spec.read_text() for spec in sorted(CASES.glob("invalid/*/*.mfs"))]))
    _, found = read(text)
    fixable = [diagnostic for diagnostic in found if diagnostic.fix]
    assume(fixable)
    chosen = data.draw(st.sampled_from(fixable))
    fix = chosen.fix
    assert fix is not None
    _, left = read(text[: fix.span.start] + fix.text + text[fix.span.end :])
    same = [d for d in left if (d.code, d.message) == (chosen.code, chosen.message)]
    before = [d for d in found if (d.code, d.message) == (chosen.code, chosen.message)]
    assert len(same) < len(before)


@pytest.mark.parametrize("name", VALID)
def test_line_ends_and_marks_of_order_mean_nothing(name: str) -> None:
    expected = dump(read(VALID[name])[0])
    for text in (VALID[name].replace("\n", "\r\n"), "\ufeff" + VALID[name]):
        file, found = read(text)
        assert found == []
        assert dump(file) == expected


def test_comments_survive() -> None:
    text = VALID["documentation"]
    file, _ = read(text)
    assert [c.text for c in file.comments] == [
        line[line.index("#") :].rstrip() for line in text.splitlines() if "#" in line
    ]
    assert all(comment.span.text == comment.text for comment in file.comments)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    ["let a = 1\n" * 1_000_000, "\n" * MAX_LINES, "#" * (MAX_CHARACTERS + 1)],
    ids=["lines", "empty", "long"],
)
def test_a_large_file_is_not_read(text: str) -> None:
    file, (only,) = read(text)
    assert only.code == "E0116"
    assert file.declarations == ()


def test_a_file_at_the_limits_is_read() -> None:
    text = "let a = 1\n" * (MAX_LINES - 1)
    file, found = read(text)
    assert found == [] and len(file.declarations) == MAX_LINES - 1


@pytest.mark.parametrize("bad", ["let a = [1 2]\n", "let a = 1 $\n", "foo(\n", "}\n", "block b {\n"])
def test_of_many_errors_the_first_are_shown(bad: str) -> None:
    _, found = read(bad * 300)
    assert 1 <= len(found) <= MAX_ERRORS
    if len(found) == MAX_ERRORS:
        assert "are not shown" in found[-1].notes[-1]


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + part * 3_000
        for part in ("(", "[", "f(", "-", "not ", "if a then ", "1 + ", "a.", "{", "a[")
    ]
    + [
        "block b() { " + part * 2_000
        for part in ("if a { ", "group g { ", "let s = branch { ", "if a { } else ")
    ]
    + ["let a = b" + part * 3_000 for part in (".c", "()", "[0]", " + 1", " ** 2", " < 1", " 2")],
    ids=lambda text: text[:20].strip(),
)
def test_depth_is_limited(text: str) -> None:
    _, found = read(text)
    assert found
