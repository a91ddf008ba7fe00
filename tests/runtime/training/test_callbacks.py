"""The callbacks that come with the Learner, alone and together."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import signal

import pytest
import torch
from torch import nn

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.streams import Stream
from mfc.runtime.training.callbacks import precision
from mfc.runtime.training.callbacks.precision import channels_last, mixed_precision, to_float
from mfc.runtime.training.callbacks.progress import Progress
from mfc.runtime.training.callbacks.recorder import LOOK_EVERY, Losses, Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.events import Callback, CancelStep, CancelValidate
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy, error_rate
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import (
    Factory,
    Loader,
    Loaders,
    Triangle,
    learner,
    loaders,
    network,
    weights,
)

SEED, STAGE = 42, "fit"


def images() -> Loaders:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(24, 3, 8, 8, generator=draw), torch.arange(24) % 2
    return Loaders(Loader(x, y, 8, shuffle=True), Loader(x[:8], y[:8], 8), ["no", "yes"])


def convnet(dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(2)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(dropout), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 2))


def bare_loop(
    model: nn.Module, dls: Loaders, epochs: int, bf16: bool = False, step_every: int = 1
) -> nn.Module:
    """What the Learner does, by hand."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    steps = Stream(SEED, STAGE, "step")
    for epoch in range(epochs):
        model.train()
        dls.train.set_epoch(epoch)
        for number, (x, y, _) in enumerate(dls.train):
            torch.manual_seed(steps.torch_seed(epoch, number))
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                pred = model(x)
            nn.functional.cross_entropy(pred.float(), y).backward()
            if (number + 1) % step_every == 0:
                optimizer.step()
                optimizer.zero_grad()
    return model


# ── precision ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_the_learner_is_the_bare_loop(bf16):
    run = Learner(
        convnet(), images(), cross_entropy(), Factory(momentum=0.9), stream=io.StringIO(),
        callbacks=[Recorder(), *([mixed_precision()] if bf16 else [])], metrics=[accuracy()],
    )  # fmt: skip
    run.fit(Phase(2))
    assert weights(run.model) == weights(bare_loop(convnet(), images(), 2, bf16=bf16))


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_accumulation_with_mixed_precision_is_the_bare_loop(bf16):
    class Accumulate(Callback):
        def before_step(self) -> None:
            if self.learner.batch % 3 < 2:
                raise CancelStep

    run = Learner(
        convnet(), images(), cross_entropy(), Factory(momentum=0.9), stream=io.StringIO(),
        callbacks=[Accumulate(), Recorder(), *([mixed_precision()] if bf16 else [])],
    )  # fmt: skip
    run.fit(Phase(3))
    assert run.optimizer.steps == 3
    assert weights(run.model) == weights(bare_loop(convnet(), images(), 3, bf16, step_every=3))


def test_mixed_precision_computes_in_bf16_and_hands_out_float32():
    dtypes = []

    class Look(Callback):
        def after_pred(self) -> None:
            dtypes.append(self.learner.pred.dtype)

    run = Learner(
        convnet(),
        images(),
        cross_entropy(),
        Factory(),
        callbacks=[mixed_precision(), Look()],
        stream=io.StringIO(),
    )
    inside = []
    first = run.model.get_submodule("0")
    first.register_forward_hook(lambda module, args, out: inside.append(out.dtype))
    run.fit(Phase(1))
    assert set(inside) == {torch.bfloat16}
    assert set(dtypes) == {torch.float32}
    assert all(p.dtype is torch.float32 for p in run.model.parameters())
    assert run.forward is run.model  # left as it was


def test_mixed_precision_is_undone_after_an_error():
    class Broken(Callback):
        def after_loss(self) -> None:
            raise ValueError

    run = Learner(
        convnet(),
        images(),
        cross_entropy(),
        Factory(),
        callbacks=[mixed_precision(), Broken()],
        stream=io.StringIO(),
    )
    with pytest.raises(RunError):
        run.fit(Phase(1))
    assert run.forward is run.model
    assert not torch.is_autocast_enabled("cpu")


def test_a_device_without_bf16_is_said(monkeypatch):
    def refuse(device, dtype):
        raise RunError("R0403", "no bf16 here")

    monkeypatch.setattr(precision, "require_dtype", refuse)
    run = learner(callbacks=[mixed_precision()])
    with pytest.raises(RunError, match="no bf16 here"):
        run.fit(Phase(1))
    assert run.forward is run.model


def test_slow_bf16_is_said(monkeypatch):
    for fast, said in (
        (True, ""),
        (False, "note: this CPU has no bf16 instructions: mixed_precision() slows it down\n"),
    ):
        monkeypatch.setattr(precision, "cpu_has_bf16", lambda fast=fast: fast)
        stream = io.StringIO()
        run = learner(callbacks=[mixed_precision()], stream=stream)
        run.fit(Phase(1))
        assert stream.getvalue() == said


def test_to_float():
    half = torch.ones(2, dtype=torch.bfloat16)
    found = to_float({"a": [half, (half, torch.arange(2))], "b": None})
    assert found["a"][0].dtype is torch.float32
    assert found["a"][1][1].dtype is torch.int64
    assert found["b"] is None


@pytest.mark.parametrize("also", [[], [mixed_precision]], ids=["float32", "bf16"])
def test_channels_last_is_kept_through_training(also):
    formats = []

    class Look(Callback):
        def after_step(self) -> None:
            learner = self.learner
            formats.append(learner.x.is_contiguous(memory_format=torch.channels_last))
            formats.append(
                learner.model.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)
            )

    callbacks = [channels_last(), Look(), *(make() for make in also)]
    run = Learner(
        convnet(dropout=0),
        images(),
        cross_entropy(),
        Factory(momentum=0.9),
        callbacks=callbacks,
        stream=io.StringIO(),
    )
    outputs = []
    first = run.model.get_submodule("0")
    first.register_forward_hook(
        lambda module, args, out: outputs.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    run.fit(Phase(2))
    assert all(formats)
    assert all(outputs)
    if not also:
        expected = bare_loop(convnet(dropout=0), images(), 2)
        assert weights(run.model) == pytest.approx(weights(expected), abs=1e-4)


# ── schedule, freezing ──────────────────────────────────────────────────────────────────────────────────


def test_the_schedule_sets_every_group_at_every_batch():
    seen = []

    class Look(Callback):
        def before_step(self) -> None:
            seen.append([group["lr"] for group in self.learner.optimizer.hypers])

    layers = network()
    groups = [list(layers[0].parameters()), list(layers[1].parameters()), list(layers[4].parameters())]
    run = learner(model=layers, groups=groups, callbacks=[Scheduling(), Look()], schedule=Triangle())
    run.fit(Phase(2))
    schedule = Triangle()
    assert seen == [[schedule.values(i / 10, g, 3)["lr"] for g in range(3)] for i in range(10)]


def test_a_phase_without_a_schedule_starts_with_the_optimizers_own_rates():
    run = learner(callbacks=[Scheduling()])
    run.fit(Phase(1, Triangle()), Phase(1))
    assert run.optimizer.hypers == [{"lr": 0.05}]


def test_freezing_leaves_norm_layers_free_and_clears_the_optimizer():
    model = network()
    run = learner(model=model, groups=[list(model[:4].parameters()), list(model[4:].parameters())])
    before = copy.deepcopy(model.state_dict())
    run.fit(Phase(1, freeze_to=-1))
    first = run.optimizer
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("0.") for name in changed)
    assert {"1.weight", "1.bias", "1.running_mean", "4.weight", "4.bias"} <= changed
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, True, True]
    run.fit(Phase(1, freeze_to=-1))
    assert run.optimizer is first
    run.fit(Phase(1))
    assert run.optimizer is not first
    assert all(p.requires_grad for p in model.parameters())
    assert not torch.equal(model.get_parameter("0.weight"), before["0.weight"])
    assert run.done.epochs == 3


def test_what_a_user_has_fixed_stays_fixed():
    model = network()
    weight = model.get_parameter("0.weight").requires_grad_(False)
    fixed = weight.clone()
    learner(model=model).fit(Phase(1))
    assert torch.equal(weight, fixed)


def test_a_callback_may_keep_a_part_in_evaluation_mode():
    class Steady(Callback):
        def before_train(self) -> None:
            assert self.learner.training
            self.learner.model.get_submodule("1").eval()

        def before_validate(self) -> None:
            assert not self.learner.training
            assert not self.learner.model.training

    run = learner(callbacks=[Steady()])
    run.fit(Phase(1))
    assert torch.equal(run.model.get_buffer("1.running_mean"), torch.zeros(16))


@pytest.mark.parametrize(
    ("freeze_to", "message"),
    [(2, "freeze_to = 2, but the model has 2 groups"), (-3, "freeze_to = -3, but the model has 2 groups")],
)
def test_freezing_to_a_group_that_is_not_there(freeze_to, message):
    model = network()
    run = learner(model=model, groups=[list(model[:4].parameters()), list(model[4:].parameters())])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1, freeze_to=freeze_to))
    assert (caught.value.code, caught.value.message) == ("R0206", message)
    assert caught.value.help == "freeze_to goes from -2 to 1"


def test_nothing_to_train():
    model = network().requires_grad_(False)
    with pytest.raises(RunError, match="no parameter that trains"):
        learner(model=model).fit(Phase(1))


def test_a_device_without_memory():
    model = network()
    model.register_forward_hook(_out_of_memory)
    with pytest.raises(RunError) as caught:
        learner(model=model).fit(Phase(1))
    assert caught.value.code == "R0404"
    assert caught.value.message == "cpu has no memory left in epoch 1, batch 1"
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


def _out_of_memory(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_an_error_of_the_model_is_handed_on_as_it_is():
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        learner(model=nn.Linear(5, 3)).fit(Phase(1))


def test_what_ctrl_c_does_to_workers_is_no_error_of_its_own():
    class Dying(Loader):
        def __iter__(self):
            yield from list(super().__iter__())[:2]
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly")

    dls = loaders()
    dls.train = Dying(dls.train.x, dls.train.y, 8)
    with pytest.raises(RunInterrupted, match="SIGINT stopped the training in epoch 1, batch 2"):
        learner(dls=dls).fit(Phase(1))


def test_no_batches():
    empty = Loader(torch.empty(0, 6), torch.empty(0, dtype=torch.int64), 8)
    with pytest.raises(RunError) as caught:
        learner(dls=Loaders(empty, empty, [])).fit(Phase(1))
    assert caught.value.code == "R0202"


# ── history ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_history_is_what_a_reader_computes(tmp_path):
    dls = loaders(items=20, size=8)  # the last batch is smaller, and counts less
    rows = []

    class ByHand(Callback):
        def before_epoch(self) -> None:
            self.losses = {True: [], False: []}
            self.right = 0

        def after_loss(self) -> None:
            learner = self.learner
            self.losses[learner.training] += [learner.loss.item()] * len(learner.y)
            if not learner.training:
                self.right += int((learner.pred.argmax(1) == learner.y).sum())

        def after_epoch(self) -> None:
            assert len(self.learner.history) == len(rows) + 1  # callbacks find the row of this epoch
            rows.append([*(sum(v) / len(v) for v in self.losses.values()), self.right / 10])

    run = learner(
        dls=dls, callbacks=[Recorder(), Scheduling(), ByHand()], metrics=[accuracy(), error_rate()],
        folder=tmp_path, schedule=Triangle(),
    )  # fmt: skip
    run.fit(Phase(2), Phase(1, name="again"))
    assert len(run.history) == 3
    for number, (row, (train, valid, right)) in enumerate(zip(run.history, rows)):
        assert row["epoch"] == number + 1
        assert row["train_loss"] == pytest.approx(train, rel=1e-6)
        assert row["valid_loss"] == pytest.approx(valid, rel=1e-6)
        assert row["accuracy"] == pytest.approx(right)
        assert row["error_rate"] == pytest.approx(1 - right)
        assert row["time"] > 0
        assert row["lr"] == run.optimizer.hypers[-1]["lr"] or number < 2
        assert row.get("phase") == (None, None, "again")[number]
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.history


def test_an_epoch_without_validation_has_a_row():
    class Skip(Callback):
        def before_validate(self) -> None:
            raise CancelValidate

    run = learner(callbacks=[Recorder(), Skip()], metrics=[accuracy()])
    run.fit(Phase(1))
    assert run.history[0]["valid_loss"] is None
    assert "accuracy" not in run.history[0]


def test_losses_wait_on_the_device_and_are_fetched_now_and_then():
    losses = Losses(torch.device("cpu"), 100)
    losses._on_device = torch.empty(100)  # as on CUDA
    for i in range(100):
        looked = losses.add(torch.tensor(float(i)), 1 + i % 2)
        assert looked == ((i + 1) % LOOK_EVERY == 0)
        assert len(losses.values) == (i + 1) // LOOK_EVERY * LOOK_EVERY
    expected = sum(i * (1 + i % 2) for i in range(100)) / 150
    assert losses.mean() == pytest.approx(expected)
    assert Losses(torch.device("cpu"), 3).mean() is None


class Spoil(Callback):
    """Makes the loss no number at one place."""

    def __init__(self, value: float, epoch: int, batch: int, training: bool = True) -> None:
        self.value, self.place = value, (epoch, batch, training)

    def after_pred(self) -> None:
        if (self.learner.epoch, self.learner.batch, self.learner.training) == self.place:
            self.learner.pred = self.learner.pred * self.value


@pytest.mark.parametrize("on_device", [False, True], ids=["cpu", "as on cuda"])
def test_a_loss_that_is_nan_stops_the_run(on_device, monkeypatch):
    if on_device:
        plain = Losses.__init__

        def init(self, device, batches):
            plain(self, device, batches)
            self._on_device = torch.empty(batches)

        monkeypatch.setattr(Losses, "__init__", init)
    run = learner(callbacks=[Recorder(), Spoil(math.nan, 1, 3)])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(3))
    assert caught.value.code == "R0201"
    assert caught.value.message == "the loss is NaN in epoch 2, batch 4"
    assert len(run.history) == 1
    if not on_device:  # seen before it could spoil the weights
        assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_an_infinite_loss_stops_the_run_and_a_nan_in_validation_too():
    with pytest.raises(RunError, match="the loss is NaN on the validation data after epoch 2"):
        learner(callbacks=[Recorder(), Spoil(math.nan, 1, 1, training=False)]).fit(Phase(3))

    class Infinite(Callback):
        order = 95

        def after_loss(self) -> None:
            self.learner.loss = self.learner.loss + math.inf

    with pytest.raises(RunError, match="the loss is infinite in epoch 1, batch 1"):
        learner(callbacks=[Recorder(), Infinite()]).fit(Phase(1))


def test_a_loss_of_many_numbers():
    run = learner(callbacks=[Recorder()], loss=nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert (caught.value.code, caught.value.message) == (
        "R0207",
        "the loss is a tensor of shape 8, not one number",
    )


# ── progress ────────────────────────────────────────────────────────────────────────────────────────────


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_in_a_pipe():
    stream = io.StringIO()
    run = learner(callbacks=[Recorder(), Progress()], metrics=[accuracy()], stream=stream)
    run.fit(Phase(1), Phase(2, name="all"))
    lines = stream.getvalue().splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "fit epoch 1/1",
        "all epoch 2/3",
        "all epoch 3/3",
    ]
    row = run.history[-1]
    expected = "".join(f"  {name} {row[name]:.4f}" for name in ("train_loss", "valid_loss", "accuracy"))
    assert lines[-1] == f"all epoch 3/3{expected}  {row['time']:.1f} s"


def test_a_bar_in_a_terminal(monkeypatch):
    monkeypatch.setattr("mfc.runtime.training.callbacks.progress.REDRAW", 0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    run = learner(callbacks=[Recorder(), Progress()], stream=stream)
    run.fit(Phase(2))
    text = stream.getvalue()
    assert "fit epoch 1/2" in text
    assert "5/8" in text
    assert "loss " in text
    assert text.count("train_loss") == 2
    assert run.callbacks[0].bar is None


def test_the_bar_goes_away_after_an_error():
    stream = Terminal()
    progress = Progress()
    run = learner(callbacks=[Recorder(), progress, Spoil(math.nan, 0, 2)], stream=stream)
    with pytest.raises(RunError):
        run.fit(Phase(1))
    assert progress.bar is None
