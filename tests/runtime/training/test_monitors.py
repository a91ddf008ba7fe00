"""Callbacks that follow a column of the history, against torch's scheduler and against rules written out by hand."""

from __future__ import annotations

import io
import math
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.monitors import early_stopping, reduce_on_plateau, save_best
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy, error_rate
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import Factory, Triangle, learner, loaders, network, weights
from tests.runtime.training.test_resume import Kill

LOSSES = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.35, 0.9, math.nan]), min_size=1, max_size=8)


class Script(Callback):
    """Puts written values in place of what was measured."""

    order = 80  # after the Recorder, before those that follow

    def __init__(self, values: list[float], column: str = "valid_loss") -> None:
        self.values, self.column = values, column

    def after_epoch(self) -> None:
        row = self.learner.history[-1]
        row[self.column] = self.values[row["epoch"] - 1]


class Watch(Callback):
    """Notes the learning rate of the last batch of each epoch, and the weights after it."""

    order = 60

    def before_fit(self) -> None:
        self.rates, self.weights = [], []

    def after_train(self) -> None:
        self.rates.append(self.learner.optimizer.hypers[-1]["lr"])
        self.weights.append(weights(self.learner.model))


def run(values: list[float], *callbacks: Any, phases=None, column="valid_loss", **changes) -> Learner:
    stream = io.StringIO()
    watch, script = Watch(), Script(values, column)
    made = learner(
        callbacks=[*callbacks, Recorder(), Scheduling(), script, watch], stream=stream,
        metrics=[accuracy(), error_rate()], **changes,
    )  # fmt: skip
    made.fit(*(phases or [Phase(len(values))]))
    return made


def said(made: Learner) -> str:
    assert isinstance(made.stream, io.StringIO)
    return made.stream.getvalue()


def watched(made: Learner) -> Watch:
    return next(c for c in made.callbacks if isinstance(c, Watch))


# ── what they do ────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=15)
@given(values=LOSSES, patience=st.integers(1, 3), min_delta=st.sampled_from([0.0, 0.1]), low=st.booleans())
def test_reduce_on_plateau_is_torchs(values, patience, min_delta, low):
    """torch waits for one epoch more, calls our min_delta an absolute threshold, and takes NaN for no improvement."""
    min_lr = 0.05 * 0.3 if low else 0.0
    ours = run(values, reduce_on_plateau(patience=patience, factor=0.2, min_lr=min_lr, min_delta=min_delta))
    inner = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    theirs = ReduceLROnPlateau(
        inner, factor=0.2, patience=patience - 1, threshold=min_delta, threshold_mode="abs", min_lr=min_lr, eps=0
    )  # fmt: skip
    expected = []
    for value in values:
        expected.append(inner.param_groups[0]["lr"])
        theirs.step(value)
    assert watched(ours).rates == pytest.approx(expected, rel=1e-12)


def test_reduce_on_plateau_multiplies_what_the_schedule_says():
    values = [0.5, 0.6, 0.4, 0.4]
    plan = [Phase(4, Triangle(0.1))]
    free, held = run(values, phases=plan), run(values, reduce_on_plateau(factor=0.5), phases=plan)
    factors = [1, 1, 0.5, 0.5]  # worse in epoch 2; epoch 4 is the last
    expected = [rate * factor for rate, factor in zip(watched(free).rates, factors)]
    assert watched(held).rates == pytest.approx(expected)
    assert [row["lr"] for row in held.history] == pytest.approx(expected)
    assert "learning rate times 0.5 from now on: valid_loss was best after epoch 1: 0.5" in said(held)


def test_each_phase_begins_anew():
    plan = [Phase(3, name="one"), Phase(3, name="two")]
    values = [0.1, 0.2, 0.2, 0.9, 0.8, 0.7]  # nothing in the second phase is better than in the first
    held = run(values, reduce_on_plateau(factor=0.5), phases=plan)
    assert watched(held).rates == pytest.approx([0.05, 0.05, 0.05])
    values = [0.1, 0.2, 0.9, 0.8, 0.7]
    assert run(values, early_stopping(patience=1), phases=plan).done.epochs == 2 + 3


@settings(max_examples=15)
@given(values=LOSSES, patience=st.integers(1, 3), min_delta=st.sampled_from([0.0, 0.1]))
def test_early_stopping_by_the_rule(values, patience, min_delta):
    last, best = 0, math.inf
    for epoch, value in enumerate(values, 1):
        if value < best - min_delta:
            best, last = value, epoch
        if epoch - last >= patience:
            break
    assert run(values, early_stopping(patience=patience, min_delta=min_delta)).done.epochs == epoch


@pytest.mark.parametrize(
    ("column", "given_mode", "epochs"),
    [
        ("accuracy", None, 4), ("accuracy", "min", 2), ("error_rate", None, 2), ("train_loss", None, 2),
        ("error_rate", "max", 4),
    ],
)  # fmt: skip
def test_the_direction_is_the_metrics(column, given_mode, epochs):
    """Values that rise: good for an accuracy, bad for an error rate."""
    callback = early_stopping(column, patience=1, mode=given_mode)
    made = run([0.1, 0.2, 0.3, 0.4], callback, column=column)
    assert made.done.epochs == epochs


def test_what_stops_early_says_why():
    made = run([0.5, 0.25, 0.3, 0.3, 0.3], early_stopping(patience=2))
    text = said(made)
    assert text == "stopped early after epoch 4: valid_loss was best after epoch 2: 0.25\n"


def test_the_best_weights_are_put_back(tmp_path):
    made = run([0.5, 0.2, math.nan, 0.2, 0.3], save_best(), folder=tmp_path)
    assert weights(made.model) == watched(made).weights[1] != watched(made).weights[-1]
    assert made.standing == 2
    assert [p.name for p in tmp_path.glob("best*")] == ["best-2.safetensors"]
    kept = checkpoint.read_tensors(tmp_path / "best-2.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in made.model.state_dict().items())


def test_without_save_best_the_last_weights_stay(tmp_path):
    made = run([0.5, 0.2, 0.3], folder=tmp_path)
    assert weights(made.model) == watched(made).weights[-1]
    assert made.standing is None and not list(tmp_path.glob("best*"))


@pytest.mark.parametrize(("min_delta", "best"), [(0.0, 3), (0.15, 2)])
def test_min_delta_of_save_best(tmp_path, min_delta, best):
    assert run([0.5, 0.3, 0.2], save_best(min_delta=min_delta), folder=tmp_path).standing == best


def test_the_weights_that_were_validated_are_kept(tmp_path):
    """As averaged ones, which are there for the validation alone."""

    class Other(Callback):
        def before_validate(self) -> None:
            self.real = [p.detach().clone() for p in self.learner.model.parameters()]
            for p in self.learner.model.parameters():
                p.data.fill_(self.learner.epoch)

        def after_validate(self) -> None:
            for p, real in zip(self.learner.model.parameters(), self.real):
                p.data.copy_(real)

        def after_fit(self) -> None:
            for p in self.learner.model.parameters():
                p.data.fill_(-1)

    made = run([0.5, 0.2, 0.3], save_best(), Other(), folder=tmp_path)
    assert all((p == 1).all() for p in made.model.parameters())


def test_tied_weights_are_kept_once(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = (torch.nn.Linear(6, 6) for _ in range(3))
            self.second.weight = self.first.weight
            self.last = torch.nn.Linear(6, 3)

        def forward(self, x):
            return self.last(self.second(self.first(x)))

    made = run([0.5, 0.4], save_best(), folder=tmp_path, model=Tied())
    size = (tmp_path / "best-2.safetensors").stat().st_size
    assert size < 4 * (6 * 6 + 6 + 6 + 6 * 3 + 3) + 1200
    assert made.model.second.weight is made.model.first.weight  # type: ignore[union-attr]


# ── mistakes ────────────────────────────────────────────────────────────────────────────────────────────


class Nameless:
    name = "score"

    def reset(self) -> None: ...
    def update(self, pred, target) -> None: ...
    def compute(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (early_stopping("acuracy"), "early_stopping follows `acuracy`, which the history does not have"),
        (save_best("score"), "save_best follows `score`, of which nothing says whether higher is better"),
    ],
)
def test_what_cannot_be_followed(tmp_path, callback, message):
    made = learner(callbacks=[callback], metrics=[accuracy(), Nameless()], folder=tmp_path)
    with pytest.raises(RunError) as caught:
        made.fit(Phase(1))
    assert (caught.value.code, caught.value.message) == ("R0240", message)


def test_no_validation_data():
    class Nothing:
        def __len__(self) -> int:
            return 0

    dls = loaders()
    dls.valid = Nothing()
    with pytest.raises(RunError, match="there is no validation data"):
        learner(callbacks=[reduce_on_plateau()], dls=dls).fit(Phase(1))


def test_save_best_needs_a_folder():
    with pytest.raises(RunError) as caught:
        learner(callbacks=[save_best()]).fit(Phase(1))
    assert caught.value.code == "R0241"


# ── resumed equals uninterrupted ────────────────────────────────────────────────────────────────────────

VALUES = [0.5, 0.4, 0.45, 0.43, 0.6, 0.3]
PLAN = [Phase(2, Triangle(0.1), freeze_to=-1, name="head"), Phase(4, Triangle(0.2), name="all")]


def train(folder: Path, *extra: Callback, plan=PLAN, values=VALUES, previous=None) -> Learner:
    model = network()
    return train_stage(
        model, loaders(), cross_entropy(), Factory(momentum=0.9), phases=plan, metrics=[accuracy()],
        callbacks=[save_best(), reduce_on_plateau(factor=0.5), early_stopping(patience=3), Script(values), *extra],
        groups=[list(model[:4].parameters()), list(model[4:].parameters())], folder=folder, seed=7, stage="fit",
        device=torch.device("cpu"), progress=False, stream=io.StringIO(), previous=previous,
    )  # fmt: skip


def outcome(made: Learner) -> tuple:
    rows = [{k: v for k, v in row.items() if k != "time"} for row in made.history]
    folder = made.folder
    assert folder is not None
    files = {p.name for p in folder.iterdir()}
    states = [c.state_dict() for c in made.callbacks[:3]]
    return weights(made.model), made.optimizer.hypers, rows, files, made.standing, states


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return outcome(train(tmp_path_factory.mktemp("whole")))


def test_the_best_of_the_last_phase_stands(uninterrupted):
    assert uninterrupted[4] == 6
    assert {"best-6.safetensors", "checkpoint-6", "model.safetensors"} <= uninterrupted[3]


@settings(max_examples=7)
@given(
    event=st.sampled_from(["before_batch", "after_step", "before_validate", "after_epoch"]),
    epoch=st.integers(0, 5),
    batch=st.integers(0, 4),
    every=st.sampled_from([0.0, checkpoint.EVERY]),
)
def test_resumed_equals_uninterrupted(uninterrupted, event, epoch, batch, every):
    within = patch.multiple(checkpoint, EVERY=every, SHARE=0)
    with tempfile.TemporaryDirectory() as name, within:
        with pytest.raises(RunInterrupted):
            train(Path(name), Kill(event, epoch, batch))
        assert outcome(train(Path(name))) == uninterrupted


def test_an_early_end_stays_one_and_keeps_the_best(tmp_path):
    values, plan = [0.5, 0.4, 0.45, 0.43, 0.6, 0.3], [Phase(6, Triangle(0.2))]

    class Crash(Callback):
        order = -70  # after_fit: when the best weights were put back

        def after_fit(self) -> None:
            raise KeyboardInterrupt

    whole = train(tmp_path / "whole", plan=plan, values=values)
    assert (whole.done.epochs, whole.standing) == (5, 2)
    with pytest.raises(RunInterrupted):
        train(tmp_path / "stopped", Crash(), plan=plan, values=values)
    assert outcome(train(tmp_path / "stopped", plan=plan, values=values)) == outcome(whole)


def test_a_phase_in_a_folder_of_its_own_equals_one_fit(tmp_path):
    whole = train(tmp_path / "whole")
    train(tmp_path / "head", plan=PLAN[:1])
    second = train(tmp_path / "all", plan=PLAN[1:], previous=tmp_path / "head")
    assert outcome(second)[:3] == outcome(whole)[:3]


def test_a_crash_before_the_next_phase_has_a_checkpoint(tmp_path):
    """The best weights of the phase before are still there to be put back."""
    whole = outcome(train(tmp_path / "whole"))
    for place in ((2, 0), (2, 4), (3, 1)):
        with pytest.raises(RunInterrupted):
            train(tmp_path / "stopped", Kill("before_batch", *place))
    assert outcome(train(tmp_path / "stopped")) == whole


def test_a_best_that_is_missing_is_said(tmp_path):
    class Lose(Callback):
        def after_fit(self) -> None:
            for path in tmp_path.glob("best-*"):
                path.unlink()

    with pytest.raises(RunError) as caught:
        train(tmp_path, Lose())
    assert caught.value.code == "R0310"
