"""Every cancel in every event where it may be raised, beside the callbacks that come with mfc."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mfc.runtime.training import events
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.activation_stats import activation_stats
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.csv_logger import csv_logger
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.mixing import mixup
from mfc.runtime.training.callbacks.monitors import early_stopping, reduce_on_plateau, save_best
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.events import Callback
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import Factory, Triangle, loaders, network

INSIDE = {
    "CancelFit": events.PARTS,
    "CancelEpoch": events.PARTS[1:],
    "CancelTrain": ("train", "batch", "pred", "loss", "backward", "step"),
    "CancelValidate": ("validate", "batch", "pred", "loss"),
    "CancelBatch": ("batch", "pred", "loss", "backward", "step"),
    "CancelBackward": ("backward",),
    "CancelStep": ("step",),
}
"""The parts in whose events each cancel may be raised; one of the part itself only before it."""

PLACES = [
    (cancel, f"{when}_{part}")
    for cancel, parts in INSIDE.items()
    for part in parts
    for when in ("before", "after")
    if when == "before" or part != cancel.removeprefix("Cancel").lower()
]


class Raise(Callback):
    """Raises a cancel the second time that an event comes, or the `at`-th, where it may be raised."""

    def __init__(self, cancel: str, order: int, at: int) -> None:
        self.cancel, self.order, self.at, self.count = cancel, order, at, 0

    def go(self) -> None:
        within = {"CancelTrain": True, "CancelValidate": False}
        if self.learner.training is within.get(self.cancel, self.learner.training):
            self.count += 1
            if self.count == self.at:
                raise getattr(events, self.cancel)


def raising(event: str, cancel: str, order: int) -> Callback:
    at = 1 if event.endswith("fit") else 2
    return type("Raising", (Raise,), {event: Raise.go})(cancel, order, at)


def train(folder: Path, *callbacks: Callback) -> Any:
    return train_stage(
        network(),
        loaders(),
        cross_entropy(),
        Factory(momentum=0.9),
        phases=[Phase(3, Triangle(0.1), name="all")],
        metrics=[accuracy()],
        callbacks=callbacks,
        seed=7,
        stage="fit",
        folder=folder,
        device=torch.device("cpu"),
        stream=io.StringIO(),
    )


@pytest.mark.parametrize("order", [-2000, 0, 2000], ids=["first", "between", "last"])
@pytest.mark.parametrize(("cancel", "event"), PLACES, ids=[f"{c}-{e}" for c, e in PLACES])
def test_a_cancel_leaves_all_callbacks_in_good_order(
    tmp_path: Path, cancel: str, event: str, order: int
) -> None:
    others = [
        mixup(), mixed_precision(), gradient_accumulation(2), gradient_clip(1.0), ema(0.9), save_best(),
        early_stopping(patience=9), reduce_on_plateau(patience=9), csv_logger(), activation_stats("*", every=2),
    ]  # fmt: skip
    learner = train(tmp_path, raising(event, cancel, order), *others)
    early = cancel == "CancelFit"
    assert learner.done.epochs == 3 or early
    assert (tmp_path / "model.safetensors").exists()
    for row in learner.history:
        losses = [row["train_loss"], row["valid_loss"]]
        assert all(loss is None or math.isfinite(loss) for loss in losses)
    assert [row["epoch"] for row in learner.history] == list(range(1, len(learner.history) + 1))


def test_an_epoch_that_is_left_out_has_no_losses(tmp_path: Path) -> None:
    learner = train(tmp_path, raising("before_epoch", "CancelEpoch", 0))
    assert [row["train_loss"] is None for row in learner.history] == [False, True, False]
    assert [row["valid_loss"] is None for row in learner.history] == [False, True, False]


@pytest.mark.parametrize("part", events.WAITING)
def test_all_callbacks_see_the_beginning_of_what_is_cancelled(tmp_path: Path, part: str) -> None:
    seen: list[str] = []

    class Late(Callback):
        order = 3000

    for when in ("before", "after"):
        setattr(Late, f"{when}_{part}", lambda self, when=when: seen.append(when))
    train(tmp_path, raising(f"before_{part}", f"Cancel{part.capitalize()}", 0), Late())
    assert seen == ["before", "after"] * (1 if part == "fit" else 3)
