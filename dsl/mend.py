"""What is wrong where the parser stopped, and how to read on: a small rule for each slip that people make.

Rules are tried in order; each looks at the place of failure and either knows the slip or passes. They run only
where parsing failed, so a spec without mistakes never pays for them.
"""

from __future__ import annotations

from mfc.dsl import mend_brackets, mend_declarations, mend_expressions
from mfc.dsl.diagnostics import Diagnostic, Fix
from mfc.dsl.failure import Failure, Mended, quoted
from mfc.dsl.scan import BEFORE_OPERAND, CHUNK, CLOSING, DECLARATIONS, KEYWORDS, Token
from mfc.dsl.source import Span, apart

_NOT_HERE = {
    "lambda": "a component of your own stands in a Python file: `use \"file.py\" (name)`",
    "def": "a reusable stack of layers is a `block`; Python functions come in with `use \"file.py\" (name)`",
    "class": "a model is a `model`; Python classes come in with `use \"file.py\" (name)`",
    "while": "loops go over a list: `for i in range(n) { ... }`",
    "return": "a body has no result: what its last layer gives goes out",
    "with": "", "try": "", "assert": "", "raise": "", "yield": "", "del": "", "global": "",
}  # fmt: skip


def mend(failure: Failure) -> Mended:
    """What to say of a failure, and how to go on."""
    for rule in _RULES:
        if mended := rule(failure):
            return mended
    return _unexpected(failure)


def colon(at: Failure) -> Mended | None:
    """`name: value`, or a body after a colon as in Python."""
    if at.token.type != "COLON":
        return None
    body = "LBRACE" in at.expected and (at.at(at.index + 1).fresh or "EQUAL" not in at.expected)
    if "LBRACE" in at.expected and at.at(at.index + 1).type == "LBRACE":
        problem = Diagnostic(
            "E0111",
            "no `:` belongs before a body",
            at.span(at.token),
            "not needed",
            help="leave the `:` out",
            fix=at.fix("Leave the `:` out", at.index, at.index + 1, ""),
        )
        return Mended(problem, at.replaced(at.index, at.index + 1))
    if body:
        return Mended(
            Diagnostic(
                "E0111",
                "a body stands in braces",
                at.span(at.token),
                "expected `{`",
                help="write `{` here and `}` at the end; indentation has no meaning",
            )
        )
    if "EQUAL" not in at.expected:
        return None
    name, after = at.before.text, at.text[at.token.end : at.token.end + 1]
    equal = ("" if at.before.end < at.token.start else " ") + "=" + ("" if after.isspace() else " ")
    assigns = at.token._replace(type="EQUAL")
    message = f"`{name}` gets its value with `=`" if at.before.type == "NAME" else "a value is given with `=`"
    end = at.part_end(at.index + 1)
    if at.inside == "LBRACE" and at.at(end).type == "COMMA":
        comma = at.at(end)
        value = at.text[at.token.end : comma.start] + apart(at.text, comma.start, comma.end, "")
        return Mended(
            Diagnostic(
                "E0106",
                f"{message}, and no comma after it",
                at.span(at.token),
                "expected `=`",
                labels=((at.span(comma), "not needed"),),
                help="write `=` for `:`, and leave the comma out",
                fix=at.fix("Write `=`, without a comma", at.index, end + 1, equal + value),
            ),
            [*at.tokens[: at.index], assigns, *at.tokens[at.index + 1 : end], *at.tokens[end + 1 :]],
        )
    return Mended(
        Diagnostic(
            "E0106",
            message,
            at.span(at.token),
            "expected `=`",
            help="write `=` for `:`",
            fix=at.fix("Write `=`", at.index, at.index + 1, equal),
        ),
        at.replaced(at.index, at.index + 1, assigns),
    )


def elif_(at: Failure) -> Mended | None:
    """`} elif c {`"""
    for i in range(at.index, at.line_first(at.index - 1) - 1, -1):
        token = at.at(i)
        if token.text == "elif" and at.at(i - 1).type == "RBRACE":
            words = Token("ELSE", "else", token.start, token.end), Token("IF", "if", token.start, token.end)
            return Mended(
                Diagnostic(
                    "E0111",
                    "`elif` is written `else if`",
                    at.span(token),
                    "Python's form",
                    help="write `else if`",
                    fix=at.fix("Write `else if`", i, i + 1, "else if"),
                ),
                at.replaced(i, i + 1, *words),
            )
    return None


def not_in_the_language(at: Failure) -> Mended | None:
    """Python's statements and lambdas."""
    for i in (at.index - 1, at.index):
        token = at.at(i)
        if token.type == "NAME" and token.text in _NOT_HERE:
            if at.at(i + 1).type in DECLARATIONS:
                return _needless(at, i)
            value = token.text == "lambda" and at.at(i - 1).type in BEFORE_OPERAND
            return Mended(
                Diagnostic(
                    "E0111",
                    f"there is no `{token.text}` in a spec",
                    at.span(token),
                    "Python's",
                    help=_NOT_HERE[token.text],
                ),
                at.missing(i, max(at.part_end(i), i + 1)) if value else None,
            )
    return None


def _needless(at: Failure, index: int) -> Mended:
    """`def model net { ... }`: a word before a declaration that is whole without it."""
    token, declares = at.at(index), at.at(index + 1).text
    problem = Diagnostic(
        "E0111",
        f"there is no `{token.text}` in a spec",
        at.span(token),
        "Python's",
        help=f"`{declares}` opens the declaration: leave `{token.text}` out",
        fix=Fix(f"Leave `{token.text}` out", Span(CHUNK, token.start, at.at(index + 1).start), ""),
    )
    rest = at.at(index + 1)._replace(fresh=token.fresh)
    return Mended(problem, at.replaced(index, index + 2, rest))


def part_without_name(at: Failure) -> Mended | None:
    """`group { ... }`, `phase { ... }`"""
    word = at.before
    if at.token.type != "LBRACE" or word.type != "NAME" or word.text not in ("group", "phase"):
        return None
    return Mended(
        Diagnostic(
            "E0119",
            f"`{word.text}` is followed by a name",
            at.span(word),
            "expected a name after this",
            help=f"write `{word.text} name {{ ... }}`",
        )
    )


def keyword_as_name(at: Failure) -> Mended | None:
    """`let if = 3`, `f(then = 1)`"""
    for i in (at.index, at.index - 1):
        token = at.at(i)
        if token.type not in KEYWORDS.values():
            continue
        names = (
            i == at.index and "NAME" in at.expected and "MISSING" not in at.expected and at.inside != "LBRACE"
        )
        opened = at.at(i - 1).type in ("LET", "FOR", "GROUP", "PHASE", "DOT") and i == at.index
        given = i < at.index and at.token.type == "EQUAL" and at.at(i - 1).type in ("COMMA", "LPAR", "LBRACE")
        named = i == at.index and at.at(i + 1).type == "EQUAL"
        if names or opened or given or named:
            return Mended(
                Diagnostic(
                    "E0122",
                    f"`{token.text}` is a keyword and can't be a name",
                    at.span(token),
                    "expected a name",
                    help="choose another name",
                ),
                at.replaced(i, i + 1, token._replace(type="NAME")),
            )
    return None


_PHRASES = {
    "LBRACE": "`{`", "EQUAL": "`=`", "COLON": "`:`", "ARROW": "`->`", "DOTS": "`..`", "THEN": "`then`",
    "ELSE": "`else`", "IN": "`in`", "WITHIN": "`in`", "COMMA": "`,`", "RPAR": "`)`", "RSQB": "`]`",
    "STRING": "a string", "LPAR": "`(`",
}  # fmt: skip


def expectation(expected: frozenset[str]) -> str:
    """What could stand at a place, in words, at most four things."""
    if "MISSING" in expected:
        return "a value"
    if {"LET", "NAME", "RBRACE"} <= expected:
        return "an operator, a statement or `}`" if "PLUS" in expected else "a statement or `}`"
    if "$END" in expected:
        return "an operator or the next declaration" if "PLUS" in expected else "a declaration"
    items = ["a name"] if "NAME" in expected else []
    operators = "PLUS" in expected
    items += [
        phrase
        for kind, phrase in _PHRASES.items()
        if kind in expected and not (operators and kind in ("LPAR", "IN"))
    ]
    items = list(dict.fromkeys(items))[:4] or ["an operator"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _unexpected(at: Failure) -> Mended:
    what = expectation(at.expected)
    between = (
        "a statement" in what or "a declaration" in what
    )  # then what is there is at fault, not what lacks
    if at.token.type == "$END" or (at.token.fresh and at.token.type not in CLOSING and not between):
        span, label = at.span(at.before), f"expected {what} after this"
    else:
        span, label = at.span(at.token), "not expected here"
    return Mended(Diagnostic("E0101", f"expected {what}, found {quoted(at.token)}", span, label))


_RULES = (
    *mend_brackets.RULES,
    colon,
    elif_,
    not_in_the_language,
    *mend_expressions.FIRST,
    keyword_as_name,
    part_without_name,
    *mend_declarations.RULES,
    *mend_expressions.LAST,
)
