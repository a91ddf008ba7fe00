"""`mfc lr-find` and `job.lr_find`: what they run first, say, draw, and leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mfc
from mfc.cli import main

SPEC = """
data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2, seed = 42)
    label      = parent()
    batch_size = 128
}
model net {
    group body { conv2d(4, 3, stride = 2)  batchnorm()  relu() }
    group head { adaptive_avg_pool(2)  flatten()  linear(digits.classes) }
}
train fit {
    data = digits  model = net  loss = cross_entropy()
    schedule = one_cycle(lr = 1e-2)
    epochs = 1
}
train tuned {
    data = digits  model = net  loss = cross_entropy()  weights = fit.body
    phase head { freeze_to = -1  epochs = 1  schedule = flat(1e-2) }
    phase all  { epochs = 1  schedule = one_cycle(lr = spread(1e-2, factor = 10)) }
}
evaluate both { model = [fit]  metrics = [accuracy()] }
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.mfs").write_text(SPEC)
    return "small.mfs"


def stages(folder: str = ".mfc") -> list[str]:
    """The stages that have a result in the store."""
    return sorted(path.name for path in Path(folder, "artifacts").iterdir())


def test_a_rate_is_found_and_nothing_is_trained(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-find", spec, "fit", "--device", "cpu", "--steps", "60"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("fit: 60 batches with rising learning rates, from 1e-05 to ")
    assert "an epoch has 11 batches" in out and "⡀" in out and "1e-3" in out
    rows = [line.split()[:3] for line in out.splitlines()[-4:]]
    assert [row[:2] for row in rows] == [["v", "valley"], ["s", "steep"], ["m", "minimum"], ["l", "slide"]]
    assert all(1e-5 < float(row[2]) < 10 for row in rows)
    assert "digits.items: never run" in err and "fit:" not in err
    assert stages() == ["digits.files", "digits.items", "digits.packed"]
    assert not Path(".mfc/work").exists() or not list(Path(".mfc/work").iterdir())


def test_a_training_after_it_is_the_same(spec: str) -> None:
    job = mfc.compile(spec)
    found = job.lr_find("fit", device="cpu", steps=40, progress=False)
    after = job.run(["fit"], device="cpu", progress=False)["fit"]
    again = job.lr_find("fit", device="cpu", steps=40, progress=False)
    assert again == found  # the same draws, also where the training has a result
    Path("other").mkdir()
    Path("other/small.mfs").write_text(SPEC)
    alone = mfc.compile("other/small.mfs").run(["fit"], device="cpu", progress=False)["fit"]
    assert after.weights.read_bytes() == alone.weights.read_bytes()
    assert job.run(["fit"], device="cpu", progress=False).ran == []


def test_a_phase_goes_on_from_those_before(spec: str) -> None:
    job = mfc.compile(spec)
    found = job.lr_find("tuned.all", device="cpu", steps=40, progress=False)
    assert (found.stage, found.batches) == ("tuned.all", 11)
    assert "tuned.head" in stages() and "fit" in stages() and "tuned.all" not in stages()
    head = job.lr_find("tuned.head", device="cpu", steps=40, progress=False)
    assert head.losses[0] > found.losses[0]  # what the head has learned is there


def test_json(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--steps", "40", "--start", "1e-6", "--end", "1", "--device", "cpu", "--json"]
    assert main(["lr-find", spec, "fit", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stage"] == "fit" and found["steps"] == 40 and found["batches"] == 11
    assert found["rates"][0] == pytest.approx(1e-6) and len(found["rates"]) == len(found["losses"])
    assert {"valley", "steep", "minimum", "slide"} < set(found) and found["valley"] in found["rates"]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_pictures(spec: str, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-find", spec, "fit", "--steps", "40", "--device", "cpu", "--plot", f"rates{ending}"]) == 0
    assert main(["show", spec, "tuned", "--plot", f"courses{ending}"]) == 0
    start = b"\x89PNG" if ending == ".png" else b"<?xml"
    for name in ("rates", "courses"):
        assert Path(name + ending).read_bytes().startswith(start)
        assert Path(name + ending).stat().st_size > 5_000


def test_a_picture_of_another_kind_is_a_wrong_command_line(spec: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["show", spec, "fit", "--plot", "courses.txt"])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fitt", "the spec has no training `fitt`\n  = help: did you mean `fit`?"),
        ("tuned", "`tuned` has phases: name one of them\n  = help: there are tuned.head, tuned.all"),
        ("digits", "the spec has no training `digits`\n  = help: there are fit, "),
    ],
)
def test_what_is_no_training(spec: str, name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-find", spec, name]) == 1
    assert said in capsys.readouterr().err


def test_wrong_bounds(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lr-find", spec, "fit", "--start", "1", "--end", "0.1", "--device", "cpu"]) == 1
    assert "error[R0233]: the learning rate can't rise from 1 to 0.1" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["lr-find", spec, "fit", "--start", "0"])
    assert stopped.value.code == 2


def test_a_loss_that_is_nan_from_the_start(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.py").write_text(
        "import mfc\n\n@mfc.loss(shape='b classes', targets=('category',))\nclass odd:\n"
        '    "NaN."\n    def __call__(self, pred, target):\n        return pred.mean() * float("nan")\n'
    )
    Path(spec).write_text('use "own.py" (odd)\n' + SPEC.replace("cross_entropy()", "odd()", 1))
    assert main(["lr-find", spec, "fit", "--device", "cpu"]) == 1
    assert "error[R0230]: the loss is NaN at the first batch" in capsys.readouterr().err


# ── courses ─────────────────────────────────────────────────────────────────────────────────────────────


def shown(spec: str, name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["show", spec, name]) == 0
    return capsys.readouterr().out.splitlines()


def test_courses_over_phases_and_groups(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(spec, "tuned", capsys)
    assert lines[:2] == ["tuned.head: 1 epoch", "tuned.all: 1 epoch"]
    said = [line for line in lines if ": " in line][2:]
    assert said == [
        "  lr of body: 0.01 to 1e-08, within 1e-08..0.01",
        "  lr of head: 0.01 to 1e-07, within 1e-07..0.01",
        "  mom: 0.95 to 0.95, within 0.85..0.95",
    ]
    (axis,) = {line.strip() for line in lines if "0 head" in line}
    assert axis.split() == ["0", "head", "1", "all", "2"]


def test_extremes_of_a_course_are_exact(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A peak of a few batches, which no grid meets, and cycles that end where the next begins."""
    curves = "combine([0.123, 0.0001, 0.8769], [lin(0, 0.1), lin(0.7, 0.9), lin(0.2, 0)])"
    Path(spec).write_text(
        SPEC.replace(
            "one_cycle(lr = 1e-2)\n    epochs = 1",
            f"[param_scheduler(wd = {curves}), sgdr(lr = 0.5, cycles = 2, cycle_len = 1)]\n    epochs = 3",
        )
    )
    lines = shown(spec, "fit", capsys)
    assert "  wd: 0 to 0, within 0..0.9" in lines and "  lr: 0.5 to 0, within 0..0.5" in lines


def test_a_course_that_stays(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(spec).write_text(SPEC.replace("one_cycle(lr = 1e-2)", "flat(1e-2)"))
    assert shown(spec, "fit", capsys) == [
        "fit: 1 epoch",
        "  lr: 0.01 to 0.01, within 0.01..0.01",
        "  0.01 ┤" + "⠉" * 64,
        "       └" + "─" * 64,
        "        0" + " " * 56 + "1 epoch",
    ]


def test_no_schedule(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(spec).write_text(SPEC.replace("schedule = one_cycle(lr = 1e-2)", ""))
    assert shown(spec, "fit", capsys)[1] == "  no schedule: the hyperparameters stay as they are"
    assert main(["show", spec, "fit", "--plot", "a.png"]) == 1
    assert "there is nothing to plot of `fit`: it has no schedule" in capsys.readouterr().err
    assert main(["show", spec, "net", "--plot", "a.png"]) == 1
    assert "it is no training" in capsys.readouterr().err
