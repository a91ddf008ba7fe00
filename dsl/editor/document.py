"""One file as it was compiled, with what editors ask about it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mfc.dsl.chunks import tokens
from mfc.dsl.compiler import Compiled
from mfc.dsl.editor.bindings import Bindings
from mfc.dsl.parse import too_large
from mfc.dsl.recording import Passed, Recording
from mfc.dsl.resolve import Module
from mfc.dsl.scan import Token
from mfc.dsl.source import Source, Span
from mfc.dsl.syntax import Comment, Decl, Expr, File, Name, Stmt, children
from mfc.dsl.types import ANY, Type
from mfc.dsl.values import Shape

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, eq=False)
class Document:
    """A file of a program: the spec itself, or a file that it imports."""

    compiled: Compiled
    module: Module
    recording: Recording

    @property
    def path(self) -> str:
        return self.module.path

    @property
    def file(self) -> File:
        return self.module.file

    @property
    def source(self) -> Source:
        return self.module.file.source

    @property
    def text(self) -> str:
        return self.source.text

    @cached_property
    def bindings(self) -> Bindings:
        return Bindings(self.compiled, self.module, self.recording)

    @cached_property
    def tokens(self) -> Sequence[Token]:
        """The tokens of the text, those of what can't be read too; none of a file that is too large."""
        return () if too_large(self.source) else tokens(self.text)

    def bindings_at(self, offset: int) -> Bindings:
        """The names of the declaration at an offset alone, which are told sooner than those of the whole file."""
        if "bindings" in self.__dict__:
            return self.bindings
        return self.bindings_of(next(iter(self.nodes_at(offset)), None))

    def bindings_of(self, decl: Decl | None) -> Bindings:
        """The names of a declaration alone; none of what is in no declaration."""
        if "bindings" in self.__dict__:
            return self.bindings
        if id(decl) not in self._bindings:
            of = () if decl is None else (decl,)
            self._bindings[id(decl)] = Bindings(self.compiled, self.module, self.recording, of)
        return self._bindings[id(decl)]

    @cached_property
    def _bindings(self) -> dict[int, Bindings]:
        return {}

    def nodes_at(self, offset: int) -> list[Any]:
        """The nodes of the tree whose spans hold the offset or end there, outermost first."""
        found: list[Any] = []
        inside: Sequence[Any] = self.file.declarations
        while (node := _holding(inside, offset)) is not None:
            found.append(node)
            if id(node) not in self._children:
                self._children[id(node)] = [*children(node)]
            inside = self._children[id(node)]
        return found

    @cached_property
    def _children(self) -> dict[int, Sequence[Any]]:
        """By the `id` of each node that was come by: a body of a thousand lines may be asked about at each of them."""
        return {}

    def comment_at(self, offset: int) -> Comment | None:
        """The comment that the offset is in, or at the end of."""
        return next((c for c in self.file.comments if c.span.start < offset <= c.span.end), None)

    def values(self, expr: Expr) -> Sequence[Any]:
        """What the check found an expression to be: see `Recording.values`."""
        return self.recording.values(expr)

    def leads_to(self, name: str, other: str) -> bool:
        """Whether a declaration of this file mentions another one, or mentions one that does."""
        seen, waiting = set(), [name]
        while waiting:
            name = waiting.pop()
            if name == other:
                return True
            if name not in seen:
                seen.add(name)
                waiting += self._mentions.get(name, ())
        return False

    def wanted_of(self, name: str) -> Type:
        """What a constant of this file is wanted as where it is named first."""
        of = [d.decl for d in self.module.declarations() if name in self._mentions[d.name]]
        wants = Bindings(self.compiled, self.module, self.recording, of).wants if of else {}
        found = (w for e, w in wants.items() if isinstance(e, Name) and e.text == name and w != ANY)
        return next(found, ANY)

    @cached_property
    def _mentions(self) -> dict[str, set[str]]:
        """The declared names that stand in each declaration."""
        own = {declared.name: declared.decl for declared in self.module.declarations()}
        return {name: own.keys() & set(_WORD.findall(decl.span.text)) - {name} for name, decl in own.items()}

    def passed(self, what: Stmt | Name) -> Sequence[Passed]:
        """What a statement of a body made of tensors: see `Recording.passed`."""
        return self.recording.passed(what)

    def steps_at(self, span: Span) -> Sequence[Shape]:
        """What a source or transform makes of items in all data blocks that have it, each shape once."""
        return self._steps.get((span.start, span.end), ())

    @cached_property
    def _steps(self) -> dict[tuple[int, int], list[Shape]]:
        found: dict[tuple[int, int], list[Shape]] = {}
        for info in self.compiled.checked.data.values():
            for _, span, shape in info.shapes:
                known = found.setdefault((span.start, span.end), [])
                if span.source is self.source and shape not in known:
                    known.append(shape)
        return found


def _holding(nodes: Sequence[Any], offset: int) -> Any:
    """Of nodes in the order of the text the one that holds an offset or ends there; of two that meet the second."""
    last = bisect_right(nodes, offset, key=_start)
    if last and offset <= nodes[last - 1].span.end:
        return nodes[last - 1]
    # What could not be read may reach over what is behind it.
    return next((node for node in reversed(nodes[:last]) if offset <= node.span.end), None)


def _start(node: Any) -> int:
    return node.span.start
