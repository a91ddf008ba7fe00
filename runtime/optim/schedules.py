"""Curves, schedules of hyperparameters over a run, and learning rates that differ from group to group.

After fastai's `callback.schedule`. A schedule has `values(position, group, groups)`: the hyperparameters at a
position in a run (0 at the first batch, 1 after the last) of one of its parameter groups, by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from mfc.runtime.component import Curve, Range, Rate, curve, rate, schedule
from mfc.runtime.errors import RunError

Course = Callable[[float], float]
"""What a curve builds: the value at a position in 0..1."""


class Schedule(Protocol):
    """What a schedule builds."""

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        """Hyperparameters of one of `groups` groups (0: the model's first layers) at a position in 0..1."""
        ...


# ── curves ──────────────────────────────────────────────────────────────────────────────────────────────────


@curve
def lin(start: float, end: float) -> Course:
    """A straight line from `start` to `end`."""
    return lambda position: start + position * (end - start)


@curve
def cos(start: float, end: float) -> Course:
    """Half a wave of the cosine from `start` to `end`: flat at both, steepest in the middle."""
    return lambda position: start + (1 + math.cos(math.pi * (1 - position))) * (end - start) / 2


@curve
def exp(start: Annotated[float, Range(above=0)], end: Annotated[float, Range(above=0)]) -> Course:
    """An exponential curve from `start` to `end`: each step multiplies by the same factor."""
    return lambda position: start * (end / start) ** position


@curve
def const(value: float) -> Course:
    """The same `value` all along."""
    return lambda position: value


@curve
def combine(pcts: list[Annotated[float, Range(0, 1)]], curves: list[Curve]) -> Course:
    """One curve after another, each over its share of the run; the shares in `pcts` add up to 1.

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

    def course(position: float) -> float:
        index = max(i for i, start in enumerate(starts) if position >= start)
        # shares of 0, and what rounding leaves after the last one, stand at the end of their curve
        local = min((position - starts[index]) / pcts[index], 1.0) if pcts[index] else 1.0
        return curves[index](local)

    return course


# ── learning rates of several groups ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Spread:
    """A learning rate for each parameter group: `last` for the last, less for those before it.

    `first` is the rate of the first group, and `factor` the one from a group's rate to the next group's; one
    of them is None.
    """

    last: float
    first: float | None
    factor: float | None

    def at(self, group: int, groups: int) -> float:
        """The rate of group `group` of `groups`; of a single group `last`."""
        if group == groups - 1:
            return self.last
        if self.first is not None:
            return self.first * (self.last / self.first) ** (group / (groups - 1))
        assert self.factor is not None
        return self.last / self.factor ** (groups - 1 - group)


@rate
def spread(
    lr: Annotated[float, Range(above=0)],
    hi: Annotated[float, Range(above=0)] | None = None,
    factor: Annotated[float, Range(above=0)] | None = None,
) -> Spread:
    """Discriminative learning rates: lower for the first groups, whose layers need to change least.

    `spread(lr)` gives the last group `lr` and each group before it the next one's rate divided by `factor`,
    2.6 if none is given; `spread(lo, hi)` goes from `lo` for the first group to `hi` for the last, with equal
    factors between. J. Howard and S. Ruder, "Universal Language Model Fine-tuning" (2018).

    Raises:
        RunError: R0224 where both `hi` and `factor` are given.
    """
    if hi is None:
        return Spread(lr, None, 2.6 if factor is None else factor)
    if factor is not None:
        raise RunError("R0224", "spread has both `hi` and `factor`", help="leave one of them out")
    return Spread(hi, lr, None)


def rate_for(lr: float | Spread, group: int, groups: int) -> float:
    """The learning rate of one of `groups` groups."""
    return lr.at(group, groups) if isinstance(lr, Spread) else lr


# ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────


@schedule(drives=("lr", "mom"))
class one_cycle:
    """Raises the learning rate to `lr` and lets it fall to almost nothing, while momentum goes the other way.

    Both follow cosines: the rate from `lr / div` to `lr` over the share `pct_start` of the run, then to
    `lr / div_final`; momentum through the three values of `moms`, none of which is touched where it is none.
    L. Smith, "A disciplined approach to neural network hyper-parameters" (2018), as in fastai's
    `fit_one_cycle`.

    Raises:
        RunError: R0224 where `moms` hasn't three values.
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        div: Annotated[float, Range(above=0)] = 25.0,
        pct_start: Annotated[float, Range(0, 1)] = 0.25,
        div_final: Annotated[float, Range(above=0)] = 1e5,
        moms: list[Annotated[float, Range(0, below=1)]] | None = [0.95, 0.85, 0.95],  # noqa: B006
    ) -> None:
        self.lr = lr
        pcts = [pct_start, 1 - pct_start]
        self.share = combine(pcts, [cos(1 / div, 1), cos(1, 1 / div_final)])
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
    """

    def __init__(
        self,
        lr: Annotated[float, Range(above=0)] | Rate,
        cut_frac: Annotated[float, Range(0, 1)] = 0.1,
        ratio: Annotated[float, Range(1)] = 32.0,
    ) -> None:
        self.lr = lr
        self.share = combine([cut_frac, 1 - cut_frac], [lin(1 / ratio, 1), lin(1, 1 / ratio)])

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {"lr": rate_for(self.lr, group, groups) * self.share(position)}


@schedule(drives=("lr",))
class flat:
    """The same learning rate all along."""

    def __init__(self, lr: Annotated[float, Range(above=0)] | Rate) -> None:
        self.lr = lr

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {"lr": rate_for(self.lr, group, groups)}


@schedule(drives=("*",))
class param_scheduler:
    """Drives any hyperparameters of the optimizer, each along its curve, alike in all groups."""

    def __init__(self, **hypers: Curve) -> None:
        self.curves = hypers

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {name: course(position) for name, course in self.curves.items()}


class Together:
    """Several schedules as one; each drives its own hyperparameters."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = list(schedules)

    def values(self, position: float, group: int, groups: int) -> dict[str, float]:
        return {
            k: v for schedule in self.schedules for k, v in schedule.values(position, group, groups).items()
        }
