"""Bundles: what they say is what the run says, they hold no pickle, and nothing of a stranger's is run or trusted."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mfc
from mfc.bundle import is_bundle
from mfc.cli import main
from mfc.dsl import ir
from mfc.runtime.export.archive import write_archive
from mfc.runtime.export.bundle import bundle
from mfc.runtime.export.exported import Exported
from mfc.runtime.training.predict import Prediction
from tests.face.noise import DATA, write_images

SPEC = (
    DATA.replace('image_files("images")', "image_files(root)")
    + """
param epochs: int = 1
param root: path = "images"
param kept: choice(path, file) = path
use "lib/parts.py" (scaled, shifted, own_loss)

data measured: image -> value {
    source          = image_table("rows.csv", folder = "images", image = "{name}.png")
    split           = random(valid = 0.3)
    label           = column(["x", "y"])
    item_transforms = [random_resized_crop(8)]
    batch_size      = 4
}
data reviews(backwards: bool = false): text(backwards = backwards) -> category {
    source     = text_files("texts")
    split      = random(valid = 0.3)
    label      = parent()
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}
tokenizer pieces = sentencepiece(vocab_size = 30, fit_on = corpus.train.texts)
data corpus: text -> next_token(seq_len = 8) {
    source     = text_files("texts")
    split      = random(valid = 0.3)
    tokenizer  = pieces
    batch_size = 4
}
data own: image -> category {
    source           = image_files("images")
    split            = random(valid = 0.3)
    label            = parent()
    item_transforms  = [resize(8)]
    batch_transforms = [shifted()]
    batch_size       = 4
}

model whole(outputs) { flatten()  linear(outputs) }
model pixels { conv2d(4)  relu()  conv2d(masked.classes) }
model odd { scaled("lib/factor.txt")  flatten()  linear(own.classes) }
let encoder = awd_lstm(emb_size = 6, hidden_size = 8, layers = 2)

train kind    { data = kinds  model = whole(kinds.classes)  loss = cross_entropy()  epochs = epochs }
train tag     { data = tagged  model = whole(tagged.classes)  loss = bce(threshold = 0.4)  epochs = 1 }
train measure { data = measured  model = whole(measured.values)  loss = mse()  epochs = 1 }
train segment { data = masked  model = pixels  loss = cross_entropy()  epochs = 1 }
train review  { data = reviews(true)  model = text_classifier(encoder, classes = reviews(true).classes)
                loss = cross_entropy()  epochs = 1 }
train speak   { data = corpus  model = language_model(encoder)  loss = cross_entropy()  epochs = 1 }
train mine    { data = own  model = odd  loss = own_loss()  epochs = 1 }

export kind_file    { model = kind     format = bundle() }
export tag_file     { model = tag      format = bundle() }
export measure_file { model = measure  format = bundle() }
export segment_file { model = segment  format = bundle() }
export review_file  { model = review   format = bundle() }
export speak_file   { model = speak    format = bundle() }
export mine_file    { model = mine     format = bundle() }
"""
)

PARTS = '''
from pathlib import Path

from helper import OFFSET
from torch import nn

import mfc
from mfc.runtime.training.losses import cross_entropy

Path(__file__).with_name("was_run").touch()


@mfc.layer(shape="... -> ...")
class scaled(nn.Module):
    """Times what a file says."""

    def __init__(self, factor: Path) -> None:
        super().__init__()
        self.factor = float(Path(factor).read_text())

    def forward(self, x):
        return x * self.factor


@mfc.batch_transform(random=False)
class shifted(mfc.Pixels):
    """Plus an offset."""

    def __call__(self, images, u):
        return images + OFFSET

    def evaluation(self):
        return self


@mfc.loss(shape="b classes ...", targets=("category",))
class own_loss(cross_entropy):
    """Says what is least likely."""

    def decode(self, pred):
        return pred.argmin(1)
'''


def write(folder: Path) -> None:
    """Images of noise in two folders with a table and masks, texts, and the spec with its own Python files."""
    draw = random.Random(0)
    write_images(folder)
    for name in ("lib", "texts/good", "texts/bad"):
        (folder / name).mkdir(parents=True)
    for i in range(16):
        text = " ".join(
            draw.choices(f"it was a {'fine' if i % 2 else 'dull'} film and that is so".split(), k=20)
        )
        (folder / "texts" / ("good" if i % 2 else "bad") / f"{i}.txt").write_text(text)
    (folder / "lib" / "parts.py").write_text(PARTS)
    (folder / "lib" / "helper.py").write_text("OFFSET = 0.25\n")
    (folder / "lib" / "factor.txt").write_text("1.5")
    (folder / "spec.mfs").write_text(SPEC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.compile(folder / "spec.mfs").run(workers=0, progress=False)


@pytest.fixture
def kind(run: mfc.Run, tmp_path: Path) -> Path:
    """A copy of the bundle of the classifier of images."""
    return Path(shutil.copy(run.exports["kind_file"].files[0], tmp_path / "kind.zip"))


def same(one: Prediction, other: Prediction) -> bool:
    """Whether two predictions are the same bit for bit."""
    if not isinstance(one.label, torch.Tensor):
        return one == other
    values = zip([one.label, *one.probabilities.values()], [other.label, *other.probabilities.values()])
    return list(one.probabilities) == list(other.probabilities) and all(torch.equal(a, b) for a, b in values)


# ── what is predicted ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("train", ["kind", "tag", "measure", "segment", "review", "mine"])
def test_a_bundle_says_what_the_run_says(run: mfc.Run, folder: Path, tmp_path: Path, train: str) -> None:
    (file,) = run.exports[f"{train}_file"].files
    assert file.name == f"{train}_file.zip"
    assert repr(run.exports[f"{train}_file"]) == f"<Export {train}_file: {file}>"
    moved = shutil.copy(file, tmp_path / "elsewhere.zip")
    bundle = mfc.load_bundle(moved, allow_code=train == "mine")
    texts = ["It was a fine film, and that is so.", "dull", ""]
    items = texts if train == "review" else sorted((folder / "images").rglob("*.png"))[:3]
    for item in items:
        said = run[train].predict(item)
        assert same(bundle.predict(item), said), item
        if isinstance(item, Path):
            assert same(bundle.predict(Image.open(item)), said), item
    if train == "review":
        assert bundle.attention(texts[0], "good") == run[train].attention(texts[0], "good")
    assert list(bundle.vocab) == list(run[train].learner.dls.vocab)


def test_a_bundle_of_a_language_model_goes_on_with_texts(run: mfc.Run) -> None:
    bundle = mfc.load_bundle(run.exports["speak_file"].files[0])
    assert bundle.generate("it was", count=5) == run["speak"].generate("it was", count=5)
    with pytest.raises(mfc.RunError, match="R0503"):
        bundle.predict("it was")


def test_what_a_bundle_tells_of_itself(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    file = run.exports["mine_file"].files[0]
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert sorted(names) == [
            "files/0/factor.txt", "manifest.json", "model.json", "model.safetensors", "sources/lib/helper.py",
            "sources/lib/parts.py", "sources/spec.mfs",
        ]  # fmt: skip
        everything = b"".join(map(archive.read, names))
        archive.extractall(tmp_path / "unpacked")
    assert str(folder).encode() not in everything, "it tells where it was made"
    bundle = mfc.load_bundle(tmp_path / "unpacked", allow_code=True)
    assert (bundle.train, bundle.params, bundle.spec) == ("mine", {"epochs": 1, "kept": "path"}, SPEC)
    item = folder / "images" / "a" / "0.png"
    assert same(bundle.predict(item), run["mine"].predict(item))


def test_the_same_model_gives_the_same_file(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    again = mfc.Job(mfc.load(folder / "spec.mfs"), tmp_path).run(["kind_file"], workers=0)
    assert again.exports["kind_file"].files[0].read_bytes() == run.exports["kind_file"].files[0].read_bytes()


def test_nothing_is_pickled(run: mfc.Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was pickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    for export in run.exports.values():
        bundle = mfc.load_bundle(export.files[0], allow_code=True)
        with zipfile.ZipFile(export.files[0]) as archive:
            for name in archive.namelist():
                content = archive.read(name)
                assert not content.startswith((b"\x80", b"PK")), name  # as pickles and zips of them begin
                assert (
                    name.endswith((".json", ".safetensors", ".mfs", ".py", ".txt")) or "sentencepiece" in name
                )
        if "images" in bundle.spec and bundle.train == "kind":
            bundle.predict(folder / "images" / "a" / "0.png")


@pytest.mark.parametrize(
    ("train", "files"),
    [
        ("kind", ["images"]),
        ("tag", ["rows.csv", "images/a/0.png", "--images", "images"]),
        ("measure", ["rows.csv", "--images", "images", "--csv"]),
        ("segment", ["images/a/0.png", "--out", "masks"]),
        ("review", ["texts/good", "--top", "2"]),
        ("review", ["--text", "It was fine, and that is so.", "dull"]),
        ("mine", ["images/b", "--allow-code"]),
    ],
)
def test_the_command_line_predicts_with_a_bundle(
    run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, train: str,
    files: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    said = []
    for model in (["spec.mfs", train], [str(run.exports[f"{train}_file"].files[0])]):
        shutil.rmtree("masks", ignore_errors=True)
        assert main(["predict", *model, *files]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != ""


def test_a_value_of_an_option_is_no_bundle(
    run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    bundle = str(run.exports["kind_file"].files[0])
    assert main(["predict", "--set", "root=data.zip", "spec.mfs", "kind", "images/a/0.png"]) == 0
    assert main(["predict", "--json", "--device", "cpu", "--top=2", bundle, "images/a/0.png"]) == 0
    assert main(["predict", "spec.mfs", "kind", bundle]) == 1
    assert "error[R0104]" in capsys.readouterr().err


def test_an_export_is_no_training_but_one_of_it(run: mfc.Run, folder: Path) -> None:
    with pytest.raises(mfc.RunError, match="`tag_file` is no training") as caught:
        mfc.compile(folder / "spec.mfs").predictor("tag_file")
    assert caught.value.help == "it is an export of `tag`, whose name stands for the model"


@pytest.mark.parametrize(
    "asked",
    [["kind_file", "images"], ["tag_file", "images/a/0.png"], ["review_file", "--text", "so"]],
)
def test_images_of_tables_need_a_table(
    run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    name, *asked = asked
    (file,) = run.exports[name].files
    assert main(["predict", str(file), *asked, "--images", "images"]) == 2
    assert "`--images` says where the images of tables lie, and no table" in capsys.readouterr().err
    if name == "kind_file":
        with pytest.raises(mfc.RunError, match="`kind` reads no tables of images"):
            next(mfc.load_bundle(file).predict_files(asked, images="images"))


def test_a_bundle_on_the_command_line_has_its_params(
    run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(run.exports["kind_file"].files[0])
    assert main(["predict", file, str(folder / "images"), "--set", "epochs=2"]) == 2
    assert "leave `--set` and `--store` out" in capsys.readouterr().err
    assert main(["predict", str(run.exports["mine_file"].files[0]), str(folder / "images")]) == 1
    assert "error[R0603]" in capsys.readouterr().err


# ── what runs again ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("export kind_file    {", "export kind_file    {  # noted\n", "bundles"),
        ("export kind_file  ", "export another_file", ["another_file", "bundles"]),
        ("bce(threshold = 0.4)", "bce(threshold = 0.3)", ["tag", "bundles"]),
    ],
)
def test_what_is_exported_again(run: mfc.Run, folder: Path, old: str, new: str, expected: Any) -> None:
    text = SPEC.replace(old, new)
    (folder / "spec.mfs").write_text(text)
    try:
        job = mfc.Job(mfc.load(folder / "spec.mfs"), folder / ".mfc")
        stale = {s.stage.name for s in job.status() if s.state != "up to date"}
    finally:
        (folder / "spec.mfs").write_text(SPEC)
    exports = {name for name in run.exports if name in text}
    wanted = {name for each in expected for name in (exports if each == "bundles" else [each])}
    assert stale == (exports if expected == "bundles" else wanted)


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────


def test_code_is_run_only_where_it_is_allowed(run: mfc.Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(run.exports["mine_file"].files[0]) as archive:
        archive.extractall(tmp_path)
    refused(tmp_path, "R0603", "needs code of its own")
    with pytest.raises(mfc.RunError, match="allow_code"):
        mfc.load_bundle(tmp_path)
    assert not list(tmp_path.rglob("was_run"))
    bundle = mfc.load_bundle(tmp_path, allow_code=True)
    assert list(bundle._trained.folder.rglob("was_run")) and not list(tmp_path.rglob("was_run"))
    copied = bundle._trained.folder
    del bundle
    assert not copied.exists(), "what was copied is removed with the bundle"


def refused(path: Path, code: str, said: str) -> None:
    with pytest.raises(mfc.RunError) as caught:
        mfc.load_bundle(path)
    assert (caught.value.code, said in str(caught.value)) == (code, True), str(caught.value)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    refused(tmp_path / "none.zip", "R0601", "there is no bundle")
    (tmp_path / "text.zip").write_text("hello")
    refused(tmp_path / "text.zip", "R0601", "no zip file")
    refused(tmp_path, "R0601", "manifest.json")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    refused(tmp_path / "other.zip", "R0601", "can't be read: There is no item named 'manifest.json'")


def test_a_bundle_is_known_whatever_its_name_is(run: mfc.Run, tmp_path: Path) -> None:
    assert is_bundle(str(shutil.copy(run.exports["kind_file"].files[0], tmp_path / "kind")))
    (tmp_path / "text").write_text("hello")
    assert not any(is_bundle(str(path)) for path in (tmp_path / "text", tmp_path / "none", tmp_path))


def rewritten(
    bundle: Path, files: Callable[[dict[str, bytes]], None] = lambda files: None,
    manifest: Callable[[dict[str, Any]], None] = lambda manifest: None, compression: int = zipfile.ZIP_STORED,
) -> Path:  # fmt: skip
    """A bundle beside another one, with files changed and their checksums right again, then its manifest changed."""
    with zipfile.ZipFile(bundle) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(found.pop("manifest.json"))
    files(found)
    told["files"] = {name: sha256(content).hexdigest() for name, content in found.items()}
    manifest(told)
    with zipfile.ZipFile(bundle.with_name("rewritten.zip"), "w", compression) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", json.dumps(told))
    return bundle.with_name("rewritten.zip")


def test_formats_checksums_and_paths(kind: Path, tmp_path: Path) -> None:
    assert mfc.load_bundle(rewritten(kind)).train == "kind"
    refused(
        rewritten(kind, manifest=lambda m: m.update(format=2, mfc="9.9")), "R0602", "by mfc 9.9, format 2"
    )
    refused(rewritten(kind, manifest=lambda m: m.update(format="1")), "R0601", "format")
    for content in (1, None, [], {"model.json": 1}):
        refused(rewritten(kind, manifest=lambda m, c=content: m.update(files=c)), "R0601", "manifest.json")
    wrong = {"model.json": "0" * 64}
    refused(rewritten(kind, manifest=lambda m: m["files"].update(wrong)), "R0601", "checksum of `model.json`")
    refused(rewritten(kind, manifest=lambda m: m["files"].update(missing="0")), "R0601", "`missing`")
    for outside in ("../out", "/etc/passwd", "a/../../out", "C:\\out", "a//b", "", "a\\..\\..\\b"):
        changed = rewritten(kind, manifest=lambda m, name=outside: m["files"].update({name: "0"}))
        refused(changed, "R0601", "outside of itself")
    refused(rewritten(kind, compression=zipfile.ZIP_DEFLATED), "R0601", "manifest.json")


def test_links_and_files_of_one_name(kind: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(b"{}")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(kind) as archive:
        archive.extractall(unpacked)
    shutil.move(unpacked / "model.json", tmp_path / "model.json")
    os.symlink(tmp_path / "model.json", unpacked / "model.json")
    refused(unpacked, "R0601", "no such file in the folder")
    (unpacked / "model.json").unlink()
    os.mkfifo(unpacked / "model.json")  # to open one would wait for ever
    refused(unpacked, "R0601", "no such file in the folder")
    with zipfile.ZipFile(kind, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("model.json", "{}")
    refused(kind, "R0601", "two files of one name")


def changed(recipe: Any, old: Any, new: Any) -> Any:
    """A recipe with each object that holds all of `old` updated by `new`."""
    if isinstance(recipe, list):
        return [changed(item, old, new) for item in recipe]
    if not isinstance(recipe, dict):
        return recipe
    recipe = {key: changed(value, old, new) for key, value in recipe.items()}
    return recipe | new if old.items() <= recipe.items() else recipe


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ({"$": "Call", "name": "linear"}, {"name": "system", "target": "os:system"}, "R0605"),
        (
            {"$": "Call", "name": "linear"},
            {"kind": "source", "name": "image_files", "args": {"folder": "/"}},
            "R0605",
        ),
        ({"$": "Call", "name": "resize"}, {"args": {"size": "8"}}, "R0605"),
        ({"$": "Call", "name": "resize"}, {"args": {"size": 8, "key": 1}}, "R0605"),
        ({"$": "Call", "name": "resize"}, {"target": "../../evil.py:resize"}, None),
        ({"$": "Call", "name": "linear"}, {"target": "os:system"}, None),
        ({"$": "Call", "name": "linear"}, {"args": {"features": 108, "nf": 3}}, "R0255"),
        ({"$": "Call", "name": "linear"}, {"args": 3}, "R0601"),
        ({"$": "Run"}, {"$": "Walk"}, "R0601"),
        ({"$": "Stack"}, {"steps": None}, "R0601"),
        ({"train": "kind"}, {"spec": "../../../etc/passwd"}, "R0601"),
        ({"train": "kind"}, {"vocab": [1, 2]}, "R0601"),
        ({"train": "kind"}, {"params": 3}, "R0601"),
        ({"train": "kind"}, {"loss": {"$": "File", "path": "/etc/passwd"}}, "R0601"),
    ],
)
def test_a_recipe_names_only_what_mfc_has(
    kind: Path, folder: Path, run: mfc.Run, old: dict[str, Any], new: dict[str, Any], code: str | None
) -> None:
    def tamper(files: dict[str, bytes]) -> None:
        recipe = json.loads(files["model.json"])
        files["model.json"] = json.dumps(changed(recipe, old, new)).encode()
        assert json.loads(files["model.json"]) != recipe

    tampered = rewritten(kind, tamper)
    if code is None:  # where a component is said to be does not count
        item = folder / "images" / "a" / "0.png"
        assert same(mfc.load_bundle(tampered).predict(item), run["kind"].predict(item))
    else:
        refused(tampered, code, "")


def test_a_changed_byte_is_noticed_or_does_not_matter(kind: Path, folder: Path, run: mfc.Run) -> None:
    """In any byte that says where the files of a zip lie, and here and there in the files."""
    whole = kind.read_bytes()
    item = folder / "images" / "a" / "0.png"
    expected = run["kind"].predict(item)
    with zipfile.ZipFile(kind) as archive:
        headers = [info.header_offset + at for info in archive.infolist() for at in range(30)]
        places = [*headers, *range(archive.start_dir, len(whole)), *range(0, len(whole), 97)]
    for place, by in itertools.product(places, (1, 64, 255)):
        kind.write_bytes(whole[:place] + bytes([whole[place] ^ by]) + whole[place + 1 :])
        try:
            bundle = mfc.load_bundle(kind)
        except mfc.RunError as error:
            assert error.code in ("R0601", "R0602")
            assert ": " in str(error) and not str(error).rstrip().endswith(":")
        else:
            assert same(bundle.predict(item), expected)


def test_weights_that_a_layer_began_with_are_left_out(tmp_path: Path) -> None:
    args = {"name": "resnet18", "pretrained": ir.File("/nowhere/weights.safetensors")}
    body = ir.Layer("body", ir.Call("layer", "timm_body", "mfc.runtime.bodies.timm_body:timm_body", args))
    for name in ("spec.mfs", "model.safetensors"):
        (tmp_path / name).write_text("")
    exported = Exported(
        name="fit", train="fit", model=ir.Stack("", (ir.Run(body),)), loss=ir.Call("loss", "mse", "m:mse"), data={},
        prepare={"source": ir.Call("source", "image_files", "m:image_files")},
        vocab=[], weights=tmp_path / "model.safetensors", tokenizer={}, sources=[tmp_path / "spec.mfs"],
        params={},
    )  # fmt: skip
    bundle().write(exported, tmp_path)
    with zipfile.ZipFile(tmp_path / "fit.zip") as archive:
        assert not [name for name in archive.namelist() if name.startswith("files/")]
        (call,) = (
            n
            for n in ir.walk(ir.from_json(json.loads(archive.read("model.json")))["model"])
            if isinstance(n, ir.Call)
        )
    assert call.args == {"name": "resnet18", "pretrained": False}


def test_what_a_bundle_can_not_hold(tmp_path: Path) -> None:
    with pytest.raises(mfc.RunError, match="R0604"):
        write_archive(tmp_path / "b.zip", {"a\\b": b""})
    assert list(tmp_path.iterdir()) == []
