"""Reads one chunk: tokens to nodes."""

from __future__ import annotations

from lark.exceptions import UnexpectedToken

from mfc.dsl import syntax
from mfc.dsl.builder import CHUNK
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.grammar import parser
from mfc.dsl.scan import Token, scan
from mfc.dsl.source import Span

Read = tuple[tuple[syntax.Decl, ...], tuple[syntax.Comment, ...], tuple[Diagnostic, ...]]


def read(text: str) -> Read:
    """The declarations, comments and problems of a text. Spans count from its start."""
    found = scan(text)
    comments = tuple(
        syntax.Comment(text[start:end], Span(CHUNK, start, end)) for start, end in found.comments
    )
    tokens = found.tokens
    feed = parser().parse_interactive().parser_state.feed_token
    try:
        for token in tokens:
            feed(token)
        end = len(text)
        return tuple(feed(Token("$END", "", end, end), True)), comments, ()
    except UnexpectedToken as error:
        token: Token = error.token
        problem = Diagnostic("E0101", f"unexpected `{token.text}`", Span(CHUNK, token.start, token.end))
        return (_broken(tokens),), comments, (problem,)


def _broken(tokens: list[Token]) -> syntax.BrokenDecl:
    word = tokens[0]
    name = tokens[1] if len(tokens) > 1 and tokens[1].type == "NAME" else None
    return syntax.BrokenDecl(
        word.text,
        syntax.Name(name.text, Span(CHUNK, name.start, name.end)) if name else None,
        Span(CHUNK, word.start, tokens[-1].end),
    )
