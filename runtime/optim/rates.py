"""Learning rates that differ from one group of parameters to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mfc.runtime.component import Range, Without, rate
from mfc.runtime.errors import RunError


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
    factor: Annotated[float | None, Range(above=0), Without("hi")] = None,
) -> Spread:
    """Discriminative learning rates: lower for the first groups, whose layers need to change least.

    `spread(lr)` gives the last group `lr` and each group before it the next one's rate divided by `factor`,
    2.6 if none is given; `spread(lo, hi)` goes from `lo` for the first group to `hi` for the last, with equal
    factors between. J. Howard and S. Ruder, "Universal Language Model Fine-tuning" (2018).

    Args:
        lr: the rate of the last group; with `hi`, that of the first.
        hi: the rate of the last group.
        factor: from a group's rate to the next one's.

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
