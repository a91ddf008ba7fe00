"""A diagnostic as a user reads it: with its lines, on one line, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.source import Source, Span

_JOINER = "\u200d"  # between the parts of an emoji
_WIDTH = 100  # of a line of source; a longer one is cut around the place
_COLOURS = {"error": "\033[1;31m", "warning": "\033[1;33m", "gutter": "\033[1;34m", "bold": "\033[1m"}


def render(diagnostic: Diagnostic, colour: bool = False) -> str:
    """A diagnostic with the lines that it is about, ending without a newline."""
    paint = _painter(colour)
    severity = diagnostic.severity
    head = paint(f"{severity}[{diagnostic.code}]", severity) + paint(
        f": {_clean(diagnostic.message)}", "bold"
    )
    marks = [_Mark(diagnostic.span, diagnostic.label, True)]
    marks += [_Mark(span, label, False) for span, label in diagnostic.labels]
    sources = list(dict.fromkeys(mark.span.source for mark in marks))
    gutter = max(len(str(mark.line)) for mark in marks)
    pad = " " * gutter
    out = [head]
    for index, source in enumerate(sources):
        here = [mark for mark in marks if mark.span.source is source]
        arrow = "-->" if index == 0 else ":::"
        out.append(f"{pad}{paint(arrow, 'gutter')} {_place(here[0].span)}")
        out += _snippet(source, here, gutter, severity, paint)
    if diagnostic.help:
        out.append(f"{pad} {paint('=', 'gutter')} {paint('help', 'bold')}: {_clean(diagnostic.help)}")
    out += [
        f"{pad} {paint('=', 'gutter')} {paint('note', 'bold')}: {_clean(note)}" for note in diagnostic.notes
    ]
    return "\n".join(out)


def one_line(diagnostic: Diagnostic) -> str:
    """`file:line:column: error[E0204]: message`"""
    message = _clean(diagnostic.message)
    return f"{_place(diagnostic.span)}: {diagnostic.severity}[{diagnostic.code}]: {message}"


def json_line(diagnostic: Diagnostic) -> str:
    """A diagnostic as one line of JSON; `range` has the positions of the language server protocol."""
    fields = {
        "file": diagnostic.span.source.name,
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "range": lsp_range(diagnostic.span),
        "help": diagnostic.help,
    }
    if (fix := diagnostic.fix) is not None:
        fields["fix"] = {"title": fix.title, "range": lsp_range(fix.span), "text": fix.text}
    return json.dumps(fields)


def lsp_range(span: Span) -> dict[str, dict[str, int]]:
    """A span as the language server protocol has it: lines from 0, columns in UTF-16 code units from 0."""
    return {"start": _lsp_position(span.source, span.start), "end": _lsp_position(span.source, span.end)}


def _lsp_position(source: Source, offset: int) -> dict[str, int]:
    line, column = source.position(offset)
    before = source.text[offset - column + 1 : offset]
    return {"line": line - 1, "character": len(before) + sum(letter > "\uffff" for letter in before)}


def summary(diagnostics: Iterable[Diagnostic], name: str) -> str:
    """`2 errors, 1 warning in cifar10.mfs`, or `no errors in cifar10.mfs`."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = [(severities.count(kind), kind) for kind in ("error", "warning")]
    said = [f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count]
    return f"{', '.join(said) or 'no errors'} in {name}"


def _place(span: Span) -> str:
    line, column = span.source.position(span.start)
    return f"{_clean(span.source.name)}:{line}:{column}"


# ── lines of source ─────────────────────────────────────────────────────────────────────────────────────


class _Mark:
    """A place with its label, on the line where it begins. `start` and `end` are columns from 0."""

    def __init__(self, span: Span, label: str, primary: bool):
        self.span, self.label, self.primary = span, label, primary
        self.line, column = span.source.position(span.start)
        self.start = column - 1
        rest = span.source.line(self.line).rstrip()
        self.end = max(self.start + 1, min(self.start + span.end - span.start, len(rest)))


def _snippet(source: Source, marks: list[_Mark], gutter: int, severity: str, paint: Any) -> list[str]:
    """The lines that have marks, with the marks below them and `...` between lines that are not neighbours."""
    bar = paint("|", "gutter")
    out = [f"{' ' * gutter} {bar}"]
    last = 0
    for line in sorted({mark.line for mark in marks}):
        if last and line > last + 1:
            out.append("...")
        here = sorted(
            (mark for mark in marks if mark.line == line), key=lambda mark: (not mark.primary, -mark.start)
        )
        text = source.line(line)
        cut = _window(text, here[0])
        number = paint(f"{line:>{gutter}}", "gutter")
        out.append(f"{number} {bar} {_shown(text, cut)}".rstrip())
        for mark in here:
            out.append(f"{' ' * gutter} {bar} {_underline(text, cut, mark, severity, paint)}".rstrip())
        last = line
    return out


def _window(text: str, mark: _Mark) -> tuple[int, int]:
    """The part of a line that is shown, as columns: all of it, or what is around a mark."""
    if len(text) <= _WIDTH:
        return 0, len(text)
    start = max(0, min(mark.start - _WIDTH // 3, len(text) - _WIDTH))
    return start, start + _WIDTH


def _shown(text: str, cut: tuple[int, int]) -> str:
    start, end = cut
    return ("..." if start else "") + _clean(text[start:end]) + ("..." if end < len(text) else "")


def _underline(text: str, cut: tuple[int, int], mark: _Mark, severity: str, paint: Any) -> str:
    start, end = cut
    left = min(max(mark.start, start), end)
    right = min(max(mark.end, left + 1), max(end, left + 1))
    indent = (3 if start else 0) + _width(text[start:left])
    marks = ("^" if mark.primary else "-") * max(1, _width(text[left:right]))
    label = f" {_clean(mark.label)}" if mark.label else ""
    return " " * indent + paint(marks + label, severity if mark.primary else "gutter")


def _clean(text: str) -> str:
    """A text that can do nothing to a terminal: tabs as spaces, other control characters replaced."""
    if text.isprintable():
        return text
    return "".join(map(_clean_letter, text))


def _clean_letter(letter: str) -> str:
    if letter.isprintable() or letter == _JOINER:
        return letter
    if letter == "\t":
        return "    "
    return " " if letter.isspace() else "\ufffd"


def _width(text: str) -> int:
    """The columns that a text takes up in a terminal."""
    if text.isascii() and text.isprintable():
        return len(text)
    import unicodedata

    def columns(letter: str) -> int:
        if letter == "\t":
            return 4
        if unicodedata.combining(letter) or letter in (_JOINER, "\ufe0f"):
            return 0
        return 2 if unicodedata.east_asian_width(letter) in "WF" else 1

    return sum(map(columns, text))


def _painter(colour: bool) -> Any:
    def paint(text: str, kind: str) -> str:
        return f"{_COLOURS[kind]}{text}\033[0m" if colour else text

    return paint
