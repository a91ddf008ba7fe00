"""Malformed tokens: what is wrong with each, and what it was probably meant to be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mfc.dsl.diagnostics import Diagnostic, Fix
from mfc.dsl.scan import LONGEST_NUMBER
from mfc.dsl.source import Span, apart


@dataclass(frozen=True)
class Fault:
    """What is wrong with one token.

    The parser goes on with a token of `type` and `text`, or without one where `type` is empty. `lossy` tells
    that this is a guess. `start` and `end` narrow the place down (from the token's start; `end` 0 is its end).
    """

    code: str
    message: str
    label: str
    help: str = ""
    type: str = ""
    text: str = ""
    fix: str | None = None
    lossy: bool = False
    start: int = 0
    end: int = 0

    def diagnostic(self, span: Span, text: str) -> Diagnostic:
        """What is said of it, where it stands in a text."""
        fix = None
        if self.fix is not None:
            title = f"Write `{self.fix}`" if self.fix else "Leave it out"
            fix = Fix(title, span, apart(text, span.start, span.end, self.fix))
        return Diagnostic(self.code, self.message, span, self.label, help=self.help, fix=fix)


def malformed(kind: str, text: str, naming: bool) -> Fault:
    """What is wrong with a token of a kind of `mfc.dsl.scan`. `naming` tells that a name belongs here."""
    if kind == "STRING":
        return _escapes(text)
    if kind == "NUMBER":
        return _too_large(text)
    if kind == "DIGITS":
        return _digits(text, naming)
    if kind == "WORD":
        word = {"True": "true", "False": "false", "None": "none"}[text]
        message = f"`{text}` is written `{word}`"
        return Fault("E0108", message, "Python's form", f"write `{word}`", word.upper(), word, word)
    if kind == "LETTERS":
        at = next(i for i, letter in enumerate(text) if not letter.isascii())
        return Fault(
            "E0104",
            f"`{text[at]}` can't be in a name",
            "not a letter from a to z",
            "names are made of the letters a to z, digits and `_`",
            type="NAME",
            text=text,
            start=at,
            end=at + 1,
        )
    if kind == "SLIP":
        return _slip(text)
    if kind == "OTHER":
        return _unexpected(text)
    return _quotes(kind, text)


# ── strings ─────────────────────────────────────────────────────────────────────────────────────────────


def _escapes(text: str) -> Fault:
    escape = next(match for match in re.finditer(r"\\(.)", text) if match[1] not in 'nrt"\\')
    raw = f"r{text}" if '\\"' not in text else ""
    return Fault(
        "E0118",
        f"`{escape[0]}` is not an escape",
        "a backslash has a meaning of its own in a string",
        f"write the string raw: `{raw}`" if raw else r"write a backslash as `\\`",
        type="STRING",
        text=text,
        start=escape.start(),
        end=escape.end(),
    )


def _quotes(kind: str, text: str) -> Fault:
    if kind == "FORMATTED":
        return Fault(
            "E0111",
            f"there are no `{text}` strings",
            "not a prefix of strings",
            'only `r"..."` is; no string interpolates: join paths with `/`, texts with `+` and `str(...)`',
        )
    if kind == "TRIPLE":
        return Fault(
            "E0103",
            "a string has one pair of quotes and ends on its line",
            "three quotes",
            "text that documents a declaration stands above it, in lines that begin with `##`",
            type="MISSING",
            lossy=True,
        )
    if kind == "UNCLOSED":
        escaped = re.search(r'\\"[^"]*$', text)
        return Fault(
            "E0103",
            "this string is not closed",
            'no `"` before the end of the line',
            r"`\"` is a quote inside the string: write a backslash at the end as `\\`" if escaped else "",
            type="MISSING",
            lossy=True,
        )
    closed = len(text) > 1 and text[-1] in "'”\"`"
    if not closed:
        return Fault(
            "E0104", f"unexpected `{text[0]}`", "not expected here", type="MISSING", lossy=True, end=1
        )
    inner = text[1:-1].replace("\\", "\\\\").replace('"', '\\"')
    quoted = f'"{inner}"'
    return Fault(
        "E0103",
        "a string stands in double quotes",
        "other quotes",
        f"write `{quoted}`",
        type="STRING",
        text=quoted,
        fix=quoted,
    )


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────


def _too_large(text: str) -> Fault:
    message, label = "this number is too large", "larger than any float"
    if len(text) > LONGEST_NUMBER:
        message, label = f"a number of {len(text)} characters", f"at most {LONGEST_NUMBER} are read"
    elif text.replace("_", "").isdigit():
        label = "larger than 2 ** 63 - 1"
    return Fault("E0109", message, label, type="MISSING")


def _digits(text: str, naming: bool) -> Fault:
    if naming:
        return Fault(
            "E0109", f"a name can't begin with a digit: `{text}`", "not a name", type="NAME", text=text
        )
    number = text
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,15}|0[bB][01]{1,60}|0[oO][0-7]{1,20}", text):
        number = str(int(text, 0))
    elif re.fullmatch(r"[0-9_]+\.?[0-9_]*|\.[0-9]+(?:[eE][0-9]+)?", text) and len(text) <= LONGEST_NUMBER:
        whole, dot, part = text.partition(".")
        number = re.sub(r"_+", "_", whole).strip("_") or "0"
        number += f".{part.strip('_') or '0'}" if dot else ""
    if number != text:
        return Fault(
            "E0109",
            f"`{text}` is not how a number is written",
            "not a number",
            f"write `{number}`",
            type="NUMBER",
            text=number,
            fix=number,
        )
    short = text if len(text) <= LONGEST_NUMBER else f"{text[:LONGEST_NUMBER]}..."
    product = re.fullmatch(r"([0-9]+)([A-Za-z_]\w*)", text)
    return Fault(
        "E0109",
        f"`{short}` is neither a number nor a name",
        "a digit begins a number",
        f"a product is written `{product[1]} * {product[2]}`" if product and len(product[2]) < 3 else "",
        type="MISSING",
    )


# ── symbols ─────────────────────────────────────────────────────────────────────────────────────────────

_SLIPS = {
    "&&": ("and", "AND"), "&": ("and", "AND"), "||": ("or", "OR"), "|": ("or", "OR"), "!": ("not", "NOT"),
    "^": ("**", "POWER"), "===": ("==", "EQ"), "!==": ("!=", "NE"), "<>": ("!=", "NE"), ":=": ("=", "EQUAL"),
    "=>": ("->", "ARROW"), "→": ("->", "ARROW"), "–": ("-", "MINUS"), "—": ("-", "MINUS"), "−": ("-", "MINUS"),
    "×": ("*", "STAR"), "÷": ("/", "SLASH"), "≤": ("<=", "LE"), "≥": (">=", "GE"), "≠": ("!=", "NE"),
}  # fmt: skip


def _slip(text: str) -> Fault:
    if text in _SLIPS:
        right, kind = _SLIPS[text]
        return Fault(
            "E0104",
            f"`{text}` is written `{right}`",
            "not an operator",
            f"write `{right}`",
            type=kind,
            text=right,
            fix=right,
        )
    if text == ";":
        return Fault("E0104", "no `;` belongs between statements", "not needed", "leave the `;` out", fix="")
    if text == "\\":
        return Fault(
            "E0104",
            "a line needs no mark to go on",
            "not needed",
            "an expression may go on over several lines",
            fix="",
        )
    return Fault(
        "E0104",
        f"there is no `{text}`",
        "not an operator",
        "a name keeps its value: give the new value another name",
        lossy=True,
    )


_UNEXPECTED = {
    "$": "a spec reads no environment variables: declare a `param` and set it with `--set NAME=VALUE`",
    "@": "there are no decorators and no matrix products in a spec; layers do the arithmetic of tensors",
    "~": 'a path stands in quotes: `"~/data"`',
}


def _unexpected(text: str) -> Fault:
    if text.isspace():
        return Fault("E0104", f"a space of an unusual kind, U+{ord(text):04X}", "not a plain space", fix=" ")
    shown = f"`{text}`" if text.isprintable() else f"character U+{ord(text):04X}"
    return Fault("E0104", f"unexpected {shown}", "not expected here", _UNEXPECTED.get(text, ""), lossy=True)
