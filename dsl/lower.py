"""Values of the language as values of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfc.dsl import ir
from mfc.dsl.dims import Dim
from mfc.dsl.types import Unknown
from mfc.dsl.values import ComponentValue, History, Instance, Part, Weights, show


def lower(value: Any) -> Any:
    """A value as plain data. Sizes that wait for the data become facts; what an error left unknown becomes one too,
    for such a plan is never run."""
    match value:
        case ComponentValue():
            paths = value.info.paths
            args = {k: _files(lower(v)) if k in paths else lower(v) for k, v in value.args.items()}
            return ir.Call(value.kind, value.info.name, value.info.target, args)
        case Instance(kind="train"):
            return ir.Trained(value.name)
        case Weights():
            return ir.Trained(value.train.name, value.group)
        case Part() | History() | Instance():
            return ir.Trained(show(value))
        case Dim() | Unknown():
            return ir.Fact(str(value))
        case Mapping():
            return {name: lower(item) for name, item in value.items()}
        case list() | tuple():
            return [lower(item) for item in value]
        case _:
            return value


def _files(value: Any) -> Any:
    if isinstance(value, list):
        return [_files(item) for item in value]
    return ir.File(value) if isinstance(value, str) else value
