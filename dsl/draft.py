"""A model while it is put together. Its parts get their names at the end, when it is known how many of a kind there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from mfc.dsl import ir
from mfc.dsl.node import node


@dataclass(eq=False)
class DraftLayer:
    """One layer: `base` is the name of its component."""

    base: str
    call: ir.Call
    passes: Mapping[str, str] = field(default_factory=dict)
    tie: Draft | None = None
    parts: tuple[str, ...] = ()
    """The parameter groups that it has by itself."""
    name: str = ""
    path: str = ""


@dataclass(eq=False)
class Draft:
    """A stack of steps. `fixed` says that `base` was written by the user (a group or a `let`) and stands as it is; `given`
    are the names that the user gave to its parts."""

    base: str
    steps: list[DraftStep] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    fixed: bool = False
    group: bool = False
    shares_slots: bool = False
    passes: dict[str, str] = field(default_factory=dict)
    name: str = ""
    path: str = ""


@node
class Place:
    """A child at its place: `how` is run, branch (into `slot`) or define."""

    how: str
    child: Draft | DraftLayer
    slot: str = ""


@node
class Reuse:
    """A use of a module that stands elsewhere."""

    module: Draft


DraftStep: TypeAlias = Place | Reuse | ir.Keep | ir.Load | ir.Join


def finish(root: Draft, name: str, whole: bool = False) -> ir.Stack:
    """The finished model; where its one layer is the `whole` of it, that layer has no name. A part is called as the user called it, else by its component's or block's name, with
    its number under its parent where there are several: `body.res_block_3.conv_layer_0.conv2d`."""
    root.name = name
    _give_names(root)
    if whole:
        (step,) = root.steps
        assert isinstance(step, Place)
        step.child.name = step.child.path = ""
    return _freeze(root)


def groups(root: Draft) -> list[Draft]:
    """The groups of a model, those within others too, in order."""
    found = []
    for step in root.steps:
        if isinstance(step, Place) and isinstance(step.child, Draft):
            found += [step.child] if step.child.group else []
            found += groups(step.child)
    return found


def _give_names(stack: Draft) -> None:
    children = [step.child for step in stack.steps if isinstance(step, Place)]
    fixed = {child.base for child in children if isinstance(child, Draft) and child.fixed}
    counts = Counter(child.base for child in children if child.base not in fixed or not _is_fixed(child))
    seen: Counter[str] = Counter()
    for child in children:
        if _is_fixed(child) or (counts[child.base] == 1 and child.base not in fixed):
            child.name = child.base
        else:
            child.name = f"{child.base}_{seen[child.base]}"
            seen[child.base] += 1
        child.path = f"{stack.path}.{child.name}" if stack.path else child.name
        if isinstance(child, Draft):
            _give_names(child)


def _is_fixed(child: Draft | DraftLayer) -> bool:
    return isinstance(child, Draft) and child.fixed


def _freeze(stack: Draft) -> ir.Stack:
    steps: list[ir.Step] = []
    for step in stack.steps:
        match step:
            case Place(how="run"):
                steps.append(ir.Run(_freeze_child(step.child)))
            case Place(how="branch", child=Draft() as child):
                steps.append(ir.Branch(step.slot, _freeze(child)))
            case Place(child=Draft() as child):
                steps.append(ir.Define(_freeze(child)))
            case Reuse():
                steps.append(ir.Apply(step.module.path))
            case ir.Keep() | ir.Load() | ir.Join():
                steps.append(step)
    return ir.Stack(stack.name, tuple(steps), stack.group, stack.shares_slots, stack.passes)


def _freeze_child(child: Draft | DraftLayer) -> ir.Layer | ir.Stack:
    if isinstance(child, Draft):
        return _freeze(child)
    return ir.Layer(child.name, child.call, child.passes, child.tie.path if child.tie else None)
