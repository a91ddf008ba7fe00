"""Where the parser stopped, and what stands around that place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mfc.dsl.diagnostics import Diagnostic, Fix
from mfc.dsl.scan import CHUNK, CLOSING, DECLARATIONS, OPENING, Token
from mfc.dsl.source import Span, apart


@dataclass(frozen=True)
class Mended:
    """What to say of a failure, and the tokens with which reading goes on, or None where it can't.

    `lost` are tokens left out that were a declaration of an unknown kind.
    """

    problem: Diagnostic
    tokens: list[Token] | None = None
    lost: Sequence[Token] = ()


@dataclass(frozen=True)
class Brackets:
    """How the brackets of some tokens match, by index. A closing one never reaches over an open brace."""

    closed_by: dict[int, int]  # opening -> closing
    unclosed: tuple[int, ...]
    stray: tuple[int, ...]


@dataclass(frozen=True)
class Failure:
    """The parser took `tokens[:index]` and nothing in `expected` is the next one."""

    text: str
    tokens: list[Token]
    index: int
    expected: frozenset[str]

    @property
    def token(self) -> Token:
        """The token that can't stand here; at the end of the text an empty one."""
        if self.index < len(self.tokens):
            return self.tokens[self.index]
        end = self.tokens[-1].end if self.tokens else 0
        return Token("$END", "", end, end, fresh=True)

    @property
    def before(self) -> Token:
        return self.at(self.index - 1)

    def at(self, index: int) -> Token:
        """The token at an index; an empty one outside."""
        return self.tokens[index] if 0 <= index < len(self.tokens) else Token("$END", "", 0, 0, fresh=True)

    @cached_property
    def enclosing(self) -> int | None:
        """The index of the innermost bracket that is open here."""
        open_: list[int] = []
        for i, token in enumerate(self.tokens[: self.index]):
            if token.type in OPENING:
                open_.append(i)
            elif token.type in CLOSING and open_:
                open_.pop()
        return open_[-1] if open_ else None

    @property
    def inside(self) -> str:
        """The type of the innermost open bracket, empty outside of all."""
        return "" if self.enclosing is None else self.tokens[self.enclosing].type

    @cached_property
    def declaration(self) -> int | None:
        """The index of the word that opened the declaration here, at the top of the file."""
        depth, found = 0, None
        for i, token in enumerate(self.tokens[: self.index]):
            depth += (token.type in OPENING) - (token.type in CLOSING)
            if depth == 0 and token.type in DECLARATIONS:
                found = i
        return found

    @cached_property
    def brackets(self) -> Brackets:
        closed_by: dict[int, int] = {}
        open_: list[int] = []
        unclosed: list[int] = []
        stray: list[int] = []
        for i, token in enumerate(self.tokens):
            if token.type in OPENING:
                open_.append(i)
            elif token.type in CLOSING:
                if token.type == "RBRACE":
                    while open_ and self.tokens[open_[-1]].type != "LBRACE":
                        unclosed.append(open_.pop())
                if open_ and (self.tokens[open_[-1]].type == "LBRACE") == (token.type == "RBRACE"):
                    closed_by[open_.pop()] = i
                else:
                    stray.append(i)
        return Brackets(closed_by, tuple(sorted(unclosed + open_)), tuple(stray))

    # ── places ──────────────────────────────────────────────────────────────────────────────────────────

    def column(self, token: Token) -> int:
        return token.start - (self.text.rfind("\n", 0, token.start) + 1)

    def line_first(self, index: int) -> int:
        """The index of the first token on the line of a token."""
        while index > 0 and not self.tokens[index].fresh:
            index -= 1
        return index

    def indent(self, index: int) -> int:
        """The column at which the line of a token begins."""
        return self.column(self.tokens[self.line_first(index)])

    def part_start(self, index: int) -> int:
        """The index where the argument, element or value begins that ends just before `index`."""
        depth, fenced = 0, self.inside in ("", "LBRACE")
        while index > 0:
            kind = self.tokens[index - 1].type
            depth += (kind in CLOSING) - (kind in OPENING)
            if depth < 0 or (depth == 0 and kind in ("COMMA", "EQUAL", "IF", "THEN", "ELSE", "FOR", "IN")):
                break
            index -= 1
            if fenced and depth == 0 and self.tokens[index].fresh:
                break
        return index

    def part_end(self, index: int) -> int:
        """The index after the argument, element or value that begins at `index`."""
        depth, fenced, start = 0, self.inside in ("", "LBRACE"), index
        while index < len(self.tokens):
            token = self.tokens[index]
            if depth == 0 and token.type == "COMMA":
                break
            if depth == 0 and index > start and (token.fresh if fenced else token.type == "FOR"):
                break
            depth += (token.type in OPENING) - (token.type in CLOSING)
            if depth < 0:
                break
            index += 1
        return index

    # ── making answers ──────────────────────────────────────────────────────────────────────────────────

    def span(self, first: Token, last: Token | None = None) -> Span:
        return Span(CHUNK, first.start, (last or first).end)

    def source(self, start: int, end: int) -> str:
        """The text of tokens `start` up to, but without, `end`."""
        return self.text[self.tokens[start].start : self.tokens[end - 1].end]

    def replaced(self, start: int, end: int, *new: Token) -> list[Token]:
        """The tokens with those from `start` up to `end` replaced."""
        return [*self.tokens[:start], *new, *self.tokens[end:]]

    def inserted(self, *kinds: tuple[str, str]) -> list[Token]:
        """The tokens with others, given as (type, text), put before the one that failed."""
        place = self.before.end
        return self.replaced(
            self.index, self.index, *(Token(kind, text, place, place) for kind, text in kinds)
        )

    def missing(self, start: int, end: int) -> list[Token]:
        """The tokens with a part replaced by an expression that could not be read."""
        first, last = self.tokens[start], self.tokens[end - 1]
        return self.replaced(start, end, Token("MISSING", "", first.start, last.end, first.fresh))

    def fix(self, title: str, start: int, end: int, text: str, certain: bool = True) -> Fix:
        """A fix that replaces tokens `start` up to, but without, `end`."""
        span = self.span(self.tokens[start], self.tokens[end - 1])
        return Fix(title, span, apart(self.text, span.start, span.end, text), certain)


def quoted(token: Token) -> str:
    """A token as messages show it."""
    if token.type == "$END":
        return "the end"
    return f"`{token.text}`" if len(token.text) <= 40 else f"`{token.text[:37]}...`"
