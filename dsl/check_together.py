"""Checks callbacks against each other and against the data: one that stands twice, one that would do nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import ComponentValue


def check_together(diagnostics: Diagnostics, fields: Iterable[Fields], data: DataInfo, owner: Span) -> None:
    """Checks the callbacks of one part of a training: those of `fields`, the train's and the phase's."""
    first: dict[str, Span] = {}
    for value, span in _callbacks(fields, owner):
        info = value.info
        if info.facts["once"] and info.target in first:
            diagnostics.add(
                "E0525",
                span,
                f"`{info.name}` stands twice in one training",
                "again here",
                labels=((first[info.target], "first here"),),
                help="keep one of them; each phase of a training can have one of its own",
            )
        elif info.facts["inputs"] and data.input and data.input not in info.facts["inputs"]:
            diagnostics.add(
                "E0526",
                span,
                f"`{info.name}` does nothing for {data.input}s, which are the input of `{data.instance.name}`",
                f"for {' and '.join(f'{kind}s' for kind in info.facts['inputs'])}",
                help="leave it out",
            )
        first.setdefault(info.target, span)


def _callbacks(fields: Iterable[Fields], owner: Span) -> Iterator[tuple[ComponentValue, Span]]:
    for each in fields:
        callbacks = each["callbacks"]
        for position, value in enumerate(callbacks if isinstance(callbacks, list) else []):
            if isinstance(value, ComponentValue):
                yield value, each.item_span("callbacks", position, owner)
