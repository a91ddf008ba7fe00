"""The learning-rate finder: a short training in which the rate rises from batch to batch until the loss diverges.

L. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3, as in fastai's `lr_find`. Nothing
of the trial is kept: the model, its optimizer and all randomness are afterwards as they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mfc.runtime.errors import RunError
from mfc.runtime.training.callbacks.progress import Progress
from mfc.runtime.training.callbacks.recorder import check_scalar
from mfc.runtime.training.callbacks.state import ResetState
from mfc.runtime.training.events import Callback, CancelFit
from mfc.runtime.training.lr_suggestions import LEAST, RULES
from mfc.runtime.training.trial import acting, copies, unchanged

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner
    from mfc.runtime.training.phases import Phase

SMOOTHING = 0.98
"""How much of the average loss is kept with each batch."""

DIVERGED = 4
"""The loss has diverged where it is so many times the lowest one."""

SHARE_SKIPPED, LAST_SKIPPED = 10, 5
"""The suggestions leave out the first tenth of the batches asked for, and the last ones before the end."""

LEAST_STEPS = 30
"""Fewer batches than these leave too few points for suggestions."""


class LRFinder(Callback):
    """Raises the learning rate with each batch, from `start` to `end` in `steps` equal factors, and records the
    smoothed loss; ends the fit after the last batch, or where the loss is 4 times its lowest value or no number.

    The rates of several groups stay in the proportions that the phase's schedule, or the optimizer, has them in: it is
    the last group's that goes from `start` to `end`.

    Attributes:
        rates: the last group's learning rate at each batch.
        losses: the loss at each batch, averaged exponentially over those before, without bias.
        diverged: whether the loss has ended the sweep.
    """

    order = 90  # the rate is set after all others had their turn, the loss noted before they change it

    def __init__(self, start: float, end: float, steps: int) -> None:
        self.start, self.end, self.steps = start, end, steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged = False
        self.average = 0.0

    def before_train(self) -> None:
        learner = self.learner
        self.shares = shares(learner.schedule, [hypers["lr"] for hypers in learner.optimizer.hypers])

    def before_batch(self) -> None:
        rate = self.start * (self.end / self.start) ** (self.learner.batch / self.steps)
        self.rate = rate
        for hypers, share in zip(self.learner.optimizer.hypers, self.shares):
            hypers["lr"] = rate * share

    def after_loss(self) -> None:
        check_scalar(self.learner.loss)
        loss = self.learner.loss.item()
        if not math.isfinite(loss):
            if not self.losses:
                what = "NaN" if math.isnan(loss) else "infinite"
                raise RunError(
                    "R0230",
                    f"the loss is {what} at the first batch, with a learning rate of {self.rate:.3g}",
                    help="no rate mends that: look at the data, the first weights and the loss",
                )
            self.diverged = True
            raise CancelFit
        self.average = SMOOTHING * self.average + (1 - SMOOTHING) * loss
        self.rates.append(self.rate)
        self.losses.append(self.average / (1 - SMOOTHING ** len(self.rates)))

    def after_batch(self) -> None:
        if not self.losses:  # another callback has left the batch out
            return
        best = min(self.losses)
        self.diverged = best > 0 and self.losses[-1] > DIVERGED * best  # of losses below 0 that says nothing
        if self.diverged or len(self.losses) >= self.steps:
            raise CancelFit

    def before_validate(self) -> None:
        raise CancelFit


@dataclass(frozen=True)
class LRFound:
    """What a sweep over learning rates found.

    Attributes:
        stage: of which training or phase.
        steps: how many batches were asked for; `rates` has fewer where the loss diverged.
        batches: in an epoch of its data. Where they are fewer than the steps, the sweep went on with the next epoch's.
        rates: the learning rate at each batch.
        losses: the loss at each, smoothed.
        diverged: whether the loss ended the sweep.

    Raises RunError R0231 where there are too few batches for suggestions.
    """

    stage: str
    steps: int
    batches: int
    rates: Sequence[float]
    losses: Sequence[float]
    diverged: bool

    def __post_init__(self) -> None:
        if len(self._kept) < LEAST:
            what = "the loss diverged" if self.diverged else "a callback ended the sweep"
            message = f"{what} after {len(self.rates)} of {self.steps} batches: too early to suggest a rate"
            help = (
                "start from a lower rate, or take more steps" if self.diverged else "leave that callback out"
            )
            raise RunError("R0231", message, help=help)

    @property
    def _kept(self) -> range:
        return range(self.steps // SHARE_SKIPPED, max(len(self.rates) - LAST_SKIPPED, 0))

    @cached_property
    def suggestions(self) -> dict[str, float]:
        """The learning rates that four rules suggest: `valley`, `steep`, `minimum` and `slide`."""
        rates, losses = ([values[i] for i in self._kept] for values in (self.rates, self.losses))
        return {name: rule(rates, losses) for name, rule in RULES.items()}

    @property
    def valley(self) -> float:
        """The middle of the longest fall of the loss: the one to take first."""
        return self.suggestions["valley"]

    @property
    def steep(self) -> float:
        """Where the loss falls most steeply."""
        return self.suggestions["steep"]

    @property
    def minimum(self) -> float:
        """A tenth of the rate at which the loss is lowest."""
        return self.suggestions["minimum"]

    @property
    def slide(self) -> float:
        """The last place, seen from the high rates, from which the loss falls evenly."""
        return self.suggestions["slide"]

    @property
    def fell(self) -> float:
        """By which share the loss fell from what it was over the first tenth to its lowest."""
        first = self.losses[self._kept[0]]
        return (first - min(self.losses)) / abs(first) if first else 0.0

    def loss_at(self, rate: float) -> float:
        """The recorded loss at the rate nearest to this one."""
        return min(zip(self.rates, self.losses), key=lambda point: abs(math.log(point[0] / rate)))[1]


def lr_find(
    learner: Learner,
    start: float = 1e-5,
    end: float = 10.0,
    steps: int = 100,
    phase: Phase | None = None,
    progress: bool = False,
) -> LRFound:
    """Sweeps the learning rate over `steps` batches from where the learner stands, and leaves it as it was.

    The batches are those that training would get next, in the same order. Callbacks take part, as copies, unless they
    only watch; schedules do not, so that momentum is the optimizer's own.

    Args:
        phase: of which phase `freeze_to`, data, loss, callbacks and the proportions of rates hold; those of the learner
            itself if None.
        progress: whether to show a bar where there is a terminal.

    Raises:
        RunError: R0230 where the first loss is no number, R0231 where the loss diverges too early, R0232 for a
            callback that can't be copied, R0233 for bounds that are none, and what training raises.
    """
    from mfc.runtime.training.phases import Phase

    if not 0 < start < end < math.inf:
        message = f"the learning rate can't rise from {start:g} to {end:g}"
        raise RunError("R0233", message, help="`start` is above 0 and below `end`")
    if steps < LEAST_STEPS:
        raise RunError(
            "R0233", f"{steps} batches are too few to find a rate", help=f"take {LEAST_STEPS} or more"
        )
    phase = phase if phase is not None else Phase(1, freeze_to=learner.freeze_to, name=learner.stage)
    data = phase.data if phase.data is not None else learner.dls
    given = acting([*learner.callbacks, *phase.callbacks])
    shared = (learner, learner.model, learner.dls, data, learner.loss_func, learner.optimizer_factory)
    acts = copies(given, (*shared, learner.optimizer, learner.schedule, learner.stream))
    finder = LRFinder(start, end, steps)
    reset = [] if any(isinstance(callback, ResetState) for callback in acts) else [ResetState()]
    with unchanged(learner.model, learner.device), _place_kept(data.train):
        trial = learner.trial(
            _Sweep(data, steps), [*acts, *reset, finder, *([Progress()] if progress else [])]
        )
        trial.fit(replace(phase, epochs=1, name=f"{phase.name} lr-find", callbacks=(), data=None))
    return LRFound(phase.name, steps, len(data.train), finder.rates, finder.losses, finder.diverged)


def shares(schedule: Any, rates: Sequence[float]) -> list[float]:
    """The learning rate of each group as a multiple of the last one's: where a schedule has the last one's highest, or
    as the optimizer has them where no schedule drives it."""
    groups = len(rates)
    if schedule is not None:
        grid = {i / 64 for i in range(65)} | set(getattr(schedule, "breaks", ()))
        courses = [
            (place, schedule.values(place, groups - 1, groups).get("lr", 0.0)) for place in sorted(grid)
        ]
        highest, rate = max(courses, key=lambda course: course[1])
        if rate > 0:
            rates = [schedule.values(highest, group, groups)["lr"] for group in range(groups)]
    return [rate / rates[-1] for rate in rates] if rates[-1] > 0 else [1.0] * groups


class _Sweep:
    """A data block for one sweep: its training batches of one epoch after another, as one epoch; no validation."""

    def __init__(self, dls: Any, steps: int) -> None:
        self._dls = dls
        self.train, self.valid = _Batches(dls.train, steps), ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dls, name)


class _Batches:
    def __init__(self, loader: Any, count: int) -> None:
        self.loader, self.count, self.epoch = loader, count, 0

    def __len__(self) -> int:
        return self.count if len(self.loader) else 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        given = 0
        while given < self.count:
            self.loader.set_epoch(self.epoch)
            for batch in self.loader:
                yield batch
                given += 1
            self.epoch += 1


class _place_kept:
    """A loader whose place in the data is afterwards what it was."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __enter__(self) -> None:
        self.state = self.loader.state_dict() if hasattr(self.loader, "state_dict") else None

    def __exit__(self, *_: object) -> None:
        if self.state is not None:
            self.loader.load_state_dict(self.state)
