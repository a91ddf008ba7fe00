"""What is gathered for a completion: each thing once, with what is inserted for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mfc.dsl.callables import component_signature
from mfc.dsl.calls import Signature
from mfc.dsl.component import Component
from mfc.dsl.editor import snippets
from mfc.dsl.editor.cursor import Cursor
from mfc.dsl.editor.declared import declaration_form
from mfc.dsl.editor.edits import Edit
from mfc.dsl.editor.importable import Nearby
from mfc.dsl.editor.signatures import declared_signature
from mfc.dsl.editor.symbols import Symbol, component_symbol, declared_symbol
from mfc.dsl.resolve import Declared
from mfc.dsl.source import Span


class Rank(IntEnum):
    """How likely something is meant, the likeliest first."""

    WORD = 0  # one of the words that a place takes
    OWN = 1  # what the spec declares, of the kind or type that is wanted
    WANTED = 2  # fields, components and members of the kind that is wanted
    ARGUMENT = 3
    IMPORTED = 4  # what an import would bring in
    LOCAL = 5  # other names of the spec
    FUNCTION = 6
    STATEMENT = 7
    KEYWORD = 8
    OTHER = 9  # components of other kinds


@dataclass(frozen=True)
class Completion:
    """Something that can be written at a place.

    Args:
        label: how it is listed; what is typed is held against it.
        kind: that of its symbol, or `declaration`, `keyword`, `file`, `folder`.
        span: what is replaced: the word that is being typed.
        text: what stands there then; with `snippet`, it has places to fill in.
        detail: how it is called, or what it is, on one line.
        rank: where in the list it comes; of one rank by `order`, then by label.
        symbol: what its documentation is about; of an argument, `within` is what it is given to.
        edits: changes elsewhere in the file, such as an import.
    """

    label: str
    kind: str
    span: Span
    text: str
    detail: str = ""
    rank: Rank = Rank.WANTED
    order: int = 0
    snippet: bool = False
    symbol: Symbol | None = None
    within: Symbol | None = None
    edits: tuple[Edit, ...] = ()


class Brought(NamedTuple):
    """What brings in a name of another file: that file as an import names it, and the change that adds the import."""

    path: str
    edit: Edit


_NOT_CALLED = (
    "constant", "choice", "attribute", "argument", "parameter", "variable", "tensor", "module", "group", "keyword",
)  # fmt: skip


class Offers:
    """The completions of one place in the making."""

    def __init__(self, here: Cursor, nearby: Nearby) -> None:
        self.here = here
        self.nearby = nearby
        self._found: dict[str, Completion] = {}

    def add(
        self,
        label: str,
        kind: str,
        rank: Rank,
        detail: str = "",
        text: str | None = None,
        *,
        order: int = 0,
        snippet: bool = False,
        symbol: Symbol | None = None,
        within: Symbol | None = None,
        edits: tuple[Edit, ...] = (),
    ) -> None:
        """Offers something; of several of one name the likeliest. Before a parenthesis only what can be called."""
        if kind in _NOT_CALLED and self.here.followed == "LPAR":
            return
        known = self._found.get(label)
        if known is None or rank < known.rank:
            text = label if text is None else text
            span = self.here.word
            self._found[label] = Completion(
                label, kind, span, text, detail, rank, order, snippet, symbol, within, edits
            )

    def symbol(self, symbol: Symbol, rank: Rank, detail: str = "") -> None:
        """Offers a name as it is."""
        self.add(symbol.name, symbol.kind, rank, detail, symbol=symbol)

    def component(
        self,
        component: Component,
        rank: Rank,
        *,
        call: bool = True,
        listed: bool = False,
        brought: Brought | None = None,
    ) -> None:
        """Offers a component, with `call` as a call of it, with `listed` as the only item of a list."""
        symbol, signature = component_symbol(component), component_signature(component)
        self._callable(symbol, rank, component.signature(), signature if call else None, listed, brought)

    def declared(
        self,
        declared: Declared,
        rank: Rank,
        *,
        call: bool = True,
        listed: bool = False,
        brought: Brought | None = None,
    ) -> None:
        """Offers a declaration; with `call` as a call of it, if it has parameters."""
        symbol, signature = declared_symbol(declared), declared_signature(declared)
        if symbol.kind == "block" and signature is None:
            signature = Signature(declared.name, [])
        self._callable(symbol, rank, declaration_form(declared), signature if call else None, listed, brought)

    def _callable(
        self,
        symbol: Symbol,
        rank: Rank,
        form: str,
        signature: Signature | None,
        listed: bool,
        brought: Brought | None,
    ) -> None:
        text = symbol.name
        called = self.here.followed == "LPAR"
        if called and signature is None:
            return
        if signature is not None and not called:
            text = snippets.call(signature)
        text = f"[{text}]" if listed else text
        detail = form if brought is None else f'{form}  "{brought.path}"'
        edits = () if brought is None else (brought.edit,)
        self.add(
            symbol.name, symbol.kind, rank, detail, text, snippet="$" in text, symbol=symbol, edits=edits
        )

    def sorted(self) -> list[Completion]:
        """All that was gathered, the likeliest first."""
        return sorted(self._found.values(), key=lambda found: (found.rank, found.order, found.label))
