"""Trainings of a few parameters with made-up gradients, by our optimizers and by others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mfc.runtime.optim import units
from mfc.runtime.optim.optimizer import Composition, Optimizer

SHAPES = [(), (7,), (300,), (5, 9), (31, 4), (8, 3, 3, 3), (6, 4, 1, 1), (2, 3, 2, 2, 2), (0, 3)]
LAYOUTS = ["contiguous", "channels_last", "transposed", "gaps"]
NET = [
    [((8, 3, 3, 3), "channels_last"), ((8,), "contiguous")],
    [((5, 72), "transposed"), ((5,), "contiguous")],
]


@contextmanager
def pieces_of(elements: int) -> Iterator[None]:
    """Small pieces, so that few elements exercise parameters of many pieces and pieces of many parameters."""
    with mock.patch.object(units, "chunk_size", lambda device: elements):
        yield


def laid_out(values: torch.Tensor, layout: str) -> torch.Tensor:
    """The same values in another memory layout, where their shape allows it."""
    if layout == "channels_last" and values.ndim in (4, 5):
        last = torch.channels_last if values.ndim == 4 else torch.channels_last_3d
        return values.clone(memory_format=last)
    if layout == "transposed" and values.ndim == 2:
        return values.t().clone(memory_format=torch.contiguous_format).t()
    if layout == "gaps" and values.ndim:
        wide = torch.zeros(*values.shape[:-1], 2 * values.shape[-1], dtype=values.dtype)[..., ::2]
        return wide.copy_(values)
    return values.clone()


@dataclass
class Case:
    """One training: parameters in groups, and for each step gradients (some None) and hyperparameters."""

    groups: list[list[torch.Tensor]]
    layouts: list[list[str]]
    gradients: list[list[list[torch.Tensor | None]]]
    hypers: list[list[dict[str, float]]]

    def params(self) -> list[list[nn.Parameter]]:
        """Fresh parameters, each in its layout."""
        return [
            [nn.Parameter(laid_out(tensor, layout)) for tensor, layout in zip(*group)]
            for group in zip(self.groups, self.layouts)
        ]

    def halves(self) -> tuple[Case, Case]:
        return self.split(len(self.gradients) // 2)

    def split(self, at: int) -> tuple[Case, Case]:
        """The first `at` steps, and the others."""
        first = replace(self, gradients=self.gradients[:at], hypers=self.hypers[:at])
        return first, replace(self, gradients=self.gradients[at:], hypers=self.hypers[at:])


def case(
    shapes: list[list[tuple[tuple[int, ...], str]]],
    *,
    seed: int = 0,
    steps: int = 50,
    lr: float = 1e-2,
    missing: float = 0.0,
    mixed: bool = False,
    dtype: torch.dtype = torch.float64,
    scale: float = 1.0,
) -> Case:
    """Rate and momentum differ from step to step and from group to group, as under one_cycle.

    Args:
        shapes: shape and layout of each parameter of each group.
        missing: the share of gradients that are None.
        mixed: gradients in layouts other than their parameter's, as hooks may leave them.
        scale: standard deviation of parameters and gradients.
    """
    draws = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return (scale * torch.randn(shape, generator=draws, dtype=torch.float64)).to(dtype)

    def gradient(shape: tuple[int, ...], layout: str) -> torch.Tensor | None:
        number = int(torch.randint(len(LAYOUTS), (), generator=draws))
        values = laid_out(draw(shape), LAYOUTS[number] if mixed else layout)
        return values if torch.rand((), generator=draws) >= missing else None

    groups = [[draw(shape) for shape, _ in group] for group in shapes]
    gradients, hypers = [], []
    for step in range(steps):
        gradients.append([[gradient(*member) for member in group] for group in shapes])
        position = step / steps
        hypers.append(
            [{"lr": lr * position / (i + 1), "mom": 0.95 - 0.1 * position} for i in range(len(shapes))]
        )
    return Case(groups, [[layout for _, layout in group] for group in shapes], gradients, hypers)


def train(
    optimizer: Any, params: list[list[nn.Parameter]], case: Case, set_hypers: Callable[..., None]
) -> None:
    for gradients, hypers in zip(case.gradients, case.hypers):
        optimizer.zero_grad()
        for group, own in zip(params, gradients):
            for parameter, gradient in zip(group, own):
                parameter.grad = None if gradient is None else gradient.clone()
        set_hypers(optimizer, hypers)
        optimizer.step()


def set_ours(optimizer: Optimizer, hypers: list[dict[str, float]]) -> None:
    for own, values in zip(optimizer.hypers, hypers):
        own.update(values)


def set_torch(optimizer: torch.optim.Optimizer, hypers: list[dict[str, float]]) -> None:
    for group, values in zip(optimizer.param_groups, hypers):
        group["lr"] = values["lr"]
        if "betas" in group:
            group["betas"] = (values["mom"], group["betas"][1])
        elif group["momentum"]:
            group["momentum"] = values["mom"]


def trained(factory: Composition, case: Case, *, lowered: bool) -> list[list[nn.Parameter]]:
    params = case.params()
    optimizer = factory.create([{"params": group} for group in params], lowered=lowered)
    train(optimizer, params, case, set_ours)
    return params


def assert_goes_on(make: Callable[[Any], Optimizer], run: Case, at: int, folder: Path) -> None:
    """Parameters are the same to the bit where an optimizer's state was written to files after `at` steps and read
    again by another one. `make` gives the optimizer of parameters in groups."""
    first, second = run.split(at)
    whole, params = run.params(), run.params()
    train(make(whole), whole, run, set_ours)
    optimizer = make(params)
    train(optimizer, params, first, set_ours)
    state = optimizer.state_dict()
    save_file(state.pop("tensors"), folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(state))
    again = [[nn.Parameter(p.detach().clone()) for p in group] for group in params]
    optimizer = make(again)
    state = json.loads((folder / "state.json").read_text())
    optimizer.load_state_dict({"tensors": load_file(folder / "state.safetensors"), **state})
    train(optimizer, again, second, set_ours)
    for group, others in zip(whole, again):
        assert all(torch.equal(p, q) for p, q in zip(group, others))


def trained_by_torch(make: Callable[..., torch.optim.Optimizer], case: Case) -> list[list[nn.Parameter]]:
    """By torch's plain loop over parameters, which all have the default layout here."""
    params = [[nn.Parameter(tensor.clone()) for tensor in group] for group in case.groups]
    train(make([{"params": group} for group in params]), params, case, set_torch)
    return params


def assert_equal(ours: Any, theirs: Any, atol: float = 1e-6, rtol: float = 1e-6) -> None:
    for group, others in zip(ours, theirs, strict=True):
        for parameter, other in zip(group, others, strict=True):
            values, expected = parameter.detach(), other.detach().to(parameter.dtype)
            torch.testing.assert_close(values, expected, atol=atol, rtol=rtol)
