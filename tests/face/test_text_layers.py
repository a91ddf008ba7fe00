"""Models of texts that are put together from layers: the number of tokens comes from the data."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc
from mfc.cli import main

DATA = """
tokenizer tokens = words(max_vocab = 200, fit_on = passages.train.texts)

data passages: text -> TARGET {
    source     = builtin_texts("authors")
    split      = subset(grandparent(), train = 128, valid = 64)
    LABEL
    tokenizer  = TOKENIZER
    batch_size = 32
}

train fit {
    data    = passages
    model   = net
    loss    = cross_entropy()
    metrics = [METRIC]
    epochs  = 1
}
"""


def run(folder: Path, model: str, tokenizer: str, target: str, metric: str) -> mfc.Run:
    label = "label = parent()" if target == "category" else ""
    text = DATA.replace("TARGET", target).replace("LABEL", label).replace("METRIC", metric)
    spec = folder / "passages.mfs"
    spec.write_text(text.replace("TOKENIZER", tokenizer) + model)
    return mfc.run(spec)


CLASSIFIERS = {
    "conv1d": "transpose()  conv1d(8)  relu()  adaptive_max_pool1d()  flatten()",
    "gru": "gru(8)  transpose()  adaptive_concat_pool1d()  flatten()",
}


@pytest.mark.parametrize("tokenizer", ["tokens", "words(min_freq = 5)"])
@pytest.mark.parametrize("layers", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifiers(tmp_path: Path, layers: str, tokenizer: str) -> None:
    model = f"model net {{ embedding(passages.vocab_size, 8)  {layers}  linear(passages.classes) }}"
    done = run(tmp_path, model, tokenizer, "category", "accuracy()")["fit"]
    rows = done.learner.model.state_dict()["embedding.weight"].shape[0]
    if tokenizer == "tokens":
        assert rows == 200
    else:
        assert 10 < rows < 200
    assert 0 <= done.result["accuracy"] <= 1


def test_a_language_model_with_tied_weights(tmp_path: Path) -> None:
    model = """
model net {
    let words = module { embedding(passages.vocab_size, 8) }
    apply(words)
    lstm(8)
    linear(passages.vocab_size, tie = words)
    transpose()
}
"""
    done = run(tmp_path, model, "tokens", "next_token(seq_len = 16)", "perplexity()")["fit"]
    assert 1 < done.result["perplexity"] < 250
    weights = done.learner.model.state_dict()
    assert weights["words.embedding.weight"].data_ptr() == weights["linear.weight"].data_ptr()


def test_another_number_of_tokens_is_told_before_training(tmp_path: Path) -> None:
    model = "model net { embedding(passages.vocab_size, 8)  linear(7)  transpose() }"
    with pytest.raises(mfc.SpecError) as caught:
        run(tmp_path, model, "tokens", "next_token(seq_len = 16)", "perplexity()")
    (said,) = caught.value.diagnostics
    assert said.code == "E0503"
    assert said.message == "the model gives (batch, 7, tokens), and `passages` has 200 tokens"
    assert said.help == "give the model `passages.vocab_size`"


def test_the_tokens_of_other_data_come_first(tmp_path: Path) -> None:
    other = (
        DATA.partition("train fit")[0]
        .replace("passages", "others")
        .replace("TOKENIZER", "words(min_freq = 4)")
    )
    other = other.replace("TARGET", "category").replace("LABEL", "label = parent()").partition("data")[2]
    layers = CLASSIFIERS["conv1d"]
    model = (
        f"model net {{ embedding(others.vocab_size, 8)  {layers}  linear(passages.classes) }}\ndata{other}"
    )
    done = run(tmp_path, model, "words(min_freq = 5)", "category", "accuracy()")
    assert "others.tokenizer" in done.ran and "others.tokens" not in done.ran
    assert len(done["fit"].history) == 1


def test_texts_that_are_too_short_are_told_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    layers = "embedding(passages.vocab_size, 8)  transpose()  max_pool1d(4)  adaptive_max_pool1d()  flatten()"
    model = f"model net {{ {layers}  linear(passages.classes) }}"
    trained = run(tmp_path, model, "words()", "category", "accuracy()")["fit"]
    long, failed = "to be, or not to be, that is the question", []
    for number, name in enumerate(("a", "long", "b")):
        Path(f"{number}.txt").write_text(long if name == "long" else name)
    said = dict(trained.predict_files(["0.txt", "1.txt", "2.txt"], batch_size=1, failed=failed.append))
    assert said == {"1.txt": trained.predict(long)}
    assert [(error.code, error.message.partition(": ")[0]) for error in failed] == [
        ("R0211", f"`{number}.txt` can't be predicted") for number in (0, 2)
    ]
    with pytest.raises(mfc.RunError, match="`text:2` can't be predicted: the layer `max_pool1d` failed"):
        list(trained.predict_texts([long, "", long], batch_size=1))
    capsys.readouterr()
    # one batch: the longest is too short as well
    assert main(["predict", "passages.mfs", "fit", "--text", "", "a", "--device", "cpu"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" can't")[0] for line in told if line.startswith("error")] == [
        f"error[R0211]: `text:{number}`" for number in (1, 2)
    ]
    assert told[-1] == "2 could not be predicted"
