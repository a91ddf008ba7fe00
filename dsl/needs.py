"""What a declaration needs, which is all that names lead to from it, the errors that keep it from being run, and what
bears on a place in a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mfc.dsl.diagnostics import Diagnostic
from mfc.dsl.resolve import Declared, Program
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl, Decl, Import, Name

EVERYWHERE = ("E01", "E06")
"""The errors that count wherever they stand: what can't be read may be anything, and where the compiler gave up, it did
not look at the rest."""

BINDERS = ("name", "names", "span")
"""What nodes hold that names nothing else."""


def errors_for(program: Program, errors: Sequence[Diagnostic], targets: Iterable[str]) -> list[Diagnostic]:
    """The errors that keep targets from being run: all but those within declarations that none of them needs, and those
    of layers that only the calls of others lead to. A target begins with the name of a declaration; where there is none,
    or one of a name that is not known, all errors count."""
    words = [re.match(r"\s*(\w*)", target) for target in targets]
    named = [program.entry.names.get(word[1]) for word in words if word is not None]
    wanted = [binding for binding in named if isinstance(binding, Declared)]
    if not wanted or len(wanted) < len(named):
        return list(errors)
    needed = _needed(wanted)
    every = [declared for module in program.modules.values() for declared in module.declarations()]
    spared = [declared.decl.span for declared in every if declared not in needed]
    layers = [declared.decl.span for declared in needed if _has_layers(declared)]
    # what a model gets is checked for the trainings that it is in
    models = {declared for declared in wanted if _has_layers(declared)}
    checks = needed | {
        declared for declared in every if models and not models.isdisjoint(_needed([declared]))
    }

    def counts(error: Diagnostic) -> bool:
        if error.code.startswith(EVERYWHERE):
            return True
        of_others = error.checked and checks.isdisjoint(error.checked)
        return not _within(error.span, spared) and not (of_others and _within(error.span, layers))

    return list(filter(counts, errors))


def _has_layers(declared: Declared) -> bool:
    return isinstance(declared.decl, BodyDecl) and declared.decl.kind in ("block", "model")


def _needed(wanted: Iterable[Declared]) -> set[Declared]:
    """Declarations with all that they name, and what these name."""
    found: set[Declared] = set()
    todo = list(wanted)
    while todo:
        declared = todo.pop()
        if declared not in found:
            found.add(declared)
            bindings = (declared.module.names.get(name) for name in _names(declared.decl))
            todo += [binding for binding in bindings if isinstance(binding, Declared)]
    return found


def around(program: Program, offset: int) -> set[Declared]:
    """What has to be checked to know what is known at an offset of the spec's own file: the declaration there, what it
    names, and all that decides what its parameters are and what goes into it, which is what names it; the same of one that
    is named right there; of an import what it brings in, and what names that."""
    text = program.entry.file.source.text
    every = [*program.entry.declarations()]
    words = {declared: set(_WORD.findall(text, *_ends(declared))) for declared in every}
    here = [d for d in every if d.decl.span.start <= offset <= d.decl.span.end]
    brought = {binding: name for name, binding in _brought_in(program, offset)}
    spans = (match.span() for declared in here for match in _WORD.finditer(text, *_ends(declared)))
    pointed_at = {text[start:end] for start, end in spans if start <= offset <= end}
    todo = [*here, *(declared for declared in every if declared.name in pointed_at)]
    found = {*todo, *brought}
    todo += [other for other in every if not words[other].isdisjoint(brought.values())]
    found.update(todo)
    while todo:
        declared = todo.pop()
        if _is_open(declared.decl):
            leading = [other for other in every if declared.name in words[other] and other not in found]
            found.update(leading)
            todo += leading
    mentioned = {word for declared in here for word in words[declared]}
    return found | {declared for declared in every if declared.name in mentioned}


def _ends(declared: Declared) -> tuple[int, int]:
    return declared.decl.span.start, declared.decl.span.end


def _brought_in(program: Program, offset: int) -> Iterator[tuple[str, Declared]]:
    """What the import at an offset brings in, by name."""
    for decl in program.entry.file.declarations:
        if isinstance(decl, Import) and decl.span.start <= offset <= decl.span.end:
            for name in decl.names:
                if isinstance(binding := program.entry.names.get(name.text), Declared):
                    yield name.text, binding


def _is_open(decl: Decl) -> bool:
    return bool(getattr(decl, "params", ())) or getattr(decl, "kind", "") in ("block", "model")


_WORD = re.compile(r"[A-Za-z_]\w*")


def _names(node: Any) -> Iterator[str]:
    """The names that expressions within a node use. One that is bound within it may be among them."""
    todo = [node]
    while todo:
        match todo.pop():
            case Name(text=text):
                yield text
            case tuple() as items:
                todo += items
            case inner if is_dataclass(inner):
                todo += [getattr(inner, f.name) for f in fields(inner) if f.name not in BINDERS]


def _within(span: Span, those: Iterable[Span]) -> bool:
    return any(span.source is one.source and one.start <= span.start and span.end <= one.end for one in those)
