"""The history of a training: losses, metrics, learning rate and time of every epoch."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from mfc.runtime import disk
from mfc.runtime.errors import RunError
from mfc.runtime.training.callbacks.bad_batch import forget_bad_batch, keep_bad_batch
from mfc.runtime.training.events import Callback
from mfc.runtime.training.history import HISTORY, as_lines
from mfc.runtime.training.metrics import metric_names, metric_value

LOOK_EVERY = 64  # batches between two looks at the losses on a device where a look waits for it


class Losses:
    """The losses of one pass over a loader, kept where they are computed until `look` fetches them."""

    def __init__(self, device: torch.device, batches: int) -> None:
        self.values: list[float] = []
        self.sizes: list[int] = []
        self._on_device = None if device.type == "cpu" else torch.empty(batches, device=device)

    def add(self, loss: torch.Tensor, size: int) -> bool:
        """Notes the mean loss of a batch of `size` items; True when the losses so far are in `values`."""
        self.sizes.append(size)
        if self._on_device is None:
            self.values.append(loss.item())
            return True
        self._on_device[len(self.sizes) - 1].copy_(loss.detach())
        return len(self.sizes) % LOOK_EVERY == 0 and self.look()

    def look(self) -> bool:
        """Fetches what is still on the device."""
        if self._on_device is not None:
            self.values += self._on_device[len(self.values) : len(self.sizes)].tolist()
        return True

    def mean(self) -> float | None:
        """The mean over all items, or None if there were none."""
        self.look()
        items = sum(self.sizes)
        return math.fsum(v * n for v, n in zip(self.values, self.sizes)) / items if items else None


class Recorder(Callback):
    """Adds a row an epoch to `learner.history` and to `history.jsonl` in the Learner's folder, if it has one:
    `epoch` (from 1), `phase` (if named), `train_loss`, `valid_loss`, a value for each metric, `lr` (of the
    last parameter group, at the end of the epoch) and `time` (seconds).

    Ends the training with R0201 when a loss is no finite number, and keeps the batch.
    """

    in_trials = False
    order = 90  # after_epoch runs in reverse: the row is there before other callbacks look for it

    def before_fit(self) -> None:
        self.names = metric_names(self.learner.metrics)
        self.device = self.learner.device
        if self.learner.folder is not None:
            disk.write_file(self.learner.folder / HISTORY, as_lines(self.learner.history).encode())
            forget_bad_batch(self.learner)

    def before_epoch(self) -> None:
        self.start = time.perf_counter()
        self.train = self.losses = Losses(self.device, len(self.learner.dls.train))
        self.valid = Losses(self.device, len(self.learner.dls.valid))
        self.checked = 0

    def before_validate(self) -> None:
        self._check()
        self.losses = self.valid
        for metric in self.learner.metrics:
            metric.reset()

    def after_loss(self) -> None:
        learner = self.learner
        loss = learner.loss
        check_scalar(loss)
        if self.losses.add(loss, len(learner.y)) and learner.training:
            self._check(at_hand=True)
        if not learner.training:
            for metric in learner.metrics:
                metric.update(learner.pred, learner.y)

    def state_dict(self) -> dict[str, Any]:
        """The losses of the epoch that is going on, and how long it took up to now."""
        if not self.learner.done.batches:
            return {}
        self._check()  # a state that led to no number is not worth keeping
        losses = torch.tensor(self.train.values, dtype=torch.float64)
        sizes = torch.tensor(self.train.sizes)
        return {"losses": losses, "sizes": sizes, "seconds": time.perf_counter() - self.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self.before_epoch()
            self.train.values, self.train.sizes = state["losses"].tolist(), state["sizes"].tolist()
            self.checked = len(self.train.values)
            self.start -= state["seconds"]

    def after_epoch(self) -> None:
        learner, lr = self.learner, self.learner.optimizer.hypers[-1].get("lr")
        self._check()
        row: dict[str, Any] = {"epoch": learner.done.epochs}
        if learner.phase.name:
            row["phase"] = learner.phase.name
        row["train_loss"] = self.train.mean()
        row["valid_loss"] = self.valid.mean()
        if row["valid_loss"] is not None:
            if math.isnan(row["valid_loss"]):
                bad = next(i for i, value in enumerate(self.valid.values) if not math.isfinite(value))
                where = f"on the validation data after epoch {learner.done.epochs}, batch {bad + 1}"
                raise self._not_finite(math.nan, where, "valid", bad)
            row |= {name: metric_value(name, metric) for name, metric in zip(self.names, learner.metrics)}
        row |= {"lr": lr, "time": round(time.perf_counter() - self.start, 3)}
        learner.history.append(row)
        if learner.folder is not None:
            path = learner.folder / HISTORY
            with disk.writes(path), path.open("a") as file:
                file.write(as_lines([row]))

    def _check(self, at_hand: bool = False) -> None:
        """Raises R0201 at the first training loss that is no finite number. The last one may still be at hand."""
        self.train.look()
        for batch in range(self.checked, len(self.train.values)):
            if not math.isfinite(self.train.values[batch]):
                where = f"in epoch {self.learner.epoch + 1}, batch {batch + 1}"
                now = at_hand and batch == len(self.train.values) - 1
                raise self._not_finite(self.train.values[batch], where, "train", batch, now)
        self.checked = len(self.train.values)

    def _not_finite(self, value: float, where: str, part: str, batch: int, at_hand: bool = False) -> RunError:
        error = not_finite(value, where)
        try:
            error.notes += keep_bad_batch(self.learner, part, batch, value, at_hand)
        except Exception as failure:  # the first error is the one to tell
            error.notes.append(f"the batch could not be kept: {failure}")
        return error


def check_scalar(loss: torch.Tensor) -> None:
    """Raises R0207 for a loss that is not one number."""
    if loss.ndim:
        message = f"the loss is a tensor of shape {'x'.join(map(str, loss.shape))}, not one number"
        raise RunError("R0207", message, help="take its mean")


def not_finite(value: float, where: str) -> RunError:
    """R0201 for a loss that is NaN or infinite."""
    name = "NaN" if math.isnan(value) else "infinite"
    help = "lower the learning rate, or clip the gradients with `gradient_clip(max_norm = 1)`"
    return RunError("R0201", f"the loss is {name} {where}", help=help)
