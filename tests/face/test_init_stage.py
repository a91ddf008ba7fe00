"""First weights that take data: a stage of their own, from which a training starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import mfc
from mfc.cli import main

SPEC = """
param lr: float = 1e-3
param size: int = 48

data digits: image -> category {
    source           = builtin("digits")
    split            = random(valid = 0.9, seed = 1)
    label            = parent()
    batch_transforms = [flip(), normalize(digits_stats)]
    batch_size       = 64
}

model net {
    group body {
        flatten()
        for i in range(6) { linear(size)  relu() }
    }
    group head { linear(digits.classes) }
}

train fit {
    data     = digits
    model    = net
    loss     = cross_entropy()
    schedule = one_cycle(lr = lr)
    weights  = [orthogonal(), lsuv()]
    phase first  { epochs = 1  freeze_to = -1 }
    phase second { epochs = 1 }
}

evaluate score { model = fit  metrics = [accuracy()] }
"""


def job(folder: Path, spec: str = SPEC, **settings) -> mfc.Job:
    (folder / "spec.mfs").write_text(spec)
    return mfc.compile(mfc.load(folder / "spec.mfs", **settings))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where everything was run once."""
    folder = tmp_path_factory.mktemp("init")
    job(folder).run(device="cpu", progress=False)
    return folder


def test_its_weights_give_unit_variance_on_the_first_batch(folder: Path) -> None:
    """Against a forward pass written by hand, over the batch that training begins with."""
    run = job(folder).run(device="cpu", progress=False)
    loader = run["fit"].learner.dls.train
    loader.set_epoch(0)
    x = next(iter(loader)).x.flatten(1)
    report = run["fit"].init[0]["report"]
    (artifact,) = (folder / ".mfc" / "artifacts" / "fit.init").iterdir()
    weights = load_file(artifact / "model.safetensors")
    assert len(report) == 7
    for row in report:
        x = F.linear(x, weights[f"{row['layer']}.weight"], weights[f"{row['layer']}.bias"])
        assert x.std(correction=0).item() == pytest.approx(1, abs=1e-2)
        assert x.mean().item() == pytest.approx(row["after"]["mean"], abs=1e-4)
        assert abs(row["before"]["std"] - 1) > 0.01
        x = x.relu()


def test_the_training_starts_from_them(folder: Path) -> None:
    """Layers that the first phase freezes stand where they were put."""
    artifacts = folder / ".mfc" / "artifacts"
    first, trained = (
        load_file(next((artifacts / stage).iterdir()) / "model.safetensors")
        for stage in ("fit.init", "fit.first")
    )
    body = [name for name in first if name.startswith("body")]
    assert len(body) == 12 and all(torch.equal(first[name], trained[name]) for name in body)
    assert not torch.equal(first["head.linear.weight"], trained["head.linear.weight"])


EDITS = {
    "nothing": ("", "", []),
    "the rate": ("lr: float = 1e-3", "lr: float = 1e-2", ["fit.first", "fit.second", "score"]),
    "the last phase": ("second { epochs = 1", "second { epochs = 2", ["fit.second", "score"]),
    "the loss": (
        "cross_entropy()",
        "cross_entropy(label_smoothing = 0.1)",
        ["fit.first", "fit.second", "score"],
    ),
    "a default written out": ("lsuv()", "lsuv(batches = 1)", []),
    "the tolerance": ("lsuv()", "lsuv(tol = 0.1)", ["fit.init", "fit.first", "fit.second", "score"]),
    "what stands before it": ("orthogonal()", "kaiming()", ["fit.init", "fit.first", "fit.second", "score"]),
    "the model": ("size: int = 48", "size: int = 32", ["fit.init", "fit.first", "fit.second", "score"]),
    "the data": (
        "batch_size       = 64",
        "batch_size       = 32",
        ["fit.init", "fit.first", "fit.second", "score"],
    ),
    "the seed": ("lr = lr)", "lr = lr)\n    seed = 7", ["fit.init", "fit.first", "fit.second", "score"]),
    "without it": ("[orthogonal(), lsuv()]", "orthogonal()", ["fit.first", "fit.second", "score"]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_runs_again(folder: Path, edit: str) -> None:
    old, new, expected = EDITS[edit]
    assert old in SPEC
    statuses = job(folder, SPEC.replace(old, new) if old else SPEC).status()
    assert [s.stage.name for s in statuses if s.state != "up to date"] == expected


def test_only_the_training_runs_again_with_another_rate(folder: Path) -> None:
    run = job(folder, lr=3e-3).run(["fit"], device="cpu", progress=False)
    assert run.ran == ["fit.first", "fit.second"]
    assert run["fit.second"].init == run["fit"].init != []


def test_the_report_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.mfs").write_text(SPEC)
    assert main(["run", str(tmp_path / "spec.mfs"), "--target", "fit", "--device", "cpu", "--json"]) == 0
    said = capsys.readouterr()
    assert "lsuv: std of 7 layers from 0." in said.err and "body.linear_3" in said.err
    (report,) = json.loads(said.out)["trained"]["fit.first"]["init"]
    assert report["initializer"] == "lsuv" and len(report["report"]) == 7


def test_mistakes_are_told(tmp_path: Path) -> None:
    """A dead layer, and a layer that fails."""
    dead = SPEC.replace("flatten()\n", "flatten()\n        relu(sub = 99.0, maxv = -99.0)\n")
    with pytest.raises(mfc.RunError, match=r"R0257.*`body.linear_0` gives a constant"):
        job(tmp_path, dead).run(device="cpu", progress=False)
    (tmp_path / "layers.py").write_text(
        "import mfc\nfrom torch import nn\n\n@mfc.layer(shape='... -> ...')\nclass broken(nn.Module):\n"
        "    'Fails.'\n    def forward(self, x):\n        raise ValueError('on purpose')\n"
    )
    broken = 'use "layers.py" (broken)\n' + SPEC.replace("flatten()\n", "flatten()\n        broken()\n")
    with pytest.raises(mfc.RunError, match=r"R0211.*`body.broken` failed: ValueError: on purpose"):
        job(tmp_path, broken).run(device="cpu", progress=False)


def test_initializers_of_ones_own_read_data_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import mfc, torch\n\n@mfc.initializer(reads_data=True)\nclass centred:\n    'Shifts the first layer.'\n"
        "    def __call__(self, model, stream, batches):\n        x, y, items = next(iter(batches))\n"
        "        with torch.no_grad():\n            model.body.linear_0.bias.fill_(x.mean())\n"
        "        return [{'mean': x.mean().item()}]\n"
    )
    spec = SPEC.replace("[orthogonal(), lsuv()]", "[kaiming(), centred(), lsuv()]")
    run = job(tmp_path, 'use "own.py" (centred)\n' + spec).run(["fit"], device="cpu", progress=False)
    assert [report["initializer"] for report in run["fit"].init] == ["centred", "lsuv"]
    assert run["fit"].init[0]["report"][0].keys() == {"mean"}


def test_the_spec_of_the_package_trains_only_with_it(tmp_path: Path) -> None:
    shutil.copy(Path(mfc.__file__).parent / "specs" / "lsuv.mfs", tmp_path / "lsuv.mfs")
    scaled, drawn = (
        mfc.run(tmp_path / "lsuv.mfs", epochs=3, scaled=scaled)["fit"] for scaled in (True, False)
    )
    assert scaled.result["accuracy"] > 0.4 > 0.2 > drawn.result["accuracy"]
    assert [report["initializer"] for report in scaled.init] == ["lsuv"] and drawn.init == []
