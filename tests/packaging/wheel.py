"""Builds the wheel from the files that git tracks, and lists what belongs into it.

    python tests/packaging/wheel.py FOLDER

leaves the wheel in FOLDER, and in FOLDER/outside the tests and what they read, with nothing of the package.
The suite can import `mfc` from there only where the wheel is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "mfc"


def tracked() -> list[str]:
    """The files that git tracks and that are there, relative to the root; links are listed as themselves."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [
        name for name in listing.split("\0") if name and (ROOT / name).is_symlink() | (ROOT / name).exists()
    ]


def package_links(files: list[str]) -> dict[str, str]:
    """The package's links: the folder at the top that each points to -> its place in the package."""
    links = [name for name in files if name.startswith(f"{PACKAGE}/") and (ROOT / name).is_symlink()]
    return {(ROOT / name).resolve().relative_to(ROOT).as_posix(): name for name in links}


def package_files(files: list[str]) -> dict[str, str]:
    """Each tracked file of the package -> where the wheel has it."""
    links = package_links(files)
    found = {name: name for name in files if name.startswith(f"{PACKAGE}/") and name not in links.values()}
    for folder, place in links.items():
        found |= {name: place + name.removeprefix(folder) for name in files if name.startswith(f"{folder}/")}
    return found


def copy(files: list[str], target: Path) -> None:
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def build(folder: Path) -> Path:
    """Builds the wheel in `folder` from a copy of the tracked files; needs setuptools and no network."""
    source = folder / "source"
    copy(tracked(), source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("*.whl"))


def main(folder: Path) -> None:
    build(folder)
    files = tracked()
    package = package_files(files).keys() | package_links(files).values()
    copy([name for name in files if name not in package or name.startswith("docs/")], folder / "outside")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
