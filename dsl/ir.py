"""The plan's types: what the compiler hands to whatever runs it. Everything here is plain data and goes to JSON and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields, replace
from typing import Any, TypeAlias

from mfc.dsl.node import record


@record
class Call:
    """A component and its arguments, ready to be built.

    `target` says where its definition is: `"mfc.runtime.layers.conv:conv2d"` for a built-in,
    `"/folder/file.py:coord_conv"` for a user's own.
    """

    kind: str
    name: str
    target: str
    args: Mapping[str, Value] = field(default_factory=dict)


@record
class Trained:
    """What a train stage leaves behind: its weights, one group of them, or its whole model. As an argument of a
    component it may name any declaration; no stage can do that yet."""

    stage: str
    group: str | None = None


@record
class Fact:
    """A number that is known only once data was read, such as `cifar.classes`."""

    name: str


@record
class File:
    """A path that a component takes. In a recipe it is as the spec writes it: the content decides, not the place."""

    path: str


Value: TypeAlias = (
    "bool | int | float | str | list[Value] | Call | Trained | Fact | File | Stack | Step | None"
)


def matches(path: str, pattern: str) -> bool:
    """Whether a part of a model, by its path, is one that a pattern stands for.

    A pattern with dots stands for whole paths, as `body.res_block_*.relu`: `*` is any part of a name, `**` any number
    of names, `?` one character. One without dots stands for the last name, with or without its count: `relu`,
    `relu_1`, `conv_*`.
    """
    if "." not in pattern and pattern != "**":
        last = path.rpartition(".")[2]
        return any(re.fullmatch(_within(pattern), name) for name in (last, re.sub(r"_\d+$", "", last)))
    names = (r"(?:[^.]+\.)*" if name == "**" else rf"{_within(name)}\." for name in pattern.split("."))
    return re.fullmatch("".join(names), f"{path}.") is not None


def _within(name: str) -> str:
    """The regular expression of one name of a pattern."""
    return re.escape(name).replace(r"\*", "[^.]*").replace(r"\?", "[^.]")


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────


@record
class Layer:
    """One module. `passes` maps extra parameters of its `forward` to slots; `tie` is the path of the module
    whose weight it shares."""

    name: str
    call: Call
    passes: Mapping[str, str] = field(default_factory=dict)
    tie: str | None = None


@record
class Stack:
    """A named part of a model: steps that run in order, each on the current tensor.

    Its name is its part of the state dict's keys. With `shares_slots` it reads and writes the slots of the
    stack it stands in (a group, a branch, a module); a block has slots of its own.
    """

    name: str
    steps: tuple[Step, ...]
    group: bool = False
    shares_slots: bool = False
    passes: Mapping[str, str] = field(
        default_factory=dict
    )  # a block's tensor parameters -> slots of the caller


@record
class Run:
    """current = child(current)"""

    child: Layer | Stack


@record
class Keep:
    """slots[slot] = current (`let s = x`)"""

    slot: str


@record
class Load:
    """current = slots[slot] (`from(s)`)"""

    slot: str


@record
class Branch:
    """slots[slot] = child(current); current stays (`let s = branch { }`)"""

    slot: str
    child: Stack


@record
class Define:
    """Builds a module that `Apply` uses (`let f = module { }`); current stays."""

    child: Stack


@record
class Apply:
    """current = module(current), for a module defined before at `path` from the model's root, such as `"body.f"`."""

    path: str


@record
class Join:
    """current = op(current, *slots); `op` is add, sub, mul, concat (over dim 1) or matmul."""

    op: str
    slots: tuple[str, ...]


Step: TypeAlias = Run | Keep | Load | Branch | Define | Apply | Join


# ── stages ──────────────────────────────────────────────────────────────────────────────────────────────


@record
class Stage:
    """A unit of work with a result of its own in the store.

    `recipe` decides the result and is part of the stage's key; `placing` only says where and how it is
    carried out (workers, folders, callbacks that observe) and is not. `code` is a hash of the definitions
    that the stage can reach; what measures is among them where `measures` says that it decides the result.
    """

    name: str
    kind: str
    recipe: Mapping[str, Any] = field(repr=False)
    placing: Mapping[str, Any] = field(default_factory=dict, repr=False)
    inputs: tuple[str, ...] = ()
    code: str = ""
    measures: bool = False


@record
class Plan:
    """The stages of a spec in an order in which they can run.

    `waits_for` names the facts (`"cifar.classes"`) that are not known before their data was read: the
    stages that need them carry placeholders until the spec is compiled again with the facts. `optimised` says
    what is done more cheaply than it is written.
    """

    spec: str
    stages: tuple[Stage, ...]
    waits_for: tuple[str, ...] = ()
    optimised: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __getitem__(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────

_TAGS = {
    cls.__name__: cls
    for cls in (Call, Trained, Fact, File, Layer, Stack, Run, Keep, Load, Branch, Define, Apply, Join)
}


def walk(value: Any) -> Iterator[Any]:
    """Every node in a value, itself first."""
    yield value
    if isinstance(value, Mapping):
        inside: Any = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value
    else:
        inside = (getattr(value, f.name) for f in fields(value)) if type(value).__name__ in _TAGS else ()
    for item in inside:
        yield from walk(item)


def substitute(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with `change(node)` in the place of every node in it, innermost first."""
    if isinstance(value, Mapping):
        return {key: substitute(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(substitute(item, change) for item in value)
    if type(value).__name__ in _TAGS:
        return change(
            replace(value, **{f.name: substitute(getattr(value, f.name), change) for f in fields(value)})
        )
    return value


def to_json(value: Any) -> Any:
    """A value as JSON: each node is an object whose `"$"` names its type; equal values give equal JSON."""
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if type(value).__name__ in _TAGS:
        return {"$": type(value).__name__} | {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    return value


def from_json(data: Any) -> Any:
    """The value that `to_json` wrote."""
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if not isinstance(data, dict):
        return data
    body = {key: from_json(item) for key, item in data.items() if key != "$"}
    if "$" not in data:
        return body
    cls: Any = _TAGS[data["$"]]
    return cls(
        **{
            key: tuple(item) if isinstance(item, list) and cls is not Call else item
            for key, item in body.items()
        }
    )
