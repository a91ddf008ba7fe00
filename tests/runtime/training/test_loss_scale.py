"""float16 with a dynamic loss scale: its logic by itself, on the CPU beside torch's GradScaler, and on CUDA."""

from __future__ import annotations

import copy
import io
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.optim.optimizers import adam
from mfc.runtime.training.callbacks import loss_scale, precision
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.loss_scale import LossScale
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.events import Callback, CancelStep
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Factory, Triangle, learner, loaders, network, weights

CPU = torch.device("cpu")


@pytest.fixture
def fp16_on_the_cpu(monkeypatch):
    """The CPU computes in float16 too, slowly; a user is told to take bfloat16."""
    monkeypatch.setattr(precision, "require_dtype", lambda device, dtype: None)
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)


# ── the scale by itself ─────────────────────────────────────────────────────────────────────────────────


def test_the_scale_grows_after_2000_good_steps_and_halves_at_an_overflow():
    scale = LossScale()
    assert scale.value == 65536
    for _ in range(1999):
        scale.update(finite=True)
    assert (scale.value, scale.good) == (65536, 1999)
    scale.update(finite=True)
    assert (scale.value, scale.good) == (131072, 0)
    scale.update(finite=True)
    scale.update(finite=False)
    assert (scale.value, scale.good) == (65536, 0)  # an overflow begins the count anew


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan, None])
def test_gradients_are_unscaled_in_place_and_looked_at(bad):
    scale = LossScale()
    gradients = [
        torch.full((3, 2), 65536.0),
        torch.tensor([131072.0, 0.0]),
        torch.ones(2, dtype=torch.float64),
    ]
    if bad is not None:
        gradients[1][1] = bad
    assert scale.unscale(gradients) is (bad is None)
    assert torch.equal(gradients[0], torch.ones(3, 2))
    assert gradients[1][0] == 2
    assert gradients[2][0] == 2**-16
    assert LossScale().unscale([])


def test_what_overflows_at_any_scale_is_an_error():
    scale = LossScale()
    for _ in range(29):
        scale.update(finite=False)
    assert scale.value == 2.0**-13
    with pytest.raises(RunError) as caught:
        scale.update(finite=False)
    assert caught.value.code == "R0214"


def test_the_state_goes_into_a_checkpoint():
    scale, other = LossScale(), LossScale()
    scale.update(finite=False)
    scale.update(finite=True)
    other.load_state_dict(scale.state_dict())
    assert (other.value, other.good) == (scale.value, scale.good) == (32768, 1)


# ── in training ─────────────────────────────────────────────────────────────────────────────────────────


def gradient(model: nn.Module) -> torch.Tensor:
    """That of the first parameter."""
    found = next(model.parameters()).grad
    assert found is not None
    return found


class Spoil(Callback):
    """Makes a gradient infinite in some batches of the first epoch, as an overflow of float16 does."""

    def __init__(self, *batches: int) -> None:
        self.batches = batches

    def after_backward(self) -> None:
        if self.learner.epoch == 0 and self.learner.batch in self.batches:
            gradient(self.learner.model)[0, 0] = math.inf


def by_hand(
    device: torch.device, gathered: int, longest: float, overflows: tuple[int, ...]
) -> tuple[nn.Module, int]:
    """torch's own way, autocast with GradScaler: the trained model, and the number of steps that it took."""
    model, dls = network(dropout=0).to(device), loaders(64, size=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    steps: list[object] = []
    optimizer.register_step_post_hook(lambda *given: steps.append(given))
    scaler = torch.amp.GradScaler(device.type, growth_interval=3)
    schedule, place = Triangle(), 0
    for epoch in range(2):
        dls.train.set_epoch(epoch)
        model.train()
        for number, (x, y, _) in enumerate(dls.train):
            with torch.autocast(device.type, torch.float16):
                pred = model(x.to(device))
            scaler.scale(F.cross_entropy(pred.float(), y.to(device)) / gathered).backward()
            if epoch == 0 and number in overflows:
                gradient(model)[0, 0] = math.inf
            optimizer.param_groups[0]["lr"] = schedule.values(place / 16, 0, 1)["lr"]
            place += 1
            if (number + 1) % gathered == 0:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), longest)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
    return model, len(steps)


def by_learner(device: torch.device, gathered: int, longest: float, overflows: tuple[int, ...]) -> Learner:
    callbacks = [gradient_clip(longest), mixed_precision("fp16"), Spoil(*overflows), Recorder(), Scheduling()]
    if gathered > 1:
        callbacks.append(gradient_accumulation(gathered))

    class Moved(Callback):
        def before_batch(self) -> None:
            self.learner.x, self.learner.y = self.learner.x.to(device), self.learner.y.to(device)

    run = Learner(
        network(dropout=0), loaders(64, size=8), cross_entropy(), Factory(momentum=0.9), schedule=Triangle(),
        callbacks=[*callbacks, Moved()], device=device, stream=io.StringIO(),
    )  # fmt: skip
    run.fit(Phase(2))
    return run


CASES = [(1, 1e9, ()), (1, 0.5, (2, 3)), (2, 1e9, (2,)), (4, 0.5, (5,))]


@pytest.mark.parametrize(("gathered", "longest", "overflows"), CASES)
def test_it_is_what_torchs_scaler_does(fp16_on_the_cpu, monkeypatch, gathered, longest, overflows):
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    run = by_learner(CPU, gathered, longest, overflows)
    expected, steps = by_hand(CPU, gathered, longest, overflows)
    assert weights(run.model) == pytest.approx(weights(expected), rel=1e-4, abs=1e-6)
    assert run.optimizer.steps == steps <= 16 // gathered - len(overflows)
    assert all(math.isfinite(row["train_loss"]) for row in run.history)  # an overflow is no bad loss


@pytest.mark.skipif(not torch.cuda.is_available(), reason="float16 is trained on CUDA: there is no GPU here")
@pytest.mark.parametrize(("gathered", "longest", "overflows"), CASES)
def test_it_is_what_torchs_scaler_does_on_cuda(monkeypatch, gathered, longest, overflows):
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    device = torch.device("cuda", 0)
    run = by_learner(device, gathered, longest, overflows)
    expected, steps = by_hand(device, gathered, longest, overflows)
    assert weights(run.model.cpu()) == pytest.approx(weights(expected.cpu()), rel=1e-3, abs=1e-4)
    assert run.optimizer.steps == steps <= 16 // gathered - len(overflows)


def test_an_overflow_leaves_weights_optimizer_and_averages_as_they_were(fp16_on_the_cpu):
    states = []

    class Look(Callback):
        order = -1000  # after_batch runs in reverse: all others are through

        def after_batch(self) -> None:
            learner = self.learner
            if learner.training:
                states.append(copy.deepcopy([p.detach() for p in learner.model.parameters()]))
                states[-1] += copy.deepcopy(averages.others)
                states[-1] += list(learner.optimizer.state_dict()["tensors"].values())
                counts.append(
                    (learner.optimizer.state_dict()["steps"][0][0], learner.optimizer.hypers[0]["lr"])
                )
                assert not learner.gathering

    counts: list[tuple[int, float]] = []
    averages = ema()
    scaled: Any = mixed_precision("fp16")
    run = learner(
        optimizer=adam(), schedule=Triangle(), stream=io.StringIO(),
        callbacks=[scaled, averages, Spoil(2), Look(), Recorder(), Scheduling()],
    )  # fmt: skip
    run.fit(Phase(1))
    same = [all(map(torch.equal, a, b)) for a, b in pairwise(states)]
    assert same == [False, True, False, False]
    assert [count for count, _ in counts] == [1, 2, 2, 3, 4]
    assert averages.updates == 4
    assert [lr for _, lr in counts] == [Triangle().values(i / 5, 0, 1)["lr"] for i in range(5)]
    assert (scaled.scale.value, scaled.scale.good) == (32768, 2)


def test_a_step_that_another_callback_puts_off_keeps_its_gradients(fp16_on_the_cpu):
    """As a callback of a user's own does that gathers gradients: those that come next have the scale too."""

    class Gather(Callback):
        def before_step(self) -> None:
            self.norms.append(float(gradient(self.learner.model).norm()))
            if self.learner.batch % 2 == 0:
                raise CancelStep

        def __init__(self) -> None:
            self.norms: list[float] = []

    gathers = Gather(), Gather()
    runs = [learner(model=network(dropout=0), stream=io.StringIO(), callbacks=c) for c in (
        [mixed_precision("fp16"), gathers[0]], [gathers[1]],
    )]  # fmt: skip
    for run in runs:
        run.fit(Phase(2))
    assert gathers[0].norms == pytest.approx(gathers[1].norms, rel=2e-2)  # in true size
    assert weights(runs[0].model) == pytest.approx(weights(runs[1].model), abs=1e-2)
    assert runs[0].optimizer.steps == runs[1].optimizer.steps


def test_gradients_that_are_no_numbers_at_any_scale_stop_the_run(fp16_on_the_cpu):
    class Always(Callback):
        def after_backward(self) -> None:
            gradient(self.learner.model)[0, 0] = math.nan

    run = learner(callbacks=[mixed_precision("fp16"), Always(), Recorder()], stream=io.StringIO())
    with pytest.raises(RunError) as caught:
        run.fit(Phase(100))
    assert caught.value.code == "R0214"


def test_a_loss_that_is_no_number_is_said_as_ever(fp16_on_the_cpu):
    class Broken(Callback):
        def after_pred(self) -> None:
            self.learner.pred = self.learner.pred * math.nan

    run = learner(callbacks=[mixed_precision("fp16"), Broken(), Recorder()], stream=io.StringIO())
    with pytest.raises(RunError, match="the loss is NaN in epoch 1, batch 1"):
        run.fit(Phase(1))


def test_the_scale_goes_on_in_the_next_phase(fp16_on_the_cpu):
    scaled: Any = mixed_precision("fp16")
    run = learner(callbacks=[scaled, Spoil(0, 1)], stream=io.StringIO())
    run.fit(Phase(1), Phase(1, freeze_to=0))
    assert scaled.scale.value == 16384


def test_fp16_is_refused_on_the_cpu():
    run = learner(callbacks=[mixed_precision("fp16")])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert (caught.value.code, caught.value.message) == ("R0403", "cpu is not trained in float16")
    assert caught.value.help == 'use mixed_precision(dtype = "bf16"), or train on another device'
