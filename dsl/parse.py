"""Text to syntax tree."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from mfc.dsl import syntax
from mfc.dsl.chunks import MAX_DEPTH, TooDeep, place, readings
from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.scan import DECLARATION_WORDS
from mfc.dsl.source import Source, Span

MAX_LINES = 5_000
MAX_CHARACTERS = 250_000
MAX_ERRORS = 50
LOST = 10
"""A text with fewer errors outside of what is meant as a declaration is a spec with mistakes."""


def parse(source: Source, diagnostics: Diagnostics) -> syntax.File:
    """The tree of a file. Never raises: what can't be read is reported and stands there as `BrokenDecl`."""
    found = Diagnostics()
    if reason := too_large(source):
        diagnostics.add("E0116", Span(source, 0, 0), reason, help="split it with `import`")
        return syntax.File(source, (), ())
    declarations: list[syntax.Decl] = []
    comments: list[syntax.Comment] = []
    meant = lost = 0
    for start, reading in readings(source.text):
        known = sum(map(_is_meant, reading.declarations))
        meant, lost = meant + known, lost + (0 if known else len(reading.problems))
        comments += place(reading.comments, source, start)
        found.found += place(reading.problems, source, start)
        for declaration in reading.declarations:
            try:
                declarations.append(place(declaration, source, start))
            except TooDeep as error:
                declarations.append(_too_deep(declaration, error, source, start, found))
    if lost >= LOST and lost > 5 * meant:
        diagnostics.found.append(_no_spec(list(found), meant))
        return syntax.File(source, (), tuple(comments))
    _language(declarations, found)
    diagnostics.found += _first(found)
    documented, doc = _attach_docs(source, declarations, comments)
    return syntax.File(source, documented, tuple(comments), doc)


def too_large(source: Source) -> str:
    """What is too large about a file, or nothing."""
    lines = source.text.count("\n") + 1
    if lines > MAX_LINES:
        return f"this file has {lines:,} lines: more than {MAX_LINES:,} are not read"
    if len(source.text) > MAX_CHARACTERS:
        return f"this file has {len(source.text):,} characters: more than {MAX_CHARACTERS:,} are not read"
    return ""


def _is_meant(declaration: syntax.Decl) -> bool:
    """Whether a declaration begins as one does, broken or not. Python's `import` begins so too."""
    if not isinstance(declaration, syntax.BrokenDecl):
        return True
    return declaration.kind in DECLARATION_WORDS and declaration.kind not in ("import", "use")


def _no_spec(found: list[Diagnostic], meant: int) -> Diagnostic:
    """The one error of a text of another kind, at its first one."""
    first, many = found[0], "next to nothing" if meant else "nothing"
    return Diagnostic(
        "E0124",
        f"this does not look like a spec: {many} in it is a declaration",
        first.span,
        first.message,
        help=f"declarations begin with {', '.join(DECLARATION_WORDS[:-1])} or {DECLARATION_WORDS[-1]}",
        notes=(f"it has {len(found)} such errors",),
    )


def _too_deep(
    declaration: syntax.Decl, error: TooDeep, source: Source, start: int, diagnostics: Diagnostics
) -> syntax.BrokenDecl:
    message = f"this is nested more than {MAX_DEPTH} deep"
    diagnostics.add("E0115", error.span, message, "too deep", help="give inner parts names with `let`")
    name = getattr(declaration, "name", None)
    kinds = {syntax.LetStmt: "let", syntax.Param: "param", syntax.DataDecl: "data"}
    kind = kinds.get(type(declaration)) or getattr(declaration, "kind", "")
    stub = syntax.BrokenDecl(kind, name, declaration.span)
    return place(stub, source, start)


def _language(declarations: list[syntax.Decl], diagnostics: Diagnostics) -> None:
    for declaration in declarations[1:]:
        if isinstance(declaration, syntax.Language):
            message = "`language` stands before all declarations"
            diagnostics.add("E0123", declaration.span, message, "not the first declaration")


def _first(diagnostics: Diagnostics) -> list:
    """The first errors of a file; the last of them says how many are left out."""
    found = list(diagnostics)
    if len(found) <= MAX_ERRORS:
        return found
    last = found[MAX_ERRORS - 1]
    note = f"{len(found) - MAX_ERRORS} more errors in this file are not shown"
    return [*found[: MAX_ERRORS - 1], replace(last, notes=(*last.notes, note))]


def _attach_docs(
    source: Source, declarations: list[syntax.Decl], comments: list[syntax.Comment]
) -> tuple[tuple[syntax.Decl, ...], str]:
    """The declarations with the `##` paragraphs right above them, and the file's own documentation. Neither depends on
    how far lines are indented."""
    starts = [declaration.span.start for declaration in declarations]
    outside, after = [], len(source.text)  # comments outside of declarations, and where the one before begins
    for comment in reversed(comments):
        following = bisect_right(starts, comment.span.start)
        behind = source.text[comment.span.end : min([after, *starts[following : following + 1]])]
        if not behind.replace("\ufeff", "").strip():
            outside.append(comment)
            after = comment.span.start
    paragraphs: dict[int, list[str]] = {}  # by the number of the line after them
    for comment in reversed(outside):
        line, column = source.position(comment.span.start)
        before = source.text[comment.span.start - column + 1 : comment.span.start]
        if comment.text.startswith("##") and not before.strip(" \t\r\f\v\ufeff"):
            paragraphs[line + 1] = [*paragraphs.pop(line, []), comment.text.lstrip("#").removeprefix(" ")]
    documented: list[syntax.Decl] = []
    for declaration in declarations:
        paragraph = paragraphs.pop(source.position(declaration.span.start)[0], None)
        if paragraph and hasattr(declaration, "doc"):
            declaration = replace(declaration, doc="\n".join(paragraph))  # type: ignore[call-arg]
        documented.append(declaration)
    own = [
        "\n".join(lines)
        for line, lines in paragraphs.items()
        if line > len(source.line_starts) or not source.line(line).strip()
    ]
    return tuple(documented), "\n\n".join(own)
