"""Golden cases: `cases/<stage>/**/name.mfs` with what a user sees in `name.out`.

A folder that holds a `main.mfs` is one case with all its files. `pytest --update` writes the results anew;
read the difference before you commit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import mfc
from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.format import format
from mfc.dsl.parse import parse
from mfc.dsl.render import render, summary
from mfc.dsl.source import Source
from tests.conftest import Golden
from tests.dump import dump, outline

CASES = Path(__file__).parent / "cases"


def run_parse(spec: Path) -> str:
    """The tree of a file without errors; else its errors and what was declared all the same."""
    diagnostics = Diagnostics()
    file = parse(Source(spec.name, spec.read_bytes().decode("utf-8-sig")), diagnostics)
    if not diagnostics.found:
        return dump(file)
    return f"{_shown(diagnostics, spec.name)}\ndeclared: {outline(file)}\n"


def run_check(spec: Path) -> str:
    """What `mfc check` says."""
    return _shown(mfc.load(spec.name).diagnostics, spec.name)


def run_format(spec: Path) -> str:
    """The file, formatted."""
    return format(spec.read_bytes().decode())


def _shown(diagnostics: Iterable[Diagnostic], name: str) -> str:
    found = list(diagnostics)
    return "".join(f"{render(diagnostic)}\n\n" for diagnostic in found) + summary(found, name) + "\n"


RUNNERS: dict[str, Callable[[Path], str]] = {"parse": run_parse, "check": run_check, "format": run_format}
FLOOR = {"parse": 60, "check": 86, "format": 7}  # a discovery that finds fewer has lost some


def cases(stage: str) -> Iterator[Path]:
    """The specs of a stage's cases."""
    for spec in sorted((CASES / stage).rglob("*.mfs")):
        if spec.name == "main.mfs" or not (spec.parent / "main.mfs").exists():
            yield spec


ALL = [(stage, spec) for stage in RUNNERS for spec in cases(stage)]


@pytest.mark.parametrize(
    ("stage", "spec"), ALL, ids=[spec.relative_to(CASES).with_suffix("").as_posix() for _, spec in ALL]
)
def test_case(stage: str, spec: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spec.parent)  # messages name files as seen from here
    golden(spec.with_suffix(".out"), RUNNERS[stage](spec))


@pytest.mark.parametrize("stage", RUNNERS)
def test_all_cases_are_found(stage: str) -> None:
    found = list(cases(stage))
    assert len(found) >= FLOOR[stage]
    results = {spec.with_suffix(".out") for spec in found}
    assert set((CASES / stage).rglob("*.out")) == results, "a result without its case, or the reverse"


def test_each_folder_of_cases_has_a_runner() -> None:
    assert {folder.name for folder in CASES.iterdir()} == set(RUNNERS)
