"""What formatting keeps: the tokens and comments of a file in their order, and what lies between them in the source.

Commas are no pieces. They stand in the gaps between pieces, so that the layout may move one before a comment, add one
after the last item of a list, and take it away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from mfc.dsl.chunks import readings
from mfc.dsl.recovery import Reading
from mfc.dsl.scan import CLOSING, DECLARATIONS, Token, scan
from mfc.dsl.syntax import BrokenDecl

FILE = -1  # stands for the brace of the file, whose statements are its declarations
COMMENT = "COMMENT"
BROKEN = "BROKEN"  # a chunk that can't be read: it stays as it is

# Brackets by what they do: `LPAR` is left for parentheses around an expression, `LSQB` for lists.
CALL, INDEX = "CALL", "INDEX"
BRACKETS = frozenset({"LPAR", "LSQB", CALL, INDEX})

OPERAND_ENDS = frozenset({"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NONE", "RPAR", "RSQB"})
_ENDS = OPERAND_ENDS | {"RBRACE"}
_STARTS = frozenset({"NAME", "LET", "GROUP", "PHASE", "IF", "FOR"})


@dataclass
class Pieces:
    """The pieces of a file. Lists have an entry for each of them."""

    kinds: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    flats: list[str] = field(default_factory=list)
    """What stands before a piece where all around it stands on one line."""
    newlines: list[int] = field(default_factory=list)
    """How many line ends the source has before a piece."""
    commas: list[bool] = field(default_factory=list)
    """Whether a comma follows a piece; the one after a last item does not count."""
    own: set[int] = field(default_factory=set)
    """Comments that have a line of their own, but for a comma."""
    partners: dict[int, int] = field(default_factory=dict)
    """The closing bracket of each opening one."""
    bodies: dict[int, list[int]] = field(default_factory=lambda: {FILE: []})
    """Where the statements of a body, and the comments between them, begin; by its brace."""
    long: set[int] = field(default_factory=set)
    """Braces of bodies that the source has on several lines."""
    widths: list[int] = field(default_factory=list)
    """What all pieces up to one, that one included, take on one line."""
    upright: list[int] = field(default_factory=list)
    """How many pieces before one keep what holds them from standing on one line."""

    def width(self, start: int, end: int) -> int:
        """What pieces take on one line."""
        return self.widths[end - 1] - self.widths[start] + self.ends[start] - self.starts[start]

    def flat(self, start: int, end: int) -> bool:
        """Whether pieces can stand on one line, however long."""
        return self.upright[start] == self.upright[end]

    def nodes(self, start: int, end: int) -> Iterator[int]:
        """The pieces that stand in no bracket, and the opening brackets of the others."""
        while start < end:
            yield start
            start = self.partners.get(start, start) + 1


def read_pieces(text: str, start: int = 0) -> Pieces:
    """The pieces of a text from an offset on."""
    reader = _Reader(text, start)
    found = list(readings(text))
    for (begin, reading), end in zip(found, [*(begin for begin, _ in found[1:]), len(text)]):
        if _is_broken(reading):
            reader.broken(max(begin, start), end)
        else:
            reader.chunk(begin, end)
    pieces = reader.pieces
    lengths = (len(flat) + end - start for flat, start, end in zip(pieces.flats, pieces.starts, pieces.ends))
    pieces.widths = list(accumulate(lengths))
    upright = (kind in (COMMENT, BROKEN) or piece in pieces.long for piece, kind in enumerate(pieces.kinds))
    pieces.upright = list(accumulate(upright, initial=0))
    return pieces


def _is_broken(reading: Reading) -> bool:
    return bool(reading.problems) or any(isinstance(d, BrokenDecl) for d in reading.declarations)


class _Reader:
    """Puts pieces together, token by token."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.pieces = Pieces()
        self.end = start  # of the last piece
        self.open: list[int] = []
        self.last, self.last_piece = "", -1  # the kind of the last token, and its piece if it is no comma
        self.each = False  # whether the next `in` is that of a `for`
        # comments that stand between statements, or else within one: what follows tells
        self.waiting: list[int] = []

    def broken(self, start: int, end: int) -> None:
        self.pieces.bodies[FILE].append(self.add(BROKEN, start, end, "", True))

    def chunk(self, start: int, end: int) -> None:
        found = scan(self.text[start:end])
        self.last = ""
        at = 0
        for token in found.tokens:
            while at < len(found.comments) and found.comments[at][0] < token.start:
                self.comment(*found.comments[at], start)
                at += 1
            self.token(token, start)
        for comment in found.comments[at:]:
            self.comment(*comment, start)
        self.pieces.bodies[FILE] += self.waiting
        self.waiting.clear()

    def add(self, kind: str, start: int, end: int, flat: str, counted: bool) -> int:
        pieces = self.pieces
        pieces.kinds.append(kind)
        pieces.starts.append(start)
        pieces.ends.append(end)
        pieces.flats.append(flat)
        pieces.newlines.append(self.text.count("\n", self.end, start) if counted else 0)
        pieces.commas.append(False)
        self.end = end
        return len(pieces.kinds) - 1

    def comment(self, start: int, end: int, offset: int) -> None:
        piece = self.add(COMMENT, offset + start, offset + end, "  ", True)
        if not piece or self.pieces.newlines[piece]:
            self.pieces.own.add(piece)
        if self.in_body():
            self.waiting.append(piece)

    def in_body(self) -> bool:
        return not self.open or self.pieces.kinds[self.open[-1]] == "LBRACE"

    def token(self, token: Token, offset: int) -> None:
        last, pieces = self.last, self.pieces
        kind = self.last = self.by_place(token.type, last)
        if kind == "COMMA":
            return
        starts = self.starts_statement(kind, last)
        if last == "COMMA":
            flat = "" if kind in CLOSING else ", "
            pieces.commas[self.last_piece] = kind not in CLOSING
        elif starts:
            flat = " " if last == "LBRACE" else "  "
        else:
            flat = _gap(last, kind)
        piece = self.add(kind, offset + token.start, offset + token.end, flat, token.fresh)
        self.last_piece = piece
        if starts or kind == "RBRACE":
            body = pieces.bodies[self.open[-1] if self.open else FILE]
            body += self.waiting
            if starts:
                body.append(piece)
        self.waiting.clear()
        if kind in BRACKETS:
            self.open.append(piece)
        elif kind == "LBRACE":
            self.open.append(piece)
            pieces.bodies[piece] = []
        elif kind in CLOSING:
            opening = self.open.pop()
            pieces.partners[opening] = piece
            within = pieces.ends[opening], offset + token.start
            if kind == "RBRACE" and pieces.bodies[opening] and self.text.find("\n", *within) >= 0:
                pieces.long.add(opening)

    def starts_statement(self, kind: str, last: str) -> bool:
        """Whether a token is the first of a statement: no expression goes on with a name or a word behind an operand."""
        if not self.open:
            return kind in DECLARATIONS
        if self.pieces.kinds[self.open[-1]] != "LBRACE" or kind == "RBRACE":
            return False
        return last == "LBRACE" or (last in _ENDS and kind in _STARTS)

    def by_place(self, kind: str, last: str) -> str:
        """The kind of a token by what stands before it."""
        if kind == "LPAR":
            return CALL if last in OPERAND_ENDS or last in ("COLON", "ARROW") else kind
        if kind == "LSQB":
            return INDEX if last in OPERAND_ENDS else kind
        if kind == "MINUS":
            return kind if last in OPERAND_ENDS else "SIGN"
        if kind == "FOR":
            self.each = True
        elif kind == "IN" and self.each:
            self.each = False
            return "EACH"
        return kind


_TIGHT_AFTER = {"", "LPAR", "LSQB", CALL, INDEX, "DOT", "DOTS", "SIGN"}
_TIGHT_BEFORE = {"RPAR", "RSQB", "DOT", "DOTS", "COLON", INDEX}


@cache
def _gap(before: str, after: str) -> str:
    """What stands between two tokens on one line."""
    if before in _TIGHT_AFTER or after in _TIGHT_BEFORE:
        return ""
    if after == CALL:  # the names of an import stand apart from its path, arguments beside what has them
        return " " if before in ("STRING", "COLON", "ARROW") else ""
    return "" if before == "LOG" else " "
