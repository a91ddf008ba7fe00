"""What a step is made of, all together, in trainings that are stopped and go on: bit for bit as if they had not."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.errors import RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks import loss_scale, precision
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Triangle
from tests.runtime.training.test_resume import BATCHES, EPOCHS, Kill, outcome, train


class Spoil(Callback):
    """Now and then an infinite gradient, as an overflow of float16 gives."""

    def after_backward(self) -> None:
        if (self.learner.epoch, self.learner.batch) in ((0, 1), (2, 4)):
            parameters = [p for p in self.learner.model.parameters() if p.grad is not None]
            parameters[0].grad.view(-1)[0] = math.inf  # type: ignore[union-attr]


def techniques() -> list[Callback]:
    return [gradient_accumulation(2), gradient_clip(0.5), mixed_precision("fp16"), ema(0.8), Spoil()]


def run(folder: Path, *extra: Callback, every: float = checkpoint.EVERY, **changes) -> Learner:
    """The CPU computes in float16 too; the scale grows within these few steps."""
    with (
        patch.multiple(precision, require_dtype=lambda *given: None, cpu_has_bf16=lambda: True),
        patch.object(loss_scale, "INTERVAL", 3),
        patch.multiple(checkpoint, SHARE=0, EVERY=every),
    ):
        return train(folder, *techniques(), *extra, kind=torch.optim.AdamW, **changes)


def state(learner: Learner) -> tuple:
    scaled = next(c for c in learner.callbacks if isinstance(c, mixed_precision))
    averages = next(c for c in learner.callbacks if isinstance(c, ema))
    return outcome(learner), scaled.state_dict(), averages.updates, [t.tolist() for t in averages.others]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return state(run(folder)), folder


@settings(max_examples=12)
@given(
    event=st.sampled_from(["before_batch", "after_step", "before_validate", "after_epoch"]),
    epoch=st.integers(0, EPOCHS - 1),
    batch=st.integers(0, BATCHES - 1),
    every=st.sampled_from([0.0, checkpoint.EVERY]),
)
def test_resumed_equals_uninterrupted(uninterrupted, event, epoch, batch, every):
    expected, whole = uninterrupted
    with tempfile.TemporaryDirectory() as name:
        with pytest.raises(RunInterrupted):
            run(Path(name), Kill(event, epoch, batch), every=every)
        assert state(run(Path(name))) == expected
        assert (Path(name) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_checkpoints_lie_between_the_steps(tmp_path):
    """Also after a step that was left out: nothing of its gradients is there any more."""
    places = []

    class Look(Callback):
        order = 1000  # after_batch runs in reverse: before the next checkpoint

        def after_batch(self) -> None:
            path = checkpoint.latest(tmp_path)
            if self.learner.training and path is not None:
                places.append(checkpoint.place(path))

    run(tmp_path, Look(), every=0.0, plan=[Phase(1, Triangle())])
    assert places == [(0, 2), (0, 2), (0, 4)]


def test_a_phase_in_a_folder_of_its_own_equals_one_fit(tmp_path):
    for same in (True, False):
        plan = [Phase(2, Triangle(0.1), 0 if same else -1), Phase(2, Triangle(0.2), 0)]
        whole = run(tmp_path / f"whole {same}", plan=plan)
        run(tmp_path / f"first {same}", plan=plan[:1])
        previous: dict[str, Any] = {"plan": plan[1:], "previous": tmp_path / f"first {same}"}
        with pytest.raises(RunInterrupted):
            run(tmp_path / f"second {same}", Kill("after_step", 3, 1), every=0.0, **previous)
        second = run(tmp_path / f"second {same}", **previous)
        ours, theirs = state(second), state(whole)
        assert ours[0][:3] == theirs[0][:3]
        assert ours[1:] == theirs[1:]
