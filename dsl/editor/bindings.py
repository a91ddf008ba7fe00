"""What each name in a file stands for, and what is wanted where an expression stands.

It is told from the text alone, by the same rules as `mfc.dsl.names`: so bodies that nothing calls, branches that nothing
takes and files with mistakes are served like all others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from mfc.dsl.compiler import Compiled
from mfc.dsl.editor.occurrences import Called, Occurrence, Region
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.editor.walk import Walk
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Module
from mfc.dsl.syntax import (
    Attribute,
    CallExpr,
    DataType,
    Decl,
    Expr,
)
from mfc.dsl.types import Type


class Bindings:
    """The names in declarations of one file of a program: by default in all of them."""

    def __init__(
        self,
        compiled: Compiled,
        module: Module,
        recording: Recording,
        declarations: Iterable[Decl] | None = None,
    ) -> None:
        walk = Walk(compiled, module, recording)
        for decl in module.file.declarations if declarations is None else declarations:
            walk.declaration(decl)
        self.occurrences: Sequence[Occurrence] = sorted(walk.occurrences, key=lambda o: o.span.start)
        self.wants: Mapping[Expr, Type] = walk.wants
        """The type that is wanted where an expression stands; ANY where nothing is said."""
        self.calls: Mapping[CallExpr | DataType, Called] = walk.calls
        self.owners: Mapping[Attribute, Symbol] = walk.owners
        """What stands before a dot: a declaration, a tensor, a part of a data block."""
        self.regions: Sequence[Region] = walk.regions
        """Where local names can be used; outer regions come before those within them."""

    @cached_property
    def _starts(self) -> list[int]:
        return [occurrence.span.start for occurrence in self.occurrences]

    def at(self, offset: int) -> Occurrence | None:
        """The name that the offset is in, or right after."""
        for place in (bisect_right(self._starts, offset) - 1, bisect_right(self._starts, offset - 1) - 1):
            if place >= 0 and self.occurrences[place].span.end >= offset:
                return self.occurrences[place]
        return None

    def of(self, symbol: Symbol) -> Iterator[Occurrence]:
        """All places in the file where a symbol is named."""
        return (occurrence for occurrence in self.occurrences if occurrence.symbol == symbol)

    def locals_at(self, offset: int) -> dict[str, Symbol]:
        """The local names that can be used at an offset; inner ones win."""
        found: dict[str, Symbol] = {}
        for region in self.regions:
            if region.start <= offset <= region.end:
                found |= region.symbols
        return found
