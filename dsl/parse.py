"""Text to syntax tree."""

from __future__ import annotations

from dataclasses import replace

from mfc.dsl import syntax
from mfc.dsl.chunks import cut, place, read_chunk
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.source import Source


def parse(source: Source, diagnostics: Diagnostics) -> syntax.File:
    """The tree of a file. Never raises: what can't be read is reported, and stands in the tree as `BrokenDecl`."""
    declarations: list[syntax.Decl] = []
    comments: list[syntax.Comment] = []
    for start, end in cut(source.text):
        chunk = place(tuple(read_chunk(source.text[start:end])), source, start)
        declarations += chunk[0]
        comments += chunk[1]
        diagnostics.found += chunk[2]
    documented, doc = _attach_docs(source, declarations, comments)
    return syntax.File(source, documented, tuple(comments), doc)


def _attach_docs(
    source: Source, declarations: list[syntax.Decl], comments: list[syntax.Comment]
) -> tuple[tuple[syntax.Decl, ...], str]:
    """The declarations with the `##` paragraphs that stand right above them, and the file's own documentation."""
    paragraphs: dict[int, list[str]] = {}  # by the number of the line after them
    for comment in comments:
        line, column = source.position(comment.span.start)
        if comment.text.startswith("##") and column == 1:
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
