"""Methods of callbacks that are called like an event's and are none: they would never be called."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from mfc.dsl.suggest import did_you_mean, distance, plain

PARTS = ("fit", "epoch", "train", "validate", "batch", "pred", "loss", "backward", "step")
EVENTS = (*(f"{when}_{part}" for part in PARTS for when in ("before", "after")), "on_exception")
"""The events of a training, as in `mfc.runtime.training.events`."""


def strays(lineage: Iterable[ast.ClassDef]) -> Iterator[tuple[ast.stmt, str]]:
    """The methods with such names, and what they are called. `lineage` is the class of a callback and its bases."""
    for base in lineage:
        for item in base.body:
            match item:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)]):
                    pass
                case _:
                    continue
            if name not in EVENTS and (name.startswith(("before_", "after_", "on_")) or _is_slip(name)):
                yield item, name


def _is_slip(name: str) -> bool:
    """Whether a name is an event's but for one letter, or but for case and underscores."""
    return name[0] != "_" and any(distance(plain(name), plain(event), 1) <= 1 for event in EVENTS)


def meant(name: str) -> str:
    """What to do about such a name."""
    others = f"the events are `before_` and `after_` with {', '.join(PARTS[:-1])} or {PARTS[-1]}, and `on_exception`"
    return did_you_mean(name, EVENTS) or others
