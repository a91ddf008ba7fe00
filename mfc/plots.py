"""Pictures of what the command line shows as text, drawn with matplotlib without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfc.courses import Course, Span
from mfc.runtime.disk import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mfc.runtime.training.lr_find import LRFound

FORMATS = (".png", ".svg", ".pdf")
"""What the name of a picture's file ends with."""


def plot_lr_find(found: LRFound, path: str) -> None:
    """The smoothed loss over the learning rates of a sweep, with the four suggestions on it. Raises RunError."""
    figure = _figure(7, 4.5)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color="0.35", linewidth=1.5)
    axes.set_xscale("log")
    for (name, rate), marker in zip(found.suggestions.items(), "osD^"):
        axes.plot(rate, found.loss_at(rate), marker, label=f"{name} {rate:.2e}", markersize=8)
    # where the loss shoots up is of no interest beyond the fact
    top, low = max(found.losses[: len(found.losses) // 3]), min(found.losses)
    axes.set_ylim(low - 0.05 * (top - low), max(top + 0.25 * (top - low), low * 1.01))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.set_title(found.stage)
    axes.legend()
    _save(figure, path)


def plot_courses(name: str, spans: Sequence[Span], courses: Sequence[Course], path: str) -> None:
    """A panel for each hyperparameter with a line for each course, over epochs. Raises RunError."""
    hypers = list(dict.fromkeys(course.hyper for course in courses))
    figure = _figure(8, 1 + 2.2 * len(hypers))
    panels: list[Axes] = list(figure.subplots(len(hypers), 1, sharex=True, squeeze=False)[:, 0])
    for axes, hyper in zip(panels, hypers):
        for number, course in enumerate(course for course in courses if course.hyper == hyper):
            for position, line in enumerate(course.lines):
                label = ", ".join(course.groups) if position == 0 else None
                axes.plot(*zip(*line), color=f"C{number}", label=label or None)
        for span in spans[1:]:
            axes.axvline(span.start, color="0.8", linewidth=0.8, zorder=0)
        axes.set_ylabel(hyper)
        if any(course.groups for course in courses if course.hyper == hyper):
            axes.legend()
    if len(spans) > 1:
        for span in spans:
            middle = (span.start + span.end) / 2
            panels[0].annotate(
                span.name.rpartition(".")[2], (middle, 1.02), xycoords=("data", "axes fraction"), ha="center"
            )
    panels[-1].set_xlabel("epoch")
    panels[0].set_title(name, pad=20 if len(spans) > 1 else None)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: str) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format=Path(path).suffix[1:], dpi=120)
    write_file(Path(path), drawn.getvalue())
