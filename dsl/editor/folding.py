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
    """A part of several lines. All but the first line of `span` can be folded away. `kind` is `region`, `comment` or
    `imports`."""

    span: Span
    kind: str


def folds(document: Document) -> list[Fold]:
    """Bodies, lists and calls over several lines, blocks of comments and runs of imports: of those that begin on one line
    the largest."""
    found: dict[int, Fold] = {}
    for fold in (*_brackets(document), *_comments(document), *_imports(document)):
        first, last = _line(document, fold.span.start), _line(document, fold.span.end)
        if first < last and (first not in found or found[first].span.end < fold.span.end):
            found[first] = fold
    return [found[first] for first in sorted(found)]


def _brackets(document: Document) -> Iterator[Fold]:
    """A line that begins with the bracket that closes them stays visible."""
    for opening, closing in _pairs(document.tokens):
        start = document.source.line_starts[_line(document, closing.start) - 1]
        alone = opening.end < start and not document.text[start : closing.start].strip(" \t)]},")
        yield Fold(Span(document.source, opening.end, start - 1 if alone else closing.start), "region")


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
    run: list[Span] = []
    for comment in document.file.comments:
        if not _is_alone(document, comment.span):
            continue
        if run and _line(document, comment.span.start) > _line(document, run[-1].end) + 1:
            yield Fold(run[0].to(run[-1]), "comment")
            run = []
        run.append(comment.span)
    if run:
        yield Fold(run[0].to(run[-1]), "comment")


def _imports(document: Document) -> Iterator[Fold]:
    run: list[Span] = []
    for decl in (*document.file.declarations, None):
        if isinstance(decl, Import):
            run.append(decl.span)
        elif run:
            yield Fold(run[0].to(run[-1]), "imports")
            run = []


def _line(document: Document, offset: int) -> int:
    return document.source.position(offset)[0]


def _is_alone(document: Document, comment: Span) -> bool:
    """Whether nothing stands before a comment on its line."""
    _, column = document.source.position(comment.start)
    return not document.text[comment.start - column + 1 : comment.start].strip(" \t\ufeff")


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
