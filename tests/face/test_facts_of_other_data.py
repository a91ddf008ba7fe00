"""A training that waits for what other data than its own tells: the plan has the edge, until it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import mfc
from mfc.cli import main
from tests.face.test_targets import picture

SPEC = """
data mine: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.9, seed = 1)
    label  = parent()
}

data other: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.8, seed = 2)
    label  = parent()
}

model net = mlp(classes = other.classes)

model mlp(classes) {
    flatten()
    if classes != 10 { linear(7) }
    linear(classes)
}

train fit {
    data   = mine
    model  = net
    loss   = cross_entropy()
    epochs = 1
}
"""

CHANGES = {
    "the model": ("", ""),
    "a constant": (
        "model net = mlp(classes = other.classes)",
        "let n = other.classes\nmodel net = mlp(classes = n)",
    ),
    "a condition alone": ("linear(classes)", "linear(10)"),
    "the loss": ("loss   = cross_entropy()", "loss = cross_entropy(weights = other.train.class_counts)"),
    "a field that a condition decides": ("epochs = 1", "epochs = if other.classes > 10 then 2 else 1"),
    "a default": ("train fit {", "train fit(n = other.classes) {"),
    "the data's own fields": ("0.9, seed = 1)", "0.9, seed = 1)\n    batch_size = 6 * other.classes"),
    "first weights": ("    epochs = 1", "    weights = lsuv()\n    epochs = 1"),
}


def job(folder: Path, spec: str = SPEC) -> mfc.Job:
    (folder / "spec.mfs").write_text(spec)
    return mfc.compile(folder / "spec.mfs")


def changed(what: str) -> str:
    """The spec with another place that asks for what `other` tells; where it is not the model, that does not."""
    old, new = CHANGES[what]
    spec = SPEC
    if what not in ("the model", "a constant", "a condition alone", "first weights"):
        spec = spec.replace("net = mlp(classes = other.classes)", "net = mlp(classes = 10)")
    assert old in spec
    return spec.replace(old, new) if old else spec


def names(statuses: Sequence[mfc.Status]) -> list[str]:
    return [status.stage.name for status in statuses]


@pytest.mark.parametrize("what", CHANGES)
def test_the_items_of_other_data_come_first(tmp_path: Path, what: str) -> None:
    before = job(tmp_path, changed(what))
    waiting = before.status(["fit"])[-1]
    assert waiting.state == "waiting" and "for other.items" in waiting.reasons
    run = before.run(["fit"], device="cpu", progress=False)
    assert "other.items" in run.ran and "other.packed" not in run.ran
    (trained,) = {id(result.stage): result for result in run.values()}.values()
    assert len(trained.history) == 1
    steps = [type(layer).__name__ for layer in trained.learner.model.children()]
    assert len(steps) == 2, "the layer that only another number of classes asks for is not there"
    assert {status.state for status in before.status(["fit"])} == {"up to date"}


def test_only_the_number_decides(tmp_path: Path) -> None:
    """Another split of the other data with as many classes trains nothing anew."""
    job(tmp_path).run(["fit"], device="cpu", progress=False)
    run = job(tmp_path, SPEC.replace("seed = 2", "seed = 3")).run(["fit"], device="cpu", progress=False)
    assert run.ran == ["other.items"]


def test_every_command_finds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.mfs").write_text(SPEC)
    spec = str(tmp_path / "spec.mfs")
    assert main(["show", spec, "net"]) == 0
    assert "650 parameters" in capsys.readouterr().out
    assert main(["plan", spec, "--target", "fit", "--graph", str(tmp_path / "plan.svg")]) == 0
    assert "other.items" in (tmp_path / "plan.svg").read_text()
    assert main(["lr-find", spec, "fit", "--device", "cpu"]) == 0
    assert "steep" in capsys.readouterr().out


def test_a_data_block_that_is_built_by_itself(tmp_path: Path) -> None:
    dls: Any = job(tmp_path, changed("the data's own fields")).build("mine")
    assert len(next(iter(dls.train)).x) == 60


def test_another_number_of_classes_is_an_error_once_it_is_known(tmp_path: Path) -> None:
    for label in ("cat", "dog", "owl"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(4):
            picture(["red"], i, i).save(tmp_path / "photos" / label / f"{i}.png")
    photos = 'image_files("photos")\n    item_transforms = [resize(8)]'
    spec = SPEC.replace(
        'builtin("digits")\n    split  = random(valid = 0.8, seed = 2)',
        f"{photos}\n    split = stratified(0.5)",
    )
    assert spec != SPEC
    with pytest.raises(mfc.SpecError, match=r"E0503.*\(batch, 3\), and `mine` has 10 classes"):
        job(tmp_path, spec).run(["fit"], device="cpu", progress=False)


def test_weights_that_a_fact_decides_bring_their_own_data(tmp_path: Path) -> None:
    """Which trainings are needed is known only when the classes were counted."""
    first = """
data more: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.8, seed = 4)
    label  = parent()
}

train before {
    data   = more
    model  = inner
    loss   = cross_entropy()
    epochs = 1
}

model inner {
    group body { flatten()  linear(8) }
    group head { linear(more.classes) }
}
"""
    weights = "weights = [if other.classes > 3 then before.body else none]"
    spec = SPEC.replace("model net = mlp(classes = other.classes)", "model net = inner")
    spec = spec.replace("epochs = 1", f"{weights}\n    epochs = 1") + first
    run = job(tmp_path, spec).run(["fit"], device="cpu", progress=False)
    assert list(run) == ["before", "fit"]
