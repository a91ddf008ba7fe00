"""Text to tokens. No token spans lines, so a mistake in one never swallows the next line.

Offsets count from the start of the text that is scanned, which is one chunk of a file. A malformed token is
reported and passed on as what it was probably meant to be, so that the parser can go on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.source import Source, Span

CHUNK = Source("", "")  # stands for the file in spans that count from the start of a chunk


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
DECLARATIONS = frozenset(word.upper() for word in DECLARATION_WORDS)
OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {close: open_ for open_, close in OPENING.items()}
SYMBOLS = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", "{": "LBRACE", "}": "RBRACE", "==": "EQ", "!=": "NE",
    "<=": "LE", ">=": "GE", "<": "LT", ">": "GT", "**": "POWER", "//": "DOUBLE_SLASH", "+": "PLUS",
    "-": "MINUS", "*": "STAR", "/": "SLASH", "%": "PERCENT", "->": "ARROW", "..": "DOTS", ".": "DOT",
    ",": "COMMA", ":": "COLON", "=": "EQUAL",
}  # fmt: skip

MAX_NESTING = 64  # brackets within brackets; each takes a few frames of the stages that walk the tree
MAX_PROBLEMS = 50
LARGEST_INT = 2**63 - 1
LONGEST_NUMBER = 40

# Alternatives in the order in which they are tried; the groups after COMMENT are what is malformed.
_PATTERNS = {
    "NEWLINE": r"\n",
    "COMMENT": r"\#[^\n]*",
    "TRIPLE": r'"""(?:[^\n]*?""")?[^\n]*',
    "FORMATTED": r'(?!r")[A-Za-z]{1,2}(?=")',
    "STRING": r'r"[^"\n]*"|"(?:[^"\\\n]|\\[^\n])*"',
    "UNCLOSED": r'r?"[^\n]*',
    "QUOTES": r"'[^'\n]*'?|[“”][^“”\"\n]*[“”\"]?|`[^`\n]*`?",
    "WORD": r"[A-Za-z_][A-Za-z0-9_]*(?!\w)",
    "LETTERS": r"[^\W\d]\w*",
    "NUMBER": r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?(?!\w|\.(?![.A-Za-z_]))",
    "DIGITS": r"\.?[0-9]\w*(?:\.[0-9]\w*)*(?:\.(?![.\w]))?",
    "SLIP": r"&&?|\|\|?|!==|===|\+=|-=|\*=|/=|:=|=>|<>|\+\+|!(?!=)|\^|;|\\(?=[ \t\r]*\n)|[–—−×÷≤≥≠→]",
    "SYMBOL": r"==|!=|<=|>=|\*\*|//|->|\.\.|[()\[\]{}<>+\-*/%.,:=]",
    "OTHER": r"[^\n \t\r\f\v\ufeff]",
}
_TOKEN = re.compile(
    r"[ \t\r\f\v\ufeff]*(?:" + "|".join(f"(?P<{name}>{body})" for name, body in _PATTERNS.items()) + ")"
)
_ESCAPED = re.compile(r'r.*|"(?:[^\\]|\\[nrt"\\])*"')  # a string whose escapes are known
_PYTHON_CONSTANTS = {"True": "true", "False": "false", "None": "none"}

# After one of these a value or a name must come, so a word there is no keyword that opens something.
BEFORE_OPERAND = {
    "EQUAL", "LPAR", "LSQB", "COMMA", "COLON", "DOT", "ARROW", "DOTS", "EQ", "NE", "LE", "GE", "LT", "GT", "POWER",
    "DOUBLE_SLASH", "PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "IF", "THEN", "ELSE", "FOR", "IN", "WITHIN", "AND",
    "OR", "NOT",
}  # fmt: skip


@dataclass
class Scan:
    """The tokens of a text, its comments as (start, end), and what is malformed in it.

    `lossy` tells that something was left out or guessed, so that a later error may be only its echo.
    """

    tokens: list[Token] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    lossy: bool = False


def scan(text: str) -> Scan:
    """Splits a text into tokens."""
    found = Scan()
    add = found.tokens.append
    fresh = True
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        start, end = match.span(kind)
        piece = match[kind]
        if kind == "SYMBOL":
            add(Token(SYMBOLS[piece], piece, start, end, fresh))
        elif kind == "NEWLINE":
            fresh = True
            continue
        elif kind == "COMMENT":
            found.comments.append((start, start + len(piece.rstrip())))
            continue
        elif kind == "WORD" and piece not in _PYTHON_CONSTANTS:
            add(Token(KEYWORDS.get(piece, "NAME"), piece, start, end, fresh))
        elif (kind == "STRING" and _ESCAPED.fullmatch(piece)) or (kind == "NUMBER" and _fits(piece)):
            add(Token(kind, piece, start, end, fresh))
        else:
            _malformed(found, text, kind, Token(kind, piece, start, end, fresh))
            if len(found.problems) >= MAX_PROBLEMS:
                break
        fresh = False
    _by_context(found)
    return found


def word_at(text: str, offset: int) -> tuple[int, int] | None:
    """Where the word begins and ends that an offset is in or at the end of, both at the offset where there is none; None
    within a comment or a string."""
    if _open_text(text, offset) is not None:
        return None
    line = text.rfind("\n", 0, offset) + 1
    start = _WORD_BEFORE.search(text, line, offset)
    end = _WORD_AFTER.match(text, offset)
    assert start is not None and end is not None, "both match nothing, too"
    return start.start(), end.end()


def string_at(text: str, offset: int) -> int | None:
    """Where the string begins that an offset is in; None where it is in none."""
    found = _open_text(text, offset)
    return None if found is None or found.lastgroup == "COMMENT" else found.start(found.lastgroup or 0)


def string_end(text: str, start: int) -> int | None:
    """Where the string ends that begins at an offset; None where it has no end yet. Where quotes of the line are left
    without another one, it is this string that is being typed: the next quote begins one behind it."""
    end = text.find("\n", start)
    pieces = [*_TOKEN.finditer(text, start, len(text) if end < 0 else end)]
    if not pieces or pieces[0].lastgroup != "STRING" or any(p.lastgroup == "UNCLOSED" for p in pieces):
        return None
    return pieces[0].end()


def _open_text(text: str, offset: int) -> re.Match[str] | None:
    """The comment or string that an offset is in."""
    *_, last = (None, *_TOKEN.finditer(text, text.rfind("\n", 0, offset) + 1, offset))
    return last if last is not None and last.end() == offset and last.lastgroup in _TEXTS else None


_TEXTS = {"COMMENT", "UNCLOSED", "TRIPLE", "QUOTES"}
_WORD_BEFORE = re.compile(r"\w*\Z")
_WORD_AFTER = re.compile(r"\w*")


def _fits(number: str) -> bool:
    """Whether a number is short enough to be read and small enough to be kept."""
    if len(number) < 16 and "e" not in number and "E" not in number:
        return True
    digits = number.replace("_", "")
    if len(number) > LONGEST_NUMBER:
        return False
    return int(digits) <= LARGEST_INT if digits.isdigit() else float(digits) < float("inf")


def _malformed(found: Scan, text: str, kind: str, token: Token) -> None:
    """Reports a token that is malformed, and adds what was probably meant."""
    from mfc.dsl.malformed import malformed  # only mistakes pay for it

    before = found.tokens[-1].text if found.tokens else ""
    fault = malformed(kind, token.text, before in DECLARATION_WORDS)
    span = Span(CHUNK, token.start + fault.start, token.start + (fault.end or len(token.text)))
    found.problems.append(fault.diagnostic(span, text))
    found.lossy |= fault.lossy
    if fault.type:
        found.tokens.append(token._replace(type=fault.type, text=fault.text))


def _by_context(found: Scan) -> None:
    """What the tokens beside a token decide: words that are keywords only in their place, and missing values."""
    tokens, out = found.tokens, []
    brackets: list[str] = []
    declaration, before = "", ""
    for i, token in enumerate(tokens):
        kind = token.type
        if before == "EQUAL" and (token.fresh or kind == "RBRACE") and brackets[-1:] in ([], ["LBRACE"]):
            _late_value(found, out, tokens, i)
        if kind == "NAME":
            if token.text in _SOFT and (word := _soft_keyword(tokens, i, before, not brackets)):
                token, kind = token._replace(type=word), word
                if not brackets:
                    declaration = word
        elif kind in OPENING:
            brackets.append(kind)
            if len(brackets) > MAX_NESTING:
                found.problems.append(_too_deep(token))
                found.lossy = True
                break
        elif kind in CLOSING:
            brackets[-1:] = []
        elif kind == "IN" and declaration == "PARAM" and not brackets:
            token, kind = token._replace(type="WITHIN"), "WITHIN"
        if before == "WITHIN" and token.text == "log" and _next(tokens, i) == "LPAR":
            token = token._replace(type="LOG")
        out.append(token)
        before = kind
    found.tokens = out
    if any(token.text == "x" for token in out):
        found.problems += [_reserved(token) for token in bound(out) if token.text == "x"]


_SOFT = {*DECLARATION_WORDS, "group", "phase", "branch", "module"}
_BINDING = {"LET"} | (DECLARATIONS - {"IMPORT", "USE", "LANGUAGE"})


def _next(tokens: list[Token], i: int) -> str:
    return tokens[i + 1].type if i + 1 < len(tokens) else ""


def _soft_keyword(tokens: list[Token], i: int, before: str, top: bool) -> str | None:
    """The type of a word that opens something here, or None where it is an ordinary name."""
    word, after = tokens[i].text, _next(tokens, i)
    if word in ("branch", "module"):
        opens = before == "EQUAL" and after == "LBRACE"
    elif before in BEFORE_OPERAND or before in _BINDING:
        opens = False
    elif word in ("group", "phase"):
        opens = after == "NAME" and _next(tokens, i + 1) == "LBRACE"
    elif word == "let":
        opens = after == "NAME" or after in KEYWORDS.values()
    elif word in ("import", "use"):
        opens = top and after == "STRING"
    elif word == "language":
        opens = top and after == "NUMBER" and tokens[i + 1].text.isdigit()
    else:
        opens = top and (after == "NAME" or after in KEYWORDS.values())
    return word.upper() if opens else None


def bound(tokens: Sequence[Token]) -> Iterator[Token]:
    """The names that are given a meaning where they stand: declared, of a `for`, parameters."""
    parameters = [False]  # for each open bracket, whether it holds parameters
    variables = False
    before = declared = ""  # the types of the last token and of the one before it
    for token in tokens:
        kind = token.type
        if kind in ("FOR", "IN"):
            variables = kind == "FOR"
        elif kind in OPENING:
            parameters.append(kind == "LPAR" and declared in DECLARATIONS)
        elif kind in CLOSING and len(parameters) > 1:
            parameters.pop()
        elif kind == "NAME" and (
            variables or before in _BINDING or (parameters[-1] and before in ("LPAR", "COMMA"))
        ):
            yield token
        before, declared = kind, before


def _late_value(found: Scan, out: list[Token], tokens: list[Token], i: int) -> None:
    """Reports a value that is missing after `=`, or that begins on a later line."""
    equal, token, after = out[-1], tokens[i], _next(tokens, i)
    opens = token.type == "NAME" and (after == "EQUAL" or (token.text in _SOFT and after == "NAME"))
    if token.type == "IF":
        opens = next((t.type for t in tokens[i:] if t.type in ("THEN", "LBRACE")), "") == "LBRACE"
    if token.type in ("RBRACE", "FOR") or opens:
        name = f" of `{out[-2].text}`" if len(out) > 1 and out[-2].type == "NAME" else ""
        found.problems.append(
            Diagnostic(
                "E0105",
                f"the value{name} is missing",
                Span(CHUNK, equal.start, equal.end),
                "expected a value after this",
            )
        )
        out.append(Token("MISSING", "", equal.end, equal.end))
    else:
        found.problems.append(
            Diagnostic(
                "E0105",
                "a value begins on the line of its `=`",
                Span(CHUNK, token.start, token.end),
                "this stands on a later line",
                labels=((Span(CHUNK, equal.start, equal.end), "its `=`"),),
                help="a value may go on over several lines, but it begins beside the `=`",
            )
        )


def _reserved(token: Token) -> Diagnostic:
    return Diagnostic(
        "E0117",
        "`x` is reserved: it is the current tensor",
        Span(CHUNK, token.start, token.end),
        "can't be a name of your own",
        help="choose another name",
    )


def _too_deep(token: Token) -> Diagnostic:
    return Diagnostic(
        "E0115",
        f"brackets are nested more than {MAX_NESTING} deep",
        Span(CHUNK, token.start, token.end),
        "one too many",
        help="give inner parts names with `let`",
    )
