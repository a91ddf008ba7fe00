"""Checks callbacks against each other and against the data: one that stands twice, two of which one can't act, one that
would do nothing."""

from __future__ import annotations

from collections.abc import Iterable

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import ComponentValue


def check_together(diagnostics: Diagnostics, fields: Iterable[Fields], data: DataInfo, owner: Span) -> None:
    """Checks the callbacks of one part of a training: those of `fields`, the train's and the phase's."""
    first: dict[str, Span] = {}
    callbacks = [found for each in fields for found in each.components("callbacks", owner)]
    for value, span in callbacks:
        _check_excluded(diagnostics, value, span, callbacks)
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


def _check_excluded(
    diagnostics: Diagnostics, value: ComponentValue, span: Span, callbacks: list[tuple[ComponentValue, Span]]
) -> None:
    for other, at in callbacks:
        if other.info.name in value.info.facts["excludes"]:
            diagnostics.add(
                "E0527",
                span,
                f"`{value.info.name}` can't act beside `{other.info.name}`",
                "can't act here",
                labels=((at, "because of this one"),),
                help="leave one of them out",
            )
