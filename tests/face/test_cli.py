"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfc.job
from mfc.arguments import parse
from mfc.cli import COMMANDS, main
from mfc.dsl.explain import codes
from mfc.runtime.errors import RunInterrupted

SPEC = """
## How often the training part is seen
param epochs: int = 1 in 1..9

data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2, seed = 42)
    label      = parent()
    batch_size = 256
}
model net {
    group body { conv2d(4, 3, stride = 2)  relu() }
    group head { adaptive_avg_pool(1)  flatten()  linear(digits.classes) }
}
train fit {
    data = digits  model = net  loss = cross_entropy()  metrics = [accuracy()]
    schedule = one_cycle(lr = 1e-2)
    epochs = epochs
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("small.mfs").write_text(SPEC)
    return "small.mfs"


def test_check_says_that_there_is_nothing_to_say(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", spec]) == 0
    assert capsys.readouterr() == ("no errors in small.mfs\n", "")


def test_check_reports_all_mistakes_of_all_specs(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.mfs").write_text(SPEC.replace("relu()", "rellu()").replace("accuracy()", "accuracy"))
    assert main(["check", spec, "bad.mfs"]) == 2
    out = capsys.readouterr().out
    assert "no errors in small.mfs" in out
    assert "did you mean `relu`?" in out and "--> bad.mfs:" in out
    assert out.endswith("2 errors in bad.mfs\n")


def test_check_prints_a_json_object_a_line(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.mfs").write_text(SPEC.replace("relu()", "rellu()"))
    assert main(["check", "bad.mfs", "--json"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert set(found) == {"file", "code", "severity", "message", "range", "help", "fix"}
    assert found["fix"] == {"title": "Write `relu`", "range": found["range"], "text": "relu"}
    assert found["file"] == "bad.mfs" and found["code"] == "E0204"
    start, end = found["range"]["start"], found["range"]["end"]
    assert SPEC.splitlines()[start["line"]][start["character"] :].startswith("relu")
    assert end == {"line": start["line"], "character": start["character"] + 5}


def test_check_prints_a_mistake_a_line(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.mfs").write_text(SPEC.replace("relu()", "rellu()"))
    assert main(["check", "bad.mfs", "--short"]) == 2
    assert re.fullmatch(r"bad\.mfs:\d+:\d+: error\[E0204\]: .*`rellu`.*\n", capsys.readouterr().out)


def test_a_param_without_a_value_may_be_checked_but_not_run(
    spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(spec).write_text(SPEC.replace("int = 1 in", "int in"))
    assert main(["check", spec]) == 0
    assert main(["run", spec]) == 2
    assert "--set epochs=..." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epochs=0", "must be an integer in 1..9"),
        ("epochs=many", '"many"'),
        ("epoch=3", "did you mean `epochs`?"),
    ],
)
def test_a_wrong_setting_is_a_mistake_of_the_spec(
    spec: str, setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", spec, "--set", setting]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and said in captured.err


def test_a_missing_spec_is_said_in_one_line(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "none.mfs"]) == 2
    assert capsys.readouterr().err == "error: can't read none.mfs: no such file or directory\n"
    assert main(["run", "."]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        ["fly"],
        ["run"],
        ["run", "a.mfs", "--set", "x"],
        ["run", "a", "--workers", "-1"],
        ["check", "a", "--jsn", "b"],
        ["predict", "a", "fit", "x", "--nothing"],
        ["run", "a", "b"],
    ],
)
def test_a_wrong_command_line_exits_with_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("line", "things"),
    [
        ("a.mfs fit x.png y.png --top 3", ["fit", "x.png", "y.png"]),
        ("a.mfs fit --top 3 x.png --csv y.png -", ["fit", "x.png", "y.png", "-"]),
        ("--top 3 a.mfs --device cpu fit x.png", ["fit", "x.png"]),
        ("a.mfs fit --top 3 -- --x.png", ["fit", "--x.png"]),
        ("deploy.zip x.png", ["x.png"]),
    ],
)
def test_options_may_stand_between_what_is_predicted(line: str, things: list[str]) -> None:
    given = parse(["predict", *line.split()])
    assert given.things == things and given.spec in ("a.mfs", "deploy.zip")


def test_what_can_not_be_predicted_with(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    assert main(["predict", "folder", "x.png"]) == 2
    assert capsys.readouterr().err == "error: folder is neither a spec nor a bundle\n"
    assert main(["predict", spec, "x.png"]) == 1
    assert "the spec has no training `x.png`\n  = help: there are fit" in capsys.readouterr().err
    assert main(["run", spec]) == 0
    capsys.readouterr()
    assert main(["predict", spec, "fit"]) == 2
    assert capsys.readouterr().err.startswith("error: name what `fit` is to predict\n")


def test_run_plan_and_run_again(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", spec]) == 0
    assert "4 of 4 stages would run" in capsys.readouterr().out

    assert main(["run", spec]) == 0
    captured = capsys.readouterr()
    assert "fit: never run" in captured.err
    first, second = captured.out.splitlines()
    assert (
        first.startswith("fit: train_loss ") and "accuracy 0." in first and first.endswith(" after 1 epoch")
    )
    results = Path(second.removeprefix("  results in "))
    assert (results / "model.safetensors").is_file() and not results.is_absolute()

    assert main(["run", spec]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["everything is up to date", first, second] and captured.err == ""

    assert main(["plan", spec, "--set", "epochs=2", "--json", "--graph", "plan.svg"]) == 0
    stages = {stage["name"]: stage for stage in json.loads(capsys.readouterr().out)["stages"]}
    assert [name for name, stage in stages.items() if stage["state"] != "up to date"] == ["fit"]
    assert "epochs: 1 -> 2" in stages["fit"]["reasons"]
    assert stages["fit"]["recipe"]["epochs"] == 2
    assert Path("plan.svg").read_text().startswith("<svg ")

    assert main(["run", spec, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ran"] == [] and result["trained"]["fit"]["last"]["accuracy"] > 0


def test_results_go_where_they_are_wanted(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", spec, "--target", "digits", "--store", "elsewhere"]) == 0
    assert Path("elsewhere/artifacts").is_dir() and not Path(".mfc").exists()


def test_show_prints_layers_data_and_schedules(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", spec, "net"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["body.conv2d", "conv2d(nf=4,", "stride=2)", "4", "4", "4", "40"]
    assert out[-1] == "90 parameters"
    assert main(["show", spec, "digits"]) == 0
    out = capsys.readouterr().out
    assert "10 classes" in out and "a batch of train: (256, 1, 8, 8) float32" in out
    assert main(["show", spec, "fit"]) == 0
    assert "  lr: 0.0004 to 1e-07, within 1e-07..0.01\n" in capsys.readouterr().out


def test_explain_prints_the_page_of_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "e0204"]) == 0
    assert capsys.readouterr().out.startswith("# E0204: ")
    assert main(["explain", "E9204"]) == 2
    assert capsys.readouterr().err == "error: there is no code `E9204`\n  = help: did you mean `E0204`?\n"
    assert main(["explain", "E9999"]) == 2
    assert capsys.readouterr().err.endswith("= help: `mfc explain` lists all codes\n")


def test_explain_lists_all_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "E0101  something else was expected here" and len(lines) == len(codes())


def test_commands_are_told_of_where_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        main([])
    said = capsys.readouterr()
    assert stopped.value.code == 2 and said.out == "" and "error:" not in said.err
    told = [line.split() for line in said.err.splitlines() if line.startswith("    ")]
    assert {words[0] for words in told} == COMMANDS.keys() and len(told) == len(COMMANDS), "one line each"


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────


def test_an_error_of_a_run_is_said_without_a_traceback(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", spec, "--target", "fitt"]) == 1
    assert capsys.readouterr().err == (
        "error[R0501]: the spec declares no `fitt`\n  = help: there are digits, fit\n"
    )
    missing = SPEC.replace('builtin("digits")', 'image_files("nowhere")')
    Path(spec).write_text(missing.replace("batch_size", "item_transforms = [resize(8)]\n    batch_size"))
    assert main(["run", spec]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error[R01") and "nowhere" in captured.err


def fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(mfc.job.Job, "run", run)


@pytest.mark.parametrize(
    ("error", "said"), [(RunInterrupted("kept"), "kept\n"), (KeyboardInterrupt(), "interrupted\n")]
)
def test_an_interrupt_exits_with_130(
    spec: str,
    error: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fails(monkeypatch, error)
    assert main(["run", spec]) == 130
    assert capsys.readouterr().err == said


def test_a_mistake_in_mfc_is_said_with_the_way_to_its_traceback(
    spec: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(monkeypatch, ZeroDivisionError("by zero"))
    assert main(["run", spec]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: mfc failed: ZeroDivisionError: by zero\n") and "`--debug`" in err
    with pytest.raises(ZeroDivisionError):
        main(["run", spec, "--debug"])


def test_a_reader_that_stops_reading_is_no_failure_worth_a_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mfc", "explain", "E0204"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
