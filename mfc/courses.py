"""The courses that hyperparameters take over a training: for `mfc show`, as text and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mfc import stages
from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.errors import RunError
from mfc.runtime.optim.schedules import Together

POINTS = 128
"""Positions in a phase at which a course is looked at, beside those at which it may turn."""

PLACEHOLDER = 2
"""Stands for a number that only the data tells, where the groups of a model are looked for."""


@dataclass(frozen=True)
class Span:
    """A training or phase on the axis of epochs."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Course:
    """The values of one hyperparameter in groups that share them.

    Attributes:
        groups: the names of these groups; none where they are all of the model.
        lines: points (epoch, value) of each phase that drives it.
    """

    hyper: str
    groups: tuple[str, ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def values(self) -> list[float]:
        return [value for line in self.lines for _, value in line]

    @property
    def name(self) -> str:
        """`lr`, or `lr of body, head`."""
        return self.hyper + (f" of {', '.join(self.groups)}" if self.groups else "")


def spans(phases: Sequence[ir.Stage]) -> list[Span]:
    """Where each of a training's phases lies."""
    start, found = 0, []
    for stage in phases:
        found.append(Span(stage.name, start, start := start + stage.recipe["epochs"]))
    return found


def courses(phases: Sequence[ir.Stage]) -> list[Course]:
    """What the schedules of a training's phases drive, hyperparameter by hyperparameter; groups of one course are
    put together. A course has its break points and its extremes among its points."""
    built = [build(stage.recipe["schedule"]) for stage in phases]
    together = [Together(each, stage.recipe["epochs"]) for each, stage in zip(built, phases)]
    groups = group_names(phases[0]) if any(map(_differs, together)) else [""]
    shared: dict[tuple[str, Any], list[str]] = {}
    for number, group in enumerate(groups):
        lines: dict[str, list[tuple[tuple[float, float], ...]]] = {}
        for schedule, span in zip(together, spans(phases)):
            if schedule.schedules:
                for hyper, line in _lines(schedule, span, number, len(groups)):
                    lines.setdefault(hyper, []).append(line)
        for hyper, each in lines.items():
            shared.setdefault((hyper, tuple(each)), []).append(group)
    return [
        Course(hyper, () if len(names) == len(groups) else tuple(names), lines)
        for (hyper, lines), names in sorted(shared.items(), key=lambda item: item[0][0])
    ]


def group_names(stage: ir.Stage) -> list[str]:
    """The names of the groups of a stage's model, first layers first."""
    import torch

    from mfc.runtime.models import build_model, named_groups

    stack = stage.recipe["model"]
    if isinstance(stack, ir.Fact):
        return stage.recipe["groups"] or [""]
    stack = ir.substitute(
        stages.placed(stage, stack), lambda node: PLACEHOLDER if isinstance(node, ir.Fact) else node
    )
    with torch.device("meta"):
        return [name or "the rest" for name in named_groups(build_model(stack))]


def _differs(schedule: Together) -> bool:
    """Whether groups have courses of their own."""
    try:
        return any(
            schedule.values(place, 0, 2) != schedule.values(place, 1, 2)
            for place in (0.0, *schedule.breaks, 0.5)
        )
    except RunError:  # curves for another number of groups
        return True


def _lines(
    schedule: Together, span: Span, group: int, groups: int
) -> Iterator[tuple[str, tuple[tuple[float, float], ...]]]:
    epochs = span.end - span.start
    places = {i / (POINTS - 1) for i in range(POINTS)}
    for place in schedule.breaks:  # where it may jump: what it comes to, and what it goes on with
        places |= {math.nextafter(place, 0), place}
    points = [(place, schedule.values(place, group, groups)) for place in sorted(places)]
    for hyper in points[0][1]:
        yield hyper, tuple((span.start + place * epochs, values[hyper]) for place, values in points)
