"""Checks the initializers of a train: their order, and what they need of the model and of the names of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mfc.dsl import ir
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.source import Span
from mfc.dsl.typed import Fields, PhaseInfo
from mfc.dsl.values import INIT, ComponentValue, Weights, reads_data, show


def check_initializers(
    add: Callable[..., None],
    fields: Fields,
    phases: Sequence[PhaseInfo],
    model: Elaborated | None,
    owner: Span,
) -> None:
    """Reports what initializers can't do: E0530 to E0532."""
    weights = fields["weights"] if isinstance(fields["weights"], list) else [fields["weights"]]
    named = [(w, fields.item_span("weights", i, owner)) for i, w in enumerate(weights)]
    calls = [(w, span) for w, span in named if isinstance(w, ComponentValue)]
    _check_order(add, named)
    for value, span in calls:
        if reads_data(value):
            _check_phases(add, value, span, phases)
        if value.info.facts["residual"] and model is not None and not _has_branch(model):
            add(
                "E0531",
                span,
                f"`{value.info.name}` needs residual branches, and the model has none",
                "nothing to scale",
                help="end each branch with `add(...)` of what stood before it, as in `std/fixup_resnet.mfs`",
            )


def _check_order(add: Callable[..., None], named: Sequence[tuple[Any, Span]]) -> None:
    """What draws all weights anew undoes what stands before it; and what was fitted to the data is undone by all that
    changes weights after it."""
    fitted: tuple[str, Span] | None = None
    for number, (value, span) in enumerate(named):
        if number and isinstance(value, ComponentValue) and value.info.facts["fills"]:
            add(
                "W0532",
                span,
                f"`{value.info.name}` draws all weights anew",
                "undoes what stands before it",
                labels=((named[number - 1][1], "undone"),),
                help=f"`weights` is applied in order: put `{value.info.name}` first",
            )
        elif fitted is not None and isinstance(value, ComponentValue | Weights) and not reads_data(value):
            name = value.info.name if isinstance(value, ComponentValue) else show(value)
            add(
                "W0532",
                span,
                f"`{name}` changes weights after `{fitted[0]}` fitted them to the data",
                "undoes what stands before it",
                labels=((fitted[1], "undone"),),
                help=f"`weights` is applied in order: put `{fitted[0]}` last",
            )
            fitted = None
        if isinstance(value, ComponentValue) and reads_data(value):
            fitted = value.info.name, span


def _check_phases(
    add: Callable[..., None], value: ComponentValue, span: Span, phases: Sequence[PhaseInfo]
) -> None:
    for phase in phases:
        if phase.name == INIT:
            add(
                "E0530",
                phase.span,
                f"a phase can't be called `{INIT}` beside `{value.info.name}`",
                f"the stage of `{value.info.name}` has that name",
                labels=((span, "reads data, and is a stage of its own"),),
                help="call the phase otherwise",
            )


def _has_branch(model: Elaborated) -> bool:
    return any(isinstance(step, ir.Join) and step.op == "add" for step in ir.walk(model.stack))
