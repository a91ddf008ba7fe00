"""The events, their order and the cancel exceptions."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import combinations_with_replacement

import pytest
import torch

from mfc.dsl import events as read_events
from mfc.dsl.catalog import builtin_catalog
from mfc.runtime.component import callback
from mfc.runtime.errors import RunError
from mfc.runtime.training import events
from mfc.runtime.training.events import (
    EVENTS,
    Callback,
    CancelBackward,
    CancelBatch,
    CancelEpoch,
    CancelFit,
    CancelStep,
    CancelTrain,
    CancelValidate,
)
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Factory, learner


def test_callback_methods_are_exactly_the_events():
    methods = {name for name in vars(Callback) if not name.startswith("_")}
    assert methods - {"order", "in_trials", "learner", "state_dict", "load_state_dict"} == set(EVENTS)
    assert read_events.EVENTS == EVENTS


def test_the_diagram_draws_every_part_and_every_cancel():
    diagram = (events.__doc__ or "").partition("Each name stands")[0]
    for part in events.PARTS:
        assert re.search(rf"^[ │]*{part}\b", diagram, re.M), part
    for cancel in events.Cancel.__subclasses__():
        assert cancel.__name__ in diagram


INDIFFERENT = {
    ("channels_last", "rnn_regularizer"): "one acts on images, the other on texts",
    ("cutmix", "cutmix"): "the check allows one that mixes",
    ("cutmix", "mixup"): "the check allows one that mixes",
    (
        "early_stopping",
        "early_stopping",
    ): "each counts for itself; the others have their turn before a fit ends",
    ("early_stopping", "save_best"): "the best weights are kept also where a fit ends",
    ("mixup", "mixup"): "the check allows one that mixes",
}
"""The callbacks of one order that may stand in one training, and why it does not matter which of them comes first."""


def test_the_order_of_callbacks_in_a_spec_changes_nothing():
    """A stage's key leaves it out: what matters has to be said by `order`."""
    catalog = builtin_catalog()
    infos = [catalog.components["callback", name] for name in catalog.names("callback")]
    orders = {
        info.name: getattr(import_module(info.target.partition(":")[0]), info.name).order for info in infos
    }
    pairs = {
        (one.name, other.name)
        for one, other in combinations_with_replacement([c for c in infos if not c.facts["observes"]], 2)
        if orders[one.name] == orders[other.name] and not (one is other and one.facts["once"])
    }
    assert pairs == set(INDIFFERENT)


class Log(Callback):
    """Notes every event with its own name."""

    def __init__(self, name: str, notes: list[str], order: int = 0) -> None:
        self.name, self.notes, self.order = name, notes, order


def _noting(event: str):
    return lambda self: self.notes.append(f"{event} {self.name}")


for _event in EVENTS:
    setattr(Log, _event, _noting(_event))


def test_callbacks_nest_and_come_in_the_order_of_the_diagram():
    notes: list[str] = []
    run = learner(callbacks=[Log("b", notes, order=2), Log("a", notes, order=1)])
    run.fit(Phase(1))
    depth: list[str] = []
    for note in notes:
        when, part, name = re.fullmatch(r"(before|after)_(\w+) (\w)", note).groups()  # type: ignore[union-attr]
        if when == "before":
            depth.append(f"{part} {name}")
        else:
            assert depth.pop() == f"{part} {name}"
    assert not depth
    steps = [note[:-2] for note in notes if note.endswith("a")]
    batch = ["before_batch", "before_pred", "after_pred", "before_loss", "after_loss"]
    learn = ["before_backward", "after_backward", "before_step", "after_step"]
    assert steps == [
        "before_fit", "before_epoch",
        "before_train", *5 * [*batch, *learn, "after_batch"], "after_train",
        "before_validate", *3 * [*batch, "after_batch"], "after_validate",
        "after_epoch", "after_fit",
    ]  # fmt: skip


def test_only_callbacks_that_implement_an_event_are_called():
    class Quiet(Callback):
        def after_loss(self) -> None: ...

    run = learner(callbacks=[Quiet(), Quiet()])
    assert {event: len(found) for event, found in run._hooks.items() if found} == {
        "after_loss": 2,
        "after_batch": 1,
        "after_epoch": 1,
    }


class Raise(Callback):
    """Raises a cancel at an event, from the first time or at the `at`-th only."""

    def __init__(self, event: str, cancel: type[Exception], at: int | None = None) -> None:
        self.cancel, self.at, self.count = cancel, at, 0
        self.event = event

    def go(self) -> None:
        self.count += 1
        if self.at is None or self.at == self.count:
            raise self.cancel


def raising(event: str, cancel: type[Exception], at: int | None = None) -> Callback:
    return type("Raising", (Raise,), {event: Raise.go})(event, cancel, at)


def counted(callbacks: list[Callback], epochs: int = 2) -> tuple[dict[str, int], Learner]:
    notes: list[str] = []
    run = learner(callbacks=[*callbacks, Log("x", notes, order=-1)])
    run.fit(Phase(epochs))
    return {event: notes.count(f"{event} x") for event in EVENTS}, run


@pytest.mark.parametrize(
    ("event", "cancel", "expected"),
    [
        ("before_step", CancelStep, {"after_step": 10, "after_batch": 16}),
        ("before_backward", CancelBackward, {"after_backward": 10, "before_step": 10}),
        ("after_pred", CancelBatch, {"before_loss": 0, "after_batch": 16, "before_backward": 0}),
        ("before_batch", CancelBatch, {"before_pred": 0, "after_batch": 16, "after_train": 2}),
        ("after_loss", CancelTrain, {"before_train": 2, "after_train": 2, "before_validate": 2}),
        ("before_validate", CancelValidate, {"after_validate": 2, "after_epoch": 2, "after_batch": 10}),
        ("before_epoch", CancelEpoch, {"before_train": 0, "after_epoch": 2, "after_fit": 1}),
        ("before_train", CancelEpoch, {"before_batch": 0, "before_validate": 0, "after_epoch": 2}),
        ("before_batch", CancelFit, {"after_batch": 0, "after_epoch": 0, "after_fit": 1}),
        ("after_epoch", CancelFit, {"after_epoch": 1, "after_fit": 1}),
        ("before_fit", CancelFit, {"before_epoch": 0, "after_fit": 1}),
    ],
)
def test_a_cancel_skips_the_rest_of_its_part(event, cancel, expected):
    if (event, cancel) == ("after_loss", CancelTrain):  # in validation nobody is there to catch it

        class Once(Callback):
            def after_loss(self) -> None:
                if self.learner.training:
                    raise CancelTrain

        counts, _ = counted([Once()])
    else:
        counts, _ = counted([raising(event, cancel)])
    assert {name: counts[name] for name in expected} == expected
    assert counts["on_exception"] == 0


def test_a_cancelled_epoch_counts_and_a_cancelled_fit_ends_in_good_order():
    _, run = counted([raising("before_train", CancelEpoch, at=1)], epochs=3)
    assert run.done.epochs == 3
    _, run = counted([raising("after_epoch", CancelFit, at=2)], epochs=5)
    assert run.done.epochs == 2


def test_a_cancel_in_an_after_event_waits_for_the_other_callbacks():
    notes: list[str] = []
    early, late = raising("after_epoch", CancelFit), raising("after_epoch", CancelEpoch)
    early.order, late.order = 5, 4
    run = learner(callbacks=[early, late, Log("x", notes)])
    run.fit(Phase(3))  # CancelFit reaches further, so CancelEpoch, which would be out of place, gives way
    assert notes.count("after_epoch x") == 1
    assert notes[-1] == "after_fit x"


def test_cancelled_steps_accumulate_gradients():
    class EverySecond(Callback):
        def before_step(self) -> None:
            if self.learner.batch % 2 == 0:
                raise CancelStep

    run = learner(callbacks=[EverySecond()])
    run.fit(Phase(2))
    assert run.optimizer.steps == 4


def test_a_cancel_out_of_place_is_an_error():
    with pytest.raises(RunError, match="CancelStep where no step is going on") as caught:
        counted([raising("after_pred", CancelStep)])
    assert caught.value.code == "R0205"


def test_a_misspelt_event_is_an_error_with_a_suggestion():
    @callback()
    class mine:
        def before_bach(self) -> None: ...

    with pytest.raises(RunError) as caught:
        learner(callbacks=[mine()])
    assert caught.value.code == "R0203"
    assert "`mine` has a method `before_bach`" in caught.value.message
    assert caught.value.help == "did you mean `before_batch`?"


def test_a_users_callback_needs_no_base_class():
    @callback(observes=True)
    class watch:
        """Counts batches."""

        learner = None

        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def after_batch(self) -> None:
            self.seen.append((self.learner.epoch, self.learner.batch))  # type: ignore[attr-defined]

    mine = watch()
    learner(callbacks=[mine]).fit(Phase(2))
    assert len(mine.seen) == 2 * (5 + 3)
    assert mine.seen[-1] == (1, 2)


def test_a_callback_that_fails_is_named():
    class Broken(Callback):
        def after_pred(self) -> None:
            raise ValueError("no such thing")

    notes: list[str] = []
    run = learner(callbacks=[Broken(), Log("x", notes)])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert caught.value.code == "R0204"
    assert caught.value.message == "callback `Broken` failed in after_pred: ValueError: no such thing"
    assert notes[-1] == "on_exception x"


def test_a_loss_that_fails_is_named_with_what_it_got():
    class Cut(Callback):
        def before_loss(self) -> None:
            self.learner.pred = self.learner.pred[:-1]

    run = learner(callbacks=[Cut()])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert caught.value.code == "R0207"
    said = "the loss `cross_entropy` can't compare predictions of 7x3 with targets of 8: "
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (torch.OutOfMemoryError("out of memory"), "R0404"),
        (RunError("R0207", "its own"), "R0207"),
        (CancelStep(), "R0205"),
    ],
)
def test_what_a_loss_raises_that_is_not_about_shapes(raised: Exception, code: str):
    def loss(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise raised

    with pytest.raises(RunError) as caught:
        learner(loss=loss).fit(Phase(1))
    assert caught.value.code == code and "can't compare" not in caught.value.message


def test_callbacks_may_change_what_the_loop_works_on():
    class Zero(Callback):
        def before_batch(self) -> None:
            self.learner.x = self.learner.x * 0

        def after_loss(self) -> None:
            assert float(self.learner.x.abs().sum()) == 0
            self.learner.loss = self.learner.loss * 0

    run = learner(callbacks=[Zero()], optimizer=Factory())
    before = [p.clone() for p in run.model.parameters()]
    run.fit(Phase(1))
    assert all((a == b).all() for a, b in zip(before, run.model.parameters()))


def test_a_phases_callbacks_act_in_that_phase_only():
    notes: list[str] = []
    run = learner()
    run.fit(Phase(1, callbacks=(Log("first", notes),)), Phase(2, callbacks=(Log("second", notes),)))
    assert notes.count("before_epoch first") == 1
    assert notes.count("before_epoch second") == 2
    assert not run.callbacks
