"""A run that was stopped goes on as if it had not: weights, optimizer, history and callbacks, bit for bit."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.component import callback
from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.events import Callback, CancelFit, CancelStep
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import differences, train_stage
from tests.runtime.training import slow_training
from tests.runtime.training.standins import Factory, Triangle, loaders, network, weights

EPOCHS, BATCHES = 4, 5
ROOT = Path(__file__).resolve().parents[3]


@callback()
class noise(Callback):
    """Draws from the generators and keeps a state that the next draws depend on; resets it in before_fit."""

    def before_fit(self) -> None:
        self.level = torch.zeros(())
        self.seen = []

    def before_epoch(self) -> None:
        self.seen.append(float(torch.rand(())))

    def before_batch(self) -> None:
        self.level = 0.9 * self.level + 0.1 * torch.rand(())
        self.learner.x = self.learner.x + self.level * torch.randn_like(self.learner.x)

    def state_dict(self):
        return {"level": self.level, "seen": self.seen, "odd": {3: (True, None, "x")}}

    def load_state_dict(self, state) -> None:
        assert state["odd"] == {3: (True, None, "x")}
        self.level, self.seen = state["level"], state["seen"]


class Kill(Callback):
    """Ends the process's training at one event of one place, as a crash would."""

    order = -1000

    def __init__(self, event: str, epoch: int, batch: int) -> None:
        self.event, self.place = event, (epoch, batch)

    def strike(self, event: str) -> None:
        learner = self.learner
        batch = learner.batch if event.endswith(("batch", "step")) else self.place[1]
        if event == self.event and (learner.epoch, batch) == self.place:
            raise KeyboardInterrupt

    def before_batch(self) -> None:
        self.strike("before_batch")

    def after_step(self) -> None:
        self.strike("after_step")

    def before_validate(self) -> None:
        self.strike("before_validate")

    def after_epoch(self) -> None:
        self.strike("after_epoch")


def phases() -> list[Phase]:
    return [
        Phase(1, Triangle(0.1), freeze_to=-1, name="fit.head"),
        Phase(EPOCHS - 1, Triangle(0.2), name="fit.all"),
    ]


def train(folder: Path, *extra: Callback, kind: type = torch.optim.SGD, plan=None, **changes) -> Learner:
    model = network()
    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    fixed: dict[str, Any] = {"seed": 7, "stage": "fit", "device": torch.device("cpu"), "progress": False}
    fixed["stream"] = io.StringIO()
    return train_stage(
        model,
        loaders(),
        cross_entropy(),
        Factory(kind, **options),
        phases=plan or phases(),
        metrics=[accuracy()],
        callbacks=[noise(), *extra],
        groups=[list(model[:4].parameters()), list(model[4:].parameters())],
        folder=folder,
        **(fixed | changes),
    )


def outcome(learner: Learner) -> tuple:
    history = [{k: v for k, v in row.items() if k != "time"} for row in learner.history]
    kept = [next(c for c in learner.callbacks if isinstance(c, noise)).seen]
    return weights(learner.model), learner.optimizer.hypers, history, kept


@pytest.fixture(scope="module", params=[torch.optim.SGD, torch.optim.AdamW], ids=["momentum", "adamw"])
def uninterrupted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    learner = train(folder, kind=request.param)
    return request.param, outcome(learner), folder


def test_equal_runs_are_equal(uninterrupted, tmp_path):
    kind, expected, _ = uninterrupted
    assert outcome(train(tmp_path, kind=kind)) == expected


@settings(max_examples=15)
@given(
    event=st.sampled_from(["before_batch", "after_step", "before_validate", "after_epoch"]),
    epoch=st.integers(0, EPOCHS - 1),
    batch=st.integers(0, BATCHES - 1),
    every=st.sampled_from([0.0, checkpoint.EVERY]),
)
def test_resumed_equals_uninterrupted(uninterrupted, event, epoch, batch, every):
    kind, expected, whole = uninterrupted
    within = patch.multiple(checkpoint, EVERY=every, SHARE=0)
    with tempfile.TemporaryDirectory() as name, within:
        folder = Path(name)
        with pytest.raises(RunInterrupted):
            train(folder, Kill(event, epoch, batch), kind=kind)
        learner = train(folder, kind=kind)
        assert outcome(learner) == expected
        for file in ("model.safetensors", "history.jsonl"):
            ours, theirs = ((f / file).read_bytes() for f in (folder, whole))
            if file.endswith("jsonl"):
                ours, theirs = (_without_time(text) for text in (ours, theirs))
            assert ours == theirs
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in whole.iterdir())


def _without_time(text: bytes) -> list[dict]:
    return [{k: v for k, v in json.loads(line).items() if k != "time"} for line in text.splitlines()]


def test_a_checkpoint_within_an_epoch_says_where_it_goes_on(tmp_path):
    with (
        patch.multiple(checkpoint, EVERY=0, SHARE=0),
        pytest.raises(RunInterrupted, match="after batch 3 of"),
    ):
        train(tmp_path, Kill("after_step", 2, 3))
    path = checkpoint.latest(tmp_path)
    assert path is not None and checkpoint.place(path) == (2, 3)
    said, seen = io.StringIO(), []

    class See(Callback):
        def before_batch(self) -> None:
            seen.append((self.learner.epoch, self.learner.batch, self.learner.training))

    train(tmp_path, See(), stream=said)
    assert said.getvalue() == "fit.all goes on in epoch 3 of 4, after batch 3\n"
    assert seen[0] == (2, 3, True)


def test_no_checkpoint_is_written_while_gradients_are_gathered(tmp_path):
    written: list[int] = []

    class Gather(Callback):
        def before_step(self) -> None:
            if self.learner.batch % 2 == 0:
                raise CancelStep

    class Look(Callback):
        order = 1000  # after_batch runs in reverse: before the next checkpoint

        def after_batch(self) -> None:
            path = checkpoint.latest(tmp_path)
            if self.learner.training and path is not None:
                written.append(checkpoint.place(path)[1])

    with patch.multiple(checkpoint, EVERY=0, SHARE=0):
        train(tmp_path, Gather(), Look(), plan=[Phase(1, Triangle(0.1))])
    assert written == [2, 2, 4]


def test_a_signal_while_gradients_are_gathered_stops_after_their_step(tmp_path):
    class Gather(Callback):
        def before_step(self) -> None:
            if self.learner.batch != 3:
                raise CancelStep

    with pytest.raises(RunInterrupted, match="in epoch 3, batch 4; the checkpoint after batch 4 of epoch 3"):
        train(tmp_path, Gather(), Send(signal.SIGINT))


def test_a_cancel_is_no_less_one_when_a_checkpoint_was_due(tmp_path):
    class Enough(Callback):
        def after_batch(self) -> None:
            if (self.learner.epoch, self.learner.batch) == (2, 1):
                raise CancelFit

    plan = [Phase(EPOCHS, Triangle())]
    whole = train(tmp_path / "whole", Enough(), plan=plan)
    with patch.multiple(checkpoint, EVERY=0, SHARE=0), pytest.raises(RunInterrupted):
        train(tmp_path / "stopped", Enough(), Send(signal.SIGINT), plan=plan)
    stopped = train(tmp_path / "stopped", Enough(), plan=plan)
    assert stopped.done.epochs == 2 and weights(stopped.model) == weights(whole.model)
    # the next phase goes on from there
    train(tmp_path / "next", plan=plan, previous=tmp_path / "stopped")


def test_a_state_that_led_to_no_number_is_not_kept(tmp_path):
    class Spoil(Callback):
        """Makes a loss no number after it was looked at, as it is on a device whose losses are looked at later."""

        def after_loss(self) -> None:
            if (self.learner.epoch, self.learner.batch, self.learner.training) == (1, 2, True):
                recorder = next(c for c in self.learner.callbacks if isinstance(c, Recorder))
                recorder.train.values[-1] = math.nan
                recorder.checked -= 1

    with patch.multiple(checkpoint, EVERY=0, SHARE=0), pytest.raises(RunError, match="the loss is NaN"):
        train(tmp_path, Spoil())
    found = checkpoint.latest(tmp_path)
    assert found is not None and checkpoint.place(found) == (1, 2)


def test_killed_twice_and_after_the_end(uninterrupted, tmp_path):
    kind, expected, _ = uninterrupted
    for kill in (Kill("after_step", 1, 2), Kill("before_batch", 3, 4)):
        with pytest.raises(RunInterrupted):
            train(tmp_path, kill, kind=kind)
    assert outcome(train(tmp_path, kind=kind)) == expected
    assert outcome(train(tmp_path, kind=kind)) == expected  # finished, as when the store was not told


def test_history_is_cut_back_to_the_checkpoint(tmp_path):
    with pytest.raises(RunInterrupted):
        train(tmp_path, Kill("before_validate", 2, 0))
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_loss": 9}\n{"epo')
    learner = train(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows == learner.history
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["phase"] for row in rows] == ["fit.head", "fit.all", "fit.all", "fit.all"]
    assert list(rows[0]) == ["epoch", "phase", "train_loss", "valid_loss", "accuracy", "lr", "time"]


@pytest.mark.parametrize("same_freeze", [True, False])
def test_a_phase_in_a_folder_of_its_own_equals_one_fit(tmp_path, same_freeze):
    plan = [Phase(2, Triangle(0.1), 0 if same_freeze else -1), Phase(2, Triangle(0.2), 0)]
    # The streams of randomness go by the stage's name, so both runs need the same one.
    whole = train(tmp_path / "whole", plan=plan)
    train(tmp_path / "first", plan=plan[:1])
    second = train(tmp_path / "second", plan=plan[1:], previous=tmp_path / "first")
    ours, theirs = outcome(second), outcome(whole)
    assert ours[:3] == theirs[:3]
    assert [row["epoch"] for row in second.history] == [1, 2, 3, 4]
    with pytest.raises(RunInterrupted):
        train(tmp_path / "third", Kill("after_step", 3, 1), plan=plan[1:], previous=tmp_path / "first")
    third = train(tmp_path / "third", plan=plan[1:], previous=tmp_path / "first")
    assert outcome(third)[:3] == theirs[:3]


def test_a_fit_that_a_callback_ended_stays_ended(tmp_path):
    class Enough(Callback):
        def after_epoch(self) -> None:
            if len(self.learner.history) == 2:
                raise CancelFit

    class Crash(Callback):
        def after_fit(self) -> None:
            raise KeyboardInterrupt

    plan = [Phase(EPOCHS, Triangle())]
    with pytest.raises(RunInterrupted):
        train(tmp_path, Enough(), Crash(), plan=plan)
    assert train(tmp_path, Enough(), plan=plan).done.epochs == 2


def test_notes_say_what_differs(tmp_path):
    with pytest.raises(RunInterrupted):
        train(tmp_path, Kill("before_batch", 2, 0))
    path = checkpoint.latest(tmp_path)
    assert path is not None
    state = json.loads((path / "state.json").read_text())
    state["environment"]["threads"] = 77
    (path / "state.json").write_text(json.dumps(state))
    said = io.StringIO()
    train(tmp_path, stream=said)
    threads = torch.get_num_threads()
    assert said.getvalue() == (
        "fit.all goes on after epoch 2 of 4\n"
        f"note: threads 77 before, {threads} now; the result may differ in its last digits\n"
    )


def test_a_later_phase_counts_the_epochs_before_it(tmp_path):
    train(tmp_path / "one", plan=phases()[:1])
    later: dict[str, Any] = {"plan": phases()[1:], "previous": tmp_path / "one"}
    with pytest.raises(RunInterrupted):
        train(tmp_path / "two", Kill("before_batch", 2, 0), **later)
    said = io.StringIO()
    train(tmp_path / "two", stream=said, **later)
    assert said.getvalue() == "fit.all goes on after epoch 2 of 4\n"


def test_differences():
    before = {"device": "cpu", "threads": 2, "versions": {"torch": "2.6"}}
    now = {"device": "cpu", "threads": 1, "versions": {"torch": "2.7"}}
    assert differences(before, before) == []
    assert differences(before, now) == ["threads 2 before, 1 now", "torch 2.6 before, 2.7 now"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    with pytest.raises(RunError) as caught:
        train(tmp_path / "two", plan=phases())
        train(tmp_path / "two", plan=phases()[:1])
    assert caught.value.message == "the checkpoint is of phase 2, but the training has 1"
    train(tmp_path, plan=phases()[1:])
    with pytest.raises(RunError) as caught:
        train_stage(
            network(classes=4), loaders(), cross_entropy(), Factory(), phases=[Phase(9)], seed=7, stage="fit",
            folder=tmp_path, device=torch.device("cpu"), progress=False, stream=io.StringIO(),
        )  # fmt: skip
    assert caught.value.code == "R0208"
    assert "4.weight" in caught.value.message or "4.bias" in caught.value.message


class Send(Callback):
    """Sends this process a signal in the middle of a batch."""

    def __init__(self, number: signal.Signals, times: int = 1) -> None:
        self.number, self.times = number, times

    def after_loss(self) -> None:
        if (self.learner.epoch, self.learner.batch, self.learner.training) == (2, 1, True):
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_end_of_the_batch(uninterrupted, tmp_path, number):
    kind, expected, _ = uninterrupted
    ends: list[int] = []

    class After(Callback):
        def after_batch(self) -> None:
            ends.append(self.learner.batch)

    outer = signal.getsignal(number)
    with pytest.raises(RunInterrupted) as caught:
        train(tmp_path, Send(number), After(), kind=kind)
    assert signal.getsignal(number) is outer
    assert ends[-1] == 1
    assert caught.value.message == (
        f"{number.name} stopped the training in epoch 3, batch 2; "
        f"the checkpoint after batch 2 of epoch 3 is kept in {tmp_path}; the next run goes on from it"
    )
    assert outcome(train(tmp_path, kind=kind)) == expected


def test_the_second_signal_stops_at_once(tmp_path):
    ends: list[int] = []

    class After(Callback):
        def after_batch(self) -> None:
            ends.append(self.learner.batch)

    with pytest.raises(RunInterrupted, match="fit was stopped at once; the checkpoint after epoch 2"):
        train(tmp_path, Send(signal.SIGINT, 2), After())
    assert ends[-1] == 0


def test_a_process_that_gets_ctrl_c(tmp_path):
    command = [sys.executable, "-m", slow_training.__name__, str(tmp_path / "stopped")]
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("fit epoch 1/3  train_loss")
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "stopping at the end of this batch" in said
    assert "SIGINT stopped the training in epoch 2, batch" in said
    assert "Traceback" not in said
    resumed, whole = (slow_training.train(tmp_path / name) for name in ("stopped", "whole"))
    assert resumed.history[0]["time"] > 0.25  # of the process
    assert weights(resumed.model) == weights(whole.model)
