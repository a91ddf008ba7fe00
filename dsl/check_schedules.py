"""Checks schedules against the optimizer, the model's groups and the epochs that they drive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mfc.dsl import check_optimizer
from mfc.dsl.component import Component
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.typed import Fields
from mfc.dsl.types import Unknown
from mfc.dsl.values import ComponentValue


def check_schedules(
    evaluator: Evaluator, own: Fields, train: Fields, groups: tuple[int, ...], owner: Span
) -> None:
    """The schedules of a train or phase (`own` fields): each hyperparameter is one that the optimizer has and is driven
    once, curves of groups are as many as the model's, and a schedule with a length fits the epochs. `groups` are the
    numbers of groups that the model may have; none where nothing is known."""
    inherited = "schedule" not in own.written
    source = train if inherited else own
    schedules = source["schedule"]
    hypers = hyperparameters(evaluator, train["optimizer"])
    driven: dict[str, str] = {}
    for position, schedule in enumerate(schedules if isinstance(schedules, list) else [schedules]):
        if not isinstance(schedule, ComponentValue):
            continue
        span = source.item_span("schedule", position, owner)
        _check_length(evaluator, schedule, own, span)
        found = [] if inherited else [*drives(schedule)]  # what is wrong there was said of the train
        if not found and not inherited and list(schedule.info.facts["drives"]) == ["*"]:
            evaluator.diagnostics.add(
                "E0303",
                span,
                f"`{schedule.info.name}` needs a hyperparameter to drive",
                "none is named",
                help=f"write `{schedule.info.name}(lr = ...)`",
            )
        for name, written in found:
            if hypers is not None and name not in hypers and written is not None:
                _lacks(evaluator, train["optimizer"], name, hypers, written)
            if name in driven:
                evaluator.diagnostics.add(
                    "E0507",
                    span,
                    f"`{name}` is driven by two schedules",
                    f"`{driven[name]}` drives it too",
                    help="leave it to one of them",
                )
            driven[name] = schedule.info.name
            curves = schedule.args.get(name)
            if isinstance(curves, list) and groups and len(curves) not in groups:
                evaluator.diagnostics.add(
                    "E0519",
                    schedule.written.get(name, span),
                    f"`{name}` has {len(curves)} curves, and the model has {_groups(min(groups))}",
                    "one curve a group",
                    help="give one curve for all groups, or a list with one for each",
                )


def hyperparameters(evaluator: Evaluator, optimizer: Any) -> list[str] | None:
    """What schedules may drive: the hyperparameters of the optimizer, of `adam` if there is none; None where that is
    not known."""
    if isinstance(optimizer, ComponentValue):
        info: Component | None = optimizer.info
        args = optimizer.args
    else:
        info, args = evaluator.catalog.lookup("optimizer", "adam"), {}
    if info is None or isinstance(optimizer, Unknown):
        return None
    return check_optimizer.hyperparameters(info, args)


def drives(schedule: ComponentValue) -> Iterator[tuple[str, Span | None]]:
    """The hyperparameters that a schedule drives, and where the spec asks for each; None where a default does."""
    for entry in schedule.info.facts["drives"]:
        name, _, argument = entry.partition(" of ")
        if name == "*":
            known = [parameter.name for parameter in schedule.info.parameters]
            yield from ((n, schedule.written.get(n, schedule.span)) for n in schedule.args if n not in known)
        elif not argument or schedule.args.get(argument) is not None:
            yield name, schedule.written.get(argument)


def length(schedule: ComponentValue) -> int | None:
    """How many epochs a schedule lasts by itself, if it does and that is known."""
    first, *cycles = (schedule.args.get(name) for name in schedule.info.facts["lasts"] or ("",))
    count, factor = (*cycles, *(1, 1)[len(cycles) :])
    if not (isinstance(first, int) and isinstance(count, int) and isinstance(factor, int)):
        return None
    return sum(first * factor**cycle for cycle in range(count))


def _check_length(evaluator: Evaluator, schedule: ComponentValue, own: Fields, span: Span) -> None:
    lasts, epochs, name = length(schedule), own["epochs"], schedule.info.name
    if lasts is None or not isinstance(epochs, int) or lasts == epochs:
        return
    labels = ((own.written["epochs"].span, f"{epochs} here"),) if "epochs" in own.written else ()
    if lasts > epochs:
        evaluator.diagnostics.add(
            "W0520",
            span,
            f"`{name}` lasts {_epochs(lasts)}, and the run has {epochs}",
            "is cut off before its end",
            labels=labels,
            help=f"set `epochs = {lasts}`, or make it shorter",
        )
    else:
        evaluator.diagnostics.add(
            "E0518",
            span,
            f"`{name}` lasts {_epochs(lasts)}, and the run has {epochs}",
            "says nothing of the rest",
            labels=labels,
            help=f"set `epochs = {lasts}`, or make it longer",
        )


def _lacks(evaluator: Evaluator, optimizer: Any, name: str, hypers: list[str], span: Span) -> None:
    info = optimizer.info if isinstance(optimizer, ComponentValue) else None
    help = did_you_mean(name, hypers) or f"it has {', '.join(hypers)}"
    if info is not None and name in info.facts["unless_zero"]:
        help = f"give it one: `{info.name}({name} = 0.9)`"
    evaluator.diagnostics.add(
        "E0507",
        span,
        f"`{info.name if info else 'adam'}` has no hyperparameter `{name}`",
        "nothing to drive",
        help=help,
    )


def _groups(count: int) -> str:
    return f"{count} group" + ("s" if count != 1 else "")


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("s" if count != 1 else "")
