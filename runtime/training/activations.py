"""What `activation_stats` recorded: statistics of layers' activations and gradients over a training, as arrays.

Two files in the run's folder: `activations.json` says what was recorded, `activations.safetensors` holds the arrays.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mfc.runtime.errors import RunError

NAME = "activations"

AGAIN = "remove that folder, so that the training is no longer up to date, and run it again"

GRADIENT_ZERO = 1e-8
"""A gradient is near zero up to this."""

GRADIENT_RANGE = (-10.0, 2.0)
"""The decades of gradients that their histogram covers: 1e-10 to 100."""


@dataclass(frozen=True)
class Settings:
    """What is recorded.

    Attributes:
        layers: paths in the model.
        every: batches from one sample to the next.
        bins: of the histograms.
        limit: the histogram of activations is of their absolute values from 0 to this.
        near_zero: an activation is near zero if its absolute value is no more than this.
        backward: whether gradients are recorded.
    """

    layers: list[str]
    every: int
    bins: int
    limit: float
    near_zero: float
    backward: bool


@dataclass(frozen=True)
class Statistics:
    """Of each sample and layer; all calls of a layer in the batch are one. NaN, and a histogram of zeros, where the
    layer had no activations or gradients.

    Attributes:
        mean, std: float64 `samples layers`; the standard deviation is that of all numbers (not of an estimate).
        near_zero: the share of numbers near zero, float64 `samples layers`.
        histogram: counts, int64 `samples layers bins`.
    """

    mean: np.ndarray
    std: np.ndarray
    near_zero: np.ndarray
    histogram: np.ndarray

    def before(self, rows: int) -> Statistics:
        """The first samples."""
        return Statistics(*(getattr(self, field.name)[:rows] for field in fields(self)))


@dataclass(frozen=True)
class Activations:
    """All samples in order.

    Attributes:
        epoch, batch, batches: int64 `samples`: the epoch (from 1), the batch in it (from 1) of so many.
        forward: of what the layers put out.
        backward: of the gradients of the loss by that; None if they were not recorded.
    """

    settings: Settings
    epoch: np.ndarray
    batch: np.ndarray
    batches: np.ndarray
    forward: Statistics
    backward: Statistics | None

    def __len__(self) -> int:
        return len(self.epoch)

    @property
    def layers(self) -> list[str]:
        """The layers' paths."""
        return self.settings.layers

    @property
    def place(self) -> np.ndarray:
        """Where in the training each sample was taken, in epochs: float64 `samples`."""
        return self.epoch - 1 + (self.batch - 1) / self.batches

    @property
    def edges(self) -> np.ndarray:
        """The edges of the bins of absolute activations: float64 `bins + 1`."""
        return np.linspace(0, self.settings.limit, self.settings.bins + 1)

    @property
    def gradient_edges(self) -> np.ndarray:
        """The edges of the bins of absolute gradients, equal steps of their logarithm: float64 `bins + 1`."""
        return np.logspace(*GRADIENT_RANGE, self.settings.bins + 1)

    def plot(self, path: str | Path) -> None:
        """Draws means, standard deviations, shares near zero and histograms over the training (`.png`, `.svg`,
        `.pdf`). Raises RunError where the file can't be written."""
        from mfc.runtime.training.activation_plots import plot_activations

        plot_activations(self, Path(path))


def read_activations(folder: Path, number: int = 1) -> Activations:
    """What was recorded in a run's folder. `number` counts the `activation_stats` of a train.

    Raises:
        RunError: R0245 where nothing was recorded, or it can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    about, data = files(folder, number)
    if not about.exists() or not data.exists():
        message = f"there are no statistics of activations in {folder}"
        help = f'add `activation_stats("relu")` to `callbacks`, {AGAIN}'
        raise RunError("R0245", message, help=help)
    try:
        settings = Settings(**json.loads(about.read_text()))
        arrays = load_file(data)
        backward = _statistics(arrays, "backward") if settings.backward else None
        epoch, batch, batches = (arrays[name] for name in ("epoch", "batch", "batches"))
        found = Activations(settings, epoch, batch, batches, _statistics(arrays, "forward"), backward)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        message = f"the statistics of activations in {folder} can't be read: {error}"
        raise RunError("R0245", message, help=AGAIN) from error
    if not len(found):
        raise RunError("R0245", f"no batch was sampled yet in {folder}", help="wait for the end of the epoch")
    return found


def files(folder: Path, number: int) -> tuple[Path, Path]:
    """The two files of the first, second, ... record of a training."""
    name = NAME if number == 1 else f"{NAME}_{number}"
    return folder / f"{name}.json", folder / f"{name}.safetensors"


def arrays_of(activations: Activations) -> dict[str, np.ndarray]:
    """The arrays by the names that they have in the file."""
    found: dict[str, Any] = {name: getattr(activations, name) for name in ("epoch", "batch", "batches")}
    for direction in ("forward", "backward"):
        statistics = getattr(activations, direction)
        if statistics is not None:
            found |= {f"{direction}.{f.name}": getattr(statistics, f.name) for f in fields(statistics)}
    return found


def settings_json(settings: Settings) -> str:
    """The settings as the file has them."""
    return json.dumps(asdict(settings), indent=1)


def _statistics(arrays: dict[str, np.ndarray], direction: str) -> Statistics:
    return Statistics(*(arrays[f"{direction}.{field.name}"] for field in fields(Statistics)))
