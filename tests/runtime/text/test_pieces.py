from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from mfc.runtime.errors import RunError
from mfc.runtime.text import pieces, pool
from mfc.runtime.text.pieces import sentencepiece
from mfc.runtime.text.rules import apply_rules
from mfc.runtime.text.tokenizer import SPECIAL, Encoder
from tests.runtime.text.test_english import GOLDEN
from tests.runtime.text.test_rules import TEXTS

CORPUS = [text for text, _ in GOLDEN["rules"]]
SIZES = {"unigram": 300, "bpe": 400}


def nothing(done: int) -> None:
    pass


@pytest.fixture(scope="module", params=[("unigram", True), ("unigram", False), ("bpe", True)])
def fitted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Encoder, bool]:
    model, rules = request.param
    folder = tmp_path_factory.mktemp("pieces")
    tokenizer = sentencepiece(SIZES[model], model, rules)
    tokenizer.fit(CORPUS, folder, 1, nothing)
    return folder, tokenizer.load(folder), rules


def test_the_files_and_the_vocabulary(fitted: tuple[Path, Encoder, bool]) -> None:
    folder, encoder, _ = fitted
    assert sorted(file.name for file in folder.iterdir()) == ["sentencepiece.model", "vocab.json"]
    assert len(encoder.vocab) in SIZES.values()
    assert encoder.vocab[:10] == [*SPECIAL, "<unk>"]
    assert not [piece for piece in encoder.vocab if "▁" in piece[1:]]  # no piece crosses a space


@given(text=TEXTS)
def test_ids_are_the_librarys_on_the_text_after_the_rules(
    fitted: tuple[Path, Encoder, bool], text: str
) -> None:
    folder, encoder, rules = fitted
    text = re.sub("[▁\x0b\x1c-\x1f\x85]", "", text.encode("utf-8", "replace").decode())
    (ids,) = encoder.encode([text])
    assert ids[0] == 2
    assert ids.max() < len(encoder.vocab)
    library = SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    whole = library.encode(apply_rules(text) if rules else text, out_type=int)
    if not rules or re.search(r"(\S)\1|(\S\S+)\2", text) is None:  # runs have cuts that are equally likely
        assert ids[1:].tolist() == [0 if i == 9 else i for i in whole]
    assert encoder.tokens(text) == [encoder.vocab[i] for i in ids]


@given(words=st.lists(st.sampled_from(["call", "me", "years", "ago", "universal", "wife"]), max_size=9))
def test_known_words_are_decoded_as_they_were(fitted: tuple[Path, Encoder, bool], words: list[str]) -> None:
    _, encoder, rules = fitted
    text = " ".join(words)
    decoded = encoder.decode(next(encoder.encode([text])).tolist())
    assert decoded == text
    if rules:
        text = "Call ME !!!! wife wife wife"
        assert encoder.decode(next(encoder.encode([text])).tolist()).replace(" !", "!") == text.replace(
            " !", "!"
        )


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_processes_change_nothing(
    tmp_path: Path, model: Literal["unigram", "bpe"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BATCH", 500)
    monkeypatch.setattr(pool, "SMALL", 1)
    tokenizer = sentencepiece(SIZES[model], model, max_chars=pieces.PASSAGE)
    texts = [f"{text} {i}" for i in range(4) for text in CORPUS]
    shown: list[int] = []
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        tokenizer.fit(iter(texts), tmp_path / str(processes), processes, shown.append)
    assert shown[-1] == len(texts)
    for name in ("sentencepiece.model", "vocab.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    encoder = tokenizer.load(tmp_path / "1")
    whole = [next(encoder.encode([text])).tolist() for text in texts]
    assert [ids.tolist() for ids in encoder.encode(iter(texts))] == whole
    assert [ids.tolist() for ids in encoder.encode(iter(texts), 2)] == whole


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_a_vocabulary_larger_than_the_texts_allow(tmp_path: Path, model: Literal["unigram", "bpe"]) -> None:
    with pytest.raises(RunError, match="R0121") as error:
        sentencepiece(8_000, model).fit(CORPUS, tmp_path, 1, nothing)
    found = re.search(r"vocab_size = (\d+)", str(error.value))
    assert found
    assert not list(tmp_path.iterdir())
    sentencepiece(int(found[1]), model).fit(CORPUS, tmp_path, 1, nothing)
    assert len(sentencepiece().load(tmp_path).vocab) == int(found[1])
    with pytest.raises(RunError, match="R0121"):
        sentencepiece(int(found[1]) + 1, model).fit(CORPUS, tmp_path, 1, nothing)


def test_a_vocabulary_without_room_for_the_characters(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="R0122") as error:
        sentencepiece(20).fit(CORPUS, tmp_path, 1, nothing)
    found = re.search(r"vocab_size = (\d+)` or more", str(error.value))
    assert found
    sentencepiece(int(found[1])).fit(CORPUS, tmp_path, 1, nothing)


@pytest.mark.parametrize("texts", [[], ["", " \n \n"]])
@pytest.mark.parametrize("rules", [True, False])
def test_without_texts(tmp_path: Path, texts: list[str], rules: bool) -> None:
    with pytest.raises(RunError, match="R0120"):
        sentencepiece(100, rules=rules).fit(texts, tmp_path, 1, nothing)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_damaged_model(tmp_path: Path, content: bytes | None) -> None:
    sentencepiece(200).fit(CORPUS, tmp_path, 1, nothing)
    file = tmp_path / "sentencepiece.model"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RunError, match="R0123"):
        sentencepiece(200).load(tmp_path)


def test_unknown_characters_are_xxunk(fitted: tuple[Path, Encoder, bool]) -> None:
    assert 0 in next(fitted[1].encode(["\u0c85"])).tolist()
    assert 9 not in next(fitted[1].encode(["\u0c85 \udcff"])).tolist()


def test_long_lines_are_cut_and_much_text_is_drawn_from(tmp_path: Path) -> None:
    line = "all kinds of words in one very long line " * 1_000
    assert max(map(len, pieces._cut_line(line))) <= pieces.LINE
    assert "".join(pieces._cut_line(line)) == line
    texts = [f"{line} {i}" for i in range(20)]
    kept = sentencepiece(max_chars=100_000)._read(texts, 1, nothing)
    assert 80_000 < sum(map(len, kept)) <= 100_000
    assert kept == sentencepiece(max_chars=100_000)._read(iter(texts), 2, nothing)
