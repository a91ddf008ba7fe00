"""Models: a plan's steps as a torch module.

The module is a `Stack` of layers and stacks. Its state dict has exactly the names of the plan:
`body.res_block_3.conv_layer_0.conv2d.weight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any

import torch
import xxhash
from torch import nn

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.errors import RunError
from mfc.runtime.layers.activation import GeneralRelu
from mfc.runtime.layers.conv import Conv2d
from mfc.runtime.layers.norm import batchnorm, running_batchnorm
from mfc.runtime.layers.scalar import bias, scale
from mfc.runtime.optim.buckets import is_matrix
from mfc.runtime.streams import Stream

Slots = dict[str, torch.Tensor]

JOINS: dict[str, Callable[[list[torch.Tensor]], torch.Tensor]] = {
    "add": lambda tensors: reduce(torch.add, tensors),
    "sub": lambda tensors: reduce(torch.sub, tensors),
    "mul": lambda tensors: reduce(torch.mul, tensors),
    "matmul": lambda tensors: reduce(torch.matmul, tensors),
    "concat": lambda tensors: torch.cat(tensors, 1),
}

IN_PLACE = (nn.ReLU, nn.LeakyReLU, GeneralRelu)
"""Layers that may overwrite what comes in, which saves memory and time, where nothing else needs it."""

FRESH = frozenset(
    (nn.Conv1d, nn.Conv2d, Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, batchnorm, nn.InstanceNorm2d,
     nn.GroupNorm, nn.LayerNorm, running_batchnorm, bias, scale)
)  # fmt: skip
"""Layers whose result is new memory that their backward pass does not read."""


class Stack(nn.Module):
    """Steps that run in order, each on the current tensor. Tensors kept on the way are in named slots."""

    def __init__(
        self, node: ir.Stack, children: Mapping[str, nn.Module], applied: Mapping[str, nn.Module]
    ) -> None:
        super().__init__()
        self.steps, self.group, self.shares_slots = node.steps, node.group, node.shares_slots
        self.applied = dict(applied)  # modules that stand elsewhere; in a dict, they do not register here too
        self._modules.update(children)  # not add_module, which refuses a block called `double` or `train`

    def forward(self, x: torch.Tensor, slots: Slots | None = None) -> torch.Tensor:
        """What the last step makes of `x`. `slots` are those of the stack that this one shares them with."""
        slots = {} if slots is None else slots
        for step in self.steps:
            if isinstance(step, ir.Run):
                x = self._run(step.child, x, slots)
            elif isinstance(step, ir.Keep):
                slots[step.slot] = x
            elif isinstance(step, ir.Load):
                x = slots[step.slot]
            elif isinstance(step, ir.Branch):
                slots[step.slot] = self._run(step.child, x, slots)
            elif isinstance(step, ir.Apply):
                module = self.applied[step.path]
                x = module(x, slots if module.shares_slots else None)
            elif isinstance(step, ir.Join):
                x = JOINS[step.op]([x, *(slots[slot] for slot in step.slots)])
        return x

    def train(self, mode: bool = True) -> Stack:
        """As in torch, but not stopped by a block that is called `training`."""
        self.__dict__["training"] = mode
        for child in self.children():
            child.train(mode)
        return self

    def _run(self, child: ir.Layer | ir.Stack, x: torch.Tensor, slots: Slots) -> torch.Tensor:
        module = self._modules[child.name]
        assert module is not None
        if isinstance(child, ir.Stack) and child.shares_slots:
            return module(x, slots)
        passed = {name: slots[slot] for name, slot in child.passes.items()}
        return module(x, passed) if isinstance(child, ir.Stack) else module(x, **passed)


def build_model(stack: ir.Stack, stream: Stream | None = None) -> nn.Module:
    """The module of a model, on the CPU or on the device of a surrounding `with torch.device(...)`.

    With a `stream`, each layer draws its first weights from it by its own path, so that they do not depend on
    what else is in the model; without, from torch's generator. Raises RunError R0251 and R0252 where a layer
    can't be built, R0253 where it is no module, R0254 where weights can't be tied.
    """
    with torch.random.fork_rng(devices=[], enabled=stream is not None):
        builder = _Builder(stream, frozenset(_applied(stack)))
        match stack.steps:
            case (ir.Run(ir.Layer(name="") as whole),):  # an architecture is a model by itself
                return builder.layer(whole, "", fresh=False)
        return builder.stack(stack, "", fresh=False)


def named_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of each group of a model, by the group's path and in the order of the model.

    Of groups within groups, a parameter belongs to the innermost; those in no group are in that named "". A
    parameter that several layers share belongs where it is first.
    """
    groups: dict[str, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for group, parameter in _grouped(model, "", ""):
        if id(parameter) not in seen:
            seen.add(id(parameter))
            groups.setdefault(group, []).append(parameter)
    return groups


def parameter_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of each group, first layers first: what `freeze_to` counts and `spread` spreads over."""
    return list(named_groups(model).values())


def ends(model: nn.Module) -> list[nn.Parameter]:
    """The weights with which a model begins and ends: its embeddings', and the last one that is a matrix."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    embeddings = [parameter for table in tables for parameter in table.parameters()]
    weights = [p for _, p in model.named_parameters(remove_duplicate=False) if is_matrix(p)]
    return [*embeddings, *weights[-1:]]


def load_pretrained(model: nn.Module, say: Callable[[str], None] = lambda line: None) -> None:
    """Loads the weights that layers of a model bring along, and says of each what that was and what stays fresh.

    Raises RunError where they can't be had or do not fit.
    """
    for path, module in model.named_modules():
        load = getattr(module, "load_pretrained", None)
        if load is not None and (loaded := load()):
            say(f"{path or type(module).__name__}: {loaded}{fresh(model, path)}")


def fresh(model: nn.Module, path: str) -> str:
    """The parts of a model that loading one at a path leaves as they are, in words; nothing where there are none."""
    names: dict[str, None] = {}
    for name, _ in model.named_parameters():
        if path and not f"{name}.".startswith(f"{path}."):
            while "." in name and not path.startswith(f"{name.rpartition('.')[0]}."):
                name = name.rpartition(".")[0]
            names[name] = None
    return f"; fresh: {', '.join(names)}" if names else ""


def failed_layer(error: BaseException) -> str | None:
    """The path of the layer in which a model's forward pass ended with an error."""
    names, where = [], error.__traceback__
    while where is not None:
        if where.tb_frame.f_code is Stack._run.__code__:
            names.append(where.tb_frame.f_locals["child"].name)
        where = where.tb_next
    return ".".join(names) or None


def part(model: nn.Module, path: str) -> nn.Module:
    """The part of a model at a path of its state dict, such as a group `"body"`. Raises KeyError."""
    for name in path.split("."):
        found = model._modules[name]
        if found is None:
            raise KeyError(path)
        model = found
    return model


def _grouped(module: nn.Module, path: str, group: str) -> Iterator[tuple[str, nn.Parameter]]:
    group = path if getattr(module, "group", False) is True else group
    divide = getattr(module, "parameter_parts", None)  # a layer with groups of its own
    if divide is not None and (parts := divide()):
        yield from ((f"{path}.{name}".lstrip("."), p) for name, part in parts.items() for p in part)
        return
    for parameter in module.parameters(recurse=False):
        yield group, parameter
    for name, child in module.named_children():
        yield from _grouped(child, f"{path}.{name}".lstrip("."), group)


# ── building ────────────────────────────────────────────────────────────────────────────────────────────


class _Builder:
    """Builds the parts of one model, and decides which activations may work in place.

    The current tensor is fresh if it is new memory that neither a slot holds nor the backward pass reads:
    only then may the next layer overwrite it. A module that is used at several places begins with one that
    is not.
    """

    def __init__(self, stream: Stream | None, applied: frozenset[str]) -> None:
        self.stream, self.applied = stream, applied
        self.built: dict[str, nn.Module] = {}
        self.leaves_fresh: dict[str, bool] = {}

    def stack(self, node: ir.Stack, path: str, fresh: bool) -> Stack:
        """A stack at a path. `fresh` tells of what comes in, `leaves_fresh[path]` then of what goes out."""
        fresh = fresh and path not in self.applied
        children: dict[str, nn.Module] = {}
        applied: dict[str, nn.Module] = {}
        for step in node.steps:
            match step:
                case ir.Run(child):
                    children[child.name] = self.child(child, _join(path, child.name), fresh)
                    fresh = self.leaves_fresh[_join(path, child.name)]
                case ir.Branch(_, child):
                    children[child.name] = self.child(child, _join(path, child.name), False)
                    fresh = False
                case ir.Define(child):
                    children[child.name] = self.child(child, _join(path, child.name), False)
                case ir.Apply(target):
                    applied[target] = self.built[target]
                    fresh = self.leaves_fresh[target]
                case ir.Join():
                    fresh = True
                case ir.Keep() | ir.Load():
                    fresh = False
        self.leaves_fresh[path] = fresh
        module = self.built[path] = Stack(node, children, applied)
        return module

    def child(self, node: ir.Layer | ir.Stack, path: str, fresh: bool) -> nn.Module:
        return self.stack(node, path, fresh) if isinstance(node, ir.Stack) else self.layer(node, path, fresh)

    def layer(self, node: ir.Layer, path: str, fresh: bool) -> nn.Module:
        if self.stream is not None:
            torch.default_generator.manual_seed(self.stream.torch_seed(place(path)))
        module = build(node.call)
        if not isinstance(module, nn.Module):
            message = f"`{node.call.name}` gives {type(module).__name__}, which is no torch module"
            raise RunError(
                "R0253", message, help=f"a layer is an nn.Module; it is defined in {node.call.target}"
            )
        if isinstance(module, IN_PLACE):
            module.inplace = fresh
        if node.tie:
            self.tie(module, node, path)
        self.built[path] = module
        self.leaves_fresh[path] = type(module) in FRESH
        return module

    def tie(self, module: nn.Module, node: ir.Layer, path: str) -> None:
        """Gives a layer the weight of the one module at `node.tie` that has one."""
        named = f"the weight of `{path}` can't be tied to `{node.tie}`"
        weights = {id(w): w for m in self.built[node.tie or ""].modules() if (w := _weight(m)) is not None}
        if len(weights) != 1:
            raise RunError("R0254", f"{named}: it has {len(weights)} weights", help="tie to a single layer")
        (weight,) = weights.values()
        own = _weight(module)
        if own is None or own.shape != weight.shape:
            shapes = f"{'none' if own is None else list(own.shape)} and {list(weight.shape)}"
            raise RunError("R0254", f"{named}: their shapes are {shapes}", help="tied weights are one tensor")
        module.weight = weight


def place(path: str) -> int:
    """The place of a part of a model in a stream of draws."""
    return xxhash.xxh3_64_intdigest(path.encode())


def _weight(module: nn.Module) -> nn.Parameter | None:
    weight: Any = module._parameters.get("weight")
    return weight


def _applied(stack: ir.Stack) -> Iterator[str]:
    """The paths of all modules that are used again elsewhere."""
    for step in stack.steps:
        if isinstance(step, ir.Apply):
            yield step.path
        elif isinstance(step, ir.Run | ir.Branch | ir.Define) and isinstance(step.child, ir.Stack):
            yield from _applied(step.child)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
