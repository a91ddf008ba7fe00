"""A model as a table of its layers: what each gives for an input of some shape, and how much it learns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mfc.dsl import ir
from mfc.runtime.build import find
from mfc.runtime.models import build_model, part


@dataclass(frozen=True)
class LayerRow:
    """One use of a layer.

    Attributes:
        path: its place in the state dict.
        call: what it is, `conv2d(nf=64, stride=2)`, without arguments that have their default.
        group: path of the innermost group that holds it; "" for none.
        out: shape of what it gives; None where that is no single tensor.
        parameters: numbers that it learns. Those of a shared layer count at its first use, tied ones where
            they are first.
    """

    path: str
    call: str
    group: str
    out: tuple[int, ...] | None
    parameters: int


def layer_table(
    stack: ir.Stack, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> list[LayerRow]:
    """The layers of a model in the order in which they run on an input `shape`, batch included.

    Nothing is computed and no weights are allocated, as the model is built on the meta device, but for texts
    (`dtype` int64): what a model does with ids may depend on them.
    """
    with torch.device("cpu" if dtype == torch.int64 else "meta"):
        model = build_model(stack).eval()
        inputs = torch.zeros(shape, dtype=dtype)
    rows: list[LayerRow] = []
    seen: set[int] = set()
    match stack.steps:
        case (ir.Run(ir.Layer(name="")),):
            layers = list(_parts(model))
        case _:
            layers = [(path, group, _written(layer.call)) for path, group, layer in _layers(stack, "", "")]
    for path, group, written in layers:
        part(model, path).register_forward_hook(_recorder(rows, seen, path, group, written))
    with torch.no_grad():
        model(inputs)
    return rows


def _recorder(rows: list[LayerRow], seen: set[int], path: str, group: str, call: str) -> Any:
    def record(module: nn.Module, inputs: Any, out: Any) -> None:
        new = {id(p): p.numel() for p in module.parameters() if id(p) not in seen}
        seen.update(new)
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else None
        rows.append(LayerRow(path, call, group, shape, sum(new.values())))

    return record


def _layers(stack: ir.Stack, path: str, group: str) -> Iterator[tuple[str, str, ir.Layer]]:
    for step in stack.steps:
        if not isinstance(step, ir.Run | ir.Branch | ir.Define):
            continue
        child = step.child
        below = f"{path}.{child.name}".lstrip(".")
        if isinstance(child, ir.Layer):
            yield below, group, child
        else:
            yield from _layers(child, below, below if child.group else group)


def _parts(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """The innermost modules of an architecture, which is no stack of layers of the plan."""
    modules = dict(model.named_modules())
    for path, module in modules.items():
        if path and not any(module.children()):
            above = [path.rsplit(".", i)[0] for i in range(path.count(".") + 1)]
            group = next((name for name in above if getattr(modules[name], "group", False) is True), "")
            yield path, group, str(module)


def _written(call: ir.Call) -> str:
    """A call with those arguments that a user writes and that differ from their default."""
    parameters = inspect.signature(find(call)).parameters
    written = [
        f"{name}={_shown(value)}"
        for name, value in call.args.items()
        if name in parameters
        and parameters[name].default != value
        and str(parameters[name].annotation).rpartition(".")[2] not in ("In", "In'>")
    ]
    return f"{call.name}({', '.join(written)})"


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, ir.Call | ir.File):
        return value.name if isinstance(value, ir.Call) else value.path
    return str(value)
