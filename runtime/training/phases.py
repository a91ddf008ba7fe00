"""Parts of a training, and how far it is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Phase:
    """A part of a training with a schedule of its own; `data` and `loss`, if given, replace the Learner's."""

    epochs: int
    schedule: Any = None
    freeze_to: int = 0
    name: str = ""
    callbacks: tuple[Any, ...] = ()
    data: Any = None
    loss: Any = None


@dataclass
class Done:
    """How much is finished: where a resumed run goes on."""

    phase: int = 0  # index of the phase that is going on
    phase_epochs: int = 0  # epochs finished in it
    epochs: int = 0  # epochs finished in all
    batches: int = 0  # training batches finished in the epoch that is going on
    phase_over: bool = False  # no further epochs in this phase: all done, or a callback ended it
