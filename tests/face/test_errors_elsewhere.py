"""An error keeps from being run what needs the declaration that it stands in, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc
from mfc.cli import main

DATA = """
data digits: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.9, seed = 1)
    label  = parent()
}
"""

SPEC = """
import "shared.mfs" (digits)

param width: int = 8 in 1..64
let rate = 1e-2
let other_rate = 1e-3

block layer(n) { linear(n)  relu() }
model net   { group body { flatten()  layer(width) }  group head { linear(digits.classes) } }
model large { flatten()  layer(64)  linear(digits.classes) }

train a {
    data     = digits
    model    = net
    loss     = cross_entropy()
    schedule = one_cycle(lr = rate)
    epochs   = 1
}

train b {
    data     = digits
    model    = large
    loss     = cross_entropy()
    schedule = one_cycle(lr = other_rate)
    epochs   = 1
}

evaluate score { model = a  metrics = [accuracy()] }
evaluate scores { model = [a, b]  metrics = [accuracy()] }
"""

WRONG_B = ("other_rate)\n    epochs   = 1", "other_rate)\n    epochs   = 0")

SPARED = {
    "a train": WRONG_B,
    "a model": ("layer(64)", "layer(64)  conv2d(3)"),
    "a constant": ("other_rate = 1e-3", "other_rate = 1e-3 + missing"),
    "an evaluation": ("[a, b]  metrics = [accuracy()]", "[a, b]  metrics = [mse()]"),
    "a declaration of an imported file": ("beside = 1", "beside = missing"),
    "arguments for what both are made of": ("layer(64)", "layer(0)"),
}

COUNTED = {
    "the train": ("rate)\n    epochs   = 1", "rate)\n    epochs   = 0"),
    "its model": ("layer(width)", "layer(width)  conv2d(3)"),
    "what its model is made of": ("relu()", "relu(leak = 2, leek = 3)"),
    "a constant": ("rate = 1e-2", "rate = 1e-2 + missing"),
    "its data in another file": ('builtin("digits")', 'builtin("digitz")'),
    "what can't be read": ("train b {", "train b {{"),
    "an import": ('"shared.mfs" (digits)', '"shared.mfs" (digits, nothing)'),
    "a name for two things": ("train b {", "train a {"),
    "what explodes": ("other_rate = 1e-3", "other_rate = len([i + j for i in range(2000) for j in [1]])\n"
                      "block again(n) { again(n) }\nmodel endless { again(1) }"),
}  # fmt: skip


def write(folder: Path, old: str = "", new: str = "") -> str:
    """The spec with one change, in it or in what it imports."""
    shared = f"{DATA}\nlet beside = 1\n"
    assert old in SPEC + shared
    (folder / "shared.mfs").write_text(shared.replace(old, new, 1) if old not in SPEC else shared)
    (folder / "spec.mfs").write_text(SPEC.replace(old, new, 1) if old else SPEC)
    return str(folder / "spec.mfs")


@pytest.mark.parametrize("where", SPARED)
def test_what_is_not_needed_may_be_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    spec = write(tmp_path, *SPARED[where])
    assert main(["run", spec, "--target", "a", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("a: train_loss ")
    assert (
        "error[E" in said.err and "1 error in " in said.err and "none of them in what `a` needs" in said.err
    )
    assert main(["plan", spec, "--target", "score"]) == 0
    assert main(["predict", spec, "a", "missing.png", "--device", "cpu"]) == 1
    assert "error[R0103]" in capsys.readouterr().err
    assert main(["run", spec]) == main(["check", spec]) == 2
    if where != "a declaration of an imported file":
        assert main(["run", spec, "--target", "a", "--target", "scores"]) == 2


@pytest.mark.parametrize("where", COUNTED)
def test_what_is_needed_may_not_be_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    spec = write(tmp_path, *COUNTED[where])
    for target in ("a", "score"):
        assert main(["run", spec, "--target", target]) == 2, target
    said = capsys.readouterr().err
    assert "error[E" in said and "none of them" not in said
    assert not (tmp_path / ".mfc").exists()


def test_each_command_that_names_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = write(tmp_path, *WRONG_B)
    assert main(["lr-find", spec, "a", "--device", "cpu"]) == 0
    assert main(["activations", spec, "a"]) == 1 and "R0245" in capsys.readouterr().err
    assert main(["lr-find", spec, "b"]) == main(["activations", spec, "b"]) == 2
    assert main(["run", spec, "--target", "c"]) == 2, (
        "a name that is not there is in the way as all errors are"
    )
    assert main(["run", spec, "--target", "a", "--set", "widht=3"]) == 2
    assert main(["run", spec, "--target", "a", "--set", "width=0"]) == 2


@pytest.mark.parametrize("where", SPARED)
def test_what_is_shown_may_stand_beside_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    spec = write(tmp_path, *SPARED[where])
    for name, said in (("digits", "10 classes"), ("net", "610 parameters"), ("a", "a: 1 epoch")):
        assert main(["show", spec, name]) == 0
        out, err = capsys.readouterr()
        assert said in out and f"1 error in {spec}, none of them in what `{name}` needs\n" in err
        assert err.count("error[E") == 1
    shown = main(["show", spec, "large"])
    wrong = where in ("a model", "arguments for what both are made of")
    assert shown == (2 if wrong else 0), "what is wrong may be how it is trained"
    assert capsys.readouterr().err.count("error[E") == 1
    assert main(["show", spec, "nothing"]) == 2


@pytest.mark.parametrize(
    "where", ["its model", "what its model is made of", "what can't be read", "a name for two things"]
)
def test_what_is_shown_may_not_be_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    spec = write(tmp_path, *COUNTED[where])
    assert main(["show", spec, "net"]) == 2
    assert "error[E" in capsys.readouterr().err


def test_weights_of_a_training_with_errors(tmp_path: Path) -> None:
    """What a training starts from is needed for it."""
    spec = write(tmp_path, *WRONG_B)
    text = Path(spec).read_text().replace("large { flatten()", "large { group body { flatten() }")
    fields = "data = digits  model = large  weights = b.body  loss = cross_entropy()  epochs = 1"
    Path(spec).write_text(f"{text}train c {{ {fields} }}\n")
    assert main(["run", spec, "--target", "c"]) == 2
    assert main(["plan", spec, "--target", "a"]) == 0


def test_in_python(tmp_path: Path) -> None:
    spec = mfc.load(write(tmp_path, *WRONG_B))
    with pytest.raises(mfc.SpecError):
        mfc.compile(spec)
    job = mfc.Job(spec)
    assert list(job.run(["a"], device="cpu", progress=False)) == ["a"]
    with pytest.raises(mfc.SpecError, match="E0302"):
        job.run(["b"])
    with pytest.raises(mfc.SpecError, match="E0302"):
        job.run()


def test_what_the_data_tells_is_wrong_elsewhere(tmp_path: Path) -> None:
    """Ten classes, which are known when the items were read, do not fit seven outputs."""
    spec = mfc.load(write(tmp_path, "layer(64)  linear(digits.classes)", "layer(64)  linear(7)"))
    assert spec.ok
    assert mfc.compile(spec).run(["a"], device="cpu", progress=False).ran[-1] == "a"
    with pytest.raises(mfc.SpecError, match="E0503"):
        mfc.compile(spec).run(["b"])
