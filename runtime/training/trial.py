"""Trying a training out: a model and all randomness are afterwards as they were before."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.modes import carried_state, carry_on, reset_state
from mfc.runtime.training.events import Callback


@contextmanager
def unchanged(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Lets a model be trained, and puts back its weights, buffers, gradients, modes, what is frozen, what its layers
    carry on, and the state of the generators of Python, NumPy and torch (on the CPU and on `device`)."""
    weights = [(p, p.data, p.data.clone(), p.grad, p.requires_grad) for p in model.parameters()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    modes = [(module, module.training) for module in model.modules()]
    carried = carried_state(model)
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            for parameter, *_ in weights:
                parameter.grad = None
            yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)
        with torch.no_grad():
            # into the memory that they had, as an optimizer may hold on to that
            for parameter, data, before, gradient, trains in weights:
                parameter.data = data.copy_(before)
                parameter.grad = gradient
                parameter.requires_grad_(trains)
            for module, name, buffer, before in buffers:
                module._buffers[name] = buffer.copy_(before)
        for module, training in modes:
            module.__dict__["training"] = training
        reset_state(model)
        carry_on(model, carried, device)


def acting(callbacks: Iterable[Any]) -> list[Any]:
    """Those callbacks that change a training, without those that record, show or keep it."""
    return [callback for callback in callbacks if _acts(callback)]


def _acts(callback: Any) -> bool:
    facts = getattr(type(callback), "__mfc_facts__", {})
    return getattr(callback, "in_trials", Callback.in_trials) and not facts.get("observes", False)


def copies(callbacks: Sequence[Any], shared: Iterable[Any]) -> list[Any]:
    """Callbacks with a state of their own, that refer to the same `shared` objects and their modules and tensors.

    Raises:
        RunError: R0232 where one holds what can't be copied.
    """
    memo: dict[int, Any] = {}
    for thing in shared:
        memo[id(thing)] = thing
        if isinstance(thing, nn.Module):
            parts = (*thing.modules(), *thing.parameters(), *thing.buffers())
            memo |= {id(part): part for part in parts}
    try:
        return deepcopy(list(callbacks), memo)
    except (TypeError, ValueError, RuntimeError) as error:
        names = ", ".join(f"`{type(callback).__name__}`" for callback in callbacks)
        help = "keep what can't be copied, such as an open file, only from `before_fit` to `after_fit`"
        message = f"one of the callbacks {names} can't be copied for a trial: {error}"
        raise RunError("R0232", message, help=help) from error
