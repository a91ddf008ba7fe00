"""The history as CSV and for TensorBoard: what is in it is what was measured, also where a run was stopped."""

from __future__ import annotations

import csv
import io
import math
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks import tensorboard as module
from mfc.runtime.training.callbacks.csv_logger import as_table, csv_logger
from mfc.runtime.training.callbacks.tensorboard import tensorboard
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import Factory, Triangle, learner, loaders, network, weights
from tests.runtime.training.test_bad_batch import Undefined
from tests.runtime.training.test_resume import Kill

PLAN = [Phase(1, Triangle(0.1), freeze_to=-1, name="head"), Phase(2, Triangle(0.2), name="all")]


class Losses(Callback):
    """The loss and the hyperparameters of each batch, by plain reading."""

    def before_fit(self) -> None:
        self.seen: list[float] = getattr(self, "seen", [])
        self.rates: list[list[float]] = getattr(self, "rates", [])

    def after_loss(self) -> None:
        if self.learner.training:
            self.seen.append(self.learner.loss.item())

    def after_step(self) -> None:
        self.rates.append([group["lr"] for group in self.learner.optimizer.hypers])


def train(folder: Path, *extra: Callback, plan=PLAN, metrics=None, previous=None) -> Learner:
    model = network()
    return train_stage(
        model, loaders(), cross_entropy(), Factory(momentum=0.9), phases=plan, callbacks=[*extra],
        metrics=metrics or [accuracy()], seed=7, stage="fit", folder=folder, device=torch.device("cpu"),
        groups=[list(model[:4].parameters()), list(model[4:].parameters())],
        progress=False, stream=io.StringIO(), previous=previous,
    )  # fmt: skip


# ── CSV ─────────────────────────────────────────────────────────────────────────────────────────────────


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_the_history(tmp_path):
    made = train(tmp_path, csv_logger(), metrics=[accuracy(), Undefined()])
    rows = table(tmp_path)
    assert list(rows[0]) == [
        "epoch", "phase", "train_loss", "valid_loss", "accuracy", "Undefined", "lr", "time"
    ]  # fmt: skip
    for row, measured in zip(rows, made.history, strict=True):
        assert row["Undefined"] == "" and math.isnan(measured["Undefined"])
        assert row["phase"] == measured["phase"] and int(row["epoch"]) == measured["epoch"]
        assert float(row["valid_loss"]) == measured["valid_loss"]


def test_columns_of_all_rows():
    assert as_table([{"a": 1}, {"a": 2, "b": "x,y"}]) == 'a,b\n1,\n2,"x,y"\n'
    assert as_table([]) == ""


@pytest.mark.parametrize("event", ["after_step", "after_epoch"])
def test_a_table_goes_on_where_the_history_does(tmp_path, event):
    with pytest.raises(RunInterrupted):
        train(tmp_path, csv_logger(), Kill(event, 1, 2))
    (tmp_path / "history.csv").write_text("epoch\n1\n2\n3\n9\n")
    train(tmp_path, csv_logger())
    assert [row["epoch"] for row in table(tmp_path)] == ["1", "2", "3"]


# ── TensorBoard ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True, scope="module")
def numbered_alike():
    """TensorBoard reads files of one second in the order of their names, which end in the writer's number within its
    process: here several runs share a second and a process, and 10 comes before 9."""
    from tensorboard.summary.writer import event_file_writer

    with patch.object(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(10**6)):
        yield


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: step and value of each curve but times."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    return {t: [(e.step, e.value) for e in events.Scalars(t)] for t in tags if t != "epoch/time"}


def test_the_curves_are_what_was_measured(tmp_path):
    seen = Losses()
    made = train(tmp_path, tensorboard(every=2), seen)
    found = curves(tmp_path)
    steps = [1, 3, 5, 6, 8, 10, 11, 13, 15]  # batches 1, 3 and 5 of each of three epochs of five
    assert [step for step, _ in found["batch/loss"]] == steps
    assert [v for _, v in found["batch/loss"]] == pytest.approx([seen.seen[s - 1] for s in steps])
    for group in (0, 1):
        rates = [seen.rates[s - 1][group] for s in steps]
        assert [v for _, v in found[f"hyper/lr/group_{group}"]] == pytest.approx(rates)
    for name, tag in (("train_loss", "epoch/train_loss"), ("accuracy", "metric/accuracy")):
        assert found[tag] == [(5 * (i + 1), pytest.approx(row[name])) for i, row in enumerate(made.history)]
    assert [v for _, v in found["epoch/epoch"]] == [1, 2, 3]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, tensorboard(every=2))
    return curves(folder)


@settings(max_examples=5)
@given(
    event=st.sampled_from(["before_batch", "after_step", "before_validate", "after_epoch"]),
    epoch=st.integers(0, 2),
    batch=st.integers(0, 4),
    every=st.sampled_from([0.0, checkpoint.EVERY]),
)
def test_resumed_equals_uninterrupted(uninterrupted, event, epoch, batch, every):
    within = patch.multiple(checkpoint, EVERY=every, SHARE=0)
    with tempfile.TemporaryDirectory() as name, within:
        with pytest.raises(RunInterrupted):
            train(Path(name), tensorboard(every=2), Kill(event, epoch, batch))
        train(Path(name), tensorboard(every=2))
        assert curves(Path(name)) == uninterrupted


def test_phases_of_their_own_count_on(tmp_path, uninterrupted):
    train(tmp_path / "head", tensorboard(every=2), plan=PLAN[:1])
    train(tmp_path / "all", tensorboard(every=2), plan=PLAN[1:], previous=tmp_path / "head")
    head, later = curves(tmp_path / "head"), curves(tmp_path / "all")
    assert {tag: head[tag] + later[tag] for tag in head} == uninterrupted


def test_added_to_a_training_that_had_begun(tmp_path, uninterrupted):
    with pytest.raises(RunInterrupted):
        train(tmp_path, Kill("after_step", 1, 2))
    train(tmp_path, tensorboard(every=2))
    assert curves(tmp_path)["batch/loss"] == uninterrupted["batch/loss"][3:]


def test_losses_are_fetched_together(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FETCH_EVERY", 2)
    train(tmp_path, tensorboard(every=1))
    assert len(curves(tmp_path)["batch/loss"]) == 15


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RunError) as caught:
        train(tmp_path, tensorboard())
    assert caught.value.code == "R0242" and caught.value.help == 'pip install "mfc[tensorboard]"'


def test_looking_changes_nothing(tmp_path):
    plain = train(tmp_path / "plain")
    watched = train(tmp_path / "watched", tensorboard(every=1), csv_logger())
    assert weights(plain.model) == weights(watched.model)


@pytest.mark.parametrize("callback", [csv_logger(), tensorboard()])
def test_a_folder_is_needed(callback):
    with pytest.raises(RunError) as caught:
        learner(callbacks=[callback]).fit(Phase(1))
    assert caught.value.code == "R0241"
