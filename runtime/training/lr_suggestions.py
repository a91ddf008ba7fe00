"""What a sweep of learning rates suggests: four rules on recorded rates and losses, as fastai 2.8 has them.

Each takes the rates of a sweep, which rise exponentially, and the smoothed loss at each, and gives a rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

SLIDE_WIDTH = 15
"""Points between the two ends that `slide` compares."""

LEAST = SLIDE_WIDTH + 1
"""The fewest points that all of the rules need."""


def valley(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The middle of the longest fall: of the points of the longest falling series, however it is interrupted."""
    lengths = [1] * len(losses)  # of the longest falling series that ends at each point
    end = 0
    for i in range(1, len(losses)):
        lengths[i] += max((lengths[j] for j in range(i) if losses[j] > losses[i]), default=0)
        if lengths[i] > lengths[end]:
            end = i
    start = end - lengths[end] if lengths[end] > 1 else end
    third = (end - start) / 3
    return rates[max(start + int(third) + int(third / 2), 0)]


def steep(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Where the loss falls most steeply, on a logarithmic axis of rates."""
    points = list(zip(rates, losses))
    slopes = [(b - a) / (math.log(high) - math.log(low)) for (low, a), (high, b) in pairwise(points)]
    return rates[slopes.index(min(slopes))]


def minimum(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate at which the loss is lowest."""
    return rates[list(losses).index(min(losses))] / 10


def slide(rates: Sequence[float], losses: Sequence[float], threshold: float = 0.005) -> float:
    """The last place, from the high rates down, before which the loss is as steep as `SLIDE_WIDTH` points later.

    An interval slides down from the end as long as the gradients at its two ends differ by more than `threshold`;
    its lower end is the rate. Needs `LEAST` points.
    """
    slopes = _gradient(losses)
    high, low = len(losses) - 1, len(losses) - 1 - SLIDE_WIDTH
    found = rates[low]
    while low >= 0 and abs(slopes[high] - slopes[low]) > threshold:
        found = rates[low]
        high, low = high - 1, low - 1
    return found


RULES: dict[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "valley": valley,
    "steep": steep,
    "minimum": minimum,
    "slide": slide,
}
"""The rules by name, the one to start with first."""


def _gradient(values: Sequence[float]) -> list[float]:
    """Differences from point to point: half of that between the neighbours, and at the ends to the one neighbour."""
    last = len(values) - 1
    ends = ((max(i - 1, 0), min(i + 1, last)) for i in range(len(values)))
    return [(values[b] - values[a]) / (b - a) for a, b in ends]
