"""Looks at whether normalised images are normalised."""

from __future__ import annotations

import torch

from mfc.dsl import ir
from mfc.runtime.training.events import Callback

FOREIGN = "W0708"
"""The code of the warning about statistics of other data."""

MEAN, LEAST, MOST = 1.0, 1 / 3, 3.0
"""How far from 0 the mean of a channel may be, and its deviation from 1: well outside of what augmentation does."""


class StatisticsCheck(Callback):
    """Says so where the first training batch of normalised images has channels far from mean 0 and deviation 1: the
    statistics are not those of these images. Costs one look at one batch."""

    order = -1000  # before_batch: before anything is mixed or cast

    done = False

    def before_batch(self) -> None:
        x = self.learner.x
        if self.done or not self.learner.training or not isinstance(x, torch.Tensor) or x.ndim != 4:
            return
        self.done = True
        deviations, means = (values.tolist() for values in torch.std_mean(x.float(), (0, 2, 3)))
        if all(abs(mean) <= MEAN for mean in means) and all(LEAST <= d <= MOST for d in deviations):
            return
        shown = [", ".join(f"{value:.2f}" for value in values) for values in (means, deviations)]
        self.learner.say(
            f"{self.learner.stage}: warning[{FOREIGN}]: after `normalize`, the channels of a batch have means "
            f"{shown[0]} and deviations {shown[1]}, not 0 and 1: are its statistics those of these images?"
        )


def normalised_anew(stage: ir.Stage) -> bool:
    """Whether a training's images are normalised for a model that starts fresh: for one that was trained before, the
    statistics of that training are the right ones, whatever the images are."""
    calls = [node for node in ir.walk(stage.recipe) if isinstance(node, ir.Call)]
    # as the spec has them: in the recipe a stage that only initialises this model may stand for all
    trained = any(isinstance(node, ir.File | ir.Trained) for node in ir.walk(stage.placing["weights"]))
    trained |= any(call.args.get("pretrained") for call in calls)
    return not trained and any(call.kind == "batch_transform" and call.name == "normalize" for call in calls)
