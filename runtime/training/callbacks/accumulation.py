"""Steps for the gradients of several batches together."""

from __future__ import annotations

from typing import Annotated

import torch

from mfc.runtime.component import Range, callback
from mfc.runtime.training.events import Callback, CancelStep


@callback(once=True)
class gradient_accumulation(Callback):
    """Makes one step of several batches: its gradient is that of their mean loss, as of one large batch.

    A batch counts by its number of targets, so smaller ones count less. The last group of an epoch steps as well, with
    what is left for it. fastai's `GradientAccumulation(n_acc)` counts items: it is `batches = n_acc / batch_size`.

    Clipping, loss scale, optimizer and averages act once a group, on the whole. The schedule goes on batch by batch; a
    step has the values of its last one. Not the same as with a large batch are what a batch itself is measured by, such
    as batch norm, and a loss that weighs its targets, whose mean over a batch is not one over items.

    A callback that ends the epoch or the fit within a group ends the group: its gradients are dropped.

    Args:
        batches: how many batches make a step.
    """

    order = -40  # before_step: no others see a step before its group is complete

    def __init__(self, batches: Annotated[int, Range(2)] = 4) -> None:
        self.batches = batches

    def before_train(self) -> None:
        self.ending = False
        self.gathered = self.targets = 0
        if self.learner.gathering:
            self.learner.optimizer.zero_grad()

    def before_backward(self) -> None:
        learner = self.learner
        self.size = learner.y.numel() if isinstance(learner.y, torch.Tensor) else len(learner.items)
        if not self.gathered:  # the weights that they have where all batches are alike
            self.expected = self.size * min(self.batches, max(len(learner.dls.train) - learner.batch, 1))
        learner.loss_weight *= self.size / self.expected

    def after_backward(self) -> None:
        if not self.learner.cancelled:
            self.gathered += 1
            self.targets += self.size

    def before_step(self) -> None:
        learner = self.learner
        last = self.ending or learner.batch + 1 >= len(learner.dls.train)
        if self.gathered < self.batches and not last:
            raise CancelStep
        if self.targets not in (0, self.expected):
            learner.scale_gradients(self.expected / self.targets)
        self.gathered = self.targets = 0

    def after_train(self) -> None:
        if (
            self.gathered
        ):  # the loader had fewer batches than it said, or a callback ended the epoch's training
            self.ending = True
            self.learner.step()
