"""Averages of the weights."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.monitors import save_best
from mfc.runtime.training.callbacks.precision import channels_last
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.events import Callback, CancelEpoch, CancelFit, CancelStep, CancelValidate
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.predict import measure
from tests.runtime.training.standins import Factory, learner, network, weights


class Average(Callback):
    """torch's AveragedModel, fed after each step."""

    order = 1000

    def __init__(self, decays) -> None:
        self.decays = decays

    def before_fit(self) -> None:
        self.updates, self.raw = 0, []

        def mean(averages, models, count):
            decay = self.decays(self.updates)
            for a, m in zip(averages, models):
                a.copy_(decay * a + (1 - decay) * m if a.is_floating_point() else m)

        self.model = AveragedModel(self.learner.model, multi_avg_fn=mean, use_buffers=True)
        self.model.n_averaged += 1  # else the first weights would be taken as they are

    def after_step(self) -> None:
        self.model.update_parameters(self.learner.model)
        self.updates += 1
        self.raw = weights(self.learner.model)


def assert_same(ours, theirs, **near) -> None:
    kept = {name: tensor for name, tensor in theirs.items() if tensor.is_floating_point()}
    for name, tensor in kept.items():
        assert torch.allclose(ours[name], tensor, rtol=1e-5, atol=1e-7), name


@pytest.mark.parametrize(
    ("made", "decays"),
    [
        (lambda: ema(0.9, warmup=False), lambda step: 0.9),
        (lambda: ema(0.5), lambda step: min(0.5, (1 + step) / (10 + step))),
        (lambda: ema(), lambda step: (1 + step) / (10 + step)),
    ],
    ids=["plain", "warm-up to its end", "warm-up"],
)
def test_it_is_torchs_averaged_model(made, decays):
    average = Average(decays)
    run = learner(callbacks=[made(), average, Recorder()], metrics=[accuracy()])
    run.fit(Phase(3))
    assert_same(run.model.state_dict(), average.model.module.state_dict())
    assert weights(run.model) != average.raw
    # what was measured is the average
    measured = measure(average.model.module, run.dls.valid, [accuracy()], run.device)
    assert run.history[-1]["accuracy"] == pytest.approx(measured["accuracy"])
    frozen = copy.deepcopy(average.model.module).eval()
    with torch.no_grad():
        losses = torch.cat([
            torch.nn.functional.cross_entropy(frozen(x), y, reduction="none") for x, y, _ in run.dls.valid
        ])  # fmt: skip
    assert run.history[-1]["valid_loss"] == pytest.approx(losses.mean().item(), rel=1e-5)


def test_training_goes_on_with_the_weights_themselves():
    trained = []

    class Look(Callback):
        def after_step(self) -> None:
            trained[-1].append(weights(self.learner.model)[:50])

    for callbacks in ([ema(), Look()], [Look()]):
        trained.append([])
        learner(callbacks=callbacks).fit(Phase(3))
    assert trained[0] == trained[1]


def test_the_model_has_the_averages_from_validation_to_the_end_of_the_epoch():
    places = []

    class Look(Callback):
        order = 100

        def look(self, event: str) -> None:
            places.append((event, average.inside))

        def before_train(self) -> None:
            self.look("before_train")

        def before_validate(self) -> None:
            self.look("before_validate")

        def after_epoch(self) -> None:
            self.look("after_epoch")

        def after_fit(self) -> None:
            self.look("after_fit")

    average = ema()
    learner(callbacks=[average, Look()]).fit(Phase(2))
    epoch = [("before_train", False), ("before_validate", True), ("after_epoch", True)]
    assert places == [*epoch, *epoch, ("after_fit", True)]


class Raise(Callback):
    def __init__(self, event: str, cancel: type[Exception], epoch: int) -> None:
        self.event, self.cancel, self.at = event, cancel, epoch

    def go(self, event: str) -> None:
        if (event, self.learner.epoch) == (self.event, self.at):
            raise self.cancel

    def after_batch(self) -> None:
        if self.learner.batch == 1:
            self.go("after_batch" if self.learner.training else "in validation")

    def before_validate(self) -> None:
        self.go("before_validate")

    def after_epoch(self) -> None:
        self.go("after_epoch")


@pytest.mark.parametrize(
    ("event", "cancel", "at"),
    [
        ("after_batch", CancelFit, 1),
        ("after_batch", CancelEpoch, 0),
        ("after_batch", CancelEpoch, 1),
        ("in validation", CancelValidate, 0),
        ("in validation", CancelEpoch, 0),
        ("in validation", CancelFit, 1),
        ("before_validate", CancelValidate, 1),
        ("after_epoch", CancelFit, 0),
    ],
)
def test_whatever_is_cut_short_the_averages_stand_at_the_end(event, cancel, at):
    average = Average(lambda step: (1 + step) / (10 + step))
    run = learner(callbacks=[ema(), average, Raise(event, cancel, at)])
    run.fit(Phase(2))
    assert_same(run.model.state_dict(), average.model.module.state_dict())
    assert weights(run.model) != average.raw


def test_only_steps_count():
    class Skip(Callback):
        def before_step(self) -> None:
            if self.learner.batch != 2:
                raise CancelStep

    average = ema()
    learner(callbacks=[average, Skip()]).fit(Phase(2))
    assert average.updates == 2


@pytest.mark.parametrize("extra", [[], [Raise("after_batch", CancelFit, 3)]], ids=["whole", "cut short"])
def test_the_best_ones_are_averages_and_have_the_last_word(tmp_path, extra):
    for callbacks in ([ema(), save_best()], [save_best(), ema()]):
        run = learner(callbacks=[*callbacks, *extra, Recorder()], folder=tmp_path, stream=io.StringIO(),
                      optimizer=Factory(lr=1.0))  # fmt: skip
        run.fit(Phase(4))
        best = min(row["valid_loss"] for row in run.history)
        assert extra or best < run.history[-1]["valid_loss"]  # what is cut short went on after the best
        run.model.eval()
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(run.model(run.dls.valid.x), run.dls.valid.y)
        assert loss.item() == pytest.approx(best, rel=1e-5)


def test_each_phase_begins_with_the_averages_of_the_one_before():
    starts, average = [], ema()

    class Look(Callback):
        order = 1000

        def before_train(self) -> None:
            starts.append((average.updates, weights(self.learner.model), average.inside))

    run = learner(callbacks=[average, Look()])
    run.fit(Phase(1))
    assert average.updates == 5
    end = weights(run.model)
    run.fit(Phase(1))
    assert starts[1] == (0, end, False)


def test_frozen_tied_and_replaced_tensors():
    class Replace(Callback):
        """As a layer does that computes its buffers anew, and `model.to`."""

        def before_train(self) -> None:
            norm: Any = self.learner.model.get_submodule("1")
            norm.running_mean = norm.running_mean.clone()

    model = network()
    model.register_parameter("tied", model.get_parameter("0.weight"))
    average = Average(lambda step: (1 + step) / (10 + step))
    ours = ema()
    groups = [list(model[:2].parameters()), list(model[4:].parameters())]
    run = learner(model=model, groups=groups, callbacks=[channels_last(), ours, average, Replace()])
    run.fit(Phase(2, freeze_to=-1))
    assert_same(run.model.state_dict(), average.model.module.state_dict())
    assert ours.names == ["tied", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight",
                          "4.bias"]  # fmt: skip


def test_a_checkpoint_keeps_both(tmp_path):
    kept = []

    class Look(Callback):
        order = -1000

        def after_epoch(self) -> None:
            path = checkpoint.latest(tmp_path)
            assert path is not None
            state = checkpoint.load(path)
            inside = state["callbacks"]["ema"]["inside"]
            kept.append((inside, state["model"]["0.weight"], state["callbacks"]["ema"]["others"]["0.weight"]))
            assert torch.equal(state["model"]["0.weight"], self.learner.model.state_dict()["0.weight"])

    average = Average(lambda step: (1 + step) / (10 + step))
    run = learner(
        callbacks=[ema(), average, checkpoint.Checkpoint({}), Look()], folder=tmp_path, stream=io.StringIO()
    )
    run.fit(Phase(1))
    ((inside, model, other),) = kept
    assert inside
    assert torch.allclose(model, average.model.module.state_dict()["0.weight"], atol=1e-7)
    assert other.flatten().tolist() == pytest.approx(average.raw[: other.numel()])
