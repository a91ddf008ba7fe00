"""Forgets what a model carries from batch to batch where batches do not follow on each other."""

from __future__ import annotations

from typing import Any

from mfc.runtime.modes import carried_state, carry_on, reset_state
from mfc.runtime.training.events import Callback


class ResetState(Callback):
    """Before each pass over the data, recurrent layers start from nothing: the first batch of a pass does not
    continue the last one of the pass before. In a checkpoint within a pass it keeps what they carry on."""

    def before_train(self) -> None:
        reset_state(self.learner.model)

    def before_validate(self) -> None:
        reset_state(self.learner.model)

    def after_fit(self) -> None:
        reset_state(self.learner.model)

    def state_dict(self) -> dict[str, Any]:
        return carried_state(self.learner.model) if self.learner.done.batches else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        carry_on(self.learner.model, state, self.learner.device)
