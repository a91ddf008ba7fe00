"""Looking into a model while it works: what goes into its layers and out of them, and the gradients that come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mfc.dsl import ir

Look = Callable[[str, torch.Tensor], None]
"""What gets the name of a layer, and its input, its output or the gradient of the loss by that. It must not change the
tensor."""


class Hooks:
    """Calls functions with what layers put out, until the end of the `with` block or `remove()`.

        with Hooks(layers_matching(model, "relu"), forward=lambda name, output: print(name, output.std())):
            model(x)

    A layer that is called several times in a pass is reported each time. Of an output of several tensors the first
    one of fractions counts. The output is reported at once: a later layer may overwrite it.

    Where no gradients are computed, looks get the very tensors that layers hand on.

    Args:
        layers: modules by the names that they are reported under.
        forward: gets each output.
        backward: gets the gradient by each output, of the same shape; not where none is needed, as in frozen layers.
        inputs: gets each input, before the layer works.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        forward: Look | None = None,
        backward: Look | None = None,
        inputs: Look | None = None,
    ) -> None:
        self._forward, self._backward = forward, backward
        self._handles: list[Any] = []
        for name, module in layers.items():
            if forward is not None or backward is not None:
                self._handles.append(module.register_forward_hook(self._looker(name)))
            if inputs is not None:
                self._handles.append(module.register_forward_pre_hook(_looker_before(name, inputs)))

    def _looker(self, name: str) -> Callable[..., None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None or not tensor.numel():
                return
            if self._forward is not None:
                self._forward(name, _without_graph(tensor))
            backward = self._backward
            if backward is not None and tensor.requires_grad:
                self._handles.append(tensor.register_hook(lambda gradient: backward(name, gradient)))

        return look

    def remove(self) -> None:
        """Removes all hooks."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Hooks:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def _looker_before(name: str, look: Look) -> Callable[..., None]:
    def before(module: nn.Module, inputs: Any) -> None:
        tensor = first_tensor(inputs)
        if tensor is not None and tensor.numel():
            look(name, _without_graph(tensor))

    return before


def _without_graph(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach() if tensor.requires_grad else tensor


def layers_matching(model: nn.Module, patterns: str | Sequence[str]) -> dict[str, nn.Module]:
    """The layers, blocks and groups of a model that a pattern, or one of several, stands for, by their paths and in the
    order of the model: `relu`, `conv_layer`, `body.res_block_*.relu`, `head.**`."""
    several = [patterns] if isinstance(patterns, str) else patterns
    return {
        path: module
        for path, module in model.named_modules()
        if path and any(ir.matches(path, pattern) for pattern in several)
    }


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor of fractions in what a module gives."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else None
    items = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | list | tuple):
        return None
    return next((found for item in items if (found := first_tensor(item)) is not None), None)
