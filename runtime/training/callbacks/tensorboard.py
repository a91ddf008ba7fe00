"""Curves for TensorBoard."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

import torch

from mfc.runtime.component import Range, callback
from mfc.runtime.errors import RunError
from mfc.runtime.training.events import Callback
from mfc.runtime.training.history import NO_METRICS

FOLDER = "tensorboard"

FETCH_EVERY = 64
"""Losses that wait on the device until they are fetched together."""


@callback(observes=True, once=True)
class tensorboard(Callback):
    """Writes curves for TensorBoard: the losses and metrics of each epoch, and loss and hyperparameters of batches.

    They are in the folder `tensorboard` of the run's folder; `tensorboard --logdir .mfc` shows those of all runs. The
    step is the number of batches that were trained on, also for values of an epoch. It only looks on: adding it trains
    nothing anew. Needs `pip install "mfc[tensorboard]"`, without which it raises R0242.

    Args:
        every: batches from one value of a batch to the next.
    """

    order = -70  # after_epoch: when the row is complete

    writer: Any = None
    step: int | None = None  # batches that were trained on

    def __init__(self, every: Annotated[int, Range(1)] = 10) -> None:
        self.every = every

    def before_fit(self) -> None:
        learner = self.learner
        if learner.folder is None:
            message = "tensorboard keeps files, and the Learner has no folder"
            raise RunError("R0241", message, help="give it one: `Learner(..., folder=Path(...))`")
        self.create = summary_writer()
        self.waiting: list[tuple[int, float, torch.Tensor]] = []  # step, time, loss

    def before_epoch(self) -> None:
        learner = self.learner
        if self.step is None:  # added to a training that had begun
            self.step = learner.done.epochs * len(learner.dls.train) + learner.done.batches
        if self.writer is None:
            # what an earlier run wrote after the place where this one goes on is not shown
            self.writer = self.create(str(learner.folder / FOLDER), purge_step=self.step + 1)  # type: ignore[operator]

    def after_loss(self) -> None:
        learner = self.learner
        if learner.training and learner.batch % self.every == 0:
            self.waiting.append((self._now() + 1, time.time(), learner.loss.detach().clone()))
            if len(self.waiting) >= FETCH_EVERY:
                self._fetch()

    def before_step(self) -> None:
        if self.learner.batch % self.every == 0:
            for group, hypers in enumerate(self.learner.optimizer.hypers):
                for name, value in hypers.items():
                    place = f"{name}/group_{group}" if len(self.learner.optimizer.hypers) > 1 else name
                    self.writer.add_scalar(f"hyper/{place}", value, self._now() + 1)

    def after_batch(self) -> None:
        if self.learner.training:
            self.step = self._now() + 1

    def after_epoch(self) -> None:
        self._fetch()
        row = self.learner.history[-1] if self.learner.history else {}
        for name, value in row.items():
            shown = name not in ("epoch", "phase", "lr") and value is not None and math.isfinite(value)
            if shown:
                part = "epoch" if name in NO_METRICS else "metric"
                self.writer.add_scalar(f"{part}/{name}", value, self._now())
        self.writer.add_scalar("epoch/epoch", self.learner.done.epochs, self._now())
        self.writer.flush()

    def after_fit(self) -> None:
        if self.writer is not None:
            self._fetch()
            self.writer.close()
            self.writer = None

    on_exception = after_fit

    def state_dict(self) -> dict[str, Any]:
        if self.writer is not None:
            self._fetch()  # what a checkpoint covers is written
            self.writer.flush()
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]

    def _now(self) -> int:
        assert self.step is not None
        return self.step

    def _fetch(self) -> None:
        waiting, self.waiting = self.waiting, []
        if waiting:
            losses = torch.stack([loss for _, _, loss in waiting]).tolist()
            for (step, when, _), loss in zip(waiting, losses):
                self.writer.add_scalar("batch/loss", loss, step, walltime=when)


def summary_writer() -> Any:
    """torch's writer of TensorBoard files. Raises RunError R0242 where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        message = f"tensorboard() needs a package that is not installed: {error}"
        raise RunError("R0242", message, help='pip install "mfc[tensorboard]"') from error
    return SummaryWriter
