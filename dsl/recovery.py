"""Reads one chunk, and reads on after mistakes where it is clear what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import lark
from lark.exceptions import UnexpectedToken

from mfc.dsl import syntax
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.grammar import parser
from mfc.dsl.scan import CHUNK, Token, scan
from mfc.dsl.source import Span

if TYPE_CHECKING:
    from mfc.dsl.failure import Failure

_MAX_MENDED = 10
_MAX_TOKENS = 100_000  # that are parsed again, over all attempts at one chunk


@dataclass
class Reading:
    """What one chunk says; spans count from its start. `unclosed` tells that a brace is open at its end."""

    declarations: tuple[syntax.Decl, ...] = ()
    comments: tuple[syntax.Comment, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    unclosed: bool = False


@dataclass
class _Attempt:
    declarations: list[syntax.Decl] = field(default_factory=list)
    failure: Failure | None = None


def read(text: str) -> Reading:
    """The declarations, comments and problems of a text.

    After a failure the tokens are mended and parsed again, until they parse or nothing is known that mends
    them; then what was complete before the failure stands, and the rest is a `BrokenDecl`.
    """
    found = scan(text)
    reading = Reading(comments=tuple(_comment(text, start, end) for start, end in found.comments))
    problems, stubs, tokens = list(found.problems), [], found.tokens
    lines = {text.count("\n", 0, problem.span.start) for problem in problems} if problems else set()
    budget = _MAX_TOKENS
    for _ in range(_MAX_MENDED + 1):
        attempt = _parse(text, tokens)
        if attempt.failure is None:
            break
        from mfc.dsl.mend import mend  # only mistakes pay for it

        mended = mend(attempt.failure)
        at_end = attempt.failure.token.type == "$END" and attempt.failure.inside == "LBRACE"
        reading.unclosed |= at_end and not found.lossy
        line = text.count("\n", 0, mended.problem.span.start)
        if not found.lossy and line not in lines:  # one error a line: a second one there is mostly its echo
            problems.append(mended.problem)
        lines.add(line)
        if mended.lost:
            stubs.append(_broken(mended.lost))
        budget -= len(tokens)
        if mended.tokens is None or budget < 0:
            stubs.append(_rest(tokens, attempt))
            break
        tokens = mended.tokens
    else:
        stubs.append(_rest(tokens, attempt))
    declarations = [*attempt.declarations, *(stub for stub in stubs if stub)]
    reading.declarations = tuple(sorted(declarations, key=lambda declaration: declaration.span.start))
    reading.problems = tuple(problems)
    return reading


def _comment(text: str, start: int, end: int) -> syntax.Comment:
    return syntax.Comment(text[start:end], Span(CHUNK, start, end))


def _parse(text: str, tokens: list[Token]) -> _Attempt:
    """The declarations of tokens that parse; else those that were complete, and the failure."""
    interactive = parser().parse_interactive()
    feed = cast(Any, interactive.parser_state.feed_token)  # takes any token that has a type
    end = Token("$END", "", len(text), len(text))
    taken = 0
    try:
        for token in tokens:
            feed(token)
            taken += 1
        return _Attempt(feed(end, True))
    except UnexpectedToken:
        from mfc.dsl.failure import Failure

        expected = frozenset(interactive.accepts())
        if "$END" in expected:
            complete = feed(end, True)
        else:
            complete = _complete(interactive.parser_state.value_stack)
        return _Attempt(complete, Failure(text, tokens, taken, expected))


def _complete(values: list[Any]) -> list[syntax.Decl]:
    """The declarations at the bottom of the parser's stack, in the trees of its helper rules."""
    found, waiting = [], list(reversed(values[:1]))
    while waiting:
        value = waiting.pop()
        if isinstance(value, lark.Tree):
            waiting += reversed(value.children)
        elif isinstance(value, syntax.Decl):
            found.append(value)
    return found


def _rest(tokens: list[Token], attempt: _Attempt) -> syntax.BrokenDecl | None:
    """A stub for the tokens after the complete declarations."""
    start = attempt.declarations[-1].span.end if attempt.declarations else 0
    return _broken([token for token in tokens if token.start >= start])


def _broken(tokens: Sequence[Token]) -> syntax.BrokenDecl | None:
    if not tokens:
        return None
    word, name = tokens[0], tokens[1] if len(tokens) > 1 and tokens[1].type == "NAME" else None
    end = tokens[-1].end
    return syntax.BrokenDecl(
        word.text,
        syntax.Name(name.text, Span(CHUNK, name.start, name.end)) if name else None,
        Span(CHUNK, word.start, end),
    )
