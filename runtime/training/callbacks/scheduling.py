"""Sets the hyperparameters before every batch as the phase's schedule says."""

from __future__ import annotations

from mfc.runtime.training.events import Callback


class Scheduling(Callback):
    """Drives `optimizer.hypers` with the Learner's schedule; batch i of a phase of N is at position i / N."""

    in_trials = False

    def before_train(self) -> None:
        learner = self.learner
        self.batches = len(learner.dls.train)
        self.values = learner.schedule.values if learner.schedule is not None else None

    def before_batch(self) -> None:
        learner = self.learner
        if self.values is None or not learner.training:
            return
        position = (learner.done.phase_epochs + learner.batch / self.batches) / learner.phase.epochs
        count = len(learner.optimizer.hypers)
        for group, hypers in enumerate(learner.optimizer.hypers):
            hypers.update(self.values(position, group, count))
