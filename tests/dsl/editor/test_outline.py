"""What files declare."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from mfc.dsl.editor.outline import Entry, outline, workspace_symbols
from tests.dsl.editor.damage import damaged
from tests.dsl.editor.documents import of_text

TEXT = """import "std/cnn.mfs" (cnn)\r
## 😀 How wide
param width: int = 16 in 1..64   # pixels
let widths = [\r
    width,  # the first
    2 * width,
]
data digits(fold: int = 0): image(seed = 1) -> category {
    source = builtin("digits")
}
tokenizer words_of = words(max_vocab = 60_000)
block broken(nf) { if then nf }
block plain { relu() }
model net(
    classes,  # how many
    act = true,
) {
    group body {
        let shortcut = branch { relu() }
        if act { group inner { relu() } }
        for i in range(2) { let wide = 2 *
            i }
    }
}
train fit {
    phase head { epochs = 1 }
    phase all  { epochs = 2 }
}
evaluate
"""
EXPECTED = """
width param: int = 16 in 1..64
widths let: [ width, 2 * width, ]
digits data: (fold: int = 0): image(seed = 1) -> category
words_of tokenizer: words(max_vocab = 60_000)
broken block:
plain block:
net model: ( classes, act = true, )
  body group:
    shortcut tensor: branch
    inner group:
    wide variable: 2 * i
fit train:
  head phase:
  all phase:
"""


def shown(entries: list[Entry], depth: int = 0) -> str:
    lines = [f"{'  ' * depth}{e.name} {e.kind}: {e.detail}".rstrip() for e in entries]
    return "".join(f"{line}\n{shown(list(e.children), depth + 1)}" for line, e in zip(lines, entries))


def test_the_outline_has_what_is_declared_and_named_within() -> None:
    assert "\n" + shown(outline(of_text(TEXT).file)) == EXPECTED


def test_long_details_are_cut() -> None:
    (entry,) = outline(of_text(f"let many = [{'11, ' * 50}]\n").file)
    assert len(entry.detail) == 80 and entry.detail.endswith("11…")


@settings(max_examples=60)
@given(damaged())
def test_entries_stand_within_one_another_and_apart(text: str) -> None:
    def check(entries: list[Entry], start: int, end: int) -> None:
        for entry in entries:
            assert start <= entry.span.start <= entry.name_span.start
            assert entry.name_span.end <= entry.span.end <= end
            assert entry.name and entry.name_span.text == entry.name
            assert "\n" not in entry.detail
            check(list(entry.children), entry.span.start, entry.span.end)
            start = entry.span.end

    check(outline(of_text(text).file), 0, len(text))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fit", ["fit", "Fitted", "refit", "first_item"]),
        ("FIT", ["fit", "Fitted", "refit", "first_item"]),
        ("all", ["all", "small"]),
        ("fti", ["first_item"]),
        ("nothing", []),
    ],
)
def test_symbols_of_several_files_are_found_by_a_part_of_their_name(query: str, expected: list[str]) -> None:
    one = of_text("let refit = 1\ntrain fit { phase all { } }\nblock { 😀\nlet small = 2\n", "one")
    two = of_text("let first_item = 1\nlet Fitted = 3\n", "two")
    assert [
        found.entry.name for found in workspace_symbols([(d.path, d.file) for d in (one, two, one)], query)
    ] == expected


def test_symbols_tell_their_file_and_what_they_stand_in() -> None:
    document = of_text("train fit { let a = 1  phase all { } }\nmodel net { group body { relu() } }\n")
    found = [
        (f.entry.name, f.path, f.container) for f in workspace_symbols([(document.path, document.file)], "")
    ]
    path = "/spec/main.mfs"
    assert found == [("fit", path, ""), ("all", path, "fit"), ("net", path, ""), ("body", path, "net")]
