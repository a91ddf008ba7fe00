"""Curves: how a hyperparameter goes over a run. After fastai's `callback.schedule`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from mfc.runtime.component import AsManyAs, Curve, Length, Range, Rate, Sum, curve
from mfc.runtime.errors import RunError
from mfc.runtime.optim.rates import Spread, rate_for


@dataclass(frozen=True)
class Course:
    """What a curve builds: a course of values over positions in 0..1, for each group of parameters.

    Attributes:
        at: the value at a position, for one of several groups: `at(position, group, groups)`.
        breaks: the positions between 0 and 1 at which it may jump or turn; between them it only rises or falls.

    Called with a position alone, it gives the value of a single group. A curve of one's own may build any function
    of the position, which then holds for all groups.
    """

    at: Callable[[float, int, int], float]
    breaks: tuple[float, ...] = ()

    def __call__(self, position: float) -> float:
        return self.at(position, 0, 1)


def course_at(course: Callable[[float], float], position: float, group: int, groups: int) -> float:
    """The value of what a curve built, the user's own curve or one of these, for one of `groups` groups."""
    return course.at(position, group, groups) if isinstance(course, Course) else course(position)


def _between(
    start: float | Spread, end: float | Spread, value: Callable[[float, float, float], float]
) -> Course:
    """A course whose ends may differ from group to group: `value(start, end, position)`."""
    return Course(
        lambda position, group, groups: value(
            rate_for(start, group, groups), rate_for(end, group, groups), position
        )
    )


@curve
def lin(start: float | Rate, end: float | Rate) -> Course:
    """A straight line from `start` to `end`."""
    return _between(start, end, lambda start, end, position: start + position * (end - start))


@curve
def cos(start: float | Rate, end: float | Rate) -> Course:
    """Half a wave of the cosine from `start` to `end`: flat at both, steepest in the middle."""
    return _between(
        start,
        end,
        lambda start, end, position: start + (1 + math.cos(math.pi * (1 - position))) * (end - start) / 2,
    )


@curve
def exp(
    start: Annotated[float, Range(above=0)] | Rate, end: Annotated[float, Range(above=0)] | Rate
) -> Course:
    """An exponential curve from `start` to `end`: each step multiplies by the same factor."""
    return _between(start, end, lambda start, end, position: start * (end / start) ** position)


@curve
def poly(start: float | Rate, end: float | Rate, power: Annotated[float, Range(above=0)]) -> Course:
    """A power of the position: flat at `start` where `power` is above 1, steep where it is below.

    Args:
        power: of the position: 1 is a straight line.
    """
    return _between(start, end, lambda start, end, position: start + (end - start) * position**power)


@curve
def const(value: float | Rate) -> Course:
    """The same `value` all along.

    Args:
        value: the number, or one for each group: `spread(...)`.
    """
    return _between(value, value, lambda start, end, position: start)


@curve
def combine(
    pcts: Annotated[list[Annotated[float, Range(0, 1)]], Length(at_least=1), Sum(1)],
    curves: Annotated[list[Curve], AsManyAs("pcts")],
) -> Course:
    """One curve after another, each over its share of the run; the shares in `pcts` add up to 1.

    Args:
        pcts: the share of each curve in the run.
        curves: one after another.

    Raises:
        RunError: R0224 where there aren't as many shares as curves, or they don't add up to 1.
    """
    if len(pcts) != len(curves) or not curves:
        message = f"combine has {len(pcts)} shares for {len(curves)} curves"
        raise RunError("R0224", message, help="give one share of the run for each curve")
    if not math.isclose(total := math.fsum(pcts), 1, abs_tol=1e-6):
        message = f"the shares of combine add up to {total:g}"
        raise RunError("R0224", message, help="they are parts of the whole run: make them add up to 1")
    starts = [math.fsum(pcts[:i]) for i in range(len(pcts))]

    def at(position: float, group: int, groups: int) -> float:
        index = max(i for i, start in enumerate(starts) if position >= start)
        # shares of 0, and what rounding leaves after the last one, stand at the end of their curve
        local = min((position - starts[index]) / pcts[index], 1.0) if pcts[index] else 1.0
        return course_at(curves[index], local, group, groups)

    within = (
        start + share * inner
        for start, share, course in zip(starts, pcts, curves)
        for inner in (0.0, *getattr(course, "breaks", ()))
    )
    return Course(at, tuple(sorted({place for place in within if 0 < place < 1})))
