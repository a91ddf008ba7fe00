"""Schedules of hyperparameters over a run.

After fastai's `callback.schedule`. A schedule has `values(position, group, groups)`: the hyperparameters at a
position in a run (0 at the first batch, 1 after the last) of one of its parameter groups, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, Protocol

from mfc.runtime.component import Curve, Length, Range, Rate, schedule
from mfc.runtime.errors import RunError
from mfc.runtime.optim.curves import Course, combine, const, cos, course_at, lin
from mfc.runtime.optim.rates import rate_for


class Schedule(Protocol):
    """What a schedule builds. One that lasts some epochs, whatever the run does, says so in an attribute `epochs`; an
    attribute `breaks` lists the positions at which its values may jump or turn."""

    def values(self, position: float, group: int, groups: int) -> Mapping[str, float]:
        """Hyperparameters of one of `groups` groups (0: the model's first layers) at a position in 0..1."""
        ...


@schedule(drives=("lr", "mom of moms"))
class one_cycle:
    """Raises the learning rate to `lr` and lets it fall to almost nothing, while momentum goes the other way.

    Both follow cosines: the rate from `lr / div` to `lr` over the share `pct_start` of the run, then to
    `lr / div_final`; momentum through the three values of `moms`, none of which is touched where it is none.
    L. Smith, "A disciplined approach to neural network hyper-parameters" (2018), as in fastai's
    `fit_one_cycle`.

    Args:
        lr: the highest rate; one for each group with `spread(...)`.
        div: what the highest rate is divided by at the start.
        pct_start: the share of the run in which the rate rises.
        div_final: what it is divided by at the end.
        moms: momentum at the start, at the highest rate and at the end.

    Raises:
        RunError: R0224 where `moms` hasn't three values.
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        div: Annotated[float, Range(above=0)] = 25.0,
        pct_start: Annotated[float, Range(0, 1)] = 0.25,
        div_final: Annotated[float, Range(above=0)] = 1e5,
        moms: Annotated[list[Annotated[float, Range(0, below=1)]] | None, Length(3)] = [0.95, 0.85, 0.95],  # noqa: B006
    ) -> None:
        self.lr = lr
        pcts = [pct_start, 1 - pct_start]
        self.share = combine(pcts, [cos(1 / div, 1), cos(1, 1 / div_final)])
        self.breaks = self.share.breaks
        self.momentum: Course | None = None
        if moms is not None:
            if len(moms) != 3:
                message = f"one_cycle has {len(moms)} values of momentum"
                raise RunError(
                    "R0224", message, help="give three: at the start, at the highest rate, at the end"
                )
            self.momentum = combine(pcts, [cos(moms[0], moms[1]), cos(moms[1], moms[2])])

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        values = {"lr": rate_for(self.lr, group, groups) * self.share(position)}
        if self.momentum is not None:
            values["mom"] = self.momentum(position)
        return values


@schedule(drives=("lr",))
class slanted_triangular:
    """Raises the learning rate to `lr` in a straight line, quickly, and lets it fall in another, slowly.

    From `lr / ratio` to `lr` over the share `cut_frac` of the run, and back over the rest of it. J. Howard and
    S. Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), equation 3.

    Args:
        lr: the highest rate; one for each group with `spread(...)`.
        cut_frac: the share of the run in which the rate rises.
        ratio: what the highest rate is divided by at the start and at the end.
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        cut_frac: Annotated[float, Range(0, 1)] = 0.1,
        ratio: Annotated[float, Range(1)] = 32.0,
    ) -> None:
        self.lr = lr
        self.share = combine([cut_frac, 1 - cut_frac], [lin(1 / ratio, 1), lin(1, 1 / ratio)])
        self.breaks = self.share.breaks

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {"lr": rate_for(self.lr, group, groups) * self.share(position)}


@schedule(drives=("lr",))
class flat:
    """The same learning rate all along."""

    def __init__(self, lr: Annotated[float, Range(above=0)] | Rate) -> None:
        self.lr = lr

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {"lr": rate_for(self.lr, group, groups)}


@schedule(drives=("lr",))
class flat_cos:
    """Keeps the learning rate at `lr` over the share `pct_start` of the run, then lets it fall to `lr / div_final`.

    The fall follows a cosine: fastai's `fit_flat_cos`, after the recipe of L. Wright and M. Grankin for Ranger
    (2019).

    Args:
        lr: the rate until it falls; one for each group with `spread(...)`.
        pct_start: the share of the run in which it stays.
        div_final: what it is divided by at the end.
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        pct_start: Annotated[float, Range(0, 1)] = 0.75,
        div_final: Annotated[float, Range(above=0)] = 1e5,
    ) -> None:
        self.lr = lr
        self.share = combine([pct_start, 1 - pct_start], [const(1), cos(1, 1 / div_final)])
        self.breaks = self.share.breaks

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {"lr": rate_for(self.lr, group, groups) * self.share(position)}


@schedule(drives=("lr",), lasts=("cycle_len", "cycles", "cycle_mult"))
class sgdr:
    """Lets the learning rate fall from `lr` to 0 along a cosine, again and again, in cycles that grow longer.

    The first cycle takes `cycle_len` epochs, each other one `cycle_mult` times as many as the one before: in all
    `cycle_len * (cycle_mult ** cycles - 1) / (cycle_mult - 1)` epochs, or `cycle_len * cycles` where `cycle_mult`
    is 1. I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), as in fastai's
    `fit_sgdr`. A run that is shorter ends within a cycle.

    Args:
        lr: the rate at the start of each cycle; one for each group with `spread(...)`.
        cycles: how many there are.
        cycle_len: epochs of the first one.
        cycle_mult: how many times as long as the one before each other one is.
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        cycles: Annotated[int, Range(1, 100)],
        cycle_len: Annotated[int, Range(1, 10_000)],
        cycle_mult: Annotated[int, Range(1, 10)] = 2,
    ) -> None:
        self.lr = lr
        lengths = [cycle_len * cycle_mult**cycle for cycle in range(cycles)]
        self.epochs = sum(lengths)
        self.ends = [end / self.epochs for end in accumulate(lengths)]
        self.breaks = tuple(self.ends[:-1])

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        index = next((i for i, end in enumerate(self.ends) if position < end), len(self.ends) - 1)
        start = self.ends[index - 1] if index else 0.0
        within = (position - start) / (self.ends[index] - start)
        return {"lr": rate_for(self.lr, group, groups) * (1 + math.cos(math.pi * within)) / 2}


@schedule(drives=("*",))
class param_scheduler:
    """Drives any hyperparameters of the optimizer, each along its curve; a list has a curve for each group.

    Curves take `spread(...)` for a number that differs from group to group: `lr = cos(spread(1e-3), 0)`.

    Raises:
        RunError: R0234 where there are more or fewer curves than groups.
    """

    def __init__(self, **hypers: Curve | list[Curve]) -> None:
        self.curves: dict[str, Any] = hypers
        several = [
            c for course in hypers.values() for c in (course if isinstance(course, list) else [course])
        ]
        self.breaks = tuple(sorted({place for c in several for place in getattr(c, "breaks", ())}))

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {
            name: course_at(self._of_group(name, course, group, groups), position, group, groups)
            for name, course in self.curves.items()
        }

    @staticmethod
    def _of_group(name: str, course: Any, group: int, groups: int) -> Callable[[float], float]:
        if not isinstance(course, list):
            return course
        if len(course) != groups:
            are = f"{groups} group" + ("s" if groups != 1 else "")
            raise RunError(
                "R0234",
                f"`{name}` has {len(course)} curves, and the model has {are}",
                help="give one curve for all groups, or a list with one for each",
            )
        return course[group]


class Together:
    """Several schedules as one; each drives its own hyperparameters. In a run of `epochs`, one that lasts some epochs
    by itself keeps to them: it is cut off where the run is shorter, and stays at its end where the run is longer."""

    def __init__(self, schedules: Sequence[Schedule], epochs: int | None = None) -> None:
        self.schedules = list(schedules)
        lasting = [getattr(each, "epochs", None) for each in self.schedules]
        self._speeds = [epochs / lasts if epochs and lasts else 1.0 for lasts in lasting]

    @property
    def breaks(self) -> tuple[float, ...]:
        """The positions at which a value may jump or turn."""
        places = (
            place / speed
            for each, speed in zip(self.schedules, self._speeds)
            for place in (*getattr(each, "breaks", ()), 1.0)
        )
        return tuple(sorted({place for place in places if 0 < place < 1}))

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        values: dict[str, float] = {}
        for each, speed in zip(self.schedules, self._speeds):
            values |= each.values(min(position * speed, 1.0), group, groups)
        return values
