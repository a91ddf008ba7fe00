"""A table of texts, from the file to a trained classifier, and what a change of it makes stale."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

import mfc
from mfc.cli import main
from tests.face.test_text import BAD, GOOD, sentence

SPEC = """
param file: path = "reviews.csv"

data reviews: text -> category {
    source     = text_table(file, text = ["title", "body"])
    split      = by_column("is_valid")
    label      = column("sentiment")
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}

data stars: text -> value {
    source     = text_table(file, text = "body")
    split      = stratified(valid = 0.25)
    label      = column("stars")
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}

let encoder = awd_lstm(emb_size = 12, hidden_size = 16, layers = 2)

train classify {
    data     = reviews
    model    = text_classifier(encoder, classes = reviews.classes, seq_len = 8, max_len = 64, drop_mult = 0.1)
    loss     = cross_entropy()
    metrics  = [accuracy()]
    schedule = one_cycle(lr = 2e-2)
    epochs   = 12
}

train rate {
    data     = stars
    model    = text_classifier(encoder, classes = 1, seq_len = 8, max_len = 64, drop_mult = 0.1)
    loss     = mse()
    schedule = one_cycle(lr = 2e-2)
    epochs   = 12
}
"""


def write(file: Path, change: str = "") -> Path:
    """Reviews whose words tell what they think, each with a second line and quotes in it."""
    draw = random.Random(0)
    with file.open("w", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(["title", "body", "sentiment", "stars", "is_valid"])
        for i in range(64):
            good = i % 2 == 0
            body = f'{sentence(GOOD if good else BAD, draw)}\r\nThe "end", they said.'
            table.writerow([f"No. {i}", body + change, "good" if good else "bad", 1 + 3 * good, i % 8 > 5])
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    write(folder / "reviews.csv")
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.run(folder / "spec.mfs")


def stale(folder: Path, spec: str = SPEC, **values: object) -> list[str]:
    """The stages of the classifier that would run."""
    (folder / "spec.mfs").write_text(spec)
    job = mfc.Job(mfc.load(folder / "spec.mfs", **values), folder / ".mfc")
    found = [s.stage.name for s in job.status() if s.state != "up to date"]
    return [name.removeprefix("reviews.") for name in found if not name.startswith(("stars.", "rate"))]


def test_from_a_table_to_a_classifier(run: mfc.Run, folder: Path) -> None:
    assert run["classify"].result["accuracy"] == 1
    assert run["rate"].result["valid_loss"] < 2  # of the mean: 2.25
    assert run["classify"].predict(sentence(GOOD, random.Random(7))).label == "good"
    assert mfc.run(folder / "spec.mfs").ran == []


def test_show_tells_of_the_rows(run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spec.mfs").write_text(SPEC)
    assert main(["show", str(folder / "spec.mfs"), "reviews"]) == 0
    out = capsys.readouterr().out
    assert "bad (24), good (24)" in out and "xxfld 1" in out and "xxfld 2" in out, out


def test_a_moved_table_is_the_same(run: mfc.Run, folder: Path) -> None:
    (folder / "other").mkdir()
    write(folder / "other" / "moved.csv")
    assert stale(folder, file=str(folder / "other" / "moved.csv")) == []


def test_another_column_of_texts_leaves_the_items(run: mfc.Run, folder: Path) -> None:
    text = SPEC.replace('text = ["title", "body"]', 'text = "title"')
    assert stale(folder, text) == ["files", "tokenizer", "tokens", "classify"]


def test_another_column_of_labels_leaves_the_files(run: mfc.Run, folder: Path) -> None:
    text = SPEC.replace('column("sentiment")', 'column("stars")')
    assert stale(folder, text) == ["items", "tokenizer", "tokens", "classify"]


def test_other_rows_make_all_stale(run: mfc.Run, folder: Path) -> None:
    changed = str(write(folder / "changed.csv", "!"))
    assert stale(folder, file=changed) == ["files", "items", "tokenizer", "tokens", "classify"]


def test_how_the_table_is_read_makes_the_items_stale(run: mfc.Run, folder: Path) -> None:
    text = SPEC.replace("text_table(file, ", 'text_table(file, encoding = "latin-1", ')
    assert stale(folder, text) == ["files", "items", "tokenizer", "tokens", "classify"]


PARTS = """
import mfc


@mfc.labeler(reads_column=True)
class mood:
    "Good from so many stars on."

    def __init__(self, least: int = 3):
        self.reads_column, self.least = "stars", least

    def label(self, item: str, value: str) -> str:
        return "good" if int(value) >= self.least else "bad"


@mfc.splitter(reads_column=True)
class last_digit:
    "Rows whose titles end in a digit validate."

    def __init__(self, digit: str):
        self.reads_column, self.digit = "title", digit

    def split(self, items, values):
        parts = [], []
        for place, value in enumerate(values):
            parts[value.endswith(self.digit)].append(place)
        return parts
"""


def test_components_of_ones_own_read_columns(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv")
    (tmp_path / "parts.py").write_text(PARTS)
    text = SPEC.replace('column("sentiment")', "mood()").replace('by_column("is_valid")', 'last_digit("7")')
    spec = tmp_path / "spec.mfs"
    spec.write_text('use "parts.py" (mood, last_digit)\n' + text.replace("epochs   = 12", "epochs   = 1"))
    dls: Any = mfc.compile(spec).build("reviews")
    assert (dls.vocab, len(dls.items.valid), len(dls.items.train)) == (["bad", "good"], 6, 58)


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv")
    for old, new, said in (
        ('column("sentiment")', 'column("sentimant")', "did you mean `sentiment`?"),
        ('by_column("is_valid")', 'by_column("stars")', "its `stars` is `4`, neither true nor false"),
        ('by_column("is_valid")', 'by_column("sentiment", valid = "bad")', "R0107"),
    ):
        assert old in SPEC
        (tmp_path / "spec.mfs").write_text(SPEC.replace(old, new))
        with pytest.raises(mfc.RunError) as caught:
            mfc.run(tmp_path / "spec.mfs")
        assert said in str(caught.value)


def test_the_rows_of_a_new_table_are_predicted(
    run: mfc.Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.mfs").write_text(SPEC)
    with (tmp_path / "new.tsv").open("w", newline="") as opened:
        table = csv.writer(opened, delimiter="\t")
        table.writerow(["body", "title"])
        table.writerow([f"{sentence(GOOD, random.Random(7))}\nReally.", "a"])
        table.writerow([sentence(BAD, random.Random(7)), "b"])
    told = list(run["classify"].predict_files([tmp_path / "new.tsv"]))
    assert [(file, said.label) for file, said in told] == [
        (f"{tmp_path}/new.tsv:2", "good"),
        (f"{tmp_path}/new.tsv:4", "bad"),
    ]
    row = f"xxfld 1 a xxfld 2 {sentence(GOOD, random.Random(7))}\nReally."
    assert told[0][1].probabilities == pytest.approx(run["classify"].predict(row).probabilities, abs=1e-6)
    (tmp_path / "one.txt").write_text(row)
    assert [said.label for _, said in run["classify"].predict_files([tmp_path])] == ["good"]  # texts alone

    (tmp_path / "bad.csv").write_text("body\nThe film.\n")
    arguments = [
        str(folder / "spec.mfs"),
        "rate",
        *(str(tmp_path / f"{name}") for name in ("new.tsv", "bad.csv")),
    ]
    assert main(["predict", *arguments, "--csv", "--device", "cpu"]) == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["file", "value"] and [file for file, _ in rows[:2]] == [file for file, _ in told]
    assert len(rows) == 3
    assert main(["predict", str(folder / "spec.mfs"), "classify", str(tmp_path / "bad.csv")]) == 1
    assert "has no column `title`" in capsys.readouterr().err
