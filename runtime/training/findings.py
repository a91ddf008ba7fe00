"""What is found out of trained models beside numbers: classes that they confuse, items of which they are most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Confused(NamedTuple):
    """How many items of a class were taken for another one."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class ConfusionMatrix:
    """How many items (or pixels) of each class were taken for each class.

    Attributes:
        classes: their names.
        counts: a row for each true class, in it a number for each predicted one.
    """

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]

    def most_confused(self, least: int = 1) -> list[Confused]:
        """The pairs of two classes with at least so many mistakes, most first."""
        pairs = (
            Confused(str(true), str(predicted), int(count))
            for i, (true, row) in enumerate(zip(self.classes, self.counts))
            for j, (predicted, count) in enumerate(zip(self.classes, row))
            if i != j and count >= least
        )
        return sorted(pairs, key=lambda pair: -pair.count)

    def plot(self, path: str | Path) -> None:
        """Draws it as a .png, .svg or .pdf: the darker, the larger the share of its row."""
        from mfc.runtime.training.evaluation_plots import plot_confusion

        plot_confusion(self, Path(path))


class TopLoss(NamedTuple):
    """An item of which a model is most wrong.

    Attributes:
        path: of the item; of a row of a table its name.
        label: what it is: a label, several, or values; None of masks.
        prediction: what the model says.
        probability: that the model gives to the predicted class, where an item has one.
        loss: as that of a batch which has this item alone.
    """

    path: str
    label: Any
    prediction: Any
    probability: float | None
    loss: float
