"""The place where something is being typed, as part of a tree, although what is written there can't be parsed yet.

A name is put where the cursor is, what stands after it is left out, and the parser is given whatever ends the
declaration soonest. So all that works on trees works there: local names, what is wanted, which call it is in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from lark.exceptions import UnexpectedToken

from mfc.dsl.calls import Slot
from mfc.dsl.chunks import TooDeep, cut, place
from mfc.dsl.editor.bindings import Bindings
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.occurrences import Called
from mfc.dsl.editor.signatures import slot_of
from mfc.dsl.editor.symbols import Symbol, local_symbol
from mfc.dsl.failure import Failure
from mfc.dsl.grammar import parser
from mfc.dsl.mend import mend
from mfc.dsl.scan import CLOSING, OPENING, Token, scan, word_at
from mfc.dsl.source import Source, Span
from mfc.dsl.syntax import Argument, BodyDecl, CallExpr, DataDecl, DataType, Decl, Name, Phase, children

HERE = "cursor__"
"""The name that stands for what is being typed."""

_MAX_MENDED = 10
_MAX_ADDED = 300
_SOONEST = (
    "$END", "RBRACE", "RPAR", "RSQB", "LBRACE", "EQUAL", "ELSE", "THEN", "IN", "COLON", "ARROW", "DOTS", "COMMA",
    "MISSING", "NAME", "STRING", "LPAR",
)  # fmt: skip
"""What ends a declaration, the soonest first."""


@dataclass(frozen=True, eq=False)
class Cursor:
    """A place between two letters.

    Args:
        source: the text as it is.
        word: the word that the place is in or at the end of; empty where it is in none.
        path: the nodes that hold the name at the place, outermost first, that name last; empty where no name can stand.
        expected: the types of tokens that can stand there.
        before: the token in front of the word, within the declaration.
        after: the tokens behind the word, up to the next declaration.
    """

    document: Document
    source: Source
    offset: int
    word: Span
    path: Sequence[Any]
    expected: frozenset[str]
    before: Token | None
    after: Sequence[Token]

    @property
    def name(self) -> Name | None:
        """The name that stands for what is being typed."""
        return self.path[-1] if self.path else None

    @property
    def followed(self) -> str:
        """The type of the token behind the word, if that stands on its line."""
        return _next_on_line(self.source.text, self.word.end, self.after)

    @property
    def line(self) -> int:
        """Where the line of the word begins."""
        return self.source.text.rfind("\n", 0, self.word.start) + 1

    @property
    def fresh(self) -> bool:
        """Whether nothing stands before the word on its line."""
        return not self.source.text[self.line : self.word.start].strip()

    @property
    def declares(self) -> str:
        """The name of the declaration that the place is in; empty where it has none."""
        name = getattr(self.path[0], "name", None) if self.path else None
        return "" if name is None else name.text

    @property
    def body_kind(self) -> str:
        """The kind of the body that the place is in: that of the declaration, or `phase`; empty outside of all."""
        if any(isinstance(node, Phase) for node in self.path):
            return "phase"
        match self.path:
            case [BodyDecl(kind=kind), *_]:
                return kind
            case [DataDecl(), *_]:
                return "data"
        return ""

    @property
    def called(self) -> Called | None:
        """The call whose argument is being typed."""
        call = next((node for node in reversed(self.path) if isinstance(node, CallExpr | DataType)), None)
        return None if call is None else self.bindings.calls.get(call)

    @property
    def slot(self) -> Slot | None:
        """The parameter that is being given, as far as it is known."""
        called, argument = (
            self.called,
            next((n for n in reversed(self.path) if isinstance(n, Argument)), None),
        )
        if called is None or argument is None:
            return None
        if argument.name is self.name:
            return called.signature.slot(self.word.text)
        return slot_of(called.signature, called.call.arguments.index(argument), argument)

    @cached_property
    def locals(self) -> dict[str, Symbol]:
        """The local names that can be used, those of a comprehension too whose end is not read."""
        found = self.bindings.locals_at(self.offset)
        for name in self._looped_after():
            found[name.text] = local_symbol("variable", name, self.document.path)
        return found

    def _looped_after(self) -> Iterator[Name]:
        """The names of the `for` behind the place, within the same brackets."""
        depth, within = 0, False
        for token in self.after:
            depth += (token.type in OPENING) - (token.type in CLOSING)
            if depth < 0 or (depth == 0 and token.type in ("IN", "LBRACE", "RBRACE")):
                return
            if depth == 0 and within and token.type == "NAME":
                yield Name(
                    token.text, Span(self.source, self.word.end + token.start, self.word.end + token.end)
                )
            within = within or (depth == 0 and token.type == "FOR")

    def listed_after(self) -> Iterator[str]:
        """The names up to the end of the brackets."""
        for token in self.after:
            if token.type not in ("NAME", "COMMA"):
                return
            if token.type == "NAME":
                yield token.text

    @cached_property
    def bindings(self) -> Bindings:
        """The names of the declaration up to here."""
        return Bindings(self.document.compiled, self.document.module, self.document.recording, self.path[:1])

    def given_after(self) -> Iterator[str]:
        """The names that are given a value behind the place, within the same brackets."""
        depth = 0
        for token, equal in zip(self.after, self.after[1:]):
            depth += (token.type in OPENING) - (token.type in CLOSING)
            if depth < 0:
                return
            if depth == 0 and token.type == "NAME" and equal.type == "EQUAL":
                yield token.text


def cursor(document: Document, offset: int, text: str | None = None, whole: bool = False) -> Cursor | None:
    """What stands around an offset; None in comments and in strings. `text` is the file as it is now, where the document
    is still of an earlier one. With `whole`, the name at the offset is the word that stands there."""
    source = document.source
    if text is not None and text != source.text:
        source = Source(source.name, text)
    text = source.text
    offset = min(max(offset, 0), len(text))
    found = word_at(text, offset)
    if found is None:
        return None
    word = Span(source, *found)
    chunks = cut(text)
    start, end = chunks[max(bisect_right([start for start, _ in chunks], word.start) - 1, 0)]
    read = text[start : word.start] + (word.text if whole and word.text else HERE)
    tokens = scan(read).tokens
    if not tokens or tokens[-1].start != word.start - start or tokens[-1].type != "NAME":
        return None
    after = scan(text[word.end : end]).tokens
    named = _next_on_line(text, word.end, after) == "EQUAL"
    path, expected = _read(read, tokens, named, source, start)
    before = tokens[-2] if len(tokens) > 1 else None
    return Cursor(document, source, offset, word, path, expected, before, after)


def _next_on_line(text: str, at: int, after: Sequence[Token]) -> str:
    """The type of the first token behind a place; empty where that stands on a later line."""
    return after[0].type if after and "\n" not in text[at : at + after[0].start] else ""


def _read(
    text: str, tokens: list[Token], named: bool, source: Source, start: int
) -> tuple[list[Any], frozenset[str]]:
    """The path to the cursor, and what can stand there: of the whole declaration, else of as much as can be read.
    `named`: what is typed is given a value."""
    expected: frozenset[str] = frozenset()
    here = tokens[-1]
    for attempt in (_with_late_value(tokens), _open(tokens), _open(tokens, line=True)):
        declarations, can_stand = _parse(text, attempt, named)
        expected = expected or can_stand
        for declaration in reversed(declarations):
            if _path(declaration, here.start):
                try:
                    return _path(place(declaration, source, start), start + here.start), can_stand
                except TooDeep:
                    return [], can_stand
        if expected and not here.fresh:
            break
    return [], expected


def _with_late_value(tokens: list[Token]) -> list[Token]:
    """The tokens with a value put where the cursor stands a line too late for being it."""
    if len(tokens) > 1 and tokens[-2].type == "EQUAL" and tokens[-1].fresh:
        end = tokens[-2].end
        return [*tokens[:-1], Token("MISSING", "", end, end), tokens[-1]]
    return tokens


def _open(tokens: list[Token], line: bool = False) -> list[Token]:
    """The statement at the end of some tokens, and the heads of the bodies around it; with `line`, no more of it than its
    last line."""
    first, around = 0, []  # where the statement begins; of each open bracket its type, place and statement
    for i, token in enumerate(tokens):
        if token.fresh and (line or not around or around[-1][0] == "LBRACE"):
            first = i
        if token.type in OPENING:
            around.append((token.type, i, first))
            first = i + 1 if token.type == "LBRACE" else first
        elif token.type in CLOSING and any(kind == CLOSING[token.type] for kind, _, _ in around):
            while around.pop()[0] != CLOSING[token.type]:
                pass
    heads = [tokens[begin : at + 1] for kind, at, begin in around if kind == "LBRACE"]
    return [token for head in heads for token in head] + tokens[first:]


def _parse(text: str, tokens: list[Token], named: bool) -> tuple[list[Decl], frozenset[str]]:
    """The declarations of tokens that end with the cursor, with what has to follow; and what can stand at the cursor."""
    for _ in range(_MAX_MENDED):
        interactive = parser().parse_interactive()
        state = cast(Any, interactive.parser_state)
        taken = 0
        try:
            for token in tokens[:-1]:
                state.feed_token(token)
                taken += 1
        except UnexpectedToken:
            mended = mend(Failure(text, tokens, taken, frozenset(interactive.accepts()))).tokens
            if not mended or mended[-1] != tokens[-1]:
                return [], frozenset()
            tokens = mended
            continue
        expected = frozenset(interactive.accepts())
        return (_ended(state, tokens[-1], named) if "NAME" in expected else []), expected
    return [], frozenset()


def _ended(state: Any, here: Token, named: bool) -> list[Decl]:
    """Lets the parser take the cursor, and what ends the declaration soonest."""
    state.feed_token(here)
    if named and _takes(state, "EQUAL"):
        state.feed_token(Token("EQUAL", "", here.end, here.end))
    for _ in range(_MAX_ADDED):
        kind = next((kind for kind in _SOONEST if _takes(state, kind)), None)
        if kind is None:
            break
        declarations = state.feed_token(Token(kind, "", here.end, here.end), kind == "$END")
        if kind == "$END":
            return declarations
    return []


def _takes(state: Any, kind: str) -> bool:
    """Whether a parser goes on with a token of a type: reductions are looked at on a copy of its stack."""
    rows, stack = state.parse_conf.states, list(state.state_stack)
    while kind in rows[stack[-1]]:
        _, goal = rows[stack[-1]][kind]
        if hasattr(goal, "expansion"):  # a rule to reduce by
            del stack[len(stack) - len(goal.expansion) :]
            stack.append(rows[stack[-1]][goal.origin.name][1])
            if kind == "$END" and stack[-1] == state.parse_conf.end_state:
                return True
        else:
            return True
    return False


def _path(node: Any, here: int) -> list[Any]:
    """The nodes from one to the name that begins at the cursor; empty where that is not in it."""
    if isinstance(node, Name) and node.span.start == here:
        return [node]
    for child in children(node):
        if child.span.start <= here < child.span.end and (found := _path(child, here)):
            return [node, *found]
    return []
