"""The attributes of values: `x.channels`, `cifar.classes`, `pets.train.class_counts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mfc.dsl.resolve import Declared
from mfc.dsl.syntax import BodyDecl, CallExpr, FieldStmt, GroupStmt, LetStmt, Name, ValueDecl
from mfc.dsl.types import ANY, Unknown
from mfc.dsl.values import Current, Instance, Kept, KeptIn, Part

PARTS = ("train", "valid", "test", "all")
OF_CURRENT = ("channels", "height", "width", "length", "features", "shape")


def attributes(value: Any, sizes: Iterable[str]) -> Mapping[str, Any]:
    """What a value's attributes are, by name. `sizes` names those of a data block that its items decide; what these are
    is not known here."""
    match value:
        case Current() | Kept():
            return _of_tensor(value)
        case KeptIn():
            return value.tensors
        case Instance(kind="data"):
            return {part: Part(value, part) for part in PARTS} | dict.fromkeys(sizes, Unknown(ANY))
        case Part():
            return {fact: Part(value.data, f"{value.part}.{fact}") for fact in ("texts", "class_counts")}
        case _:
            return {}


def groups_written(train: Instance) -> list[str]:
    """The names of the groups that the model of a train is written with, where its body says them."""
    decl, module = train.declared.decl, train.declared.module
    body = decl.body if isinstance(decl, BodyDecl) else ()
    value = next((s.value for s in body if isinstance(s, FieldStmt) and s.name.text == "model"), None)
    seen: set[str] = set()
    while True:
        name = value.callee if isinstance(value, CallExpr) else value
        found = module.names.get(name.text) if isinstance(name, Name) and name.text not in seen else None
        if not isinstance(found, Declared):
            return []
        decl, module = found.decl, found.module
        if isinstance(decl, BodyDecl):
            return [s.name.text for s in decl.body if isinstance(s, GroupStmt)]
        seen.add(found.name)
        value = decl.value if isinstance(decl, ValueDecl | LetStmt) else None


def _of_tensor(x: Current | Kept) -> Mapping[str, Any]:
    """What is known of a tensor `b c h w`, `b c l` or `b ... f`."""
    if x.shape is None:
        return {name: Unknown(ANY) for name in OF_CURRENT}
    places = {"features": -1}
    if len(x.shape) == 4:
        places |= {"channels": 1, "height": 2, "width": 3}
    elif len(x.shape) == 3:
        places |= {"channels": 1, "length": 2}
    return {name: x.shape[place] for name, place in places.items()} | {"shape": list(x.shape)}
