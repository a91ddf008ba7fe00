"""Images that are trained on in one size and validated in another, from the check to a trained model."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc
from mfc.cli import main

SPEC = """
data digits: image -> category {
    source          = builtin("digits")
    split           = random(valid = 0.9, seed = 1)
    label           = parent()
    item_transforms = [train_only(train_only(resize(6))), valid_only(resize(12))]
    workers         = 0
}
model net { conv2d(4)  adaptive_avg_pool(1)  flatten()  linear(digits.classes) }
train fit { data = digits  model = net  loss = cross_entropy()  epochs = 1 }
"""


def test_each_part_has_its_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.mfs").write_text(SPEC)
    fit = mfc.run(tmp_path / "spec.mfs")["fit"]
    dls = fit.learner.dls
    assert [tuple(next(iter(loader)).x.shape[1:]) for loader in (dls.train, dls.valid)] == [
        (1, 6, 6),
        (1, 12, 12),
    ]
    assert main(["show", str(tmp_path / "spec.mfs"), "digits"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[1:4]] == ["builtin", "train_only(resize)", "valid_only(resize)"]
