"""The residual branches of a model, as its steps show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import nn

from mfc.dsl import ir
from mfc.runtime.models import Stack, part

Way: TypeAlias = tuple[str, ...]
"""The layers that a tensor came through, by path, from the model's input on."""


def branches(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[list[Way], Way]:
    """The residual branches of a model in the order in which they end, each as the paths of its layers of `kinds`;
    and the way of what the model gives.

    Where `add(...)` joins two tensors, the ways that they went since they were one are a branch and its shortcut:
    the branch is the one with more layers, of equal ones that of the current tensor. A layer within two branches
    belongs to the inner one, and branches without layers do not count. A model that is no stack of steps has none.
    """
    walk = _Walk(model, kinds)
    end = walk.module(model, "", (), {})
    return walk.found, end


class _Walk:
    """A run through a model in which each tensor is its way."""

    def __init__(self, model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
        self.model, self.kinds = model, kinds
        self.found: list[Way] = []

    def module(self, module: nn.Module, path: str, way: Way, slots: dict[str, Way]) -> Way:
        """The way of what a module gives. `slots` are those that a stack begins with."""
        if isinstance(module, self.kinds):
            return (*way, path)
        return self.stack(module, path, way, slots) if isinstance(module, Stack) else way

    def stack(self, stack: Stack, path: str, way: Way, slots: dict[str, Way]) -> Way:
        for step in stack.steps:
            match step:
                case ir.Run(child):
                    way = self.child(stack, child, path, way, slots)
                case ir.Branch(slot, child):
                    slots[slot] = self.child(stack, child, path, way, slots)
                case ir.Apply(target):
                    module = part(self.model, target)
                    shared = isinstance(module, Stack) and module.shares_slots
                    way = self.module(module, target, way, slots if shared else {})
                case ir.Keep(slot):
                    slots[slot] = way
                case ir.Load(slot):
                    way = slots[slot]
                case ir.Join(op, kept):
                    others = [slots[slot] for slot in kept]
                    if op == "add":
                        self.join(way, *others)
                    way = max([way, *others], key=len)
        return way

    def child(
        self, stack: Stack, child: ir.Layer | ir.Stack, path: str, way: Way, slots: Mapping[str, Way]
    ) -> Way:
        module = stack._modules[child.name]
        assert module is not None
        shares = isinstance(child, ir.Stack) and child.shares_slots
        passed: Mapping[str, Way] = slots if shares else {n: slots[slot] for n, slot in child.passes.items()}
        inside = f"{path}.{child.name}" if path else child.name
        return self.module(module, inside, way, passed)  # type: ignore[arg-type]

    def join(self, current: Way, other: Way) -> None:
        common = 0
        while common < min(len(current), len(other)) and current[common] == other[common]:
            common += 1
        longer = max(current[common:], other[common:], key=len)
        inner = {layer for branch in self.found for layer in branch}
        if own := tuple(layer for layer in longer if layer not in inner):
            self.found.append(own)
