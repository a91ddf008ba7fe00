"""Paths of layers that stand in strings, such as `"body.res_block_*.relu"`: what their parts are called after."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mfc.dsl.editor.members import parts_in
from mfc.dsl.editor.symbols import Symbol, declared_symbol, local_symbol
from mfc.dsl.resolve import Declared
from mfc.dsl.syntax import BodyDecl, GroupStmt, Phase

_COUNT = re.compile(r"_(\d+|\*)$")


def named_in(path: str, model: Declared) -> Iterator[tuple[int, Symbol]]:
    """What the parts of a path of layers of a model are called after, each with where it begins in the path: groups,
    branches and blocks, as far as that can be told."""
    at, within = 0, model
    statements = model.decl.body if isinstance(model.decl, BodyDecl) else ()
    for name in path.split("."):
        parts = [p for p in parts_in(statements) if not isinstance(p, Phase) and p.name.text == name]
        base = _COUNT.sub("", name)
        block = within.module.names.get(base)
        if parts:
            part = parts[0]
            kind = "group" if isinstance(part, GroupStmt) else "module" if part.kind == "module" else "tensor"
            yield at, local_symbol(kind, part.name, within.module.path, part)
            statements = part.body
        elif isinstance(block, Declared) and isinstance(block.decl, BodyDecl):
            yield at, declared_symbol(block)
            within, statements = block, block.decl.body
        else:
            return
        at += len(name) + 1
