"""What the command line prints and draws of learning rates: courses over a training, and sweeps that look for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mfc.charts import chart, table
from mfc.courses import courses, spans
from mfc.dsl import ir
from mfc.runtime.errors import RunError
from mfc.runtime.training.history import finite
from mfc.show import counted_epochs

if TYPE_CHECKING:
    from mfc.job import Job
    from mfc.runtime.training.lr_find import LRFound


def phases_of(job: Job, train: str) -> list[ir.Stage]:
    """The stages of a training: one, or one a phase."""
    return [stage for stage in job.plan([train]) if stage.kind == "train" and stage.recipe["train"] == train]


def plot_courses_of(job: Job, name: str, path: str) -> None:
    """Draws the courses of a training's hyperparameters as a picture.

    Raises:
        RunError: R0501, `name` is no training that has a schedule; or the picture can't be written.
    """
    from mfc.plots import plot_courses

    checked, name = job.spec.compiled.checked, job.spec.compiled.named(name)
    trains = [instance.name for instance in checked.runnable() if instance in checked.trains]
    found = courses(phases := phases_of(job, name)) if name in trains else []
    if not found:
        what = "has no schedule" if name in trains else "is no training"
        raise RunError("R0501", f"there is nothing to plot of `{name}`: it {what}", help="leave out `--plot`")
    plot_courses(name, spans(phases), found, path)


def show_courses(phases: Sequence[ir.Stage]) -> str:
    """The course of each hyperparameter that a training's schedules drive, over its epochs, one phase after another.
    Groups of one course are shown once."""
    axis = spans(phases)
    lines = [f"{span.name}: {counted_epochs(span.end - span.start)}" for span in axis]
    ticks = {float(span.start): f"{span.start}" for span in axis}
    if len(axis) > 1:
        ticks = {float(span.start): f"{span.start} {span.name.rpartition('.')[2]}" for span in axis}
    ticks[float(axis[-1].end)] = f"{axis[-1].end}" if len(axis) > 1 else counted_epochs(axis[-1].end)
    found = courses(phases)
    for course in found:
        values = course.values
        within = f"{values[0]:.3g} to {values[-1]:.3g}, within {min(values):.3g}..{max(values):.3g}"
        lines += [f"  {course.name}: {within}", chart(course.lines, ticks)]
    if not found:
        lines.append("  no schedule: the hyperparameters stay as they are")
    return "\n".join(lines)


# ── learning rates ──────────────────────────────────────────────────────────────────────────────────────

MARKS = {"valley": "v", "steep": "s", "minimum": "m", "slide": "l"}
"""What stands for each suggestion below the chart."""

MEANING = {
    "valley": "the middle of the longest fall: take this one first",
    "steep": "where the loss falls most steeply",
    "minimum": "a tenth of the rate of the lowest loss",
    "slide": "the last place of an even fall, seen from the high rates",
}
"""What each suggestion is."""

LITTLE = 0.05
"""A loss that falls by a smaller share says nothing of rates."""


def show_lr_find(found: LRFound) -> str:
    """What a sweep of learning rates suggests, and its losses as a chart with the suggestions marked."""
    taken = len(found.rates)
    ended = f"the loss diverged after {taken}" if found.diverged else "the loss did not diverge"
    lines = [
        f"{found.stage}: {found.steps} batches with rising learning rates, from {found.rates[0]:.3g} to "
        f"{found.rates[-1]:.3g}; {ended}"
    ]
    if found.batches < taken:
        lines.append(
            f"an epoch has {found.batches} batches: the sweep went over them {taken / found.batches:.2g} times"
        )
    # the last ones shoot up and would flatten all else
    points = [(math.log10(rate), loss) for rate, loss in zip(found.rates, found.losses)]
    points = points[:-5] if found.diverged else points
    decades = range(math.ceil(points[0][0]), math.floor(points[-1][0]) + 1)
    marks: dict[float, str] = {}
    for name, rate in reversed(found.suggestions.items()):  # where two fall together, the first is seen
        marks[math.log10(rate)] = MARKS[name]
    inside = {place: mark for place, mark in marks.items() if points[0][0] <= place <= points[-1][0]}
    lines.append(chart([points], {float(d): f"1e{d}" for d in decades}, inside, height=10))
    rows = [
        (f"  {MARKS[name]}  {name}", f"{rate:.2e}", MEANING[name]) for name, rate in found.suggestions.items()
    ]
    lines.append(table(rows))
    if found.fell < LITTLE:
        lines.append(f"the loss fell by only {max(found.fell, 0):.1%}: the suggestions say little")
    return "\n".join(lines)


def lr_find_json(found: LRFound) -> dict[str, Any]:
    """A sweep with its suggestions as JSON; what is no finite number is null."""
    shown = {
        "stage": found.stage,
        **found.suggestions,
        "steps": found.steps,
        "batches": found.batches,
        "diverged": found.diverged,
        "rates": list(found.rates),
        "losses": list(found.losses),
    }
    return finite(shown)
