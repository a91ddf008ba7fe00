"""Sweeps of learning rates from where a stage of training would begin."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from mfc.dsl import ir
from mfc.stages import Folders, Means, phase_before, training

if TYPE_CHECKING:
    from mfc.runtime.training.lr_find import LRFound


def find_rate(
    stage: ir.Stage, inputs: Folders, means: Means, start: float, end: float, steps: int
) -> LRFound:
    """Sweeps learning rates from where a training or phase would begin. Nothing is kept."""
    from mfc.runtime.training.learner import Learner
    from mfc.runtime.training.lr_find import lr_find
    from mfc.runtime.training.train import continue_after

    parts = training(stage, inputs, means)
    (phase,) = parts.pop("phases")
    learner = Learner(**parts, stream=means.stream)
    if before := phase_before(stage):
        continue_after(learner, inputs[before])
    with closing(learner.dls):
        return lr_find(learner, start, end, steps, phase, means.progress)
