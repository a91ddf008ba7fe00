"""A renamed program is the same program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.occurrences import Occurrence
from mfc.dsl.editor.rename import Refused, Rename, rename
from tests.dsl import generated_specs
from tests.dsl.editor.documents import SPECS, applied, of_copy, of_text, program, rewritten
from tests.dsl.editor.same_names import NAMES, generate

FRESH = "quite_fresh"
FILES = sorted(SPECS.rglob("*.mfs"))
OF_WORDS = {"W0203", "W0219"}
"""Said of a name as it is written: that a component has it, too, or that it stands nowhere a second time, be it for
something else."""
TWICE = {"E0202", "E0406"}
"""Of two things of one name, one of which gets another, both are known afterwards."""


def moved(found: Rename, path: str, offset: int) -> int:
    """Where a place of a file is after the edits."""
    before = [e for e in found.edits.get(path, ()) if e.span.end <= offset]
    return offset + sum(len(e.text) - (e.span.end - e.span.start) for e in before)


def said(document: Document, found: Rename | None) -> list[tuple[Any, ...]]:
    """What the check says: each finding's code, and where it is once the edits were made."""
    paths = {module.file.source: path for path, module in document.compiled.program.modules.items()}
    lines = []
    for diagnostic in document.compiled.diagnostics:
        path, span = paths.get(diagnostic.span.source, ""), diagnostic.span
        start, end = (moved(found, path, at) if found else at for at in (span.start, span.end))
        lines.append((diagnostic.code, path, start, end))
    return sorted(line for line in lines if line[0] not in OF_WORDS)


def messages(document: Document, name: str, instead: str) -> list[str]:
    found = [d.message for d in document.compiled.diagnostics if d.code not in OF_WORDS]
    return sorted(re.sub(rf"\b{name}\b", instead, message) for message in found)


def runnable(document: Document) -> list[str]:
    return [target for target in document.compiled.names() if not document.compiled.errors_for([target])]


def planned(document: Document, name: str, instead: str) -> str:
    """The plan with another name, as far as there are no errors in the way."""
    names = runnable(document)
    if not names:
        return ""
    plan = document.compiled.plan(lambda *_: "", names)
    waits_for = sorted(fact.replace(name, instead) for fact in plan.waits_for)
    return repr(plan.stages).replace(name, instead) + repr(waits_for)


def shape(plan: str) -> str:
    """A plan without the names in it."""
    return re.sub(r"'[^']*'", "''", plan)


def choose(documents: list[Document], data: st.DataObject) -> tuple[Document, Occurrence]:
    standard = documents[0].compiled.standard  # nothing in it is ever renamed
    named = [
        (document, occurrence)
        for document in documents
        for occurrence in document.bindings.occurrences
        if occurrence.symbol.in_spec and not occurrence.symbol.home.startswith(standard)
    ]
    return named[data.draw(st.integers(0, len(named) - 1), "which name")]


def check(documents: list[Document], occurrence: Occurrence, at: Document, name: str, found: Rename) -> None:
    """A renamed program says the same, does the same, and becomes the old one when the name is changed back."""
    entry = documents[0]
    texts = applied(documents, found.edits)
    again = rewritten(entry, texts)
    assert said(again, None) == said(entry, found)
    # What an error keeps from being run is told by names, of which one may stand for something else.
    same = not entry.compiled.errors or len(runnable(again)) == len(runnable(entry))
    assert not same or shape(planned(again, name, name)) == shape(planned(entry, name, name))
    if name == FRESH:
        old = occurrence.symbol.name
        assert messages(again, FRESH, old) == messages(entry, FRESH, old)
        assert not same or planned(again, FRESH, old) == planned(entry, FRESH, old)
    files = program(again)
    here = next(document for document in files if document.path == at.path)
    back = rename(files, here, moved(found, at.path, occurrence.span.start), occurrence.symbol.name)
    if isinstance(
        back, Refused
    ):  # two of one name where none belongs, or where an error kept it from being told
        assert entry.compiled.errors and "already" in back.message, back
        return
    originals: Mapping[str, str] = {document.path: document.text for document in documents}
    assert applied(files, back.edits) == {path: originals[path] for path in texts}


def hold(documents: list[Document], document: Document, occurrence: Occurrence, name: str) -> None:
    """A name is changed rightly or not at all; to a fresh one always."""
    found = rename(documents, document, occurrence.span.start, name)
    if isinstance(found, Refused):
        event("refused")
        assert name != FRESH, found
    elif found.edits and TWICE.isdisjoint(d.code for d in documents[0].compiled.diagnostics):
        event("no errors" if not documents[0].compiled.errors else "errors")
        check(documents, occurrence, document, name, found)


@settings(max_examples=60)
@given(st.data())
def test_a_spec_with_a_fresh_name_is_the_same(data: st.DataObject) -> None:
    documents = program(of_copy(data.draw(st.sampled_from(FILES), "file")))
    document, occurrence = choose(documents, data)
    hold(documents, document, occurrence, FRESH)


@settings(max_examples=120)
@given(st.integers(0, 10_000), st.data())
def test_names_that_hide_others_are_changed_rightly_or_not_at_all(seed: int, data: st.DataObject) -> None:
    own, parts = generate(Random(seed))
    documents = program(of_text(own, parts=parts))
    document, occurrence = choose(documents, data)
    name = data.draw(st.sampled_from([FRESH, *NAMES]), "new name")
    hold(documents, document, occurrence, name)


@settings(max_examples=120)
@given(st.integers(0, 10_000), st.data())
def test_names_of_any_text_that_parses_are_changed_rightly_or_not_at_all(
    seed: int, data: st.DataObject
) -> None:
    documents = program(of_text(generated_specs.generate(seed)))
    if any(o.symbol.in_spec for o in documents[0].bindings.occurrences):
        document, occurrence = choose(documents, data)
        name = data.draw(st.sampled_from([FRESH, *generated_specs.NAMES]), "new name")
        hold(documents, document, occurrence, name)
