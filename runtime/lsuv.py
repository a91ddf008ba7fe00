"""Layer-sequential unit-variance initialisation: weights are scaled by what a batch of the data makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Literal
from weakref import ref

import torch
from torch import nn

from mfc.runtime.component import Range, initializer
from mfc.runtime.errors import RunError
from mfc.runtime.layers.activation import GeneralRelu
from mfc.runtime.modes import reset_state
from mfc.runtime.streams import Stream
from mfc.runtime.training.freezing import NORMS
from mfc.runtime.training.hooks import Hooks

LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
"""The layers whose weights are scaled."""

ACTIVATIONS = (
    GeneralRelu, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Softplus, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
"""The activations that can be measured in a layer's stead."""

CONSTANT = 1e-6
"""Numbers that differ by less than this share of them are what rounding makes of a constant."""


@dataclass(eq=False)
class Moments:
    """Mean and variance of numbers that come in parts (Chan, Golub and LeVeque, 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations
    varies: bool = False  # from item to item

    def add(self, numbers: torch.Tensor) -> None:
        """Takes in what a layer gives for a batch, whose items lie along the first dimension."""
        numbers = numbers.float()
        variance, mean = (m.item() for m in torch.var_mean(numbers, correction=0))
        largest, apart = numbers.abs().max(), (numbers - numbers[:1]).abs().max()
        self.varies |= len(numbers) < 2 or not bool(apart <= CONSTANT * largest)
        count = numbers.numel()
        both, shift = self.count + count, mean - self.mean
        self.squares += variance * count + shift * shift * self.count * count / both
        self.mean += shift * count / both
        self.count = both

    @property
    def std(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    def as_json(self) -> dict[str, float | None]:
        """`mean` and `std`; null where a number overflowed."""
        return {k: v if math.isfinite(v) else None for k, v in (("mean", self.mean), ("std", self.std))}


@dataclass(eq=False)
class Measured:
    """A layer at its first use: what comes directly after it, why it is left as it is, and its statistics."""

    path: str
    module: Any
    follows: nn.Module | None = None
    kept: str = ""
    shifts: bool = False
    steps: int = 0
    reached: bool = False
    before: Moments = field(default_factory=Moments)
    after: Moments = field(default_factory=Moments)

    @property
    def activation(self) -> nn.Module | None:
        """The activation whose output is measured; None for the layer's own."""
        return self.follows if isinstance(self.follows, ACTIVATIONS) else None

    def as_json(self) -> dict[str, Any]:
        """A row of the report."""
        return {
            "layer": self.path,
            "before": self.before.as_json(),
            "after": self.after.as_json(),
            "steps": self.steps,
            "reached": self.reached,
            "kept": self.kept,
        }


class _Reached(Exception):
    """The layer that is measured has been reached: the rest of the model is not needed."""


@initializer(reads_data=True)
class lsuv:
    """Scales weights until each layer gives unit variance on the data (Mishkin and Matas, 2015).

    Layer-sequential unit-variance initialisation, of "All You Need is a Good Init".
    The layers (convolutions and linear ones) come one after the other, in the order in which the model runs them:
    batches of training inputs go through the model as in training, and the layer's weight and bias are divided by
    the standard deviation of all numbers that it gives, until that is 1. Put what draws the weights before it:
    the paper's `[orthogonal(), lsuv()]`. It works as a stage of its own, which keeps a report of each layer's mean and
    deviation before and after.

    A layer that a norm follows stays as it is, since the norm undoes any scale; so does one whose weight is
    another layer's, or is computed. A layer that is used several times counts at its first use. Running
    statistics stay as they were.

    Args:
        batches: of how many training batches the statistics are.
        tol: how far a deviation may be from 1, and a mean that is shifted from 0.
        steps: times at most that a layer is scaled.
        of: what has unit variance: what the layer gives, as in the paper, or what the activation after it makes of
            that, as in fastai's course (notebook 07a_lsuv).
        center: whether the mean is shifted to 0 as well: by the layer's bias, or by `sub` of the general `relu` after
            it, for those that have one.
    """

    def __init__(
        self,
        batches: Annotated[int, Range(1)] = 1,
        tol: Annotated[float, Range(above=0, below=1)] = 1e-2,
        steps: Annotated[int, Range(1)] = 10,
        of: Literal["layer", "activation"] = "layer",
        center: bool = True,
    ) -> None:
        self.batches, self.tol, self.steps, self.of, self.center = batches, tol, steps, of, center

    def __call__(self, model: nn.Module, stream: Stream, batches: Iterable[Any]) -> list[dict[str, Any]]:
        """Scales the weights of `model` by what the first of `batches`, which begin with inputs, make of them. Gives a
        row for each layer: `layer`, `before` and `after` with `mean` and `std`, `steps`, whether it `reached` unit
        variance, and `kept`: why it was left as it is.

        Raises:
            RunError: R0257 for a layer that gives a constant, R0258 for numbers that are not finite, R0259 where
                there is no layer to scale.
        """
        inputs = [batch[0] for batch in islice(batches, self.batches)]
        mode = model.training
        runs = _Runs(model.train(), inputs, stream)
        layers = self._found(model, runs)
        runs.measure({layer: layer.before for layer in layers})
        for layer in layers:
            if not layer.kept:
                self._fit(layer, runs)
        runs.measure({layer: layer.after for layer in layers})
        model.train(mode)
        return [layer.as_json() for layer in layers]

    def _found(self, model: nn.Module, runs: _Runs) -> list[Measured]:
        """The layers in the order of their first use, with what is to be done with each."""
        layers = runs.order()
        owners: dict[int, list[tuple[str, nn.Module]]] = {}
        for path, module in model.named_modules():
            for parameter in module.parameters(recurse=False):
                owners.setdefault(id(parameter), []).append((path, module))
        taken: set[int] = set()
        for layer in layers:
            if self.of == "layer" and layer.activation is not None:
                layer.follows = None
            layer.kept = _reason(layer, owners, taken)
            if layer.kept:
                continue
            taken.add(id(layer.module.weight))
            if isinstance(layer.activation, GeneralRelu):
                layer.shifts = self.center and id(layer.activation) not in taken
                taken.add(id(layer.activation))
            elif layer.activation is None:
                layer.shifts = self.center and layer.module.bias is not None
        if all(layer.kept for layer in layers):
            why = f": {layers[0].path} is left, as {layers[0].kept}" if layers else ""
            help = "it scales convolutions and linear layers that no norm follows"
            raise RunError("R0259", f"`lsuv` finds no layer to scale{why}", help=help)
        return layers

    def _fit(self, layer: Measured, runs: _Runs) -> None:
        """Scales one layer until what it gives is normal, or for `steps` times."""
        while True:
            moments = Moments()
            runs.measure({layer: moments}, stop=True)
            _check(layer, moments)
            layer.reached = abs(moments.std - 1) < self.tol
            layer.reached &= not layer.shifts or abs(moments.mean) < self.tol
            if layer.reached or layer.steps == self.steps:
                return
            layer.steps += 1
            _scale(layer, moments)


class _Runs:
    """Runs of a model on the same inputs, each from the same state and with the same draws."""

    def __init__(self, model: nn.Module, inputs: Sequence[Any], stream: Stream) -> None:
        self.model, self.inputs, self.stream = model, inputs, stream

    def order(self) -> list[Measured]:
        """The layers that a run uses, in order, each with the norm or activation that takes what it gives."""
        modules = dict(self.model.named_modules())
        scaled = {path: module for path, module in modules.items() if isinstance(module, LAYERS)}
        others = {
            path: module for path, module in modules.items() if isinstance(module, (*NORMS, *ACTIVATIONS))
        }
        used: dict[str, Measured] = {}
        gave: dict[int, tuple[Measured, ref[torch.Tensor]]] = {}

        def of_layer(path: str, out: torch.Tensor) -> None:
            if path not in used:
                used[path] = Measured(path, scaled[path])
                gave[id(out)] = used[path], ref(out)

        def of_other(path: str, into: torch.Tensor) -> None:
            layer, out = gave.get(id(into), (None, None))
            if layer is not None and out is not None and out() is into and layer.follows is None:
                layer.follows = others[path]

        with Hooks(scaled, forward=of_layer), Hooks(others, inputs=of_other):
            self._run(0)
        return list(used.values())

    def measure(self, layers: Mapping[Measured, Moments], stop: bool = False) -> None:
        """Adds what layers give, or their activations, to their moments; with `stop`, a run ends at the layer."""
        for number in range(len(self.inputs)):
            with _hooked(layers, stop), suppress(_Reached):
                self._run(number)

    @torch.no_grad()
    def _run(self, number: int) -> None:
        gpus = {p.device for p in self.model.parameters() if p.device.type == "cuda"}
        reset_state(self.model)
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        try:
            with torch.random.fork_rng(devices=gpus):
                torch.manual_seed(self.stream.torch_seed(number))
                self.model(self.inputs[number])
        finally:
            for name, buffer in self.model.named_buffers():
                buffer.copy_(buffers[name])
            reset_state(self.model)


@contextmanager
def _hooked(layers: Mapping[Measured, Moments], stop: bool) -> Iterator[None]:
    """Each layer's first output, or what its activation makes of it, is added to its moments."""
    waiting: dict[int, tuple[Measured, torch.Tensor]] = {}
    entered: dict[str, Measured] = {}
    seen: set[str] = set()
    measured = {layer.path: layer for layer in layers}
    activations = {layer.activation for layer in layers if layer.activation is not None}

    def note(layer: Measured, out: torch.Tensor) -> None:
        layers[layer].add(out)
        if stop:
            raise _Reached

    def of_layer(path: str, out: torch.Tensor) -> None:
        if path in seen:
            return
        seen.add(path)
        if measured[path].activation is None:
            note(measured[path], out)
        else:
            waiting[id(out)] = measured[path], out  # held, so that no other tensor gets its id

    def into_activation(name: str, into: torch.Tensor) -> None:
        layer, _ = waiting.pop(id(into), (None, None))
        if layer is not None:
            entered[name] = layer

    def of_activation(name: str, out: torch.Tensor) -> None:
        if (layer := entered.pop(name, None)) is not None:
            note(layer, out)

    named = {str(number): activation for number, activation in enumerate(activations)}
    with (
        Hooks({path: layer.module for path, layer in measured.items()}, of_layer),
        Hooks(named, of_activation, inputs=into_activation),
    ):
        yield


def _reason(layer: Measured, owners: Mapping[int, Sequence[tuple[str, nn.Module]]], taken: set[int]) -> str:
    """Why a layer is left as it is; nothing for one that is scaled."""
    if isinstance(layer.follows, NORMS):
        return f"{type(layer.follows).__name__} follows it"
    weight = layer.module._parameters.get("weight")
    if weight is None:
        return "its weight is computed from others"
    others = [(path, module) for path, module in owners[id(weight)] if module is not layer.module]
    for path, module in others:
        if id(weight) in taken or not isinstance(module, LAYERS):
            return f"its weight is that of {path}"
    return ""


def _check(layer: Measured, moments: Moments) -> None:
    if not math.isfinite(moments.mean) or not math.isfinite(moments.std):
        help = "look for it in the data, or in weights that come before `lsuv` in `weights`"
        raise RunError("R0258", f"`{layer.path}` gives numbers that are not finite", help=help)
    if moments.varies and moments.std > CONSTANT * abs(moments.mean):
        return
    if layer.module.weight.any():
        what = "what comes into it is the same for all items"
        help = "look at the layers before it: an activation may be dead, with all that it gets below 0"
    else:
        what, help = "its weights are all 0", "draw its weights first: `[orthogonal(), lsuv()]`"
    raise RunError("R0257", f"`{layer.path}` gives a constant, which no scale makes vary: {what}", help=help)


@torch.no_grad()
def _scale(layer: Measured, moments: Moments) -> None:
    """Divides a layer by the deviation that was measured, and shifts the mean to 0 where it can."""
    module, activation = layer.module, layer.activation
    module.weight.div_(moments.std)
    if module.bias is not None:
        if layer.shifts and activation is None:
            module.bias.sub_(moments.mean)
        module.bias.div_(moments.std)
    if layer.shifts and isinstance(activation, GeneralRelu):
        activation.sub.add_(moments.mean).div_(moments.std)
