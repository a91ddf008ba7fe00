"""Parts of a file that can be folded away, and ever larger parts around a place to select."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mfc.dsl.editor.document import Document
from mfc.dsl.scan import CLOSING, DECLARATIONS, OPENING, Token
from mfc.dsl.source import Span
from mfc.dsl.syntax import Import


@dataclass(frozen=True)
class Fold:
    """Lines, counted from 1, of which the first stays visible. `kind` is `region`, `comment` or `imports`."""

    first: int
    last: int
    kind: str


def folds(document: Document) -> list[Fold]:
    """Bodies, lists and calls over several lines, blocks of comments and runs of imports, by their first lines: one for
    each, the largest."""
    found: dict[int, Fold] = {}
    for fold in (*_brackets(document), *_comments(document), *_imports(document)):
        known = found.get(fold.first)
        if fold.first < fold.last and (known is None or known.last < fold.last):
            found[fold.first] = fold
    return [found[first] for first in sorted(found)]


def _brackets(document: Document) -> Iterator[Fold]:
    """A line that begins with the bracket that closes them stays visible."""
    for opening, closing in _pairs(document.tokens):
        first, last = _line(document, opening.start), _line(document, closing.start)
        start = document.source.line_starts[last - 1]
        alone = not document.text[start : closing.start].strip(" \t)]},")
        yield Fold(first, last - alone, "region")


def _pairs(tokens: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """Brackets with those that close them. What is left open is not taken further than to the next declaration."""
    open_: list[Token] = []
    for token in tokens:
        if token.type in OPENING:
            open_.append(token)
        elif token.type in CLOSING:
            if open_ and open_[-1].type == CLOSING[token.type]:
                yield open_.pop(), token
        elif token.type in _BEGINNINGS:
            open_.clear()


_BEGINNINGS = DECLARATIONS - {"LET"}


def _comments(document: Document) -> Iterator[Fold]:
    alone = [c.span for c in document.file.comments if _is_alone(document, c.span)]
    for first, last in _runs([_line(document, span.start) for span in alone]):
        yield Fold(first, last, "comment")


def _imports(document: Document) -> Iterator[Fold]:
    run: list[Span] = []
    for decl in (*document.file.declarations, None):
        if isinstance(decl, Import):
            run.append(decl.span)
        elif run:
            yield Fold(_line(document, run[0].start), _line(document, run[-1].end), "imports")
            run = []


def _line(document: Document, offset: int) -> int:
    return document.source.position(offset)[0]


def _is_alone(document: Document, comment: Span) -> bool:
    """Whether nothing stands before a comment on its line."""
    _, column = document.source.position(comment.start)
    return not document.text[comment.start - column + 1 : comment.start].strip(" \t\ufeff")


def _runs(lines: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and last of lines that follow one another."""
    first = 0
    for place, line in enumerate(lines):
        if place + 1 == len(lines) or lines[place + 1] != line + 1:
            yield lines[first], line
            first = place + 1


# ── selection ───────────────────────────────────────────────────────────────────────────────────────────


def selections(document: Document, offset: int) -> list[Span]:
    """Ever larger parts of the text around an offset: the word, what it is part of, what stands between the brackets
    around it, its statement, its declaration, with its documentation, the whole file."""
    text, source = document.text, document.source
    found = [(0, len(text))]
    found += [(node.span.start, node.span.end) for node in document.nodes_at(offset)]
    found += list(_documented(document))
    for opening, closing in _pairs(document.tokens):
        found += [(opening.start, closing.end), (opening.end, closing.start)]
        inner = text[opening.end : closing.start]
        start = opening.end + len(inner) - len(inner.lstrip())
        found.append((start, start + len(inner.strip())))
    for token in document.tokens:
        found.append((token.start, token.end))
        if token.type == "STRING":
            found.append((token.start + 1 + text.startswith("r", token.start), token.end - 1))
    for comment in document.file.comments:
        found.append((comment.span.start, comment.span.end))
    holding = {(start, end) for start, end in found if start <= offset <= end and start < end} or {(0, 0)}
    chain: list[tuple[int, int]] = []
    for start, end in sorted(holding, key=lambda part: part[1] - part[0]):
        if not chain or (start <= chain[-1][0] and chain[-1][1] <= end):
            chain.append((start, end))
    return [Span(source, start, end) for start, end in chain]


def _documented(document: Document) -> Iterator[tuple[int, int]]:
    """Each declaration with the block of documentation above it."""
    above = {}
    for comment in document.file.comments:
        if comment.text.startswith("##") and _is_alone(document, comment.span):
            line = _line(document, comment.span.start)
            above[line + 1] = above.pop(line, comment.span.start)
    for decl in document.file.declarations:
        if (start := above.get(_line(document, decl.span.start))) is not None:
            yield start, decl.span.end
