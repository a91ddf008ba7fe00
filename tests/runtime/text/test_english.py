from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.runtime.text.english import split_chunk
from mfc.runtime.text.words import join_words

GOLDEN = json.loads(Path(__file__).with_name("golden_words.json").read_text(encoding="utf-8"))
BITS = (
    "a", "Bc", "'", "’", ".", "..", "-", "--", ",", "(", ")", ":", "1", "n't", "'s", "km", "$", "don't", "!", '"', "é",
    "…", "@", "www.", "x.org", "://", "/", "_", "*", "+", "%", "°c", "=", "<3", "U.S.", "e.g.", ":(", "中", "™",
)  # fmt: skip


@pytest.mark.parametrize(
    ("chunk", "tokens"),
    [
        ("don't", "do n't"),
        ("Don’t", "Do n’t"),
        ("cannot", "can not"),
        ("(he's", "( he 's"),
        ("well-can't", "well - can't"),
        ("(:(", "( :("),
        ("''no'", "'' no '"),
        ("$12.50,", "$ 12.50 ,"),
        ("10km.", "10 km ."),
        ("U.S.", "U.S."),
        ("YES.", "YES ."),
        ("wait....", "wait ...."),
        ("8.8.8.8", "8.8.8.8"),
        ("a:b", "a : b"),
        ("jane@x.org,", "jane@x.org ,"),
        ("e.g.", "e.g."),
        ("10a.m.", "10 a.m."),
    ],
)
def test_a_chunk(chunk: str, tokens: str) -> None:
    assert split_chunk(chunk) == tokens.split()


@given(st.lists(st.sampled_from(BITS), max_size=12).map("".join))
def test_tokens_joined_are_the_chunk(chunk: str) -> None:
    tokens = split_chunk(chunk)
    assert "".join(tokens) == chunk
    assert all(tokens)


@pytest.mark.parametrize("chunk", ["()", "..)", "a.", "@a.", "':("])
def test_time_grows_with_length_only(chunk: str) -> None:
    start = time.perf_counter()
    assert "".join(split_chunk(chunk * 50_000)) == chunk * 50_000
    assert time.perf_counter() - start < 10


def test_readable_text() -> None:
    text = "“Yes,” he said (why?), \"I don't: it's a well-known $5 film...\" and left.\nThe end/start."
    tokens = [
        t
        for line in text.replace("\n", " \n ").split(" ")
        for t in ([line] if line.isspace() else split_chunk(line))
    ]
    assert join_words(tokens) == text
