"""The parts in the chapter on optimizers work: alone against their papers' rules, and in a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mfc
from mfc.runtime import user_files
from mfc.runtime.optim.optimizers import stateful
from mfc.runtime.optim.stats import average_grad, step_count
from tests.docs.test_documentation import blocks
from tests.runtime.optimizing import NET, assert_equal, case, pieces_of, trained

CHAPTER = "docs/training/optimizers.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the chapter's parts in a file."""
    (example,) = blocks(CHAPTER, "python")
    (tmp_path / "parts.py").write_text(example)
    return tmp_path


@pytest.fixture
def parts(folder: Path) -> Any:
    return user_files.load(str(folder / "parts.py"))


@pytest.mark.parametrize("chunk", [16, 100_000])
def test_adabelief(parts, chunk):
    run = case(NET, steps=50)
    stats = [average_grad(dampening=True), parts.average_noise(0.95), step_count()]
    with pieces_of(chunk):
        ours = trained(stateful(stats=stats, steppers=[parts.belief_step(1e-3)]), run, lowered=True)
    for group, tensors in enumerate(run.groups):
        for index, tensor in enumerate(tensors):
            p, m, s = tensor.clone(), torch.zeros_like(tensor), torch.zeros_like(tensor)
            for t, (gradients, hypers) in enumerate(zip(run.gradients, run.hypers), 1):
                g, mom = gradients[group][index], hypers[group]["mom"]
                assert g is not None
                m = mom * m + (1 - mom) * g
                s = 0.95 * s + 0.05 * (g - m) ** 2
                p -= hypers[group]["lr"] * (m / (1 - mom**t)) / ((s / (1 - 0.95**t)).sqrt() + 1e-3)
            assert_equal([[ours[group][index]]], [[p]], atol=1e-9)


@pytest.mark.parametrize("chunk", [16, 100_000])
def test_fromage(parts, chunk):
    run = case(NET, steps=50)
    with pieces_of(chunk):
        ours = trained(stateful(steppers=[parts.fromage_step()]), run, lowered=True)
    for group, tensors in enumerate(run.groups):
        for index, tensor in enumerate(tensors):
            p = tensor.clone()
            for gradients, hypers in zip(run.gradients, run.hypers):
                g, lr = gradients[group][index], hypers[group]["lr"]
                assert g is not None
                p = (p - lr * p.norm() / g.norm() * g) / (1 + lr**2) ** 0.5
            assert_equal([[ours[group][index]]], [[p]], atol=1e-9)


HEAD = """
data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2)
    label      = parent()
    batch_size = 128
}
model net { flatten()  linear(digits.classes) }
"""


def test_the_chapters_optimizers_train_in_a_spec(folder):
    (shown,) = (block for block in blocks(CHAPTER, "mfs fragment") if "belief" in block)
    use, _, rest = shown.partition("\n")
    (folder / "shown.mfs").write_text(f"{use}\n{HEAD}{rest}")
    run = mfc.run(folder / "shown.mfs")
    assert run["fit"].result["accuracy"] > 0.6
    assert run["other"].result["accuracy"] > 0.6
    (hypers,) = run["fit"].learner.optimizer.hypers
    assert 0.98 < hypers["noise_mom"] < 0.99, "the schedule drives what a part of one's own reads"

    parts = folder / "parts.py"
    parts.write_text(f"{parts.read_text()}# only a comment\n")
    assert stale(folder) == []
    parts.write_text(parts.read_text().replace("sqrt_()", "sqrt_().mul_(1.5)"))
    assert stale(folder) == ["fit"]


def stale(folder: Path) -> list[str]:
    """The stages that would run again."""
    statuses = mfc.compile(mfc.load(folder / "shown.mfs")).status()
    return [status.stage.name for status in statuses if status.state != "up to date"]
