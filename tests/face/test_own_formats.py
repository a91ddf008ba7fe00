"""Formats of one's own for tables of predictions and exports: what they take is theirs, and their errors name them."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

import mfc
from mfc import evaluations, exports
from mfc.cli import main

SPEC = """
use "own.py" (
    counted, silent, failing_table, failing_metric, failing_export, silent_export, empty_export, scarce_export
)

data digits: image -> category {
    source = builtin("digits")
    split  = subset(stratified(valid = 0.2), train = 40, valid = 20)
    label  = parent()
}
model net { flatten()  linear(digits.classes) }
train fit { data = digits  model = net  loss = cross_entropy()  epochs = 1 }

evaluate counts { model = fit  predictions = counted("count.txt") }
evaluate quiet  { model = fit  predictions = silent() }
evaluate table  { model = fit  predictions = failing_table() }
evaluate metric { model = fit  metrics = [failing_metric()] }
export   file   { model = fit  format = failing_export() }
export   bare   { model = fit  format = silent_export() }
export   empty  { model = fit  format = empty_export() }
export   packed { model = fit  format = bundle() }
export   scarce { model = fit  format = scarce_export() }
evaluate late   { model = fit  metrics = [failing_metric()] }
"""

OWN = '''
import mfc


@mfc.table_format
class counted:
    """The number of rows."""

    def __init__(self, name: str):
        self.name = name

    def write(self, folder, tables):
        (folder / self.name).write_text(str(sum(len(table.paths) for table in tables.values())))


@mfc.table_format
class silent:
    """Writes nothing."""

    def write(self, folder, tables):
        pass


@mfc.table_format
class failing_table:
    """Fails."""

    def write(self, folder, tables):
        raise ValueError("no table")


@mfc.metric(shape="b classes", targets=("category",))
class failing_metric:
    """Fails."""

    def reset(self):
        pass

    def update(self, pred, target):
        raise ValueError("no metric")

    def compute(self):
        return 0.0


@mfc.export_format()
class failing_export:
    """Fails."""

    def write(self, exported, folder):
        raise ValueError("no file")


@mfc.export_format()
class silent_export:
    """Writes nothing."""

    def write(self, exported, folder):
        pass


@mfc.export_format()
class empty_export:
    """Writes a file with nothing in it."""

    def write(self, exported, folder):
        (folder / "empty.txt").touch()


@mfc.export_format(needs=("numpy",))
class scarce_export:
    """Needs a package."""

    def write(self, exported, folder):
        (folder / "scarce.txt").write_text("numbers")
'''


def interrupted(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> mfc.Job:
    folder = tmp_path_factory.mktemp("formats")
    (folder / "spec.mfs").write_text(SPEC)
    (folder / "own.py").write_text(OWN)
    return mfc.compile(folder / "spec.mfs")


def run(job: mfc.Job, target: str) -> mfc.Run:
    return job.run([target], device="cpu", workers=0, progress=False)


def test_a_table_of_ones_own_has_its_own_arguments(job: mfc.Job) -> None:
    table = run(job, "counts").evaluations["counts"].predictions
    assert table is not None and (table.name, table.read_text()) == ("count.txt", "20")
    assert run(job, "quiet").evaluations["quiet"].predictions is None


@pytest.mark.parametrize(("target", "name"), [("table", "table"), ("metric", "metric"), ("file", "export")])
def test_what_fails_is_named(job: mfc.Job, target: str, name: str) -> None:
    with pytest.raises(mfc.RunError) as caught:
        run(job, target)
    assert caught.value.code == "R0211"
    assert any(f"`failing_{name}." in note and "own.py, line" in note for note in caught.value.notes)


def test_a_format_writes_something(job: mfc.Job, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        mfc.RunError, match="the format `silent_export` of the export `bare` wrote nothing"
    ) as caught:
        run(job, "bare")
    assert caught.value.code == "R0608"
    assert main(["run", str(job.spec.path), "--target", "empty", "--workers", "0"]) == 0
    assert "empty: empty_export of fit, 0 bytes\n" in capsys.readouterr().out


def test_exports_that_fail_leave_the_others_alone(job: mfc.Job) -> None:
    with pytest.raises(mfc.RunError) as caught:
        job.run(["file", "bare", "packed"], device="cpu", workers=0, progress=False)
    assert caught.value.code == "R0211"
    assert caught.value.notes[-1] == "the format `silent_export` of the export `bare` wrote nothing"
    (status,) = (status for status in job.status(["packed"]) if status.stage.name == "packed")
    assert status.state == "up to date"


def test_an_export_that_failed_is_told_where_a_later_stage_fails(
    job: mfc.Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrote_nothing = "the format `silent_export` of the export `bare` wrote nothing"
    order = [stage.name for stage in job.plan(["bare", "late"])]
    assert order.index("bare") < order.index("late")
    with pytest.raises(mfc.RunError) as caught:
        job.run(["bare", "late"], device="cpu", workers=0, progress=False)
    assert caught.value.code != "R0608" and wrote_nothing in caught.value.notes
    monkeypatch.setattr(evaluations, "run_evaluation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.run(["bare", "late"], device="cpu", workers=0, progress=False)
    assert wrote_nothing in [record.getMessage() for record in caplog.records]


def test_packages_are_not_missed_for_what_is_up_to_date(
    job: mfc.Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(job, "scarce")
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    assert run(job, "scarce").exports["scarce"].files
    assert job.run(["scarce", "packed"], device="cpu", workers=0, progress=False).exports["scarce"].files
    assert caplog.records == []
    (job.spec.path.parent / "fresh").mkdir()
    with pytest.raises(mfc.RunError, match="R0606"):
        job.run(["scarce"], store=job.spec.path.parent / "fresh")
