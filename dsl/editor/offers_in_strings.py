"""What can stand in a string by what it names: files and folders of data, groups of a model, what is measured."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from mfc.dsl.check_callbacks import LOSSES, columns
from mfc.dsl.component import Component
from mfc.dsl.editor.cursor import Cursor
from mfc.dsl.editor.importable import Nearby
from mfc.dsl.editor.members import groups_in, groups_of
from mfc.dsl.editor.offers import Completion, Offers, Rank
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.editor.walk_expressions import ONLY
from mfc.dsl.resolve import Declared
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl, FieldStmt, GroupStmt
from mfc.dsl.values import ComponentValue
from mfc.dsl.wording import string


def files_and_folders(
    here: Cursor, nearby: Nearby, written: str, span: Span, closing: str
) -> list[Completion]:
    """The files and folders that a path can go on to.

    Args:
        here: the place of the string, with nothing in it.
        nearby: lists folders; no file is read.
        written: the path up to where it is typed.
        span: the part of the path that is being typed.
        closing: what stands behind a file so that the string has an end.
    """
    head, _, typed = written.rpartition("/")
    head = f"{head}/" if "/" in written else ""
    folder = head if head.startswith("~") else posixpath.join(here.document.compiled.folder, head)
    only_folders = here.slot is not None and here.slot.name == "folder"
    found = []
    for name in sorted(nearby.list_for_data(folder)):
        is_folder = name.endswith("/")
        if (name.startswith(".") and not typed.startswith(".")) or any(c in name for c in '"\\\n\r'):
            continue
        if is_folder or not only_folders:
            text = name.rstrip("/") if is_folder else name + closing
            found.append(Completion(name, "folder" if is_folder else "file", span, text))
    return found


def offer_groups(offers: Offers) -> None:
    """The groups of the model that is trained, where a string names one."""
    called = _component_with(offers.here, "group")
    if called is not None and called.target == ONLY:
        for path, symbol in _paths(_groups(offers.here)):
            offers.add(path, "choice", Rank.WORD, "group", string(path), symbol=symbol)


def offer_columns(offers: Offers) -> None:
    """The losses and metrics that a callback may act on, where a string names one."""
    called = _component_with(offers.here, "monitor")
    if called is not None and called.facts.get("monitors"):
        for order, column in enumerate((*LOSSES, *_metrics(offers.here))):
            offers.add(
                column, "choice", Rank.WORD, "column of the history", string(column), order=order,
                symbol=Symbol("choice", column),
            )  # fmt: skip


def _component_with(here: Cursor, argument: str) -> Component | None:
    """The component that is called, where the place is an argument of that name."""
    target = here.called.symbol.target if here.called is not None else None
    given = here.slot is not None and here.slot.name == argument
    return target if given and isinstance(target, Component) else None


def _metrics(here: Cursor) -> Mapping[str, ComponentValue]:
    """The metrics of the train that the place is in, by the names of their columns."""
    declared = here.document.module.names.get(here.declares)
    for statement in getattr(getattr(declared, "decl", None), "body", ()):
        if isinstance(statement, FieldStmt) and statement.name.text == "metrics":
            return columns(next(iter(here.document.values(statement.value)), None))
    return {}


def _groups(here: Cursor) -> Mapping[str, Symbol]:
    """Those of the train that the place is in: as it is up to there, else as it was read."""
    document, decl = here.document, here.path[0]
    trains: Iterable[object] = (
        Declared(document.module, decl) if isinstance(decl, BodyDecl) else None,
        document.module.names.get(here.declares),
    )
    of = (
        groups_of(train, document.compiled.catalog, document.recording)
        for train in trains
        if isinstance(train, Declared)
    )
    return next((groups for groups in of if groups), {})


def _paths(groups: Mapping[str, Symbol], before: str = "") -> Iterator[tuple[str, Symbol]]:
    """Groups by their paths, those within others too."""
    for name, symbol in groups.items():
        yield f"{before}{name}", symbol
        if isinstance(symbol.target, GroupStmt):
            yield from _paths(groups_in(symbol.target.body, symbol.home), f"{before}{name}.")
