"""What users see when data, disk or training go wrong: the exact text, kept in `outputs/`, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mfc
from mfc.cli import main
from tests.conftest import Golden

OUTPUTS = Path(__file__).parent / "outputs"

SPEC = """
data pets: image -> category {
    source          = image_files("pets")
    split           = grandparent(train = "train", valid = "valid")
    label           = parent()
    item_transforms = [resize(8)]
    batch_size      = 4
}

model net {
    flatten()
    linear(pets.classes)
}

train fit {
    data    = pets
    model   = net
    loss    = cross_entropy()
    metrics = [accuracy()]
    epochs  = 2
}
"""


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a few images with the spec beside it, as the working folder."""
    monkeypatch.chdir(tmp_path)
    for part, count, blue in (("train", 4, 7), ("valid", 2, 90)):
        for place, label in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (10, 12), (40 + 100 * place, 30 * number, blue)).save(
                    folder / f"{number}.jpg"
                )
    (tmp_path / "pets.mfs").write_text(SPEC)
    return tmp_path / "pets"


def change(old: str, new: str) -> None:
    """Changes the spec in the working folder."""
    text = Path("pets.mfs").read_text()
    assert old in text
    Path("pets.mfs").write_text(text.replace(old, new))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status and all that a run prints, without what differs from run to run."""
    status = main(["run", "pets.mfs", "--device", "cpu", *arguments])
    out, err = capsys.readouterr()
    text = (err + out).replace(os.getcwd(), "DIR")
    text = re.sub(r"\d+\.\d s\b", "N s", text)
    text = re.sub(r"(artifacts|work|tmp)/(\w+)/[0-9a-f]{32}", r"\1/\2/KEY", text)
    return status, re.sub(r"\b\d+\.\d+\b", "N.N", text)


def test_missing_folder(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    pets.rename(pets.with_name("pest"))
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "missing_folder.out", text)


def test_no_images(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    for number, image in enumerate(sorted(pets.rglob("*.jpg"))):
        image.rename(image.with_suffix(".txt" if number % 3 else ".raw"))
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "no_images.out", text)


def test_broken_image(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    (pets / "train" / "cat" / "2.jpg").write_bytes(b"\xff\xd8 this is no JPEG")
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "broken_image.out", text)


def test_broken_image_is_skipped(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    (pets / "train" / "cat" / "2.jpg").write_bytes(b"\xff\xd8 this is no JPEG")
    change("batch_size      = 4", 'batch_size      = 4\n    on_error        = "skip"')
    status, text = run(capsys)
    assert status == 0
    golden(OUTPUTS / "broken_image_skipped.out", text)


def test_label_that_training_lacks(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    (pets / "valid" / "dog").rename(pets / "valid" / "dogs")
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "unknown_label.out", text)


def test_empty_split(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    change('valid = "valid"', 'valid = "validation"')
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "empty_split.out", text)


def test_classes_that_the_model_does_not_have(
    pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]
) -> None:
    change("linear(pets.classes)", "linear(5)")
    status, text = run(capsys)
    assert status == 2
    golden(OUTPUTS / "classes.out", text)


def test_settings(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    """A param that the spec lacks, a value outside its domain, one of the wrong type, and one that is no choice."""
    params = (
        'param epochs: int = 2 in 1..9\nparam lr: float = 0.1\nparam arch: choice(small, large) = "small"\n'
    )
    change("\ndata", f"{params}\ndata")
    settings = ["epoch=3", "epochs=0", "lr=high", "arch=huge"]
    assert main(["check", "pets.mfs", *(word for setting in settings for word in ("--set", setting))]) == 2
    golden(OUTPUTS / "settings.out", capsys.readouterr().out)


def test_what_is_no_text(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("image.mfs").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    Path("wide.mfs").write_text(SPEC, encoding="utf-16")
    Path("latin.mfs").write_bytes(b'let a = 1\nlet b = "caf\xe9"\n')
    for name, line in (("image.mfs", 1), ("wide.mfs", 1), ("latin.mfs", 2)):
        for command in ("check", "run"):
            assert main([command, name]) == 2
            said = f"error: can't read {name}: line {line} has a byte that is no text in utf-8\n"
            assert capsys.readouterr() == ("", said)


def test_nan_loss(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    lr = "combine([0.5, 0.5], [const(1e-3), const(1e38)])"
    change("epochs  = 2", f"optimizer = sgd()\n    schedule = param_scheduler(lr = {lr})\n    epochs = 2")
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "nan_loss.out", text)
    assert list(Path(".mfc/work/fit").glob("*/checkpoint-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".mfc").mkdir(mode=0o500)
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "no_permission.out", text)


def test_no_folder_for_results(pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".mfc").write_text("a file where the folder should be")
    status, text = run(capsys)
    assert status == 1
    golden(OUTPUTS / "no_run_folder.out", text)


def test_no_space(pets: Path, golden: Golden) -> None:
    code = (
        "import resource, signal, sys; import mfc.runtime.training.train; from mfc.cli import main; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)); "
        "sys.exit(main(['run', 'pets.mfs', '--device', 'cpu']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    text = re.sub(
        r"(artifacts|work|tmp)/([\w.]+)/[0-9a-f]{32}", r"\1/\2/KEY", done.stderr.replace(os.getcwd(), "DIR")
    )
    assert "Traceback" not in text
    golden(OUTPUTS / "no_space.out", text)


def test_interrupt_and_go_on(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change("epochs  = 2", "epochs  = 2000")
    command = [sys.executable, "-m", "mfc", "run", "pets.mfs", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        read_until(process, "epoch 3/")
        process.send_signal(signal.SIGINT)
        err = process.stderr.read() if process.stderr else ""
    assert process.returncode == 130
    assert "Traceback" not in err and "the next run goes on from it" in err
    (checkpoint,) = Path(".mfc/work/fit").glob("*/checkpoint-*")
    finished = int(checkpoint.name.split("-")[1])
    assert 3 <= finished < 2000
    within = checkpoint.name.count("-") == 2
    where = f"in epoch {finished + 1} of 2000, " if within else f"after epoch {finished} of 2000"

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = read_until(process, f"epoch {finished + 1}/")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert any(line.startswith(f"fit goes on {where}") for line in lines)


def read_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """The lines that a process writes up to one that holds `wanted`."""
    lines: list[str] = []
    assert process.stderr is not None
    while wanted not in (line := process.stderr.readline()):
        assert line, f"ended without {wanted}: {lines}"
        lines.append(line)
    return lines


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_imports_are_files_and_no_pipes(tmp_path: Path) -> None:
    for name in ("parts.mfs", "mine.py"):
        os.mkfifo(tmp_path / name)  # to open one would wait for ever
    spec = tmp_path / "spec.mfs"
    spec.write_text('import "parts.mfs" (block_of_mine)\nuse "mine.py" (layer_of_mine)\n')
    found = mfc.load(spec).errors
    assert [error.code for error in found] == ["E0212", "E0212"]
    assert all("it is a pipe or device, and no file" in error.message for error in found)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="pipes have no names")
def test_the_spec_itself_may_be_a_pipe() -> None:
    check = f'{sys.executable} -m mfc check <(echo "let a = b")'
    done = subprocess.run(["bash", "-c", check], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "nothing is called `b`" in done.stdout + done.stderr) == (2, True)
