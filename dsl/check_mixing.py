"""Checks callbacks that mix the items of a batch, such as `mixup`: against the data, the loss and each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import ComponentValue
from mfc.dsl.wording import with_article


def check_mixing(
    diagnostics: Diagnostics, fields: Iterable[Fields], loss: Any, at: Span, data: DataInfo, owner: Span
) -> None:
    """Checks the mixing callbacks of one part of a training: those of `fields`, the train's and the phase's. `loss`
    is what is trained with there, which stands at `at`."""
    callbacks = [found for each in fields for found in each.components("callbacks", owner)]
    mixing = [(value, span) for value, span in callbacks if value.info.facts["mixes"]]
    for value, span in mixing:
        if _fits_data(diagnostics, value, span, data):
            _fits_loss(diagnostics, value, span, loss, at)
    for value, span in mixing[1:]:
        first, place = mixing[0]
        diagnostics.add(
            "E0521",
            span,
            f"the batches are mixed twice: by `{first.info.name}`, then by `{value.info.name}`",
            "mixes again",
            labels=((place, "mixes first"),),
            help="keep one of them; a phase of its own can have the other",
        )


def _fits_data(diagnostics: Diagnostics, value: ComponentValue, span: Span, data: DataInfo) -> bool:
    """Whether inputs and targets of the data's types can be mixed."""
    info, name = value.info, data.instance.name
    if data.input and data.input not in info.facts["mixes"]:
        diagnostics.add(
            "E0522",
            span,
            f"`{info.name}` can't mix {data.input}s, which are the input of `{name}`",
            f"mixes {' and '.join(f'{kind}s' for kind in info.facts['mixes'])}",
            help="ids of tokens have no mean: leave it out" if data.input == "text" else "leave it out",
        )
        return False
    if data.target and info.facts["targets"] and data.target not in info.facts["targets"]:
        others = ", ".join(info.facts["targets"])
        diagnostics.add(
            "E0522",
            span,
            f"`{info.name}` can't be used where the target is {with_article(data.target)}, as that of `{name}` is",
            f"for {others}",
            help="`mixup` mixes images with masks" if data.target == "mask" else "leave it out",
        )
        return False
    return True


def _fits_loss(diagnostics: Diagnostics, value: ComponentValue, span: Span, loss: Any, at: Span) -> None:
    """Whether the loss can be had for one item at a time, so that the losses of two items can be mixed."""
    if not isinstance(loss, ComponentValue) or loss.info.facts["per_item"]:
        return
    diagnostics.add(
        "E0520",
        span,
        f"`{value.info.name}` mixes the losses of single items, and `{loss.info.name}` gives only one for a batch",
        "needs the loss of each item",
        labels=((at, "gives one number"),),
        help="declare it `per_item=True`, with a method `each(pred, target)` that gives the loss of each item",
    )
