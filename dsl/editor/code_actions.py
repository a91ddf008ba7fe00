"""What mends a mistake: changes of a file that are offered where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mfc.dsl import want as wanted
from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit, Imports, inserted
from mfc.dsl.editor.importable import Nearby, NoFiles, importable, importable_components
from mfc.dsl.editor.offers_in_bodies import equal_column
from mfc.dsl.fields import BY_KIND, Field
from mfc.dsl.source import Source
from mfc.dsl.syntax import BodyDecl, DataDecl, FieldStmt, Phase, declaration_kind

UNKNOWN = ("E0201", "E0204")
"""The codes of names that may have to be imported."""

MISSING_FIELD = "E0207"
_LACKS = re.compile(r"has no `(\w+)`\Z")


@dataclass(frozen=True)
class Action:
    """A change of a file. `diagnostic` is what it mends, None where it mends all that is certain. What is `preferred` is
    the only thing that is offered for it."""

    title: str
    edits: tuple[Edit, ...]
    diagnostic: Diagnostic | None = None
    preferred: bool = False


def code_actions(document: Document, start: int, end: int, nearby: Nearby | None = None) -> list[Action]:
    """What mends the mistakes of a piece of a document. `nearby` are the files that it may import; without, no imports
    are offered."""
    found: list[Action] = []
    missing = _Missing(document, nearby or NoFiles())
    for diagnostic in mistakes(document, start, end):
        found += _mending(document, diagnostic, missing)
    return found


def mistakes(document: Document, start: int, end: int) -> list[Diagnostic]:
    """The mistakes of a piece of a document."""
    return [d for d in _of(document) if d.span.start <= end and start <= d.span.end]


def fix_all(document: Document) -> Action | None:
    """Everything in a document that is certain to be meant, as one change; None where there is nothing."""
    edits: list[Edit] = []
    end = 0
    for diagnostic in _of(document):
        fix = diagnostic.fix
        if fix is not None and fix.certain and fix.span.start >= end:
            edits.append(Edit(fix.span, fix.text))
            end = fix.span.end
    return Action("Fix all that is certain", tuple(edits)) if edits else None


def _of(document: Document) -> Iterable[Diagnostic]:
    """The mistakes of a file, in order."""
    return (d for d in document.compiled.diagnostics if d.span.source is document.source)


def _mending(document: Document, diagnostic: Diagnostic, missing: _Missing) -> list[Action]:
    """What mends a mistake; where there is but one thing, that is preferred."""
    found: list[tuple[str, Edit]] = []
    if diagnostic.code in UNKNOWN:
        found += missing.imports(diagnostic.span.text)
    if (fix := diagnostic.fix) is not None:
        found.append((fix.title, Edit(fix.span, fix.text)))
    if diagnostic.code == MISSING_FIELD:
        found += _missing_field(document, diagnostic, missing)
    return [Action(title, (edit,), diagnostic, len(found) == 1) for title, edit in found]


class _Missing:
    """What may be meant where something is missing, looked for once however much is: the names that a document may
    import, and those that it declares."""

    def __init__(self, document: Document, nearby: Nearby) -> None:
        self.document = document
        self.nearby = nearby

    def imports(self, name: str) -> Iterator[tuple[str, Edit]]:
        """Imports of an unknown name, from the files that have it."""
        for word, path in self._paths.get(name, ()):
            title = f'Import `{name}` from "{path}"' if word == "import" else f'Use `{name}` of "{path}"'
            yield title, self._imports.bringing(word, path, name)

    @cached_property
    def declared(self) -> dict[str, list[str]]:
        """The names of declarations by their kind."""
        found: dict[str, list[str]] = {}
        for declared in self.document.module.declarations():
            found.setdefault(declaration_kind(declared.decl), []).append(declared.name)
        return found

    @cached_property
    def _imports(self) -> Imports:
        return Imports(self.document.source)

    @cached_property
    def _paths(self) -> dict[str, list[tuple[str, str]]]:
        """What brings in each name: `import` or `use`, and the path of the file."""
        found: dict[str, list[tuple[str, str]]] = {}
        for declared, path in importable(self.document, self.nearby):
            found.setdefault(declared.name, []).append(("import", path))
        for component, path in importable_components(self.document, self.nearby):
            found.setdefault(component.name, []).append(("use", path))
        return found


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────


def _missing_field(
    document: Document, diagnostic: Diagnostic, missing: _Missing
) -> Iterator[tuple[str, Edit]]:
    """The field that a declaration lacks, in its place among those that it has."""
    lacks = _LACKS.search(diagnostic.message)
    nodes = document.nodes_at(diagnostic.span.start)
    holder = next((n for n in reversed(nodes) if isinstance(n, BodyDecl | DataDecl | Phase)), None)
    if lacks is None or holder is None:
        return
    kind = "phase" if isinstance(holder, Phase) else declaration_kind(holder)
    name = lacks[1]
    value = _value(missing, BY_KIND[kind][name])
    yield f"Add `{name}`", _added(document.source, holder, kind, name, value)


def _value(missing: _Missing, field: Field) -> str:
    """A value for a field: the only declaration of its kind, else the example of the reference if it names none."""
    own = [name for kind in wanted.kinds(field.type) for name in missing.declared.get(kind, ())]
    if len(own) == 1:
        return own[0]
    return "" if field.example.isidentifier() else field.example


def _added(source: Source, holder: BodyDecl | DataDecl | Phase, kind: str, name: str, value: str) -> Edit:
    """A field behind the last of those that come before it in the reference, else before all others."""
    text, order = source.text, [*BY_KIND[kind]]
    statements = holder.fields if isinstance(holder, Phase) else holder.body
    fields = [s for s in statements if isinstance(s, FieldStmt)]
    earlier = [s for s in fields if s.name.text in order[: order.index(name)]]
    beside = max(earlier, key=lambda s: order.index(s.name.text), default=None) or next(
        iter(statements), None
    )
    if beside is None:
        brace = text.find("{", _head_end(holder)) + 1
        outer = text[text.rfind("\n", 0, holder.span.start) + 1 : holder.span.start]
        lines = "\n" in text[brace : holder.span.end] and not outer.strip()
        return inserted(source, brace, f"\n{outer}    {name} = {value}" if lines else f" {name} = {value}")
    start = text.rfind("\n", 0, beside.span.start) + 1
    indent = text[start : beside.span.start]
    if indent.strip():  # several on one line
        written = f"{name} = {value}"
        if beside in earlier:
            return inserted(source, beside.span.end, f"  {written}")
        return inserted(source, beside.span.start, f"{written}  ")
    written = f"{name:<{equal_column(source, beside.span.start, [beside])}} = {value}"
    if beside not in earlier:
        return inserted(source, beside.span.start, f"{written}\n{indent}")
    behind = text[beside.span.end :].partition("\n")[0].rstrip()
    place = beside.span.end + (len(behind) if behind.lstrip().startswith("#") else 0)
    return inserted(source, place, f"\n{indent}{written}")


def _head_end(holder: BodyDecl | DataDecl | Phase) -> int:
    """Where the head of a declaration ends, before its brace."""
    if isinstance(holder, DataDecl):
        return holder.target.span.end
    params = holder.params or () if isinstance(holder, BodyDecl) else ()
    return params[-1].span.end if params else holder.name.span.end
