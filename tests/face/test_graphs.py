"""Graphs for other programs: torch.export and ONNX against the run, and what can't be a graph."""

from __future__ import annotations

import importlib.util
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import mfc
from mfc import exports
from mfc.cli import main
from tests.face.noise import DATA, write_images

SPEC = (
    DATA
    + """
use "parts.py" (seen, tinted, counts, listing)

data measured: image -> value {
    source           = image_table("rows.csv", folder = "images", image = "{name}.png")
    split            = random(valid = 0.3)
    label            = column("x")
    item_transforms  = [random_resized_crop(8)]
    batch_transforms = [tinted(), seen()]
    batch_size       = 4
}

model net(outputs) {
    conv2d(4)
    batchnorm()
    relu(leak = 0.1, sub = 0.4)
    let shortcut = x
    conv2d(4)
    add(shortcut)
    dropout(0.3)
    adaptive_concat_pool(1)
    flatten()
    linear(outputs)
}
model pixels { conv2d(8)  relu()  max_pool(2)  pixel_shuffle_icnr(2)  conv2d(masked.classes) }
model counting {
    counts()
    adaptive_avg_pool()
    flatten()
    linear(kinds.classes)
}

train kind    { data = kinds  model = net(kinds.classes)  loss = cross_entropy()  epochs = 1 }
train tag     { data = tagged  model = net(tagged.classes)  loss = bce(threshold = 0.4)  epochs = 1 }
train measure { data = measured  model = net(1)  loss = mse()  epochs = 1 }
train segment { data = masked  model = pixels  loss = cross_entropy()  epochs = 1 }
train odd     { data = kinds  model = counting  loss = cross_entropy()  epochs = 1 }

export kind_pt      { model = kind     format = torch_export() }
export tag_pt       { model = tag      format = torch_export() }
export measure_pt   { model = measure  format = torch_export() }
export segment_pt   { model = segment  format = torch_export() }
export kind_onnx    { model = kind     format = onnx() }
export tag_onnx     { model = tag      format = onnx(opset = 20) }
export measure_onnx { model = measure  format = onnx() }
export segment_onnx { model = segment  format = onnx() }
export listed       { model = kind     format = listing() }
export odd_pt       { model = odd      format = torch_export() }
"""
)

PARTS = '''
import json

import torch
from torch import nn

import mfc


@mfc.batch_transform(random=False)
class seen(mfc.Pixels):
    """Halves values."""

    def __call__(self, images, u):
        return images / 2

    def evaluation(self):
        return self


@mfc.batch_transform(random=False)
class tinted(mfc.Color):
    """Swaps red and blue, on validation data too."""

    mixes = True

    def matrix(self, u, channels):
        maps = torch.eye(4, dtype=torch.float64)[[2, 1, 0, 3]]
        return maps.expand(len(u), 4, 4)

    def evaluation(self):
        return self


@mfc.layer(shape="... -> ...")
class counts(nn.Module):
    """Does something else for bright images."""

    def forward(self, x):
        return x * 2 if x.mean() > 0.4 else x


@mfc.export_format()
class listing:
    """The names of the weights."""

    def write(self, exported: mfc.Exported, folder) -> None:
        names = sorted(exported.module.state_dict())
        (folder / f"{exported.name}.txt").write_text("\\n".join([exported.train, *exported.vocab, *names]))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of noise in two folders with a table and masks, and the spec."""
    folder = tmp_path_factory.mktemp("graphs")
    write_images(folder)
    (folder / "parts.py").write_text(PARTS)
    (folder / "spec.mfs").write_text(SPEC)
    return folder


TARGETS = [f"{train}_{form}" for train in ("kind", "tag", "measure", "segment") for form in ("pt", "onnx")]


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    job = mfc.compile(folder / "spec.mfs")
    return job.run([*TARGETS, "listed"], workers=0, progress=False, device="cpu")


def batches(shape: tuple[int, ...]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (1, 3)]


def expected(trained: mfc.Trained, images: np.ndarray) -> np.ndarray:
    """What the run says of prepared images, in eager mode and with the pipeline of its loaders."""
    learner = trained.learner
    loader = [
        (prepared, None, torch.zeros(len(images))) for prepared in [pipeline(trained)(torch.tensor(images))]
    ]
    return learner.get_preds(loader).probabilities.numpy()


def pipeline(trained: mfc.Trained) -> Any:
    from mfc.runtime.build import build
    from mfc.runtime.data.batch_pipeline import BatchPipeline

    data, placing = trained.stage.recipe["data"], trained.stage.placing["data"]
    prepare = BatchPipeline(build(placing["batch_transforms"]), 0, "", data["shape"][0], training=False)
    return lambda images: prepare(images, torch.zeros(len(images), dtype=torch.int64), 0)


@pytest.mark.parametrize("train", ["kind", "tag", "measure", "segment"])
def test_graphs_say_what_the_run_says(run: mfc.Run, train: str) -> None:
    trained = run[train]
    (pt,), (onnx,) = (run.exports[f"{train}_{form}"].files for form in ("pt", "onnx"))
    extra = {"mfc": ""}
    program = torch.export.load(pt, extra_files=extra).module()
    session = onnxruntime.InferenceSession(onnx)
    about = json.loads(extra["mfc"])
    assert about == json.loads(session.get_modelmeta().custom_metadata_map["mfc"])
    assert about["classes"] == list(trained.learner.dls.vocab)
    shape = about["input"]["shape"][1:]
    for images in batches(tuple(shape)):
        wanted = expected(trained, images)
        assert wanted.shape == (len(images), *about["output"]["shape"][1:])
        said = program(torch.tensor(images)).detach().numpy()
        np.testing.assert_allclose(said, wanted, rtol=0, atol=1e-6)
        other: Any = session.run([about["output"]["name"]], {"image": images})[0]
        np.testing.assert_allclose(other, wanted, rtol=0, atol=1e-5 * max(1, abs(wanted).max()))
    with pytest.raises(Exception, match=r"(?i)type|expected"):
        session.run(None, {"image": np.zeros((1, *shape), np.float32)})


def test_what_a_graph_tells_of_itself(run: mfc.Run) -> None:
    extra = {"mfc": ""}
    torch.export.load(run.exports["tag_pt"].files[0], extra_files=extra)
    about = json.loads(extra["mfc"])
    del about["mfc"], about["torch"]
    assert about == {
        "train": "tag",
        "target": "multi_category",
        "input": {
            "name": "image",
            "type": "uint8",
            "shape": ["batch", 1, 6, 8],
            "channels": "grey",
            "item_transforms": [
                {
                    "name": "resize_to",
                    "args": {"height": 6, "width": 8, "method": "crop", "pad_mode": "reflection"},
                }
            ],
        },
        "output": {"name": "probabilities", "shape": ["batch", 2], "threshold": 0.4},
        "classes": ["p", "q"],
    }
    names = [session(run, f"{train}_onnx").get_outputs()[0].name for train in ("kind", "measure")]
    assert names == ["probabilities", "values"]
    assert session(run, "kind_onnx").get_inputs()[0].shape == ["batch", 3, 12, 12]


def session(run: mfc.Run, export: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(run.exports[export].files[0])


def test_a_graph_is_for_images_as_they_are_predicted(folder: Path) -> None:
    """Items of validation, and so predictions, may be of another size than those of training."""
    text = SPEC.replace("[resize(12)]", "[train_only(resize(12)), valid_only(resize(16))]")
    (folder / "sizes.mfs").write_text(text.replace("random_crop(10), ", ""))
    run = mfc.compile(folder / "sizes.mfs").run(["kind_pt"], workers=0, progress=False, device="cpu")
    extra = {"mfc": ""}
    program = torch.export.load(run.exports["kind_pt"].files[0], extra_files=extra).module()
    assert json.loads(extra["mfc"])["input"]["shape"] == ["batch", 3, 16, 16]
    (images,) = batches((3, 16, 16))[:1]
    np.testing.assert_allclose(
        program(torch.tensor(images)).detach().numpy(), expected(run["kind"], images), rtol=0, atol=1e-6
    )


def test_a_program_of_torch_holds_no_pickle(run: mfc.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = run.exports["kind_pt"].files
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert not archive.read(name).startswith((b"\x80\x02", b"PK")), name
    monkeypatch.setattr(pickle, "Unpickler", None)
    torch.export.load(file)


def test_nothing_tells_where_it_was_made(run: mfc.Run, folder: Path) -> None:
    for name in TARGETS:
        content = run.exports[name].files[0].read_bytes()  # neither form is compressed
        for place in (folder, Path(mfc.__file__).parent, Path(torch.__file__).parent):
            assert str(place).encode() not in content, name
        assert b"graph.py" not in content


def test_a_format_of_ones_own(run: mfc.Run) -> None:
    (file,) = run.exports["listed"].files
    assert file.name == "listed.txt"
    assert file.read_text().split()[:4] == ["kind", "a", "b", "batchnorm.bias"]


def test_what_can_not_be_a_graph(folder: Path, run: mfc.Run) -> None:
    with pytest.raises(mfc.RunError) as caught:
        mfc.compile(folder / "spec.mfs").run(["odd_pt"], workers=0, progress=False)
    assert caught.value.code == "R0607"
    assert caught.value.message.startswith("the model of `odd` can't be made a graph: ")


def test_transforms_that_draw_on_validation_data(folder: Path) -> None:
    text = PARTS.replace('"""Halves values."""', '"""Halves values."""\n\n    draws = 1')
    (folder / "drawing.py").write_text(text)
    (folder / "drawing.mfs").write_text(SPEC.replace("parts.py", "drawing.py"))
    with pytest.raises(mfc.RunError, match=r"R0607.*`seen` draws at random"):
        mfc.compile(folder / "drawing.mfs").run(["measure_pt"], workers=0, progress=False)


def test_missing_packages_are_told_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(exports, "find_spec", lambda name: None if name == "onnxscript" else real(name))
    (folder / "fresh.mfs").write_text(SPEC)
    job = mfc.Job(mfc.load(folder / "fresh.mfs"), folder / "fresh")
    with pytest.raises(mfc.RunError) as caught:
        job.run(["kind_onnx"])
    assert str(caught.value) == (
        "error[R0606]: `onnx` of the export `kind_onnx` needs onnxscript, which is not installed\n"
        '  = help: pip install "mfc[onnx]"'
    )
    assert not (folder / "fresh").exists()
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    with pytest.raises(mfc.RunError, match="needs onnx and onnxscript, which are not installed"):
        job.run(["kind_onnx"])
    with pytest.raises(mfc.RunError, match="needs onnx and onnxscript, which are not installed"):
        job.run(["kind_onnx", "tag_pt"], workers=0, progress=False)
    states = {status.stage.name: status.state for status in job.status(["kind_onnx", "tag_pt"])}
    assert (states["kind_onnx"], states["tag_pt"]) == ("to run", "up to date")


@pytest.mark.parametrize(
    ("old", "new", "stale"),
    [
        ("model pixels {", "model pixels {  # bright or dark\n", []),
        ("onnx(opset = 20)", "onnx(opset = 21)", ["tag_onnx"]),
        ("bce(threshold = 0.4)", "bce(threshold = 0.5)", ["tag", "tag_onnx", "tag_pt"]),
        ("resize_to(6, 8)", "resize_to(8, 6)", ["tag", "tag_onnx", "tag_pt", "tagged.packed"]),
    ],
)
def test_what_is_exported_again(folder: Path, run: mfc.Run, old: str, new: str, stale: list[str]) -> None:
    (folder / "other.mfs").write_text(SPEC.replace(old, new))
    statuses = mfc.Job(mfc.load(folder / "other.mfs"), folder / ".mfc").status(TARGETS)
    assert sorted(s.stage.name for s in statuses if s.state != "up to date") == stale


def test_the_command_line_shows_what_was_written(
    folder: Path, run: mfc.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = str(folder / "spec.mfs")
    assert main(["run", spec, "--target", "kind_onnx", "--workers", "0"]) == 0
    *_, what, where = capsys.readouterr().out.splitlines()
    (file,) = run.exports["kind_onnx"].files
    assert what == f"kind_onnx: onnx of kind, {file.stat().st_size / 1000:.3g} kB" and where.endswith(
        "kind_onnx.onnx"
    )
    assert main(["run", spec, "--target", "kind_onnx", "--workers", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"] == {
        "kind_onnx": {"folder": str(file.parent), "files": [str(file)]}
    }
