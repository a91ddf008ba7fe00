"""What each word of a file is, for editors that colour it: more than a grammar can tell, as names are followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mfc.dsl.component import Component
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.occurrences import Occurrence
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.scan import DECLARATIONS, KEYWORDS, SYMBOLS
from mfc.dsl.syntax import DECLARED

TYPES = (
    "keyword", "class", "function", "variable", "parameter", "property", "enumMember", "namespace", "type", "string",
    "number", "operator", "comment",
)  # fmt: skip
OF_GRAMMAR = ("keyword", "string", "number", "operator", "comment")
"""The types of `TYPES` that need no names: what a grammar tells as well, and in more detail."""

MODIFIERS = ("declaration", "definition", "readonly", "defaultLibrary", "documentation")

_OF_SYMBOLS = {
    "param": "variable", "let": "variable", "data": "class", "tokenizer": "class", "optimizer": "class",
    "block": "function", "model": "class", "train": "class", "evaluate": "class", "export": "class",
    "parameter": "parameter", "variable": "variable", "tensor": "variable", "module": "variable",
    "group": "namespace", "phase": "namespace", "field": "property", "argument": "parameter",
    "component": "function", "function": "function", "statement": "function", "constant": "variable",
    "choice": "enumMember", "attribute": "property", "type": "type",
}  # fmt: skip
_WORDS = {*KEYWORDS.values(), *DECLARATIONS, "GROUP", "PHASE", "BRANCH", "MODULE", "WITHIN"}
_OPERATORS = {
    kind for text, kind in SYMBOLS.items() if text not in ("(", ")", "[", "]", "{", "}", ".", ",", ":")
}
_OF_TOKENS = {
    **dict.fromkeys(_WORDS, "keyword"), **dict.fromkeys(_OPERATORS, "operator"),
    "STRING": "string", "NUMBER": "number", "LOG": "function",
}  # fmt: skip
_CONSTANT = ("param", "let", "variable", "constant")
_OF_LANGUAGE = ("function", "statement", "constant", "type")


class SemanticToken(NamedTuple):
    """A part of a line, one of `TYPES`, and some of `MODIFIERS`. Offsets are code points from the start of the text."""

    start: int
    end: int
    type: str
    modifiers: Sequence[str] = ()


def semantic_tokens(document: Document) -> list[SemanticToken]:
    """What can be told of the words, numbers, strings, operators and comments of a file, in order. None goes over
    several lines, or into another one. Names that stand for nothing are left out."""
    names = {o.span.start: o for o in document.bindings.occurrences if o.symbol.kind != "file"}
    found = sorted([*_comments(document), *_tokens(document, names)])
    return (
        [piece for token in found for piece in _lines(document.text, token)]
        if "\r" in document.text
        else found
    )


def _lines(text: str, token: SemanticToken) -> Iterator[SemanticToken]:
    """What stands on each line of a token: to editors a carriage return alone ends one, too."""
    start = token.start
    for line in text[token.start : token.end].split("\r"):
        if line:
            yield token._replace(start=start, end=start + len(line))
        start += len(line) + 1


def _comments(document: Document) -> Iterator[SemanticToken]:
    for comment in document.file.comments:
        modifiers = ("documentation",) if comment.text.startswith("##") else ()
        yield SemanticToken(comment.span.start, comment.span.end, "comment", modifiers)


def _tokens(document: Document, names: dict[int, Occurrence]) -> Iterator[SemanticToken]:
    for token in document.tokens:
        occurrence = names.get(token.start)
        kind = _OF_TOKENS.get(token.type)
        if occurrence is not None and occurrence.symbol.kind in _OF_SYMBOLS:
            kind = _OF_SYMBOLS[occurrence.symbol.kind]
            yield SemanticToken(token.start, token.end, kind, _modifiers(document, occurrence))
        elif kind is not None:
            yield SemanticToken(token.start, token.end, kind)


def _modifiers(document: Document, occurrence: Occurrence) -> Sequence[str]:
    symbol = occurrence.symbol
    found = []
    if occurrence.defines:
        found.append("definition" if symbol.kind in DECLARED else "declaration")
    if symbol.kind in _CONSTANT:
        found.append("readonly")
    if _ships(document, symbol):
        found.append("defaultLibrary")
    return found


def _ships(document: Document, symbol: Symbol) -> bool:
    """Whether it comes with the package."""
    if isinstance(symbol.target, Component):
        own = symbol.target
        return document.compiled.catalog.lookup(own.kind, own.name) is own
    return symbol.kind in _OF_LANGUAGE or symbol.home.startswith(f"{document.compiled.standard}/")
