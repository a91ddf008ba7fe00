"""Where names stand in a file, what is called there, and where local names can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mfc.dsl.calls import Signature
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    CallExpr,
    DataType,
)


@dataclass(frozen=True)
class Occurrence:
    """A name in a file. `defines`: it is where the symbol gets its name."""

    span: Span
    symbol: Symbol
    defines: bool = False


@dataclass(frozen=True)
class Called:
    """A call, what it calls, and what that may be given."""

    call: CallExpr | DataType
    symbol: Symbol
    signature: Signature


@dataclass(frozen=True)
class Region:
    """Where local names can be used: from `start` to `end` of the text. Names that are given in one scope have the same
    number as `scope`."""

    start: int
    end: int
    symbols: Mapping[str, Symbol]
    scope: int


class Scope:
    """Local names within those around. `groups` are those of the stack of layers that is filled here: one that is named
    in both branches of an `if` is one group."""

    def __init__(self, outer: Scope | None = None, groups: dict[str, Symbol] | None = None) -> None:
        self.names: dict[str, Symbol] = {}
        self.outer = outer
        self.groups = groups if groups is not None else outer.groups if outer is not None else {}

    def find(self, name: str) -> Symbol | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None
