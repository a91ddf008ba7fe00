"""Models in evaluation, and what their layers carry from batch to batch, as recurrent ones do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode, without gradients and without a state from before; it is left as it was."""
    training = model.training
    model.eval()
    reset_state(model)
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        reset_state(model)


def reset_state(model: nn.Module) -> None:
    """Lets layers that carry a state from batch to batch, as recurrent ones do, forget it: those with a `reset()`."""
    for _, module in _carrying(model):
        module.reset()


def carried_state(model: nn.Module) -> dict[str, Any]:
    """What such layers carry, by their paths: their attribute `state`, of tensors, lists and tuples."""
    states = ((path, getattr(module, "state", None)) for path, module in _carrying(model))
    return {path: state for path, state in states if state is not None}


def carry_on(model: nn.Module, states: Mapping[str, Any], device: torch.device) -> None:
    """Lets them carry what `carried_state` gave."""
    for path, module in _carrying(model):
        if path in states:
            module.state = _moved(states[path], device)


def _carrying(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((p, m) for p, m in model.named_modules() if callable(getattr(m, "reset", None)))


def _moved(state: Any, device: torch.device) -> Any:
    if isinstance(state, list | tuple):
        return type(state)(_moved(part, device) for part in state)
    return state.to(device) if isinstance(state, torch.Tensor) else state
