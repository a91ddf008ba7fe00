"""The pictures of the course "Deep Learning from the Foundations", notebook 06, of what `activation_stats` recorded."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfc.runtime.disk import write_file
from mfc.runtime.training.activations import GRADIENT_RANGE, Activations, Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
"""Histograms beside each other."""

LABELS = 12
"""Layers up to which each line has its name beside it; a colour bar stands for more."""


def plot_activations(activations: Activations, path: Path) -> None:
    """Draws a row of means, standard deviations and shares near zero with a line for each layer, then a histogram over
    time for each layer (the brightness is the logarithm of the counts); the same for gradients below."""
    from matplotlib.figure import Figure

    parts = [("activations", activations.forward)]
    if activations.backward is not None:
        parts.append(("gradients", activations.backward))
    rows = math.ceil(len(activations.layers) / COLUMNS)
    heights = [3.0, 1.7 * rows + 0.3] * len(parts)
    figure = Figure(figsize=(13, sum(heights) + 0.4), layout="constrained")
    blocks = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for number, (name, statistics) in enumerate(parts):
        _lines(blocks[2 * number], activations, name, statistics)
        _histograms(blocks[2 * number + 1], activations, name, statistics, rows)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lstrip("."), dpi=110)
    write_file(path, picture.getvalue())


def _lines(block: Any, activations: Activations, name: str, statistics: Statistics) -> None:
    from matplotlib import colormaps

    layers = activations.layers
    colours = colormaps["viridis"](np.linspace(0, 0.92, max(len(layers), 2)))
    panels: list[Axes] = list(block.subplots(1, 3))
    for axes, kind in zip(panels, ("mean", "std", "near_zero")):
        values = getattr(statistics, kind)
        for column, (layer, colour) in enumerate(zip(layers, colours)):
            axes.plot(activations.place, values[:, column], color=colour, linewidth=1.2, label=layer)
        axes.set_title(f"{name}: {kind.replace('_', ' ')}", fontsize=10)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("epoch", fontsize=8)
    shown = statistics.std[np.isfinite(statistics.std) & (statistics.std > 0)]
    if len(shown) and shown.max() > 100 * shown.min():
        panels[1].set_yscale("log")
    panels[2].set_ylim(-0.02, 1.02)
    if len(layers) <= LABELS:
        panels[2].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        handles = [panels[2].get_lines()[0], panels[2].get_lines()[-1]]
        panels[2].legend(
            handles,
            [f"{layers[0]} (first)", f"{layers[-1]} (last)"],
            fontsize=6,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )


def _histograms(block: Any, activations: Activations, name: str, statistics: Statistics, rows: int) -> None:
    decades = name == "gradients"
    low, high = GRADIENT_RANGE if decades else (0.0, activations.settings.limit)
    panels: list[Axes] = list(block.subplots(rows, COLUMNS, squeeze=False).flat)
    start, end = _span(activations)
    for column, layer in enumerate(activations.layers):
        axes, counts = panels[column], statistics.histogram[:, column].T
        axes.set_title(layer, fontsize=7)
        axes.tick_params(labelsize=6)
        if counts.any():
            axes.imshow(
                np.log1p(counts),
                origin="lower",
                aspect="auto",
                extent=(start, end, low, high),
                cmap="inferno",
                interpolation="nearest",
            )
        else:
            axes.text(
                0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes, fontsize=8, color="0.5"
            )
            axes.set_xticks([])
            axes.set_yticks([])
        if decades and counts.any():
            ticks = range(math.ceil(low), math.floor(high) + 1, 4)
            axes.set_yticks(ticks, [f"1e{tick}" for tick in ticks])
    for axes in panels[len(activations.layers) :]:
        axes.set_axis_off()
    block.suptitle(
        f"{name}: how many of each absolute value, over the epochs (logarithm of the counts)", fontsize=9
    )


def _span(activations: Activations) -> tuple[float, float]:
    """The epochs from the first sample to where the next one would be."""
    place = activations.place
    step = float(np.median(np.diff(place))) if len(place) > 1 else 1.0
    return float(place[0]), float(place[-1]) + step
