"""Rules for expressions: Python's forms, commas, comparisons, values that are missing."""

from __future__ import annotations

from mfc.dsl.diagnostics import Diagnostic, Fix
from mfc.dsl.failure import Failure, Mended, quoted
from mfc.dsl.scan import BEFORE_OPERAND, CHUNK, CLOSING, Token
from mfc.dsl.source import Span

_COMPARISONS = {"EQ", "NE", "LT", "LE", "GT", "GE", "IN"}
_OPERANDS = {
    "NAME",
    "NUMBER",
    "STRING",
    "TRUE",
    "FALSE",
    "NONE",
    "LPAR",
    "LSQB",
    "MISSING",
    "IF",
    "NOT",
    "MINUS",
}


def equal_in_condition(at: Failure) -> Mended | None:
    """`if a = b`"""
    if at.token.type != "EQUAL" or "EQ" not in at.expected:
        return None
    line = [token.type for token in at.tokens[at.line_first(at.index) : at.index]]
    if not {"IF", "AND", "OR", "NOT"} & set(line):
        return None
    return Mended(
        Diagnostic(
            "E0121",
            "values are compared with `==`",
            at.span(at.token),
            "gives a value, and compares nothing",
            help="write `==`",
            fix=at.fix("Write `==`", at.index, at.index + 1, "=="),
        ),
        at.replaced(at.index, at.index + 1, at.token._replace(type="EQ", text="==")),
    )


def ternary(at: Failure) -> Mended | None:
    """`a if c else b`"""
    if at.token.type == "IF":
        if_, else_ = at.index, _ahead(at, at.index + 1, "ELSE")
    elif at.token.type == "ELSE":
        if_, else_ = _back(at, at.index, "IF"), at.index
    else:
        return None
    if if_ is None or else_ is None or at.at(if_ - 1).type in BEFORE_OPERAND or else_ == if_ + 1:
        return None
    start, end = at.part_start(if_), at.part_end(else_ + 1)
    if start == if_ or end == else_ + 1:
        return None
    yes, condition, no = at.source(start, if_), at.source(if_ + 1, else_), at.source(else_ + 1, end)
    layer = at.inside == "LBRACE" and at.at(start - 1).type != "EQUAL"
    right = f"if {condition} {{ {yes} }} else {{ {no} }}" if layer else f"if {condition} then {yes} else {no}"
    plain = "\n" not in at.source(start, end)
    return Mended(
        Diagnostic(
            "E0107",
            "the condition comes first: `if c then a else b`",
            at.span(at.tokens[start], at.tokens[end - 1]),
            "Python's order",
            help=f"write `{right}`" if plain else "",
            fix=at.fix("Put the condition first", start, end, right) if plain else None,
        ),
        None if layer else at.missing(start, end),
    )


def _ahead(at: Failure, index: int, kind: str) -> int | None:
    """The index of a token of a kind within the same brackets and the same expression."""
    depth = 0
    for i in range(index, len(at.tokens)):
        found = at.tokens[i].type
        if depth == 0 and found == kind:
            return i
        depth += (found in ("LPAR", "LSQB")) - (found in ("RPAR", "RSQB"))
        if depth < 0 or (depth == 0 and found in ("THEN", "LBRACE", "RBRACE", "COMMA", "EQUAL")):
            break
    return None


def _back(at: Failure, index: int, kind: str) -> int | None:
    depth = 0
    for i in range(index - 1, -1, -1):
        found = at.tokens[i].type
        if depth == 0 and found == kind:
            return i
        depth += (found in ("RPAR", "RSQB")) - (found in ("LPAR", "LSQB"))
        if depth < 0 or (depth == 0 and found in ("THEN", "LBRACE", "RBRACE", "COMMA", "EQUAL")):
            break
    return None


def braces_as_value(at: Failure) -> Mended | None:
    """A dict literal, or a `branch` or body whose word was forgotten."""
    if at.token.type != "LBRACE" or "MISSING" not in at.expected:
        return None
    head = at.at(at.index - 3).type if at.before.type == "EQUAL" else ""
    if head == "MODEL":
        name = at.at(at.index - 2).text
        return Mended(
            Diagnostic(
                "E0119",
                f"the layers of `{name}` stand right after its name",
                at.span(at.before),
                "not needed before a body",
                help=f"write `model {name} {{ ... }}`",
                fix=at.fix("Leave the `=` out", at.index - 1, at.index, ""),
            ),
            at.replaced(at.index - 1, at.index),
        )
    layers = at.at(at.index + 1).type == "NAME" and at.at(at.index + 2).type in ("LPAR", "DOT")
    if head == "LET" and layers:
        return Mended(
            Diagnostic(
                "E0111",
                "layers that run aside stand in a `branch`",
                at.span(at.token),
                "what are these braces?",
                help="write `branch { ... }`, or `module { ... }` for layers that are used more than once",
            ),
            at.inserted(("BRANCH", "branch")),
        )
    end = at.brackets.closed_by.get(at.index, len(at.tokens) - 1) + 1
    return Mended(
        Diagnostic(
            "E0111",
            "there are no dictionaries in a spec",
            at.span(at.token, at.tokens[end - 1]),
            "not a value",
            help="pass named arguments: `name = value`",
        ),
        at.missing(at.index, end),
    )


def generator(at: Failure) -> Mended | None:
    """`f(a for a in b)`"""
    if at.token.type != "FOR" or at.inside not in ("LPAR", "LSQB") or at.enclosing is None:
        return None
    start, end = at.part_start(at.index), at.part_end(at.index)
    if start == at.index:
        return None
    right = f"[{at.source(start, end)}]"
    plain = "\n" not in right
    return Mended(
        Diagnostic(
            "E0111",
            "a comprehension is a list and stands in `[ ]`"
            if at.inside == "LPAR"
            else "a comprehension has one `for`",
            at.span(at.tokens[start], at.tokens[end - 1]),
            "not in brackets of its own" if at.inside == "LPAR" else "one too many",
            help=f"write `{right}`" if plain and at.inside == "LPAR" else "",
            fix=at.fix("Put it in brackets", start, end, right) if plain and at.inside == "LPAR" else None,
        ),
        at.missing(start, end),
    )


def chained(at: Failure) -> Mended | None:
    """`a < b < c`"""
    if at.token.type not in _COMPARISONS or at.token.type in at.expected:
        return None
    first = at.part_start(at.index)
    if not any(token.type in _COMPARISONS for token in at.tokens[first : at.index]):
        return None
    middle = at.before.text if at.before.type in ("NAME", "NUMBER") else "..."
    place = (
        Token("AND", "and", at.token.start, at.token.start),
        Token("MISSING", "", at.token.start, at.token.start),
    )
    return Mended(
        Diagnostic(
            "E0120",
            "comparisons do not chain",
            at.span(at.token),
            "a second comparison",
            help=f"join two comparisons: `... and {middle} {at.token.text} ...`",
        ),
        at.replaced(at.index, at.index, *place),
    )


def positional_after_named(at: Failure) -> Mended | None:
    """`f(a = 1, 2)`"""
    if at.inside != "LPAR" or at.enclosing is None:
        return None
    late = at.at(at.index - 1).type == "NAME" and at.expected == {"EQUAL"}
    if late:
        start = at.index - 1
    elif at.expected <= {"NAME", "RPAR"} and at.token.type in _OPERANDS and at.before.type == "COMMA":
        start = at.index
    else:
        return None
    named = next((i for i in range(at.enclosing + 1, start) if at.at(i + 1).type == "EQUAL"), None)
    if named is None:
        return None
    end = at.part_end(start)
    return Mended(
        Diagnostic(
            "E0110",
            "a positional argument after a named one",
            at.span(at.tokens[start], at.tokens[end - 1]),
            "has no name",
            labels=((at.span(at.tokens[named]), "named from here on"),),
            help="positional arguments come first; or give this one its name",
        )
    )


def comma(at: Failure) -> Mended | None:
    """A comma that is missing between elements, or that stands where none belongs."""
    if at.token.type == "COMMA":
        label = "not needed"
        if at.inside in ("LPAR", "LSQB") and at.before.type not in BEFORE_OPERAND:
            return _tuple(at)
        if at.inside in ("LPAR", "LSQB"):
            message = "a comma with nothing before it"
        elif at.inside == "LBRACE":
            message = "no comma belongs between the statements of a body"
        else:
            message, label = "unexpected `,`", "not expected here"
        problem = Diagnostic(
            "E0114",
            message,
            at.span(at.token),
            label,
            help="leave the comma out",
            fix=at.fix("Leave the comma out", at.index, at.index + 1, ""),
        )
        return Mended(problem, at.replaced(at.index, at.index + 1))
    if at.inside not in ("LPAR", "LSQB") or "COMMA" not in at.expected or at.token.type not in _OPERANDS:
        return None
    place = Span(CHUNK, at.before.end, at.before.end)
    return Mended(
        Diagnostic(
            "E0114",
            f"a comma is missing before {quoted(at.token)}",
            at.span(at.token),
            "expected `,` before this",
            help="elements and arguments are separated by commas",
            fix=Fix("Add a comma", place, ","),
        ),
        at.inserted(("COMMA", ",")),
    )


def _tuple(at: Failure) -> Mended | None:
    """`(a, b)`, or a second index."""
    if at.enclosing is None:
        return None
    opener, close = at.enclosing, at.brackets.closed_by.get(at.enclosing)
    index = at.inside == "LSQB"
    if close is None or (index and at.at(opener - 1).type in BEFORE_OPERAND):
        return None
    start = opener + 1 if index else opener
    end = close if index else close + 1
    return Mended(
        Diagnostic(
            "E0111",
            "an index is one number" if index else "there are no tuples in a spec",
            at.span(at.tokens[start], at.tokens[end - 1]),
            "more than one" if index else "not a value",
            help="write `a[i][j]`" if index else "a list stands in `[ ]`",
        ),
        at.missing(start, end),
    )


def missing_value(at: Failure) -> Mended | None:
    """An operator, a comma or a keyword after which nothing stands."""
    if "MISSING" not in at.expected or (at.before.type == "MISSING" and not at.before.text):
        return None
    late = at.token.fresh or at.token.type in CLOSING  # nothing stands there; else something else does
    if at.before.type == "EQUAL" and late:
        name = at.at(at.index - 2)
        of = f" of `{name.text}`" if name.type == "NAME" else ""
        problem = Diagnostic(
            "E0105", f"the value{of} is missing", at.span(at.before), "expected a value after this"
        )
    else:
        fresh = at.token.fresh
        problem = Diagnostic(
            "E0101",
            f"expected a value after {quoted(at.before)}" + ("" if fresh else f", found {quoted(at.token)}"),
            at.span(at.before if fresh else at.token),
            "expected a value after this" if fresh else "not a value",
        )
    return Mended(problem, at.inserted(("MISSING", "")))


FIRST = (equal_in_condition, ternary, braces_as_value, generator, chained)
LAST = (positional_after_named, comma, missing_value)
