"""What a name in a spec stands for, so that all places that mean the same thing can be found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mfc.dsl.component import Component
from mfc.dsl.resolve import Declared
from mfc.dsl.syntax import Name, declaration_kind

LOCAL = ("parameter", "variable", "tensor", "module", "group", "phase")
OF_LANGUAGE = (
    "field",
    "argument",
    "component",
    "function",
    "constant",
    "choice",
    "attribute",
    "type",
    "statement",
)
OTHER = ("file", "unknown")


@dataclass(frozen=True)
class Symbol:
    """Equal symbols are the same thing, in whatever file and by whatever compilation they were found.

    Args:
        kind: one of `syntax.DECLARED` (what stands at the top of a file), `LOCAL` (what is named within a declaration:
            `variable` for `let`s, loops and comprehensions, `tensor` for branches and kept tensors), `OF_LANGUAGE`, or
            `OTHER`: a `file` that is imported; what a broken declaration or a missing file should have brought.
        name: as it is written.
        home: the absolute path of the file that defines it; of an `argument` the target of its component, of a `field`
            the kind of its declaration, of a `component` its target; else empty.
        at: where in `home` its name stands, in code points from the start; -1 where it stands in no spec.
        target: what is known of it: a `Declared`, a `Component` or several, a `syntax.Parameter`, a `fields.Field`, a
            `calls.Slot`, a statement.
    """

    kind: str
    name: str
    home: str = ""
    at: int = -1
    target: Any = field(default=None, compare=False, repr=False)

    @property
    def in_spec(self) -> bool:
        """Whether a spec defines it, so that it can be renamed."""
        return self.at >= 0 and self.kind != "file"


def declared_symbol(declared: Declared) -> Symbol:
    """What a declaration's name stands for."""
    name = declared.decl.name
    assert name is not None
    return Symbol(declaration_kind(declared.decl), name.text, declared.module.path, name.span.start, declared)


def local_symbol(kind: str, name: Name, path: str, target: Any = None) -> Symbol:
    return Symbol(kind, name.text, path, name.span.start, target)


def component_symbol(component: Component) -> Symbol:
    return Symbol("component", component.name, component.target, -1, component)
