"""What a person watching sees: a bar in a terminal, a line an epoch anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.events import Callback

REDRAW = 0.1  # seconds between two drawings of the bar


class Progress(Callback):
    """Writes a line after every epoch to the Learner's stream; where that is a terminal, with a bar below."""

    in_trials = False
    order = -50  # after_epoch: when the row is complete, but before the checkpoint takes its time

    bar: Any = None

    def before_fit(self) -> None:
        stream = self.learner.stream if self.learner.stream is not None else sys.stderr
        self.total = self.learner.done.epochs - self.learner.done.phase_epochs + self.learner.phase.epochs
        self.recorder = next((c for c in self.learner.callbacks if isinstance(c, Recorder)), None)
        if stream.isatty():
            self.bar, self.task = _bar(stream)
            self.bar.start()

    def before_epoch(self) -> None:
        self.ended, self.drawn = self.learner.done.batches, time.perf_counter()
        if self.bar is not None:
            batches = len(self.learner.dls.train) + len(self.learner.dls.valid)
            about = f"{self._label()}epoch {self.learner.epoch + 1}/{self.total}"
            self.bar.reset(self.task, total=batches, description=about, loss="")

    def after_batch(self) -> None:
        self.ended += 1
        if self.bar is not None and time.perf_counter() - self.drawn > REDRAW:
            self._draw()

    def _draw(self) -> None:
        losses = self.recorder.train.values if self.recorder is not None else []
        recent = losses[-20:]
        loss = f"loss {sum(recent) / len(recent):.4f}" if recent else ""
        self.bar.update(self.task, completed=self.ended, loss=loss, refresh=True)
        self.drawn = time.perf_counter()

    def after_epoch(self) -> None:
        if self.learner.history:
            row = describe(self.learner.history[-1])
            line = f"{self._label()}epoch {self.learner.done.epochs}/{self.total}  {row}"
            if self.bar is not None:
                self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
            else:
                self.learner.say(line)

    def after_fit(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    on_exception = after_fit

    def _label(self) -> str:
        return f"{self.learner.phase.name or self.learner.stage} "


def describe(row: dict[str, Any]) -> str:
    """A row of the history as text: `train_loss 0.5121  valid_loss 0.4420  accuracy 0.8610  12.3 s`."""
    values = {k: v for k, v in row.items() if k not in ("epoch", "phase", "lr", "time") and v is not None}
    shown = [
        f"{name} {value:.4f}" if abs(value) < 1e5 else f"{name} {value:.3e}" for name, value in values.items()
    ]
    return "  ".join([*shown, f"{row['time']:.1f} s"])


def _bar(stream: TextIO) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    about, loss = TextColumn("{task.description}"), TextColumn("{task.fields[loss]}")
    columns = (about, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), loss)
    # No thread that redraws by itself: it would take its time from the training.
    bars = Bars(*columns, console=Console(file=stream), transient=True, auto_refresh=False)
    return bars, bars.add_task("", loss="")
