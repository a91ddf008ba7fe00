"""Activation and temporal activation regularisation of recurrent models."""

from __future__ import annotations

from typing import Annotated, Any

import torch

from mfc.runtime.component import Range, callback
from mfc.runtime.errors import RunError
from mfc.runtime.training.events import Callback


@callback(once=True, inputs=("text",))
class rnn_regularizer(Callback):
    """Keeps a recurrent encoder's outputs small, and near to those of the token before (Merity et al., 2017).

    Adds to the training loss `alpha` times the mean square of the outputs after dropout, and `beta` times the
    mean square of the difference between one token's output and the next one's before dropout. The history
    shows the loss without them. Raises R0212 for a model without a recurrent encoder.

    Args:
        alpha: weight of activation regularisation.
        beta: weight of temporal activation regularisation.
    """

    def __init__(
        self, alpha: Annotated[float, Range(0)] = 2.0, beta: Annotated[float, Range(0)] = 1.0
    ) -> None:
        self.alpha, self.beta = alpha, beta
        self.models: list[Any] = []

    def before_fit(self) -> None:
        self.models = [m for m in self.learner.model.modules() if hasattr(m, "recorded")]
        if not self.models:
            name = type(self.learner.model).__name__
            help = "it is for models such as language_model and text_classifier"
            raise RunError(
                "R0212", f"rnn_regularizer has nothing to regularise in the model {name}", help=help
            )
        self._record([])

    def after_loss(self) -> None:
        if self.learner.training:
            for model in self.models:
                if model.recorded:
                    self.learner.loss = self.learner.loss + self.penalty(model.recorded)
            self._record([])

    def penalty(self, pieces: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """What is added for outputs `b t features`, before and after dropout, of each piece of the texts."""
        after = [dropped.float() for _, dropped in pieces]
        steps = [raw[:, 1:].float() - raw[:, :-1].float() for raw, _ in pieces]
        return self.alpha * mean_square(after) + self.beta * mean_square(steps)

    def after_fit(self) -> None:
        self._record(None)

    on_exception = after_fit

    def _record(self, recorded: list[Any] | None) -> None:
        for model in self.models:
            model.recorded = recorded


def mean_square(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The mean over all numbers in the tensors, 0 if there are none."""
    return sum((t.square().sum() for t in tensors), torch.zeros(())) / max(sum(t.numel() for t in tensors), 1)
