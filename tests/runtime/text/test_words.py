from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.errors import RunError
from mfc.runtime.text import pool
from mfc.runtime.text.tokenizer import SPECIAL, ChunkEncoder
from mfc.runtime.text.words import words
from tests.runtime.text.test_english import GOLDEN
from tests.runtime.text.test_rules import TEXTS

CORPUS = [text for text, _ in GOLDEN["rules"]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ChunkEncoder:
    return fitted(words(min_freq=1), CORPUS, tmp_path_factory.mktemp("words"))


def fitted(tokenizer: words, texts: list[str], folder: Path, processes: int = 1) -> ChunkEncoder:
    tokenizer.fit(texts, folder, processes, lambda done: None)
    return tokenizer.load(folder)


@pytest.mark.parametrize("name", ["rules", "plain"])
def test_tokens_are_those_of_fastai(tmp_path: Path, name: str) -> None:
    encoder = fitted(words(min_freq=1, rules=name == "rules"), ["a"], tmp_path)
    assert len(GOLDEN[name]) >= 7
    for text, tokens in GOLDEN[name]:
        assert encoder.tokens(text) == tokens.split(" "), text


def test_the_vocabulary(tmp_path: Path) -> None:
    shown: list[int] = []
    tokenizer = words(max_vocab=12, min_freq=2)
    tokenizer.fit(["b b b c c xxmaj", "A a d d e", ""], tmp_path, 1, shown.append)
    assert shown == [3]
    assert [file.name for file in tmp_path.iterdir()] == ["vocab.json"]
    encoder = tokenizer.load(tmp_path)
    assert encoder.vocab == [
        *SPECIAL,
        "a",
        "c",
        "d",
    ]  # xxwrep took the b's; of equal ones the first by alphabet
    assert next(encoder.encode(["a e C xxfld"])).tolist() == [
        2,
        9,
        0,
        10,
        4,
    ]  # a single capital leaves no mark


@given(st.lists(TEXTS, max_size=4))
def test_ids_are_in_the_vocabulary_and_stand_for_the_tokens(encoder: ChunkEncoder, texts: list[str]) -> None:
    known = {token: i for i, token in enumerate(encoder.vocab)}
    for text, ids in zip(texts, encoder.encode(texts), strict=True):
        assert ids.dtype == np.int32
        assert ids[0] == 2
        assert ids.max() < len(encoder.vocab)
        assert ids.tolist() == [known.get(token, 0) for token in encoder.tokens(text)]


@given(st.lists(st.sampled_from(["call", "Me", "ISHMAEL", "years", "I", "Sea"]), max_size=9).map(" ".join))
def test_what_the_vocabulary_knows_is_decoded_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    encoder = fitted(
        words(min_freq=1), ["call me ishmael years i sea 3 4 5 6 7 8 9"], tmp_path_factory.mktemp("w")
    )
    ids = next(encoder.encode([text]))
    again = encoder.decode(ids.tolist())
    assert next(encoder.encode([again])).tolist() == ids.tolist()
    assert again.lower() == text.lower() or "xxwrep" in encoder.tokens(text)


def test_decoding_undoes_the_rules(encoder: ChunkEncoder) -> None:
    text = 'He LOVED it! "isn\'t," he said, (a well-known film) no no no wow!!!\nDr. No'
    assert encoder.decode(next(encoder.encode([text])).tolist()) == text


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "BATCH", 300)
    monkeypatch.setattr(pool, "SMALL", 1)


@pytest.mark.usefixtures("small_batches")
def test_processes_change_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    texts = CORPUS * 3
    first = fitted(words(min_freq=2), texts, one, 1)
    second = fitted(words(min_freq=2), texts, two, 2)
    assert (one / "vocab.json").read_bytes() == (two / "vocab.json").read_bytes()
    whole = [next(first.encode([text])).tolist() for text in texts]
    assert [ids.tolist() for ids in first.encode(iter(texts))] == whole
    assert [ids.tolist() for ids in second.encode(iter(texts), 3)] == whole


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("processes", [1, 2])
def test_texts_are_read_as_they_are_needed(encoder: ChunkEncoder, processes: int) -> None:
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "a long text " * 10

    stream = encoder.encode(texts(), processes)
    assert len(list(islice(stream, 5))) == 5
    assert read < 40
    stream.close()  # type: ignore[attr-defined]


@settings(max_examples=5)
@given(st.lists(TEXTS, max_size=6))
def test_no_texts_and_empty_texts(encoder: ChunkEncoder, texts: list[str]) -> None:
    assert list(encoder.encode([])) == []
    assert [ids.tolist() for ids in encoder.encode(["", *texts, " \n"])][:: len(texts) + 1] == [[2], [2]]


def test_a_document_of_a_million_tokens(encoder: ChunkEncoder) -> None:
    (ids,) = encoder.encode(["Some years ago—never mind: " * 125_000], 2)
    assert len(ids) == 1 + 8 * 125_000
    assert len(next(encoder.encode(["no " * 1_000_000]))) == 4
    assert len(next(encoder.encode(["ab" * 1_000_000]))) == 2


def test_without_frequent_tokens(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"R0125.*\n.*min_freq = 2"):
        words(min_freq=3).fit(["a b", "a c"], tmp_path, 1, lambda done: None)


@pytest.mark.parametrize("texts", [[], ["", " \n"], ["xxunk"]])
def test_without_texts(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(RunError, match="R0120"):
        words(min_freq=1).fit(texts, tmp_path, 1, lambda done: None)


@pytest.mark.parametrize("content", [None, "[", "[1, 2]", '["a"]', "{}"])
def test_a_damaged_folder(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(RunError, match="R0123"):
        words().load(tmp_path)


def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    encoder = fitted(words(min_freq=1), ["a \udcff b"], tmp_path)
    assert "\udcff" in encoder.vocab
    json.loads((tmp_path / "vocab.json").read_bytes())
