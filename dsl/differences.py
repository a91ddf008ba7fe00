"""How the layers of two models differ: weights go over, and one model takes other data, only where they do not."""

from __future__ import annotations

from dataclasses import replace

from mfc.dsl import ir
from mfc.dsl.elaborated import Elaborated

OF_BEGINNING = ("pretrained", "tag", "splits")
"""The arguments of layers that decide no weight's shape: what they begin with, and how they are grouped."""


def first_difference(model: Elaborated, other: Elaborated, name: str, below: str = "") -> str:
    """The first layer below a path that is another one in the model of `name`; nothing where all agree."""
    ours, theirs = _layers(model, below), _layers(other, below)
    for path in dict.fromkeys([*theirs, *ours]):
        if difference := _difference(theirs.get(path), ours.get(path), name):
            return f"`{path}`: {difference}"
    return ""


def difference_of_parts(theirs: Elaborated, ours: Elaborated, part: str, other: str) -> str:
    """How a part of an architecture differs in size from that of another one: the argument of the part's name has
    the sizes; its other numbers, such as dropouts, decide no weight's shape."""
    there, here = (model.layers[0].layer.call.args.get(part) for model in (theirs, ours))
    if not isinstance(there, ir.Call) or not isinstance(here, ir.Call):
        return ""
    return _difference(_sizes(there), _sizes(here), other)


def _sizes(call: ir.Call) -> ir.Call:
    """A call with those of its arguments that are sizes."""
    args = {k: v for k, v in call.args.items() if isinstance(v, int) and not isinstance(v, bool)}
    return replace(call, args=args)


def _layers(model: Elaborated, below: str) -> dict[str, ir.Call]:
    """The layers below a path by their paths: what must agree for weights to go over."""
    return {r.path: r.layer.call for r in model.layers if r.path.startswith(below)}


def _difference(theirs: ir.Call | None, ours: ir.Call | None, other: str) -> str:
    """How a layer of another model differs from the one at its place here; nothing where it does not."""
    if theirs is None or ours is None:
        return f"only in `{other}`" if ours is None else "only here"
    if theirs.name != ours.name:
        return f"{theirs.name} in `{other}`, {ours.name} here"
    differing = [k for k in ours.args if k not in OF_BEGINNING and theirs.args.get(k) != ours.args[k]]
    return ", ".join(f"{k} = {theirs.args.get(k)} in `{other}`, {ours.args[k]} here" for k in differing)
