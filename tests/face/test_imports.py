"""What is imported when: checking a spec needs nothing heavy, and neither does a run with nothing to do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mfc

HEAVY = {"torch", "torchmetrics", "numpy", "networkx", "rich", "pygls", "matplotlib", "PIL", "sentencepiece"}
SPECS = Path(mfc.__file__).parent / "specs"


def imported(program: str, folder: Path) -> set[str]:
    """The heavy libraries that a program imports in a new process, in a folder apart from the sources."""
    program += "\nimport sys; print('imported:', *sorted(name for name in sys.modules if '.' not in name))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return HEAVY & set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize(
    "program",
    [
        "import mfc; mfc.load",
        "from mfc.cli import main; main(['explain', 'E0204'])",
        "from mfc.cli import main; assert main(['docs', 'conv2d', 'E0204', 'std/unet']) == 0",
        f"from mfc.cli import main; assert main(['check', {str(SPECS / 'digits.mfs')!r}]) == 0",
        f"from mfc.cli import main; assert main(['check', {str(SPECS / 'cifar10.mfs')!r}]) == 0",
        f"from mfc.cli import main; assert main(['fmt', '--check', {str(SPECS)!r}]) == 0",
    ],
    ids=["import", "explain", "docs", "check", "check a larger one", "format"],
)
def test_nothing_heavy_is_imported(program: str, tmp_path: Path) -> None:
    assert imported(program, tmp_path) == set()


def test_a_run_with_nothing_to_do_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "digits.mfs").write_text((SPECS / "digits.mfs").read_text())
    run = "from mfc.cli import main; assert main(['run', 'digits.mfs', '--set', 'epochs=1']) == 0"
    assert "torch" in imported(run, tmp_path)
    assert not imported(run, tmp_path) & {"torch", "networkx", "rich", "torchmetrics", "matplotlib"}


def test_checking_runs_no_code_of_the_spec(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "mine.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from mfc.runtime.component import layer\n\n"
        '@layer(shape="b ... -> b ...")\n'
        "class same:\n"
        '    "Changes nothing."\n'
    )
    (tmp_path / "spec.mfs").write_text('use "mine.py" (same)\nmodel net { same() }\n')
    imported("from mfc.cli import main; assert main(['check', 'spec.mfs']) == 0", tmp_path)
    assert not marker.exists()


def test_what_torch_does_not_promise_is_named_in_one_file() -> None:
    runtime = Path(mfc.__file__).parent / "runtime"
    named = {
        path.relative_to(runtime).as_posix()
        for path in runtime.rglob("*.py")
        if re.search(r"\b_(foreach|fused|amp)_\w+", path.read_text())
    }
    assert named == {"kernels.py"}
