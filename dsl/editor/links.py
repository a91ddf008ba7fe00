"""The paths of other files that a file names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mfc.dsl.editor.document import Document
from mfc.dsl.resolve import import_path
from mfc.dsl.source import Span
from mfc.dsl.syntax import Import


@dataclass(frozen=True)
class Link:
    """A path as it is written, without its quotes; the file that it leads to, and what that is, in a line."""

    span: Span
    path: str
    tooltip: str


def links(document: Document) -> list[Link]:
    """The paths of `import` and `use`, as far as the files could be read."""
    return list(_links(document))


def _links(document: Document) -> Iterator[Link]:
    program = document.compiled.program
    for decl in document.file.declarations:
        if not isinstance(decl, Import):
            continue
        path = import_path(decl, document.path, document.compiled.standard)
        written = decl.path.span
        quote = 2 if written.text.startswith("r") else 1
        span = Span(document.source, written.start + quote, written.end - 1)
        if decl.kind == "import" and path in program.modules:
            file = program.modules[path].file
            doc = " ".join(file.doc.partition("\n\n")[0].split())
            yield Link(span, path, f"{file.source.name}: {doc}" if doc else file.source.name)
        elif decl.kind == "use" and path in program.user_files:
            yield Link(span, path, f"{decl.path.value}: components in Python")
