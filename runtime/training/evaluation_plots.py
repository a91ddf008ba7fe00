"""Pictures of what was evaluated: a confusion matrix, and the images of which a model is most wrong."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfc.runtime.disk import write_file
from mfc.runtime.training.findings import ConfusionMatrix, TopLoss

NAMED, NUMBERED = 40, 25
"""Classes up to which a matrix has their names beside it, and the counts in its cells."""

SHORT = 24
"""Characters of a name in a picture."""


def plot_confusion(matrix: ConfusionMatrix, path: Path) -> None:
    """Draws a matrix: a cell is the darker, the larger its share of the row, and has its count in it."""
    from matplotlib.figure import Figure

    counts = np.asarray(matrix.counts, dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(matrix.classes)
    side = min(max(3.0, 1.5 + 0.42 * size), 14.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if size <= NAMED:
        names = list(map(_text, matrix.classes))
        axes.set_xticks(range(size), names, rotation=90)
        axes.set_yticks(range(size), names)
    if size <= NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{int(count)}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    _save(figure, path)


def plot_top_losses(images: np.ndarray, rows: Sequence[TopLoss], path: Path) -> None:
    """Draws images, uint8 `n c h w`, in a grid, each under its prediction, label, loss and probability, as fastai."""
    from matplotlib.figure import Figure

    columns = min(math.ceil(math.sqrt(len(rows))), 8)
    lines = math.ceil(len(rows) / columns)
    figure = Figure(figsize=(2.2 * columns, 2.6 * lines + 0.3), layout="constrained")
    panels: list[Any] = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels:
        axes.axis("off")
    for axes, image, row in zip(panels, images, rows):
        grey = len(image) == 1
        axes.imshow(
            image[0] if grey else image.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=255
        )
        axes.set_title(_title(row), fontsize=8)
    figure.suptitle("prediction / label / loss / probability", fontsize=9)
    _save(figure, path)


def _title(row: TopLoss) -> str:
    answers = [] if row.label is None else [_text(row.prediction), _text(row.label)]
    probability = [] if row.probability is None else [f"{row.probability:.2f}"]
    return " / ".join([*answers, f"{row.loss:.3g}", *probability])


def _text(name: Any) -> str:
    """A name as it is to stand in a picture: matplotlib takes what is between dollars for a formula."""
    if isinstance(name, list):
        name = ", ".join(map(str, name)) or "none"
    text = f"{name:.4g}" if isinstance(name, float) else str(name)
    return (text if len(text) <= SHORT else f"{text[: SHORT - 3]}...").replace("$", r"\$")


def _save(figure: Any, path: Path) -> None:
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        figure.savefig(drawn, format=path.suffix.lstrip("."), dpi=110)
    write_file(path, drawn.getvalue())
