"""Text to tokens. No token spans lines, so a mistake in one never swallows the next line.

Offsets count from the start of the text that is scanned, which is one chunk of a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple


class Token(NamedTuple):
    """A token for the parser. `fresh` tells that it is the first on its line."""

    type: str
    text: str
    start: int
    end: int
    fresh: bool = False


KEYWORDS = {
    word: word.upper()
    for word in ("if", "then", "else", "for", "in", "and", "or", "not", "true", "false", "none")
}
DECLARATION_WORDS = (
    "import", "use", "language", "param", "let", "data", "tokenizer", "optimizer", "block", "model", "train",
    "evaluate", "export",
)  # fmt: skip
SYMBOLS = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", "{": "LBRACE", "}": "RBRACE", "==": "EQ", "!=": "NE",
    "<=": "LE", ">=": "GE", "<": "LT", ">": "GT", "**": "POWER", "//": "DOUBLE_SLASH", "+": "PLUS", "-": "MINUS",
    "*": "STAR", "/": "SLASH", "%": "PERCENT", "->": "ARROW", "..": "DOTS", ".": "DOT", ",": "COMMA", ":": "COLON",
    "=": "EQUAL",
}  # fmt: skip

_TOKEN = re.compile(
    r"[ \t\r\f\v\ufeff]*(?:"
    r"([A-Za-z_][A-Za-z0-9_]*)"
    r"|([0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?)"
    r'|(r"[^"\n]*"|"(?:[^"\\\n]|\\[^\n])*")'
    r"|(==|!=|<=|>=|\*\*|//|->|\.\.|[()\[\]{}<>+\-*/%.,:=])"
    r"|(\n)"
    r"|(\#[^\n]*)"
    r"|([^\n]))"
)
_NAME, _NUMBER, _STRING, _SYMBOL, _NEWLINE, _COMMENT, _OTHER = range(1, 8)

# After one of these a value or a name must come, so a word there is never a keyword that opens something.
_BEFORE_OPERAND = {"EQUAL", "LPAR", "LSQB", "COMMA", "COLON", "DOT", "ARROW", "DOTS"} | {
    "EQ", "NE", "LE", "GE", "LT", "GT", "POWER", "DOUBLE_SLASH", "PLUS", "MINUS", "STAR", "SLASH", "PERCENT",
    "IF", "THEN", "FOR", "IN", "AND", "OR", "NOT",
}  # fmt: skip


@dataclass
class Scan:
    """The tokens of a text, and its comments as (start, end)."""

    tokens: list[Token] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)


def scan(text: str) -> Scan:
    """Splits a text into tokens."""
    found = Scan()
    add = found.tokens.append
    fresh = True
    for match in _TOKEN.finditer(text):
        kind = match.lastindex
        start, end = match.span(kind)
        piece = match[kind]
        if kind == _NEWLINE:
            fresh = True
            continue
        if kind == _COMMENT:
            found.comments.append((start, start + len(piece.rstrip())))
            continue
        if kind == _NAME:
            add(Token(KEYWORDS.get(piece, "NAME"), piece, start, end, fresh))
        elif kind == _SYMBOL:
            add(Token(SYMBOLS[piece], piece, start, end, fresh))
        else:
            add(
                Token(
                    "NUMBER" if kind == _NUMBER else "STRING" if kind == _STRING else "OTHER",
                    piece,
                    start,
                    end,
                    fresh,
                )
            )
        fresh = False
    _soft_keywords(found.tokens)
    return found


_SOFT = {*DECLARATION_WORDS, "group", "phase", "branch", "module"}


def _soft_keywords(tokens: list[Token]) -> None:
    """Gives words that are keywords only in their place their types: by the tokens beside them, never by more."""
    depth, declaration = 0, ""
    last = len(tokens) - 1
    for i, token in enumerate(tokens):
        if token.type == "NAME":
            if token.text in _SOFT and i < last:
                kind = _soft(tokens, i, depth)
                if kind:
                    tokens[i] = token._replace(type=kind)
                    if depth == 0:
                        declaration = kind
        elif token.type in ("LPAR", "LSQB", "LBRACE"):
            depth += 1
        elif token.type in ("RPAR", "RSQB", "RBRACE"):
            depth -= 1
        elif token.type == "IN" and depth == 0 and declaration == "PARAM":
            tokens[i] = token._replace(type="WITHIN")
            if i + 2 <= last and tokens[i + 1].text == "log" and tokens[i + 2].type == "LPAR":
                tokens[i + 1] = tokens[i + 1]._replace(type="LOG")


def _soft(tokens: list[Token], i: int, depth: int) -> str | None:
    word, after = tokens[i].text, tokens[i + 1].type
    before = tokens[i - 1].type if i else ""
    if word in ("branch", "module"):
        return word.upper() if before == "EQUAL" and after == "LBRACE" else None
    if before in _BEFORE_OPERAND or before in ("LET", "PARAM"):
        return None
    if word in ("group", "phase"):
        opens = after == "NAME" and i + 2 < len(tokens) and tokens[i + 2].type == "LBRACE"
    elif word == "let":
        opens = after == "NAME"
    elif depth > 0:
        return None
    elif word in ("import", "use"):
        opens = after == "STRING"
    elif word == "language":
        opens = after == "NUMBER" and tokens[i + 1].text.isdigit()
    else:
        opens = after == "NAME"
    return word.upper() if opens else None
