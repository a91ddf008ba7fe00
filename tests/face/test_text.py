"""Texts from raw files to a classifier: tokenizer, language model, encoder handed over, gradual unfreezing."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mfc
from mfc.cli import main

SPEC = """
tokenizer pieces = words(min_freq = 1, fit_on = corpus.train.texts)

data corpus: text -> next_token(seq_len = 8) {
    source     = text_files("corpus")
    split      = random(valid = 0.2)
    tokenizer  = pieces
    batch_size = 4
}

data reviews(backwards: bool = false): text(backwards = backwards) -> category {
    source     = text_files("reviews")
    split      = stratified(valid = 0.25)
    label      = parent()
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}

let encoder = awd_lstm(emb_size = 12, hidden_size = 16, layers = 2)
model lm  = language_model(encoder, drop_mult = 0.1)
model clf = text_classifier(encoder, classes = reviews().classes, seq_len = 8, max_len = 64, drop_mult = 0.1)

train pretrain {
    data      = corpus
    model     = lm
    loss      = cross_entropy()
    optimizer = adam(wd = 0.1)
    schedule  = one_cycle(lr = 2e-2)
    callbacks = [rnn_regularizer(alpha = 2, beta = 1), gradient_clip(0.5)]
    metrics   = [accuracy(), perplexity()]
    epochs    = 2
}

train classify {
    data     = reviews()
    model    = clf
    weights  = pretrain.encoder
    loss     = cross_entropy()
    metrics  = [accuracy()]
    phase head { freeze_to = -1  epochs = 1  schedule = one_cycle(lr = 2e-2) }
    phase all  { freeze_to = 0  epochs = 12  schedule = one_cycle(lr = spread(2e-2)) }
}
"""

GOOD, BAD = ("fine lovely great warm", "dull awful poor cold")
MIDDLE = [
    "the",
    "film",
    "was",
    "a",
    "{}",
    "piece",
    "of",
    "work",
    "and",
    "its",
    "people",
    "are",
    "{}",
    "in",
    "it",
]


def sentence(words: str, draw: random.Random) -> str:
    return " ".join(w.format(draw.choice(words.split())) for w in MIDDLE).capitalize() + "."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(0)
    for name, words in (("good", GOOD), ("bad", BAD)):
        (folder / "reviews" / name).mkdir(parents=True)
        for i in range(24):
            text = "\n".join(sentence(words, draw) for _ in range(draw.randint(1, 3)))
            (folder / "reviews" / name / f"{i}.txt").write_text(text)
    (folder / "corpus").mkdir()
    for i in range(20):
        (folder / "corpus" / f"{i}.txt").write_text(
            " ".join(sentence(f"{GOOD} {BAD}", draw) for _ in range(4))
        )
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.run(folder / "spec.mfs")


def test_from_files_to_a_classifier(run: mfc.Run, folder: Path) -> None:
    assert set(run.ran) == {
        "corpus.files", "corpus.items", "pieces", "corpus.tokens", "pretrain", "reviews(backwards=false).files",
        "reviews(backwards=false).items", "reviews(backwards=false).tokenizer", "reviews(backwards=false).tokens",
        "classify.head", "classify.all",
    }  # fmt: skip
    assert run["pretrain"].result["perplexity"] < 30
    assert re.fullmatch(
        r"<TextLoaders: \d+ to train, \d+ to validate, 2 classes, \d+ tokens>",
        repr(run["classify"].learner.dls),
    )
    assert run["classify"].result["accuracy"] == 1
    assert mfc.run(folder / "spec.mfs").ran == []


def test_the_encoder_is_that_of_the_language_model_by_token(run: mfc.Run) -> None:
    head = load_file(run["classify.head"].weights)  # the encoder was frozen
    before = load_file(run["pretrain"].weights)
    assert torch.equal(head["encoder.rnn_1.weight_hh"], before["encoder.rnn_1.weight_hh"])
    theirs, ours = (mfc_vocab(run[name].folder) for name in ("pretrain", "classify.head"))
    assert theirs != ours
    rows, own = before["encoder.embedding.weight"], head["encoder.embedding.weight"]
    for i, token in enumerate(ours):
        expected = rows[theirs.index(token)] if token in theirs else rows.mean(0)
        assert torch.allclose(own[i], expected, atol=1e-6), token


def mfc_vocab(folder: Path) -> list[str]:
    from mfc.runtime.text.vocab import read_vocab

    return read_vocab(folder)


def test_another_recipe_of_the_classifier_trains_the_classifier_alone(folder: Path, run: mfc.Run) -> None:
    other = folder / "other.mfs"
    other.write_text(SPEC.replace("epochs = 12", "epochs = 1"))
    job = mfc.Job(mfc.load(other), folder / ".mfc")
    assert [s.stage.name for s in job.status() if s.state != "up to date"] == ["classify.all"]


def test_raw_texts_are_classified_by_the_tokenizer_of_the_run(run: mfc.Run) -> None:
    for text, label in ((sentence(GOOD, random.Random(7)), "good"), (sentence(BAD, random.Random(7)), "bad")):
        said = run["classify"].predict(text)
        assert said.label == label and said.probabilities[label] > 0.5
    mattered = dict(run["classify"].attention("the film was a awful piece of work"))
    assert max(mattered, key=lambda token: mattered[token]) == "awful"
    with pytest.raises(mfc.RunError, match="no label `so-so`"):
        run["classify"].attention("the film", "so-so")


def test_a_language_model_goes_on_with_a_text(run: mfc.Run) -> None:
    text = run["pretrain"].generate("The film was", count=8, temperature=0.5, top_k=5)
    assert text.startswith("The film was ") and len(text.split()) > 5
    assert text == run["pretrain"].generate("The film was", count=8, temperature=0.5, top_k=5)
    with pytest.raises(mfc.RunError, match="no language model"):
        run["classify"].generate("The film")
    with pytest.raises(mfc.RunError, match="a language model, which predicts no labels"):
        run["pretrain"].predict("The film")
    for wrong in ({"temperature": 0}, {"top_k": 0}, {"count": -1}):
        with pytest.raises(mfc.RunError, match=f"`{next(iter(wrong))}` is "):
            run["pretrain"].generate("The film", **wrong)
    with pytest.raises(mfc.RunError, match="not from list"):
        run["classify"].predict(["The film"])  # type: ignore[arg-type]


def test_a_model_that_reads_backwards(folder: Path) -> None:
    spec = folder / "backwards.mfs"
    text = SPEC.replace("next_token(seq_len = 8)", "next_token(seq_len = 8, backwards = true)")
    spec.write_text(text.replace("backwards: bool = false", "backwards: bool = true"))
    run = mfc.run(spec)
    assert run["classify"].result["accuracy"] > 0.8
    text = run["pretrain"].generate("in it.", count=8, temperature=0.5)
    assert text.endswith("in it.") and len(text.split()) > 4


def test_what_the_command_line_shows(folder: Path, run: mfc.Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shown in (
        ("lm", ["encoder.rnn_1", "TiedDecoder"]),
        ("clf", ["encoder.embedding", "head.linear_1"]),
        ("corpus", ["a batch of train: (4, 8) int64: ", "film was"]),
        ("reviews(backwards=false)", ["2 classes, with their items in train: bad (18), good (18)"]),
    ):
        assert main(["show", str(folder / "spec.mfs"), name]) == 0
        out = capsys.readouterr().out
        assert all(part in out for part in shown), out


def test_forwards_and_backwards_together(
    folder: Path, run: mfc.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC.replace("train classify {", "train classify(backwards: bool = false) {")
    text = text.replace("data     = reviews()", "data     = reviews(backwards)").replace(
        "epochs = 12", "epochs = 2"
    )
    (folder / "both.mfs").write_text(
        f"{text}let directions = [classify(b) for b in [false, true]]\n"
        "evaluate both { model = ensemble(directions)  metrics = [accuracy(), top_k_accuracy(1)] }\n"
        "evaluate each { model = directions  metrics = [accuracy()]  data = reviews(false).train }\n"
    )
    found = mfc.compile(folder / "both.mfs").run(["both"])
    both = found.evaluations["both"]
    preds = [found[f"classify(backwards={b})"].learner.get_preds() for b in ("false", "true")]
    order = [p.items.argsort() for p in preds]
    averaged = torch.stack([p.probabilities[o] for p, o in zip(preds, order)]).mean(0)
    assert preds[0].targets is not None
    right = averaged.argmax(1) == preds[0].targets[order[0]]
    assert both.result == {
        "accuracy": pytest.approx(right.float().mean().item()),
        "top_k_accuracy": both.result["accuracy"],
    }
    alone = [found[f"classify(backwards={b})"].result["accuracy"] for b in ("false", "true")]
    assert [measured["accuracy"] for measured in both.each.values()] == pytest.approx(alone)
    assert main(["run", str(folder / "both.mfs"), "--target", "both"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("everything is up to date") and "of 2 models together; accuracy of each" in shown
    # the other direction is asked about the same texts, which it reads backwards as in its training
    each = mfc.compile(folder / "both.mfs").run(["each"]).evaluations["each"].each
    for name, measured in each.items():
        learner = found[name.removesuffix(".all")].learner
        said = learner.get_preds(learner.dls.evaluation("train"))
        assert said.targets is not None
        right = (said.decoded == said.targets).float().mean().item()
        assert measured["accuracy"] == pytest.approx(right), name


def test_trains_that_hand_their_parameters_on(folder: Path) -> None:
    """What a body refers to while its own parameters have no values is nothing to run."""
    text = SPEC.replace("train pretrain {", "train pretrain(seed: int) {\n    seed = seed")
    text = text.replace("train classify {", "train classify(seed: int) {\n    seed = seed")
    text = text.replace("pretrain.encoder", "pretrain(seed).encoder")
    (folder / "handed.mfs").write_text(
        f"{text}evaluate one {{ model = classify(3)  metrics = [accuracy()] }}\n"
    )
    names = [status.stage.name for status in mfc.compile(folder / "handed.mfs").status()]
    assert {"pretrain(seed=3)", "classify(seed=3).all", "one"} < set(names)
    assert not any("?" in name for name in names)
