"""Near names."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.suggest import did_you_mean, distance, near

WORDS = st.text("abc", max_size=6)


@cache
def by_definition(a: str, b: str) -> int:
    """Optimal string alignment, written as its recursion."""
    if not a or not b:
        return len(a) + len(b)
    best = min(
        by_definition(a[:-1], b) + 1,
        by_definition(a, b[:-1]) + 1,
        by_definition(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    )
    if a[-2:] == b[-2:][::-1] and len(a) > 1 and len(b) > 1:
        best = min(best, by_definition(a[:-2], b[:-2]) + 1)
    return best


@given(WORDS, WORDS, st.integers(0, 6))
def test_distance_is_what_its_definition_says(a: str, b: str, limit: int) -> None:
    assert distance(a, b, limit) == min(by_definition(a, b), limit + 1)


@pytest.mark.parametrize(
    ("word", "names", "expected"),
    [
        ("resise", ["resize", "rotate", "reset"], ["resize"]),
        ("modle", ["model", "let"], ["model"]),
        ("RandomCrop", ["random_crop", "random_resized_crop"], ["random_crop"]),
        ("acuracy", ["accuracy", "error_rate"], ["accuracy"]),
        ("x", ["y", "z"], []),
        ("same", ["same"], []),
        ("top_k", ["top_k_accuracy"], []),
    ],
)
def test_near(word: str, names: list[str], expected: list[str]) -> None:
    assert near(word, names) == expected


def test_did_you_mean() -> None:
    assert did_you_mean("resise", ["resize"]) == "did you mean `resize`?"
    assert did_you_mean("resise", ["flip"]) == ""
