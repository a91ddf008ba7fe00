"""The Python face: load, compile, build, run and what a run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mfc
from mfc.runtime.data.sources import builtin

SPEC = """
use "parts.py" (scaled, tilt, count_batches, spread_loss)

param width: int = 6 in 1..64

data digits: image -> category {
    source           = builtin("digits")
    split            = random(valid = 0.2, seed = 42)
    label            = parent()
    batch_transforms = [tilt(0.5), normalize(digits_stats)]
    batch_size       = 256
}

model net {
    group body {
        conv2d(width, stride = 2)
        scaled(2.0)
        relu()
    }
    group head {
        adaptive_avg_pool(1)
        flatten()
        linear(digits.classes)
    }
}

train fit {
    data      = digits
    model     = net
    weights   = [kaiming()]
    loss      = spread_loss()
    schedule  = one_cycle(lr = 3e-2)
    callbacks = [count_batches("batches.txt")]
    metrics   = [accuracy()]
    epochs    = 2
}
"""

PARTS = '''
"""Components of our own; importing this file leaves a marker."""

from pathlib import Path
from typing import Annotated

import torch
from torch import nn

import mfc
from mfc.runtime.training.events import Callback

Path("imported").touch()


@mfc.layer(shape="b c h w -> b c h w")
class scaled(nn.Module):
    """Multiplies by a learned number for each channel."""

    def __init__(self, c: mfc.In, start: Annotated[float, mfc.Range(above=0)] = 1.0):
        super().__init__()
        self.by = nn.Parameter(torch.full((c, 1, 1), start))

    def forward(self, x):
        return x * self.by


@mfc.loss(shape="b classes", targets=("category",))
def spread_loss(weight: Annotated[float, mfc.Range(0)] = 0.0):
    """Cross entropy with a penalty on large outputs."""

    def loss(pred, target):
        return nn.functional.cross_entropy(pred, target) + weight * pred.square().mean()

    return loss


@mfc.batch_transform()
class tilt(mfc.Pixels):
    """Adds a brightness that grows from left to right; only in training."""

    draws = 1

    def __init__(self, most: Annotated[float, mfc.Range(0, 1)] = 0.1):
        self.most = most

    def __call__(self, images, u):
        ramp = torch.linspace(0, 1, images.shape[-1], device=images.device)
        return images + self.most * u[:, 0, None, None, None].to(images) * ramp


@mfc.callback(observes=True)
class count_batches(Callback):
    """Counts the batches into a file."""

    def __init__(self, path: str):
        self.path, self.seen = path, 0

    def after_batch(self):
        self.seen += 1

    def after_fit(self):
        Path(self.path).write_text(str(self.seen))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the spec and its components."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.mfs").write_text(SPEC)
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def test_a_bad_spec_is_a_spec_too(folder: Path) -> None:
    (folder / "bad.mfs").write_text(SPEC.replace("relu()", "rellu()"))
    spec = mfc.load("bad.mfs", width=200, depth=3)
    assert not spec.ok
    assert {d.code for d in spec.diagnostics} == {"E0204", "E0209", "E0306"}
    with pytest.raises(mfc.SpecError, match="did you mean `relu`") as caught:
        mfc.compile(spec)
    assert list(caught.value.diagnostics) == list(spec.diagnostics)


def test_nothing_of_the_spec_is_imported_before_a_run(folder: Path) -> None:
    job = mfc.compile(mfc.load("spec.mfs"))
    assert [status.state for status in job.status()][-1] == "waiting"
    assert not (folder / "imported").exists()


def test_build(folder: Path) -> None:
    job = mfc.compile(mfc.load("spec.mfs", width=8))
    net = job.build("net")
    assert isinstance(net, torch.nn.Module)
    assert {name: list(weight.shape) for name, weight in net.state_dict().items()} == {
        "body.conv2d.weight": [8, 1, 3, 3],
        "body.conv2d.bias": [8],
        "body.scaled.by": [8, 1, 1],
        "head.linear.weight": [10, 8],
        "head.linear.bias": [10],
    }
    dls: Any = job.build("digits")
    batch = next(iter(dls.train))
    assert batch.x.shape == (256, 1, 8, 8) and batch.y.shape == (256,)
    assert dls.vocab == [str(digit) for digit in range(10)]
    with pytest.raises(KeyError, match="nothing"):
        job.build("nothing")


def test_run_and_what_it_leaves(folder: Path) -> None:
    job = mfc.compile(mfc.load("spec.mfs"))
    run = job.run(device="cpu", progress=False)
    assert run.ran == ["digits.files", "digits.items", "digits.packed", "fit"]
    fit = run["fit"]
    assert [row["epoch"] for row in fit.history] == [1, 2]
    assert fit.weights.is_file()
    assert (folder / "batches.txt").read_text().strip().isdecimal()

    again = job.run(device="cpu", progress=False)
    assert again.ran == []
    batch = next(iter(fit.learner.dls.valid))
    trained, restored = (r["fit"].learner.model.eval()(batch.x) for r in (run, again))
    assert torch.equal(trained, restored)
    assert again["fit"].learner.history == fit.history


def test_results_are_kept_where_it_is_said(folder: Path) -> None:
    job = mfc.compile(mfc.load("spec.mfs"))
    job.run(["digits"], store="elsewhere", progress=False)
    assert not (folder / ".mfc").exists()
    assert {status.state for status in job.status(["digits"], store=folder / "elsewhere")} == {"up to date"}
    assert {status.state for status in job.status(["digits"])} != {"up to date"}
    job.build("digits", store="built")
    job.layers("net", store="shown")
    job.lr_find("fit", store="swept", steps=30, progress=False)
    with pytest.raises(mfc.RunError, match="was not trained"):
        job.activations("fit", store="elsewhere")
    assert all((folder / name / "artifacts").is_dir() for name in ("built", "shown", "swept"))
    assert job.plan(store="nowhere") == job.plan() and not (folder / "nowhere").exists()
    with pytest.raises(mfc.RunError, match="R0504"):
        job.trained("fit", store="elsewhere")


def test_predict_prepares_a_file_as_in_training(folder: Path) -> None:
    run = mfc.run("spec.mfs")
    learner = run["fit"].learner
    dls = learner.dls
    item = dls.items.valid[3]
    path = folder / "digit.png"
    builtin("digits").open(dls.items.paths[item]).save(path)
    expected = learner.model.eval()(next(iter(dls.valid)).x[3:4]).softmax(1)[0]
    prediction = run["fit"].predict(path)
    assert prediction.probabilities == pytest.approx(dict(zip(dls.vocab, expected.tolist())), abs=1e-6)
    assert prediction.label == dls.vocab[int(expected.argmax())]
    with pytest.raises(mfc.RunError, match="there is no such file"):
        run["fit"].predict(path.with_name("missing.png"))
    with pytest.raises(mfc.RunError, match="the spec declares no `nix`"):
        mfc.compile(folder / "spec.mfs").status("nix")
    with pytest.raises(KeyError, match="nothing was trained under the name nix: there are fit"):
        run["nix"]
