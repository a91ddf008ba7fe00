"""The wheel: what is in it, and that it works where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging import wheel

pytestmark = pytest.mark.skipif(
    not (wheel.ROOT / ".git").exists(), reason="the wheel is built from a git checkout"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed in it, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
    ]
    subprocess.run([*command, str(built)], check=True)
    return folder


def test_the_wheel_holds_exactly_the_tracked_files_of_the_package(built: Path) -> None:
    names = zipfile.ZipFile(built).namelist()
    package = sorted(name for name in names if ".dist-info/" not in name)
    expected = wheel.package_files(wheel.tracked())
    assert package == sorted(expected.values())
    assert len(package) > 100
    for needed in (
        "mfc/py.typed",
        "mfc/grammars/mfs.lark",
        "mfc/runtime/data/authors.tsv.gz",
        "mfc/runtime/data/digits.png",
        "mfc/specs/digits.mfs",
    ):
        assert needed in package


def test_the_wheel_installs_one_name_and_carries_its_licences(built: Path) -> None:
    archive = zipfile.ZipFile(built)
    info = f"{built.name.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {name.split("/")[0] for name in archive.namelist()} == {"mfc", info}
    assert archive.read(f"{info}/top_level.txt") == b"mfc\n"
    assert archive.read(f"{info}/licenses/LICENSE") == (wheel.ROOT / "LICENSE").read_bytes()
    assert b"Optical Recognition of Handwritten Digits" in archive.read(f"{info}/licenses/NOTICE")


def test_the_installed_wheel_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    assert Path(python("-c", "import mfc; print(mfc.__file__)").strip()).is_relative_to(installed)
    spec = installed / "mfc/specs/digits.mfs"
    for command in (["-m", "mfc"], [str(installed / "bin" / "mfc")]):
        assert python(*command, "--version").startswith("mfc ")
        python(*command, "check", str(spec))
