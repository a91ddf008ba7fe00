"""Rules for brackets that are not closed, closed twice or closed by another kind.

Where counting alone can't tell which bracket is at fault, indentation does: a brace at the start of a line
closes one that was opened on a line with the same indentation.
"""

from __future__ import annotations

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.failure import Failure, Mended, quoted
from mfc.dsl.scan import CLOSING, OPENING, Token

_TEXT = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}


def wrong_kind(at: Failure) -> Mended | None:
    """`[1, 2)`"""
    opener = at.enclosing
    if opener is None or at.brackets.closed_by.get(opener) != at.index:
        return None
    open_, right = at.tokens[opener], OPENING[at.tokens[opener].type]
    if at.token.type == right:
        return None
    return Mended(
        Diagnostic(
            "E0102",
            f"{quoted(open_)} is closed by {quoted(at.token)}",
            at.span(at.token),
            f"expected `{_TEXT[right]}`",
            labels=((at.span(open_), "opened here"),),
            fix=at.fix(f"Write `{_TEXT[right]}`", at.index, at.index + 1, _TEXT[right], certain=False),
        ),
        at.replaced(at.index, at.index + 1, at.token._replace(type=right, text=_TEXT[right])),
    )


def unclosed(at: Failure) -> Mended | None:
    """A bracket without its end, noticed where something comes that can't stand inside it."""
    opener = at.enclosing
    if opener is None or opener not in at.brackets.unclosed:
        return None
    open_ = at.tokens[opener]
    if open_.type == "LBRACE":
        return _unclosed_brace(at) if at.token.type == "$END" else None
    right = OPENING[open_.type]
    if right not in at.expected and at.before.type != "COMMA":
        return None
    problem = Diagnostic(
        "E0102",
        f"{quoted(open_)} is never closed",
        at.span(open_),
        "opened here",
        labels=((at.span(at.before), f"expected `{_TEXT[right]}` after this"),),
    )
    return Mended(problem, at.inserted((right, _TEXT[right])) if right in at.expected else None)


def _unclosed_brace(at: Failure) -> Mended:
    """Reports the brace that is indented otherwise than the one that seems to close it, else the outermost."""
    culprit, place = at.brackets.unclosed[0], len(at.tokens)
    for opener, close in sorted(at.brackets.closed_by.items(), key=lambda pair: pair[1]):
        brace = at.tokens[close]
        if brace.type == "RBRACE" and brace.fresh and at.column(brace) != at.indent(opener):
            culprit = opener
            indent = at.indent(opener)
            later = range(opener + 1, close)
            place = next(
                (i for i in later if at.tokens[i].fresh and at.column(at.tokens[i]) <= indent), close
            )
            break
    open_, end = at.tokens[culprit], at.at(place - 1).end
    problem = Diagnostic(
        "E0102",
        "`{` is never closed",
        at.span(open_),
        "opened here",
        labels=((at.span(at.at(place - 1)), "expected `}` after this"),),
    )
    tokens = at.replaced(place, place, Token("RBRACE", "}", end, end))
    return Mended(problem, tokens)


def stray(at: Failure) -> Mended | None:
    """A closing bracket too many: where it is noticed, or an earlier one that ended the body too soon."""
    if not at.brackets.stray:
        return None
    early = _early_brace(at) if at.inside == "" else None
    if early is None and at.token.type in CLOSING and at.index in at.brackets.stray:
        early = at.index
    if early is None:
        return None
    brace = at.tokens[early]
    return Mended(
        Diagnostic(
            "E0102",
            f"{quoted(brace)} closes nothing" if early == at.index else f"{quoted(brace)} is one too many",
            at.span(brace),
            "nothing is open here" if early == at.index else "ends the declaration before its end",
            fix=at.fix("Leave it out", early, early + 1, "", certain=False),
        ),
        at.replaced(early, early + 1),
    )


def _early_brace(at: Failure) -> int | None:
    """The first brace before the failure that closes one of another line, and is indented otherwise."""
    if not (at.token.fresh and (at.column(at.token) > 0 or at.token.type == "RBRACE")):
        return None
    for opener, close in sorted(at.brackets.closed_by.items(), key=lambda pair: pair[1]):
        if close >= at.index:
            break
        if at.tokens[close].type != "RBRACE" or at.line_first(close) == at.line_first(opener):
            continue
        if at.tokens[close].fresh and at.column(at.tokens[close]) == at.indent(opener):
            continue
        if not at.tokens[close].fresh and at.tokens[at.line_first(close)].type == "RBRACE":
            continue
        return close
    return None


RULES = (wrong_kind, unclosed, stray)
