"""What stands between the pieces of a file when it is formatted.

Line ends between statements are the author's, those within one are not: it stands on one line if that fits, else the
last of its brackets that can is broken, one item a line. Nothing here depends on other spaces of the source, so that
what is formatted once stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mfc.dsl.format_pieces import BRACKETS, BROKEN, CALL, COMMENT, FILE, INDEX, OPERAND_ENDS, Pieces

WIDTH = 100
INDENT = 4

# What has its `=` aligned, and what its braces.
_VALUES = {"MODEL", "TOKENIZER", "OPTIMIZER"}
_ROWS = {"PHASE", "GROUP", "BLOCK", "MODEL", "TRAIN", "EVALUATE", "EXPORT"}

# Where an expression is broken, the outermost first. Lines begin with these.
_EACH = 0
_RANKS = {
    "FOR": _EACH, "ELSE": 1, "THEN": 2, "OR": 3, "AND": 4, "EQ": 5, "NE": 5, "LT": 5, "LE": 5, "GT": 5, "GE": 5,
    "IN": 5, "PLUS": 6, "MINUS": 6, "STAR": 7, "SLASH": 7, "DOUBLE_SLASH": 7, "PERCENT": 7, "POWER": 8,
}  # fmt: skip


@dataclass
class _Line:
    """Statements that stand on one line, or an item of a list; and the comment at its end. Or a comment alone."""

    parts: list[tuple[int, int]] = field(default_factory=list)
    comment: int | None = None
    blank: bool = False  # whether an empty line stands before it

    @property
    def first(self) -> int:
        return self.parts[0][0]

    @property
    def end(self) -> int:
        return self.parts[-1][1]


@dataclass(frozen=True)
class _Mark:
    """The piece of a line that is aligned with those of the lines around it that are of the same kind."""

    kind: str
    piece: int
    row: bool = False


def layout(pieces: Pieces) -> list[str]:
    """The gaps of formatted text: one before each piece, and one at the end of the file."""
    if not pieces.kinds:
        return [""]
    maker = _Layout(pieces)
    maker.lines(maker.split(FILE, len(pieces.kinds), apart=True), 0)
    return [*maker.gaps, "" if pieces.kinds[-1] == BROKEN else "\n"]


class _Layout:
    """Fills `gaps`. What is not touched stays as it would be on one line."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.kinds = pieces.kinds
        self.gaps = list(pieces.flats)
        self.commas = list(pieces.commas)

    # ── lines ───────────────────────────────────────────────────────────────────────────────────────────────

    def split(self, brace: int, end: int, apart: bool) -> list[_Line]:
        """The statements and comments of a body by lines: as the author has them, or each on its own."""
        begins = self.pieces.bodies[brace]
        return self.by_line(zip(begins, [*begins[1:], end]), apart)

    def by_line(self, parts: Iterator[tuple[int, int]], apart: bool) -> list[_Line]:
        lines: list[_Line] = []
        for start, end in parts:
            newlines = self.pieces.newlines[start]
            blank = bool(lines) and newlines > 1
            if self.kinds[start] == COMMENT:
                if start not in self.pieces.own and lines:
                    lines[-1].comment = start
                else:
                    lines.append(_Line(comment=start, blank=blank))
            elif lines and lines[-1].parts and not newlines and not apart:
                lines[-1].parts.append((start, end))
            else:
                lines.append(_Line([(start, end)], blank=blank))
        return lines

    def lines(self, lines: Sequence[_Line], indent: int, tail: int = 0, hang: int = INDENT) -> None:
        """Lays out lines; `tail` is what follows each of them, `hang` how far one that is broken hangs over."""
        lines = [part for line in lines for part in self.parted(line, indent)]
        pads = self.pads(lines, indent)
        ends: list[tuple[int, int] | None] = []  # comments at ends of lines, and where these end
        for line in lines:
            if not line.parts:
                assert line.comment is not None
                self.lead(line.comment, indent, line.blank)
                ends.append(None)
                continue
            self.newline(line.first, indent, line.blank)
            mark, pad = pads.get(line.first, (None, 0))
            if mark:
                self.gaps[mark.piece] += " " * pad
            if len(line.parts) > 1 or (mark and mark.row):
                column = indent + self.pieces.width(line.first, line.end) + pad
            elif mark:
                column = indent + self.pieces.width(line.first, mark.piece + 1) + pad + 1
                column = self.sequence(mark.piece + 1, line.end, indent, column, tail, hang)
            else:
                column = self.statement(line.first, line.end, indent, tail, hang)
            if line.comment is None or line.blank or self.is_tall(line):
                ends.append(None)
            if line.comment is not None:
                ends.append((line.comment, column))
        self.align(ends)

    def parted(self, line: _Line, indent: int) -> list[_Line]:
        """A line, or its statements each on its own where they don't fit."""
        if len(line.parts) < 2 or self.fits(line.first, line.end, indent):
            return [line]
        lines = [_Line([part]) for part in line.parts]
        lines[0].blank, lines[-1].comment = line.blank, line.comment
        return lines

    def is_tall(self, line: _Line) -> bool:
        return any("\n" in gap for gap in self.gaps[line.first + 1 : line.end])

    def pads(self, lines: Sequence[_Line], indent: int) -> dict[int, tuple[_Mark, int]]:
        """What is aligned in lines, by the first pieces of these, and by how many spaces it is moved."""
        found: dict[int, tuple[_Mark, int]] = {}
        run: list[tuple[_Line, _Mark]] = []
        for line in [*lines, None]:
            mark = self.mark(line, indent) if line and line.parts else None
            if run and (line is None or line.blank or mark is None or mark.kind != run[0][1].kind):
                found |= self.aligned(run, indent)
                run = []
            if line and mark:
                run.append((line, mark))
        return found

    def aligned(self, run: list[tuple[_Line, _Mark]], indent: int) -> dict[int, tuple[_Mark, int]]:
        heads = [self.pieces.width(line.first, mark.piece) for line, mark in run]
        pads = [max(heads) - head for head in heads]
        if run[0][1].row:  # nothing is broken to be aligned
            fit = all(self.fits(line.first, line.end, indent + pad) for (line, _), pad in zip(run, pads))
            pads = pads if fit else [0] * len(run)
        return {line.first: (mark, pad) for (line, mark), pad in zip(run, pads)}

    def mark(self, line: _Line, indent: int) -> _Mark | None:
        """What may be aligned in a line: the `=` of a field, an argument or a declaration, the brace of a row."""
        if len(line.parts) != 1:
            return None
        start, end = line.parts[0]
        kind, following = self.kinds[start], self.kinds[start + 1 : start + 3]
        if kind == "NAME":
            has_value = following[:1] == ["EQUAL"] and following[1:] != [COMMENT]
            return _Mark(kind, start + 1) if has_value else None
        if kind in _ROWS and following == ["NAME", "LBRACE"]:
            return _Mark(kind, start + 2, True) if self.fits(start, end, indent) else None
        if kind in _VALUES and self.fits(start, end, indent):
            equal = self.pieces.partners.get(start + 2, start + 1) + 1
            return _Mark(f"{kind} =", equal, True) if self.kinds[equal] == "EQUAL" else None
        return None

    def align(self, ends: Sequence[tuple[int, int] | None]) -> None:
        """Aligns comments at ends of lines; None stands for a line without one."""
        run: list[tuple[int, int]] = []
        for end in [*ends, None]:
            if end:
                run.append(end)
                continue
            furthest = max((column for _, column in run), default=0)
            for comment, column in run:
                self.trail(comment, furthest - column)
            run = []

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────────

    def statement(self, start: int, end: int, indent: int, tail: int, hang: int) -> int:
        """Lays out a statement and says in which column it ends. All its bodies are broken, or none is."""
        if self.fits(start, end, indent, tail):
            return indent + self.pieces.width(start, end)
        braces = [node for node in self.pieces.nodes(start, end) if self.kinds[node] == "LBRACE"]
        if not braces:
            return self.sequence(start, end, indent, indent, tail, hang)
        column = indent
        for brace in braces:
            body = self.pieces.bodies[brace]
            self.sequence(start, brace, indent, column, len(" {" if body else " { }"), 2 * INDENT)
            self.lead(brace, indent)
            close = self.pieces.partners[brace]
            if body:
                self.lines(self.split(brace, close, brace not in self.pieces.long), indent + INDENT)
                self.newline(close, indent)
            start, column = close + 1, indent + len("} ")
            while start < end and COMMENT in self.kinds[start - 1 : start + 1]:  # before an `else`
                self.lead(start, indent)
                column = indent
                if self.kinds[start] != COMMENT:
                    break
                start += 1
        return indent + 1

    def sequence(
        self, start: int, end: int, indent: int, column: int, tail: int = 0, hang: int = INDENT
    ) -> int:
        """Lays out an expression, or the head of a statement, from a column on, and says where it ends."""
        if self.fits(start, end, column, tail):
            return column + self.pieces.width(start, end)
        breaks = self.breaks(start, end, indent + hang, column, tail)
        if not breaks:
            return self.flow(start, end, indent, column, tail, hang)
        for begin, stop in zip([start, *breaks], [*breaks, end]):
            if begin > start:
                column = indent + hang
                self.newline(begin, column)
            line = indent if begin == start else indent + hang
            last = next(piece for piece in range(stop, begin, -1) if self.kinds[piece - 1] != COMMENT)
            column = self.sequence(begin, last, line, column, tail if stop == end else 0)
            for comment in range(last, stop):
                self.lead(comment, indent + hang)
        return column

    def breaks(self, start: int, end: int, margin: int, column: int, tail: int) -> list[int]:
        """The operators at which an expression is broken. There are none where breaking brackets is better: they hold
        what is too long for a line."""
        rank, commented, before = len(_RANKS), False, ""
        found: list[int] = []
        for node in self.pieces.nodes(start, end):
            kind = self.kinds[node]
            if kind == COMMENT:
                commented = True
                continue
            own = self.rank(kind, before) if node > start else None
            if own is not None and own < rank:
                rank, found = own, [node]
            elif own == rank:
                found.append(node)
            before = self.kinds[self.pieces.partners.get(node, node)]
        if not found or commented or rank == _EACH:
            return found
        fit = True
        for begin, stop in zip([start, *found], [*found, end]):
            if not self.fits(begin, stop, column if begin == start else margin, tail if stop == end else 0):
                if not any(map(self.is_breakable, self.pieces.nodes(begin, stop))):
                    return found
                fit = False
        return found if fit else []

    def rank(self, kind: str, before: str) -> int | None:
        """How far out an expression is broken before a token, None for not at all."""
        if kind in ("IF", "NOT"):  # the condition of a comprehension, and `not in`
            return (_EACH if kind == "IF" else _RANKS["IN"]) if before in OPERAND_ENDS else None
        return None if before == "NOT" else _RANKS.get(kind)

    def flow(self, start: int, end: int, indent: int, column: int, tail: int, hang: int) -> int:
        """Lays out what is broken only in its brackets, and behind comments."""
        line = indent
        for node in self.pieces.nodes(start, end):
            if node > start:
                self.lead(node, indent + hang)
                if "\n" in self.gaps[node]:
                    line = column = indent + hang
                else:
                    column += len(self.gaps[node])
            if self.kinds[node] in BRACKETS:
                close = self.pieces.partners[node]
                column = self.brackets(node, close, line, column, self.rest(close + 1, end, tail))
            else:
                column += self.pieces.ends[node] - self.pieces.starts[node]
        return column

    def rest(self, start: int, end: int, tail: int) -> int:
        """What must stand behind a bracket on its line: all up to the next one that can be broken."""
        width = 0
        for piece in range(start, end):
            if self.kinds[piece] == COMMENT:
                return width
            width += len(self.gaps[piece]) + self.pieces.ends[piece] - self.pieces.starts[piece]
            if self.is_breakable(piece) or width > WIDTH:
                return width
        return width + tail

    def is_breakable(self, piece: int) -> bool:
        bracket = self.kinds[piece] in BRACKETS and self.kinds[piece] != INDEX
        return bracket and self.pieces.partners[piece] > piece + 1

    # ── brackets ────────────────────────────────────────────────────────────────────────────────────────────

    def brackets(self, start: int, close: int, indent: int, column: int, rest: int) -> int:
        """Lays out brackets with what is in them, and says in which column they end."""
        if close == start + 1 or self.fits(start, close + 1, column, rest):
            return column + self.pieces.width(start, close + 1)
        alone = self.kinds[start : start + 2] == [CALL, "LSQB"]  # `f([`
        if alone and self.pieces.partners[start + 1] == close - 1:
            return self.brackets(start + 1, close - 1, indent, column + 1, rest + 1) + 1
        each = any(self.kinds[node] == "FOR" for node in self.pieces.nodes(start + 1, close))
        items = list(self.items(start + 1, close, each))
        listed = self.kinds[start] == CALL or (self.kinds[start] == "LSQB" and not each)
        for _, stop in [item for item in items if self.kinds[item[0]] != COMMENT][-1:]:
            self.commas[stop - 1] = listed
        self.lines(self.by_line(iter(items), True), indent + INDENT, int(listed), INDENT if listed else 0)
        self.newline(close, indent)
        return indent + 1

    def items(self, start: int, end: int, single: bool) -> Iterator[tuple[int, int]]:
        """The items between brackets, or the only one, and the comments between these."""
        while start < end:
            piece, stop = start, start + 1
            while piece < end and self.kinds[piece] != COMMENT:
                stop = piece = self.pieces.partners.get(piece, piece) + 1
                if self.commas[stop - 1] and not single:
                    break
                while piece < end and self.kinds[piece] == COMMENT:
                    piece += 1  # within the item, unless it is the last
            yield start, stop
            start = stop

    # ── gaps ────────────────────────────────────────────────────────────────────────────────────────────────

    def fits(self, start: int, end: int, column: int, tail: int = 0) -> bool:
        """Whether pieces stand on one line from a column on."""
        return self.pieces.flat(start, end) and column + self.pieces.width(start, end) + tail <= WIDTH

    def lead(self, piece: int, indent: int, blank: bool = False) -> None:
        """Puts a piece on a line of its own if it has to be on one, by the comment that it is or that is before it."""
        if piece in self.pieces.own or self.kinds[piece - 1] == COMMENT:
            self.newline(piece, indent, blank)
        elif self.kinds[piece] == COMMENT:
            self.trail(piece)

    def trail(self, comment: int, pad: int = 0) -> None:
        """Puts a comment at the end of a line."""
        self.gaps[comment] = self.comma(comment) + " " * (2 + pad)

    def newline(self, piece: int, indent: int, blank: bool = False) -> None:
        """Puts a piece on a new line, or on the first of the file."""
        ends = "" if not piece or self.kinds[piece - 1] == BROKEN else "\n\n" if blank else "\n"
        self.gaps[piece] = self.comma(piece) + ends + " " * indent

    def comma(self, piece: int) -> str:
        """The comma that stands before a piece, which is that of the one before it."""
        return "," if piece and self.commas[piece - 1] else ""
