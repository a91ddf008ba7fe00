"""How often the state of a training is kept, and how much of it."""

from __future__ import annotations

from typing import Annotated

from mfc.runtime.component import Range, callback
from mfc.runtime.training.events import Callback


@callback(observes=True, once=True)
class checkpoint(Callback):
    """Keeps the whole state after every so many batches too, and the last states instead of the last one.

    Without it, the state is kept after each epoch and, within long ones, every five minutes. A state is the folder
    `checkpoint-N` of the run's folder, after epoch N, or `checkpoint-N-B`, after B batches of the next one; its
    `model.safetensors` are weights that `file(...)` takes. It only looks on: adding it trains nothing anew.

    Args:
        batches: the state is kept after so many batches of an epoch, and again after as many; where gradients are
            gathered, after the step to which the batch belongs.
        keep: how many states stay, the last ones. One takes three times as much space as the weights with Adam.
    """

    in_trials = False

    def __init__(
        self, batches: Annotated[int, Range(1)] | None = None, keep: Annotated[int, Range(1)] = 1
    ) -> None:
        self.batches, self.keep = batches, keep
