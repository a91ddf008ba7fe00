"""What can be run, offered above the declarations that can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mfc.dsl.editor.document import Document
from mfc.dsl.fields import RUN
from mfc.dsl.source import Span
from mfc.dsl.syntax import declaration_kind

COMMANDS = {"Run": "mfc.run", "Plan": "mfc.plan"}


@dataclass(frozen=True)
class Lens:
    """A command above the name of a declaration. Its arguments are the file, as an absolute path, and the target."""

    span: Span
    title: str
    command: str
    path: str
    target: str


def code_lenses(document: Document) -> Iterator[Lens]:
    """The commands of a spec: none of declarations that need arguments, and none of files that are only imported."""
    if document.module is not document.compiled.program.entry:
        return
    targets = {*document.compiled.names()}
    for declared in document.module.declarations():
        name, params = declared.decl.name, getattr(declared.decl, "params", None) or ()
        needs = any(parameter.default is None for parameter in params)
        if name is not None and name.text in targets and declaration_kind(declared.decl) in RUN and not needs:
            for title, command in COMMANDS.items():
                yield Lens(name.span, title, command, document.path, name.text)
