"""Callbacks that follow a column of the history: keep the best weights, stop early, lower the learning rate.

After fastai's `callback.tracker`. Each follows its column within one phase and begins anew with the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from mfc.runtime.component import Range, callback
from mfc.runtime.errors import RunError
from mfc.runtime.training import checkpoint
from mfc.runtime.training.events import Callback, CancelFit
from mfc.runtime.training.metrics import metric_names

Mode = Literal["min", "max"]
LOSSES = ("train_loss", "valid_loss")


class Monitor(Callback):
    """Follows the column `monitor` of the history through a phase.

    A value is an improvement if it is better than the best one before by more than `min_delta`. A value that is no
    finite number, or was not measured, is none.

    Args:
        mode: whether lower (`min`) or higher (`max`) is better; None for what the metric says.
    """

    in_trials = False
    order = -60  # after_epoch: the row is there and shown, and the checkpoint comes later

    def __init__(self, monitor: str, mode: Mode | None, min_delta: float) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch = 0  # from 1; 0 before the first improvement

    def before_fit(self) -> None:
        name, learner = type(self).__name__, self.learner
        columns = [*LOSSES, *metric_names(learner.metrics)]
        if self.monitor not in columns:
            message = f"{name} follows `{self.monitor}`, which the history does not have"
            raise RunError("R0240", message, help=f"its columns are {', '.join(columns)}")
        if self.monitor != "train_loss" and not len(learner.dls.valid):
            message = f"{name} follows `{self.monitor}`, and there is no validation data"
            raise RunError("R0240", message, help='follow `monitor = "train_loss"`')
        mode = self.mode or mode_of(self.monitor, learner.metrics)
        if mode is None:
            message = f"{name} follows `{self.monitor}`, of which nothing says whether higher is better"
            raise RunError("R0240", message, help='give `mode = "min"` or `mode = "max"`')
        self.sign = 1 if mode == "max" else -1
        self._forget()

    def improved(self) -> bool:
        """Whether the epoch that just ended was better than all before in this phase. Asked for once an epoch."""
        row = self.learner.history[-1]
        value = row.get(self.monitor)
        if value is None or not math.isfinite(value):
            return False
        if self.best is not None and self.sign * (value - self.best) <= self.min_delta:
            return False
        self.best, self.best_epoch = value, row["epoch"]
        return True

    def said(self) -> str:
        """What is best up to now, for people."""
        if self.best is None:
            return f"{self.monitor} was never a number"
        return f"{self.monitor} was best after epoch {self.best_epoch}: {self.best:.4g}"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]


def mode_of(column: str, metrics: Sequence[Any]) -> Mode | None:
    """Whether lower or higher values of a column are better, as far as it is declared."""
    if column in LOSSES:
        return "min"
    metric = dict(zip(metric_names(metrics), metrics)).get(column)
    facts = getattr(type(metric), "__mfc_facts__", {})
    modes: dict[str, Mode] = {"higher": "max", "lower": "min"}
    return modes.get(facts.get("better", ""))


@callback(monitors=True)
class early_stopping(Monitor):
    """Ends the phase when `monitor` has not improved for `patience` epochs in a row.

    Args:
        monitor: `train_loss`, `valid_loss`, or a metric by its name in the history.
        patience: so many epochs without improvement end the phase.
        min_delta: an improvement is more than this.
        mode: whether `min` or `max` is better; by default as the metric says.
    """

    def __init__(
        self,
        monitor: str = "valid_loss",
        patience: Annotated[int, Range(1)] = 1,
        min_delta: Annotated[float, Range(0)] = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience

    def _forget(self) -> None:
        super()._forget()
        self.waited = 0

    def after_epoch(self) -> None:
        self.waited = 0 if self.improved() else self.waited + 1
        if self.waited >= self.patience and not self.learner.done.phase_over:
            self.learner.say(f"stopped early after epoch {self.learner.done.epochs}: {self.said()}")
            raise CancelFit

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]


@callback(monitors=True, once=True)
class reduce_on_plateau(Monitor):
    """Multiplies the learning rates by `factor` each time that `monitor` has not improved for `patience` epochs.

    With a schedule of the learning rate, it multiplies what the schedule says, from then to the end of the phase;
    the next phase begins with the full rate.

    Args:
        monitor: `train_loss`, `valid_loss`, or a metric by its name in the history.
        patience: so many epochs in a row without improvement lower the rate; then it waits for as many again.
        factor: what the rate is multiplied by.
        min_lr: lower than this it does not make a rate.
        min_delta: an improvement is more than this.
        mode: whether `min` or `max` is better; by default as the metric says.
    """

    order = 10  # before_batch: when the schedule has set the rate

    def __init__(
        self,
        monitor: str = "valid_loss",
        patience: Annotated[int, Range(1)] = 1,
        factor: Annotated[float, Range(above=0, below=1)] = 0.1,
        min_lr: Annotated[float, Range(0)] = 0.0,
        min_delta: Annotated[float, Range(0)] = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.factor, self.min_lr = patience, factor, min_lr

    def _forget(self) -> None:
        super()._forget()
        self.waited, self.scale = 0, 1.0
        self.rates: list[float] = []  # of each group, at the start of the phase

    def before_train(self) -> None:
        hypers, schedule = self.learner.optimizer.hypers, self.learner.schedule
        driven = schedule.values if schedule is not None else lambda *place: {}
        self.driven = ["lr" in driven(0.0, group, len(hypers)) for group in range(len(hypers))]
        self.rates = self.rates or [own["lr"] for own in hypers]

    def before_batch(self) -> None:
        if self.learner.training:
            for own, driven, rate in zip(self.learner.optimizer.hypers, self.driven, self.rates):
                full = own["lr"] if driven else rate
                own["lr"] = max(full * self.scale, min(full, self.min_lr))

    def after_epoch(self) -> None:
        self.waited = 0 if self.improved() else self.waited + 1
        if self.waited >= self.patience and not self.learner.done.phase_over:
            self.waited = 0
            self.scale *= self.factor
            self.learner.say(f"learning rate times {self.scale:.3g} from now on: {self.said()}")

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"waited": self.waited, "scale": self.scale, "rates": self.rates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited, self.scale, self.rates = state["waited"], state["scale"], list(state["rates"])


@callback(monitors=True, once=True)
class save_best(Monitor):
    """Keeps the weights of the epoch that was best by `monitor`, and puts them back at the end of the phase.

    They are in the file `best-N.safetensors` of the run's folder after epoch N of the training. The trained model is
    the best one; a later phase begins with it. Weights that were validated count, such as averaged ones.

    Args:
        monitor: `train_loss`, `valid_loss`, or a metric by its name in the history.
        min_delta: an epoch is only better if it is by more than this.
        mode: whether `min` or `max` is better; by default as the metric says.
    """

    def __init__(
        self,
        monitor: str = "valid_loss",
        min_delta: Annotated[float, Range(0)] = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)

    def before_fit(self) -> None:
        super().before_fit()
        if self.learner.folder is None:
            message = "save_best keeps a file, and the Learner has no folder"
            raise RunError("R0241", message, help="give it one: `Learner(..., folder=Path(...))`")

    def before_epoch(self) -> None:
        self.validated: dict[str, torch.Tensor] | None = None
        if self.learner.done.phase_epochs:
            self._remove_others()

    def before_batch(self) -> None:
        if not self.learner.training and self.validated is None:
            self.validated = self._weights()  # what validates now: another callback may take its weights back

    def after_epoch(self) -> None:
        if self.improved():
            weights = self.validated if self.validated is not None else self._weights()
            checkpoint.write_tensors(self._file(self.best_epoch), weights)
        self.validated = None

    def after_fit(self) -> None:
        if self.best_epoch:
            path = self._file(self.best_epoch)
            self.learner.model.load_state_dict(checkpoint.read_weights(path))
            self.learner.standing = self.best_epoch
            self._remove_others()

    def _weights(self) -> dict[str, torch.Tensor]:
        """The model's state on the CPU; tensors that are one stay one."""
        copies: dict[tuple[Any, ...], torch.Tensor] = {}
        state = self.learner.model.state_dict()
        for tensor in state.values():
            copies.setdefault(_place(tensor), tensor.detach().to("cpu", copy=True))
        return {name: copies[_place(tensor)] for name, tensor in state.items()}

    def _remove_others(self) -> None:
        """Removes the files of epochs that no checkpoint needs any more: the last one knows of the best."""
        if self.best_epoch:
            for path in self._file(0).parent.glob("best-*.safetensors"):
                if path != self._file(self.best_epoch):
                    path.unlink(missing_ok=True)

    def _file(self, epoch: int) -> Path:
        assert self.learner.folder is not None
        return self.learner.folder / f"best-{epoch}.safetensors"


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
