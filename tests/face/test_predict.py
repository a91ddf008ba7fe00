"""New files through trained models: what is said of them is what `get_preds` says, in the order of the arguments."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mfc
from mfc.cli import main
from mfc.predicting import CHUNK, Predictor
from mfc.runtime.data.sources import builtin
from mfc.runtime.data.text_sources import builtin_texts
from mfc.runtime.training.predict import Prediction, Predictions
from tests.conftest import Golden
from tests.face.test_bad_input import OUTPUTS

SPEC = """
data digits(zoomed: bool = false): image -> category {
    source           = builtin("digits")
    split            = subset(stratified(valid = 0.2), train = 200, valid = 100)
    label            = parent()
    item_transforms  = [if zoomed then random_resized_crop(8, val_xtra = 0.14) else none]
    batch_transforms = [rotate(10), normalize(digits_stats)]
    batch_size       = 32
}
model net {
    conv2d(8)
    batchnorm()
    relu()
    flatten()
    linear(digits().classes)
}
train fit(zoomed: bool = false, seed: int = 42) {
    data     = digits(zoomed)
    model    = net
    loss     = cross_entropy()
    schedule = one_cycle(lr = 1e-2)
    epochs   = 3
    seed     = seed
}
train unsure { data = digits()  model = net  loss = bce()  epochs = 1 }

data passages(backwards: bool = false): text(backwards = backwards) -> category {
    source     = builtin_texts("authors")
    split      = subset(grandparent(), train = 60, valid = 40)
    label      = parent()
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}
data corpus: text -> next_token(seq_len = 20) {
    source     = builtin_texts("authors")
    split      = subset(grandparent(), train = 60, valid = 40)
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}
let encoder = awd_lstm(emb_size = 12, hidden_size = 16, layers = 1)
train classify(backwards: bool = false) {
    data   = passages(backwards)
    model  = text_classifier(encoder, classes = passages().classes)
    loss   = cross_entropy()
    epochs = 1
}
train pretrain { data = corpus  model = language_model(encoder)  loss = cross_entropy()  epochs = 1 }

evaluate images    { model = ensemble([fit(zoomed) for zoomed in [false, true]])  metrics = [accuracy()] }
evaluate both      { model = ensemble([classify(b) for b in [false, true]])  metrics = [accuracy()] }
evaluate each      { model = [classify(b) for b in [false, true]]  metrics = [accuracy()] }
"""

FIT, ZOOMED = "fit(zoomed=false, seed=42)", "fit(zoomed=true, seed=42)"
FORWARDS, BACKWARDS = "classify(backwards=false)", "classify(backwards=true)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.compile(folder / "spec.mfs").run(device="cpu", workers=0, progress=False)


@pytest.fixture(autouse=True)
def working(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def written(folder: Path, trained: mfc.Trained) -> list[str]:
    """The validation items of a model as files whose names are in the order of the items; gives their paths."""
    items = trained.learner.dls.items
    folder.mkdir(exist_ok=True)
    for number in items.valid:
        path = folder / f"{number:05}"
        if trained.stage.recipe["data"]["name"].startswith("digits"):
            builtin("digits").open(items.paths[number]).save(path.with_suffix(".png"))
        else:
            path.with_suffix(".txt").write_text(builtin_texts("authors").open(items.paths[number]))
    return sorted(map(str, folder.iterdir()))


def is_of(said: Prediction, found: Predictions, row: int) -> bool:
    return said == found[row]


@pytest.mark.parametrize("name", [FIT, ZOOMED, FORWARDS, BACKWARDS])
def test_files_are_predicted_as_validation_items_bit_for_bit(run: mfc.Run, tmp_path: Path, name: str) -> None:
    paths = written(tmp_path / "new", run[name])
    found = run[name].learner.get_preds()
    row_of = {item: row for row, item in enumerate(found.items.tolist())}
    again = mfc.compile("spec.mfs").trained(name, device="cpu", workers=1)
    for given in ([tmp_path / "new"], paths):
        told = list(again.predict_files(given))
        assert [file for file, _ in told] == paths and len(told) == len(found) >= 40
        for file, said in told:
            assert is_of(said, found, row_of[int(Path(file).stem)]), file
    one = again.predict_files(paths[:5], batch_size=1)
    for (_, said), file in zip(one, paths, strict=False):
        assert said.probabilities == pytest.approx(
            found[row_of[int(Path(file).stem)]].probabilities, abs=1e-6
        )


def test_one_path_and_one_text_stand_for_themselves(run: mfc.Run, tmp_path: Path) -> None:
    path = written(tmp_path / "new", run[FIT])[0]
    for one in (path, Path(path)):
        assert list(run[FIT].predict_files(one)) == list(run[FIT].predict_files([path]))
    text = "Of Man's first disobedience"
    assert list(run[FORWARDS].predict_texts(text)) == list(run[FORWARDS].predict_texts([text]))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_pillow_is_predicted_as_its_file(tmp_path: Path, channels: int) -> None:
    spec = SPEC.replace('builtin("digits")', f'image_files("photos", channels = {channels})')
    spec = spec.replace("train = 200, valid = 100", "train = 10, valid = 4")
    stats = "imagenet_stats" if channels == 3 else "digits_stats"
    spec = spec.replace("else none]", "else resize(8)]").replace("digits_stats", stats)
    (tmp_path / "spec.mfs").write_text(spec)
    for i in range(24):  # of several kinds, and large enough that the decoder of a JPEG skips pixels
        photo = Image.merge("RGB", [Image.effect_noise((80, 70), 90) for _ in range(3)])
        folder = tmp_path / "photos" / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        if i % 3 == 0:
            photo.save(folder / f"{i}.jpg")
        elif i % 3 == 1:
            photo.quantize(20).save(folder / f"{i}.png", transparency=3)
        else:
            Image.fromarray(np.array(photo)[..., 0].astype(np.uint16) * 257).save(folder / f"{i}.png")
    fit = mfc.compile(tmp_path / "spec.mfs").run([FIT], device="cpu", workers=0, progress=False)[FIT]
    for path in sorted((tmp_path / "photos").rglob("*.*")):
        said = fit.predict(path)
        for image in (Image.open(path), Image.open(io.BytesIO(path.read_bytes()))):
            before = image.size, image.mode
            assert fit.predict(image) == fit.predict(image) == said, path
            assert (image.size, image.mode) == before
            image.load()  # it was not closed
            assert path.suffix == ".jpg" or fit.predict(image) == said


def test_what_is_no_item(run: mfc.Run, tmp_path: Path) -> None:
    array = np.zeros((8, 8), np.uint8)
    for name, item, said in (
        (FIT, array, "an image is predicted from its path or an image of Pillow, not from ndarray"),
        (FIT, 3, "not from int"),
        (FIT, tmp_path, "is not one item"),
        (FORWARDS, Image.fromarray(array), "a text is predicted from a string, not from Image"),
        ("pretrain", "said Alice", "is a language model, which predicts no labels"),
    ):
        with pytest.raises(mfc.RunError, match=said) as raised:
            run[name].predict(item)  # type: ignore[arg-type]
        assert raised.value.code == "R0503"
        assert ("`PIL.Image.fromarray`" in str(raised.value)) == (item is array)
    with pytest.raises(mfc.RunError, match="by their paths, and Image is none"):
        next(run[FIT].predict_files([Image.fromarray(array)]))  # type: ignore[list-item]


def test_images_of_another_size_are_noted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfc.predicting._noted", set())
    any_size = SPEC.replace("    flatten()\n", "    adaptive_avg_pool()\n    flatten()\n")
    (tmp_path / "any.mfs").write_text(any_size)
    assert main(["run", str(tmp_path / "any.mfs"), "--target", FIT]) == 0
    for name, size in (("a", 8), ("b", 28), ("c", 30)):
        Image.new("L", (size, size)).save(tmp_path / f"{name}.png")
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "any.mfs"), FIT, str(tmp_path)]) == 0
    assert capsys.readouterr().err == (
        f"note: `{tmp_path}/b.png` is 28 x 28, and the model was trained on 8 x 8: "
        "the item transform `resize` brings images to one size\n"
    )


def test_texts_are_predicted_as_files_are(run: mfc.Run, tmp_path: Path) -> None:
    paths = written(tmp_path / "new", run[FORWARDS])
    texts = [Path(path).read_text() for path in paths]
    assert list(run[FORWARDS].predict_texts(texts)) == [
        said for _, said in run[FORWARDS].predict_files(paths)
    ]


def test_only_what_is_needed_is_read_ahead(run: mfc.Run, tmp_path: Path) -> None:
    read = 0

    def endless(thing: str) -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield thing

    image = written(tmp_path / "new", run[FIT])[0]
    fit = mfc.compile("spec.mfs").trained(FIT, device="cpu", workers=2)
    said = fit.predict_files(endless(image), batch_size=4)
    for number in range(500):
        assert next(said)[0] == image
        assert read <= number + 4 + CHUNK * 6
    read, texts = 0, run[FORWARDS].predict_texts(endless("All is well."), batch_size=1)
    for number in range(1, 5):
        next(texts)
        assert read == number


def test_what_can_not_be_read_is_told_while_files_are_read(run: mfc.Run, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield str(tmp_path / "broken.png")

    class Told(Exception):
        pass

    def failed(error: mfc.RunError) -> None:
        assert read <= 4 + CHUNK * 6
        raise Told

    fit = mfc.compile("spec.mfs").trained(FIT, device="cpu", workers=2)
    with pytest.raises(Told):
        next(fit.predict_files(endless(), batch_size=4, failed=failed))


def test_a_category_of_which_none_or_several_may_be_there(
    run: mfc.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = written(tmp_path / "new", run[FIT])
    told = dict(run["unsure"].predict_files(paths))
    assert any(len(said.label) != 1 for said in told.values())

    for top in ([], ["--top", "2"]):
        _, out, err = predict(capsys, "unsure", *paths, "--json", *top)
        assert err == ""
        for line, said in zip(map(json.loads, out.splitlines()), told.values(), strict=True):
            assert line["labels"] == said.label and "label" not in line
    _, out, _ = predict(capsys, "unsure", *paths, "--csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["file", "labels", *map(str, range(10))]
    assert [row[1] for row in rows[1:]] == [";".join(said.label) for said in told.values()]


def test_an_ensemble_says_the_mean(run: mfc.Run, tmp_path: Path) -> None:
    for name, members in (("images", (FIT, ZOOMED)), ("both", (FORWARDS, BACKWARDS))):
        paths = written(tmp_path / name, run[members[0]])
        together = mfc.compile("spec.mfs").predictor(name, device="cpu")
        each = [dict(run[member].predict_files(paths)) for member in members]
        told = dict(together.files(paths))
        assert list(told) == paths
        for file, said in told.items():
            alone = [torch.tensor(list(by[file].probabilities.values())) for by in each]
            mean = torch.stack(alone).mean(0)
            assert list(said.probabilities.values()) == mean.tolist()
            assert said.label == list(said.probabilities)[int(mean.argmax())]


def test_models_together_tell_the_same_classes_apart(run: mfc.Run) -> None:
    together = Predictor([run[FORWARDS], run[FIT]])
    with pytest.raises(
        mfc.RunError, match=r"tells 0, 1, .* apart, the first model of the ensemble carroll"
    ) as raised:
        next(together.texts("said Alice"))
    assert raised.value.code == "R0213"


# ── the command line ────────────────────────────────────────────────────────────────────────────────────


def predict(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["predict", "spec.mfs", *arguments, "--device", "cpu"])
    out, err = capsys.readouterr()
    return status, out, err


def test_what_the_command_line_prints(
    run: mfc.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = written(tmp_path / "new", run[FIT])
    told = dict(run[FIT].predict_files(paths))
    best = {
        file: sorted(said.probabilities.items(), key=lambda pair: -pair[1]) for file, said in told.items()
    }

    status, out, err = predict(capsys, FIT, str(tmp_path / "new"))
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"{file}: {b[0][0]} {b[0][1]:.1%}" for file, b in best.items()]

    _, out, _ = predict(capsys, FIT, *paths[:3], "--top", "3")
    for line, file in zip(out.splitlines(), paths[:3], strict=True):
        first, *others = (f"{label} {share:.1%}" for label, share in best[file][:3])
        assert line == f"{file}: {first} ({', '.join(others)})"

    _, out, _ = predict(capsys, FIT, *paths, "--json")
    for line, (file, said) in zip(map(json.loads, out.splitlines()), told.items(), strict=True):
        assert (line["file"], line["label"], line["probability"]) == (file, said.label, best[file][0][1])
        assert line["probabilities"] == said.probabilities and [*line["probabilities"].items()] == best[file]

    _, out, _ = predict(capsys, FIT, *paths, "--csv", "--top", "2")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["file", "label", "probability", "label_2", "probability_2"]
    assert [row[0] for row in rows[1:]] == paths
    assert all(
        row[1::2] == [b[0][0], b[1][0]] and [*map(float, row[2::2])] == [b[0][1], b[1][1]]
        for row, b in zip(rows[1:], best.values(), strict=True)
    )
    assert predict(capsys, "images", paths[0])[0] == 0


def test_texts_from_the_command_line(
    run: mfc.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["Of Man's first disobedience", "", "said Alice"]

    class Stdin:
        buffer = io.BytesIO("\r\n".join(lines).encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    (tmp_path / "one.txt").write_text(lines[2])
    status, out, _ = predict(capsys, FORWARDS, "--json", str(tmp_path / "one.txt"), "-")
    given = predict(capsys, FORWARDS, "--text", "--json", *lines[:2])
    out += given[1]
    found = {line["file"]: line["probabilities"] for line in map(json.loads, out.splitlines())}
    names = [str(tmp_path / "one.txt"), "-:1", "-:2", "-:3", "text:1", "text:2"]
    assert status == given[0] == 0 and list(found) == names
    for name, text in zip(names, [lines[2], *lines, *lines[:2]], strict=True):
        expected = run[FORWARDS].predict(text).probabilities
        assert found[name] == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are texts elsewhere")
def test_a_name_that_is_no_text(
    run: mfc.Run, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Image.new("L", (8, 8)).save(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    assert main(["predict", "spec.mfs", FIT, str(tmp_path), "--device", "cpu"]) == 0
    assert capfdbinary.readouterr().out.startswith(os.fsencode(tmp_path) + b"/\xff.png: ")


def test_what_can_not_be_predicted(
    run: mfc.Run, tmp_path: Path, golden: Golden, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.mfs").write_text(SPEC)
    (tmp_path / "new").mkdir()
    (tmp_path / "empty").mkdir()
    Image.new("L", (8, 8)).save("new/a.png")
    Image.new("L", (9, 7)).save("new/large.png")
    Image.new("L", (8, 8)).save("new/z.png")
    Path("new/broken.png").write_text("no image")
    Path("latin.txt").write_bytes("très bien".encode("latin-1"))
    Path("good.txt").write_text("said Alice")
    said = []

    def ask(*arguments: str) -> None:
        store = ["--store", str(Path(run[FIT].folder).parents[2])]
        status, out, err = predict(capsys, *arguments, *store)
        shown = [f"'{a}'" if " " in a or "(" in a else a for a in arguments]
        said.append(f"$ mfc predict spec.mfs {' '.join(shown)}\n{err}{out}exit status {status}\n")

    ask(FIT, "new", "missing.png", "empty", "new/a.png")
    ask(FORWARDS, "latin.txt", "good.txt")
    ask(FIT, "--text", "said Alice")
    ask(FIT, "new/a.png", "--out", "masks")
    ask("pretrain", "good.txt")
    ask("each", "good.txt")
    ask("bot", "good.txt")
    text = "\n".join(said).replace(os.getcwd(), "DIR")
    text = re.sub(r"(?<=: )[a-z0-9]+ \d+\.\d%", "LABEL N%", text)
    golden(OUTPUTS / "not_predicted.out", text)
