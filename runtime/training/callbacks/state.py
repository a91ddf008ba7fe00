"""Forgets what a model carries from batch to batch where batches do not follow on each other."""

from __future__ import annotations

from mfc.runtime.models import reset_state
from mfc.runtime.training.events import Callback


class ResetState(Callback):
    """Before each pass over the data, recurrent layers start from nothing: the first batch of a pass does not
    continue the last one of the pass before."""

    def before_train(self) -> None:
        reset_state(self.learner.model)

    def before_validate(self) -> None:
        reset_state(self.learner.model)

    def after_fit(self) -> None:
        reset_state(self.learner.model)
