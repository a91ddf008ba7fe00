"""Keeps gradients from growing too long."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mfc.runtime.component import Range, callback
from mfc.runtime.training.events import Callback


@callback(once=True)
class gradient_clip(Callback):
    """Scales all gradients down together where their norm is above `max_norm` (Pascanu et al., 2013).

    The norm is that of all parameters' gradients as one vector, just before the optimizer's step: of what several
    batches gathered, their mean, and in true size where a loss scale is used.

    Args:
        max_norm: the greatest norm.
    """

    order = 50  # before_step: what is clipped is what steps

    def __init__(self, max_norm: Annotated[float, Range(above=0)]) -> None:
        self.max_norm = max_norm

    def before_step(self) -> None:
        norm = nn.utils.get_total_norm(self.learner.gradients)
        if norm.is_cuda or norm > self.max_norm:  # on a GPU, looking at the norm would wait for it
            nn.utils.clip_grads_with_norm_(self.learner.model.parameters(), self.max_norm, norm)
