"""Records what goes on in the layers of a model while it trains."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
import torch

from mfc.runtime import disk
from mfc.runtime.component import Range, callback
from mfc.runtime.errors import RunError
from mfc.runtime.training.activations import (
    GRADIENT_RANGE,
    GRADIENT_ZERO,
    Activations,
    Settings,
    Statistics,
    arrays_of,
    files,
    read_activations,
    settings_json,
)
from mfc.runtime.training.callbacks.compilation import compile
from mfc.runtime.training.checkpoint import write_tensors
from mfc.runtime.training.events import Callback
from mfc.runtime.training.hooks import Hooks, layers_matching

LONGEST = 1 << 24
"""Numbers that are counted in one go: float32, in which torch counts, has all integers up to here."""

CACHED = 1 << 18
"""Numbers that are measured in one go on a CPU, so that all steps of it stay in the cache."""

FETCH_EVERY = 64
"""Samples that wait on the device until they are fetched together."""


class Measured(NamedTuple):
    """Of one call of a layer, or of a piece of what it put out, on the device that trains: how many numbers,
    `(mean, variance, share near zero)`, and counts of bins."""

    count: int
    moments: torch.Tensor
    histogram: torch.Tensor


@dataclass
class Sample:
    """What was measured in a batch: each layer's calls, by the layer's name."""

    epoch: int
    batch: int
    batches: int
    forward: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    backward: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))


@callback(observes=True, hooks=True, excludes=("compile",))
class activation_stats(Callback):
    """Records mean, standard deviation, share near zero and histogram of layers' outputs, and of their gradients.

    After fastai's `ActivationStats` and notebook 06 of the course "Deep Learning from the Foundations". Batch 1 and
    each `every`-th after it of an epoch is a sample. `mfc activations SPEC TRAIN --plot FILE.png` draws them;
    `run["fit"].activations` has the arrays. It only looks on: adding it trains nothing anew. Raises R0243 where no
    layer matches, and R0244 for a compiled model.

    Args:
        layers: which: a pattern or several. `relu` are all layers, blocks and groups of that name, counted ones too;
            `body.*.relu` are paths, in which `*` is any part of a name and `**` any number of names.
        every: batches from one sample to the next.
        backward: record gradients too: those of the loss by what the layers put out.
        bins: of the histograms.
        limit: the histogram is of absolute activations from 0 to here; that of gradients goes from 1e-10 to 100 in
            equal steps of the logarithm.
        near_zero: an activation is near zero if its absolute value is at most this; a gradient up to 1e-8.
    """

    order = 100  # before_batch: when the batch is sure to be trained on

    def __init__(
        self,
        layers: str | list[str],
        every: Annotated[int, Range(1)] = 10,
        backward: bool = True,
        bins: Annotated[int, Range(2, 1000)] = 40,
        limit: Annotated[float, Range(above=0)] = 10.0,
        near_zero: Annotated[float, Range(0)] = 0.05,
    ) -> None:
        self.layers, self.every, self.backward = layers, every, backward
        self.bins, self.limit, self.near_zero = bins, float(limit), float(near_zero)
        self.hooks: Hooks | None = None
        self.recorded: Activations | None = None
        self.waiting: list[Sample] = []

    # ── sampling ────────────────────────────────────────────────────────────────────────────────────────

    def before_fit(self) -> None:
        learner = self.learner
        if learner.folder is None:
            message = "activation_stats keeps files, and the Learner has no folder"
            raise RunError("R0241", message, help="give it one: `Learner(..., folder=Path(...))`")
        if any(isinstance(other, compile) for other in learner.callbacks):
            message = "activation_stats can't look into a compiled model"
            raise RunError("R0244", message, help="leave `compile()` out for this training")
        self.found = layers_matching(learner.model, self.layers)
        if not self.found:
            message = f"no layer of the model matches {self.layers!r}"
            names = sorted({path.rpartition(".")[2] for path, _ in learner.model.named_modules() if path})
            raise RunError("R0243", message, help=f"there are {', '.join(names[:20])}")
        self.settings = Settings(
            list(self.found), self.every, self.bins, self.limit, self.near_zero, self.backward
        )
        others = [c for c in learner.callbacks if isinstance(c, activation_stats)]
        self.files = files(learner.folder, others.index(self) + 1)
        self.recorded = self._kept(others.index(self) + 1)

    def _kept(self, number: int) -> Activations | None:
        """What an earlier run recorded up to where this one goes on."""
        done, folder = self.learner.done, self.learner.folder
        assert folder is not None
        if not (done.epochs or done.batches):
            return None
        with contextlib.suppress(RunError):
            found = read_activations(folder, number)
            if found.settings == self.settings:
                finished = found.epoch <= done.epochs
                begun = (found.epoch == done.epochs + 1) & (found.batch <= done.batches)
                return first_rows(found, int((finished | begun).sum()))
        return None

    def before_batch(self) -> None:
        learner = self.learner
        if not learner.training or learner.batch % self.every:
            return
        sample = Sample(learner.epoch + 1, learner.batch + 1, len(learner.dls.train))
        self.waiting.append(sample)
        self.hooks = Hooks(
            self.found,
            lambda name, output: sample.forward[name].extend(map(self._activations, pieces(output))),
            (lambda name, gradient: sample.backward[name].extend(map(self._gradients, pieces(gradient))))
            if self.backward
            else None,
        )

    def after_batch(self) -> None:
        self._remove_hooks()
        if len(self.waiting) >= FETCH_EVERY:
            self._fetch()

    def before_validate(self) -> None:
        self._remove_hooks()  # of a batch whose end was cancelled

    def _remove_hooks(self) -> None:
        if self.hooks is not None:
            self.hooks.remove()
            self.hooks = None

    @torch.no_grad()
    def _activations(self, numbers: torch.Tensor) -> Measured:
        sizes = numbers.abs()
        histogram = histogram_of(sizes, self.bins, 0.0, self.limit)
        return Measured(numbers.numel(), moments(numbers, sizes, self.near_zero), histogram)

    @torch.no_grad()
    def _gradients(self, numbers: torch.Tensor) -> Measured:
        weight = self.learner.loss_weight
        if weight != 1:  # of the loss itself, whatever it was multiplied by for the backward pass
            numbers = numbers / weight
        sizes = numbers.abs()
        measured = moments(numbers, sizes, GRADIENT_ZERO)
        return Measured(numbers.numel(), measured, histogram_of(sizes.log10_(), self.bins, *GRADIENT_RANGE))

    # ── keeping ─────────────────────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, int]:
        """Nothing: what a checkpoint covers is in the file when the checkpoint is written."""
        self._write()
        return {}

    def after_fit(self) -> None:
        self._remove_hooks()
        self._write()

    def on_exception(self) -> None:
        self._remove_hooks()
        with contextlib.suppress(RunError, RuntimeError):  # what ended the training is what to tell
            self._write()

    def _fetch(self) -> None:
        """Brings the samples that wait on the device to the others, in one go for each kind of number."""
        samples, self.waiting = self.waiting, []
        if not samples:
            return
        calls = [
            call
            for sample in samples
            for direction in (sample.forward, sample.backward)
            for several in direction.values()
            for call in several
        ]
        values = {}
        if calls:
            moments = torch.stack([call.moments for call in calls]).cpu().double().numpy()
            counts = torch.stack([call.histogram for call in calls]).cpu().numpy()
            values = {id(call): pair for call, *pair in zip(calls, moments, counts)}
        forward = self._statistics([sample.forward for sample in samples], values)
        backward = self._statistics([s.backward for s in samples], values) if self.backward else None
        epoch, batch, batches = np.array([(s.epoch, s.batch, s.batches) for s in samples], np.int64).T.copy()
        new = Activations(self.settings, epoch, batch, batches, forward, backward)
        self.recorded = new if self.recorded is None else joined(self.recorded, new)

    def _statistics(self, samples: list[dict[str, list[Measured]]], values: dict[int, list]) -> Statistics:
        shape = len(samples), len(self.found)
        mean, std, near_zero = (np.full(shape, np.nan) for _ in range(3))
        histogram = np.zeros((*shape, self.bins), np.int64)
        for row, sample in enumerate(samples):
            for column, name in enumerate(self.found):
                calls = [call for call in sample.get(name, ()) if call.count]
                if not calls:
                    continue
                counts = np.array([call.count for call in calls], np.float64)
                means, variances, shares = np.array([values[id(call)][0] for call in calls]).T
                whole = counts.sum()
                centre = (counts * means).sum() / whole
                mean[row, column] = centre
                std[row, column] = np.sqrt((counts * (variances + (means - centre) ** 2)).sum() / whole)
                near_zero[row, column] = (counts * shares).sum() / whole
                histogram[row, column] = sum(values[id(call)][1] for call in calls)
        return Statistics(mean, std, near_zero, histogram)

    def _write(self) -> None:
        self._fetch()
        if self.recorded is not None:
            about, data = self.files
            disk.write_file(about, settings_json(self.settings).encode())
            write_tensors(data, {k: torch.from_numpy(v) for k, v in arrays_of(self.recorded).items()})


def pieces(output: torch.Tensor) -> Sequence[torch.Tensor]:
    """All numbers of a tensor as float32; on a CPU in pieces that are measured one by one, elsewhere in one."""
    numbers = output.detach().float().flatten()
    return numbers.split(CACHED) if numbers.device.type == "cpu" else (numbers,)


def moments(numbers: torch.Tensor, sizes: torch.Tensor, near_zero: float) -> torch.Tensor:
    """Mean, variance and share near zero of numbers whose absolute values are `sizes`: float32 `3`."""
    mean = numbers.mean()
    variance = (numbers - mean).square_().mean()  # on a CPU in a fifth of the time that `var_mean` takes
    return torch.stack([mean, variance, torch.count_nonzero(sizes <= near_zero) / numbers.numel()])


def histogram_of(numbers: torch.Tensor, bins: int, low: float, high: float) -> torch.Tensor:
    """Counts of equal bins from `low` to `high`, both included, int64 `bins`; what lies outside is not counted."""
    if numbers.device.type == "cpu":
        # in half the time that `histc` takes of a piece in the cache; the first and last count is of what lies outside
        places = ((numbers - low) * (bins / (high - low))).add_(1).clamp_(0, bins + 1).nan_to_num_(nan=0)
        counts = torch.bincount(places.int(), minlength=bins + 2)[1:-1]
        counts[-1] += torch.count_nonzero(numbers == high)
        return counts
    # where `bincount` would wait for the device
    parts = numbers.split(LONGEST)
    return torch.stack([torch.histc(part, bins, low, high).long() for part in parts]).sum(0)


def first_rows(activations: Activations, rows: int) -> Activations:
    """The first samples."""
    backward = activations.backward
    return Activations(
        activations.settings,
        activations.epoch[:rows],
        activations.batch[:rows],
        activations.batches[:rows],
        activations.forward.before(rows),
        backward.before(rows) if backward is not None else None,
    )


def joined(first: Activations, then: Activations) -> Activations:
    """Two records of the same settings, one after the other."""
    ours, theirs = arrays_of(first), arrays_of(then)
    whole = {name: np.concatenate([ours[name], theirs[name]]) for name in ours}
    statistics = [
        Statistics(*(whole[f"{d}.{name}"] for name in ("mean", "std", "near_zero", "histogram")))
        if f"{d}.mean" in whole
        else None
        for d in ("forward", "backward")
    ]
    forward, backward = statistics
    assert forward is not None
    return Activations(first.settings, whole["epoch"], whole["batch"], whole["batches"], forward, backward)
