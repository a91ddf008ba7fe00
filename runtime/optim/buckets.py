"""Where an optimizer's state lies: flat buffers over the parameters of a group that are updated alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import nn

from mfc.runtime.optim.parts import Lying

Strides = tuple[int, ...]


class Bucket:
    """Parameters of one group with the same device, type and hyperparameters, and their state.

    Parameters and gradients stay where they are: autograd hands over the gradients that it computed, which
    costs no pass over memory, and nothing else notices that the parameters are trained. Each name of state is
    one flat tensor over all parameters, a parameter's part of it in the order in which the parameter lies in
    memory (so a channels-last weight has channels-last state). The largest come first: odd sizes then stand
    at the end, where they leave no other parameter's state misaligned.

    Attributes:
        group: index of the group.
        apart: whether they are of biases and norm layers, for which other hyperparameters hold than for the group.
        rest: whether they are among the rest, which an optimizer of matrices steps in another way.
        indices: place of each parameter in its group.
        dense: whether each parameter fills a stretch of memory of its own without gaps, in any order.
        steps: number of updates of each parameter, where they are counted.
        state: flat tensors by name; empty until the first update.
    """

    def __init__(
        self, group: int, apart: bool, rest: bool, members: Iterable[tuple[int, nn.Parameter]]
    ) -> None:
        ordered = sorted(members, key=lambda member: -member[1].numel())
        self.group = group
        self.apart = apart
        self.rest = rest
        self.indices = [index for index, _ in ordered]
        self.params = [parameter for _, parameter in ordered]
        self.device, self.dtype = self.params[0].device, self.params[0].dtype
        self.strides = [layout(parameter) for parameter in self.params]
        self.dense = all(is_dense(parameter) for parameter in self.params)
        self.offsets = [0]
        for parameter in self.params:
            self.offsets.append(self.offsets[-1] + parameter.numel())
        self.steps = [0] * len(self.params)
        self.state: dict[str, torch.Tensor] = {}
        self.views: dict[str, list[torch.Tensor]] = {}
        self._pointers = [parameter.data_ptr() for parameter in self.params]

    def allocate(self, names: Iterable[str]) -> None:
        """State of zeros under each name that has none."""
        for name in names:
            if name not in self.state:
                flat = torch.zeros(self.offsets[-1], device=self.device, dtype=self.dtype)
                self.state[name] = flat
                self.views[name] = [
                    flat.as_strided(parameter.shape, strides, offset)
                    for parameter, strides, offset in zip(self.params, self.strides, self.offsets)
                ]

    def moved(self) -> bool:
        """Whether a parameter's storage is another than at the last call (`model.to`, `p.data = ...`)."""
        pointers = [parameter.data_ptr() for parameter in self.params]
        before, self._pointers = self._pointers, pointers
        return pointers != before

    def fits(self) -> bool:
        """Whether the state is still laid out for the parameters' device, type and memory order."""
        return all(
            p.device == self.device and p.dtype == self.dtype and layout(p) == strides
            for p, strides in zip(self.params, self.strides)
        )

    def gradients(self) -> tuple[list[int], list[torch.Tensor]]:
        """Indices of the parameters that have a gradient and aren't frozen, and those gradients, each in its
        parameter's memory order."""
        live, found = [], []
        for index, parameter in enumerate(self.params):
            gradient = parameter.grad
            if gradient is None or not parameter.requires_grad:
                continue
            strides = self.strides[index]
            if gradient.stride() != strides and order(gradient) != order_of(gradient.shape, strides):
                gradient = torch.empty_strided(
                    gradient.shape, strides, device=gradient.device, dtype=gradient.dtype
                ).copy_(gradient)
            live.append(index)
            found.append(gradient)
        return live, found

    def count(self, live: Iterable[int]) -> None:
        """One more update of the parameters at these indices."""
        for index in live:
            self.steps[index] += 1


def order_of(shape: Sequence[int], strides: Strides) -> Strides:
    """The strides that matter: those of dimensions with more than one element."""
    return tuple(stride for size, stride in zip(shape, strides) if size > 1)


def order(tensor: torch.Tensor) -> Strides:
    """`order_of` a tensor: equal for tensors of one shape whose elements lie in memory in the same order."""
    return order_of(tensor.shape, tensor.stride())


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill a stretch of memory without gaps or overlaps, in whatever order."""
    expected = 1
    for stride, size in sorted(
        (stride, size) for size, stride in zip(tensor.shape, tensor.stride()) if size > 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def layout(tensor: torch.Tensor) -> Strides:
    """The strides of a flat copy: the tensor's own if it is dense, else those of row-major order."""
    return tensor.stride() if is_dense(tensor) else torch.empty(tensor.shape, device="meta").stride()


def lying(shape: Sequence[int], strides: Strides) -> Lying:
    """How the rows of a dense tensor lie in memory."""
    rows = shape[0] if shape else 1
    inner = strides[0] if rows > 1 else 1
    return prod(shape) // max(rows * inner, 1), rows, inner


def is_matrix(tensor: torch.Tensor) -> bool:
    """Whether it is a matrix of several rows and columns when all dimensions but the first are taken as one."""
    return tensor.ndim > 1 and 1 < tensor.shape[0] < tensor.numel()


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """A dense tensor as 1-D, in the order in which it lies in memory."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))
