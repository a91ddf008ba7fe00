"""What is said where a component of the user's own fails in the middle of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc

SPECS = Path(mfc.__file__).parent / "specs"

PARTS = '''
import mfc
from torch import nn


@mfc.layer(shape="b c h w -> b c h w")
class halved(nn.Module):
    """Says that it changes nothing, and halves."""

    def forward(self, x):
        return x[:, :, ::2, ::2]


@mfc.layer(shape="b c h w -> b c h w")
class broken(nn.Module):
    """Fails."""

    def forward(self, x):
        return x.no_such_thing


@mfc.loss(shape="b classes", targets=("category",))
def wrong():
    """A loss that fails."""

    def loss(pred, target):
        raise ValueError("out of luck")

    return loss


@mfc.metric(shape="b classes", targets=("category",))
class no_reset:
    """A metric without a method."""

    def update(self, pred, target): ...

    def compute(self):
        return 0.0


@mfc.metric(shape="b classes", targets=("category",))
class several:
    """A metric that gives two numbers."""

    def reset(self): ...

    def update(self, pred, target): ...

    def compute(self):
        return [1.0, 2.0]
'''

SPEC = """
use "parts.py" (halved, broken, wrong, no_reset, several)

data digits: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.2)
    label  = parent()
}

model net {
    group body { conv2d(4, padding = 0) }
    group head { flatten()  linear(digits.classes) }
}

train fit {
    data    = digits
    model   = net
    loss    = cross_entropy()
    metrics = [accuracy()]
    epochs  = 1
}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("conv2d(4", "halved()  conv2d(4", "the layer `head.linear` failed: RuntimeError: "),
        ("conv2d(4", "broken()  conv2d(4", "the layer `body.broken` failed: AttributeError: "),
        ("cross_entropy()", "wrong()", "a component of your own failed: ValueError: out of luck"),
        ("accuracy()", "no_reset()", "the metric `no_reset` has no method `reset`"),
        ("accuracy()", "several()", "the metric `several` gives list, not one number"),
    ],
)
def test_a_failing_component_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "spec.mfs").write_text(SPEC.replace(old, new))
    with pytest.raises(mfc.RunError) as caught:
        mfc.run(tmp_path / "spec.mfs")
    assert caught.value.message.startswith(said)
    if "broken" in new or "wrong" in new:
        assert "parts.py, line " in caught.value.notes[0]


def test_metrics_that_were_not_measured_are_measured_when_they_are_asked_for(tmp_path: Path) -> None:
    spec = tmp_path / "digits.mfs"
    text = (SPECS / "digits.mfs").read_text()
    spec.write_text(text)
    first = mfc.run(spec, epochs=1)
    assert list(first["fit"].result) == ["train_loss", "valid_loss", "accuracy"]
    spec.write_text(text.replace("[accuracy()]", "[error_rate(), accuracy(), top_k_accuracy(3)]"))
    again = mfc.run(spec, epochs=1)
    assert again.ran == []
    found = again["fit"].result
    assert list(found) == ["train_loss", "valid_loss", "error_rate", "accuracy", "top_k_accuracy"]
    assert found["error_rate"] == pytest.approx(1 - found["accuracy"])
    assert found["accuracy"] == first["fit"].result["accuracy"] < found["top_k_accuracy"]


def test_what_is_shown_of_objects_is_short(tmp_path: Path) -> None:
    spec = mfc.load(SPECS / "digits.mfs")
    job = mfc.compile(SPECS / "digits.mfs")
    for thing in (spec, job, job.plan(), job.status()):
        assert len(repr(thing)) < 2000
    job = mfc.Job(mfc.load(SPECS / "digits.mfs", epochs=1), tmp_path)
    run = job.run(["digits", "fit"], progress=False)
    assert repr(run) == "<Run: trained fit; 4 of 4 stages ran>"
    assert repr(run["fit"]) == f"<Trained fit in {run['fit'].folder}>"
    loaders = "<DataLoaders: 1,415 to train, 382 to validate, 10 classes, batches of 64>"
    assert repr(job.build("digits")) == repr(run["fit"].learner.dls) == loaders
    assert {"load", "compile", "run", "layer", "SpecError"} <= set(dir(mfc))


def test_a_spec_without_a_train_has_nothing_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mfc.cli import main

    (tmp_path / "empty.mfs").write_text("")
    assert main(["run", str(tmp_path / "empty.mfs")]) == 0
    assert capsys.readouterr().out == (
        "there is nothing to run: the spec has no train, evaluate or export that needs no arguments\n"
    )


def test_a_file_that_is_missing_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mfc.cli import main

    (tmp_path / "empty.mfs").write_text("")
    assert main(["check", str(tmp_path / "none.mfs"), str(tmp_path / "empty.mfs")]) == 2
    shown = capsys.readouterr()
    assert "no errors in" in shown.out and "none.mfs" in shown.err
