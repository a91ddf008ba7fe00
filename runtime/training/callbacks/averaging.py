"""Averages of the weights over the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from torch import nn

from mfc.runtime.component import Range, callback
from mfc.runtime.kernels import lerp_all
from mfc.runtime.training.events import Callback

Place = tuple[dict[str, Any], str]


@callback(once=True)
class ema(Callback):
    """Averages the weights over the steps, the last ones counting most; the trained model is the average.

    After each step `average = decay * average + (1 - decay) * weights` (Polyak and Juditsky, 1992; the exponential
    kind is TensorFlow's). The statistics of batch norm and other buffers of fractions are averaged too, as in timm;
    counts are not. The model has the averages from validation to the end of the epoch, so that metrics and what is
    saved by them are theirs, and when the training, or a phase of it, is over. Each phase begins a new average.

    Args:
        decay: what the average keeps of itself in a step; 0.999 looks back over about 1,000 steps.
        warmup: decay by `(1 + steps) / (10 + steps)` where that is less, so that the first weights are soon forgotten.
    """

    order = 60  # after_fit: before those that put other weights in the place of the averages

    def __init__(self, decay: Annotated[float, Range(above=0, below=1)] = 0.999, warmup: bool = True) -> None:
        self.decay, self.warmup = decay, warmup

    def before_fit(self) -> None:
        self.updates = 0
        self._begin()

    def before_epoch(self) -> None:
        if self.inside:
            self._exchange()

    @torch.no_grad()
    def after_step(self) -> None:
        if self.learner.cancelled:
            return
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self.updates += 1
        lerp_all(self.others, self._tensors(), 1 - decay)

    def before_validate(self) -> None:
        self._exchange()

    def after_fit(self) -> None:
        if not self.inside:
            self._exchange()

    def state_dict(self) -> dict[str, Any]:
        """The averages; the weights that training goes on with, where the model has the averages."""
        return {"updates": self.updates, "inside": self.inside, "others": dict(zip(self.names, self.others))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begin()
        self.updates, self.inside = state["updates"], state["inside"]
        for name, other in zip(self.names, self.others):
            other.copy_(state["others"][name])

    @torch.no_grad()
    def _begin(self) -> None:
        found = dict(_places(self.learner.model))
        self.names, self.places = list(found), list(found.values())
        self.others = [
            tensor.clone() for tensor in self._tensors()
        ]  # the averages, or what trains if they are inside
        self.inside = False

    def _tensors(self) -> list[torch.Tensor]:
        return [tensors[name] for tensors, name in self.places]

    @torch.no_grad()
    def _exchange(self) -> None:
        """Puts the averages into the model and keeps its weights, or the other way round."""
        self.inside = not self.inside
        for tensor, other in zip(self._tensors(), self.others):
            kept = tensor.clone()
            tensor.copy_(other)
            other.copy_(kept)


def _places(model: nn.Module) -> Iterator[tuple[str, Place]]:
    """Where parameters and buffers of fractions stand that a state dict has, each once, by their names in it. Other
    tensors may be put there, so places are kept."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        kept = {k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set}
        for own, chosen in ((module._parameters, module._parameters), (module._buffers, kept)):
            for name, tensor in chosen.items():
                if tensor is not None and tensor.is_floating_point() and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield f"{path}.{name}".lstrip("."), (own, name)
