"""What a trained model says of items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from mfc.runtime.data.targets import IGNORED
from mfc.runtime.modes import evaluating
from mfc.runtime.training.metrics import compute_metrics


@dataclass(frozen=True)
class Prediction:
    """What a model says of one item: a label (or several, or values), and each class's probability by name. Of a mask
    the label is the class of each pixel, int64 `h w`, and probabilities are float32 `h w`."""

    label: Any
    probabilities: dict[str, Any]


@dataclass(frozen=True)
class Predictions:
    """Predictions for the items of a loader, in its order, on the CPU.

    Attributes:
        probabilities: float32 `n classes ...` (or the values themselves, for value targets).
        decoded: the predicted targets: class indices `n ...`, bool `n classes`, or values.
        targets: the true targets, or None where the loader has none.
        items: int64 ids `n`.
        vocab: names of the classes.
    """

    probabilities: torch.Tensor
    decoded: torch.Tensor
    targets: torch.Tensor | None
    items: torch.Tensor
    vocab: Sequence[str]

    @cached_property
    def labels(self) -> list[Any]:
        """The decoded targets by name: one label an item, or a list of them; values stay numbers, and of masks the
        classes of pixels, int64 `h w`."""
        if self.decoded.dtype is torch.bool:
            return [[name for name, there in zip(self.vocab, row) if there] for row in self.decoded.tolist()]
        if self.decoded.is_floating_point():
            return (self.decoded[:, 0] if self.decoded.shape[1:] == (1,) else self.decoded).tolist()
        if self.decoded.ndim > 1:
            return list(self.decoded)
        return [self.vocab[index] for index in self.decoded.tolist()]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Prediction:
        values = self.probabilities[index]
        values = values.tolist() if values.ndim == 1 else values
        return Prediction(self.labels[index], dict(zip(self.vocab, values)) if self.vocab else {})


def get_preds(
    model: nn.Module, loader: Iterable[Any], loss: Any, vocab: Sequence[str], device: torch.device
) -> Predictions:
    """Predictions of a model in evaluation mode, with the meaning that `loss` gives to outputs. Of a loss that
    gives none, outputs are taken as logits of the classes where there are classes, else as values."""
    pred, targets, items = outputs_of(model, loader, device)
    return Predictions(activated(pred, loss, vocab), decoded(pred, loss, vocab), targets, items, vocab)


def outputs_of(
    model: nn.Module, loader: Iterable[Any], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """What a model puts out in evaluation mode for the items of a loader, float32 `n ...`, their targets if there are
    any, and their ids, all on the CPU."""
    outputs, targets, items = [], [], []
    with evaluating(model):
        for x, y, ids in loader:
            outputs.append(model(x.to(device)).float().cpu())
            items.append(ids.cpu())
            if y is not None:
                targets.append(y.cpu())
    return torch.cat(outputs), torch.cat(targets) if targets else None, torch.cat(items)


def activated(pred: torch.Tensor, loss: Any, vocab: Sequence[str]) -> torch.Tensor:
    """The probabilities, or values, that a model's outputs mean."""
    return getattr(loss, "activation", _softmax if vocab else _as_it_is)(pred)


def decoded(pred: torch.Tensor, loss: Any, vocab: Sequence[str]) -> torch.Tensor:
    """The targets that a model's outputs predict."""
    return getattr(loss, "decode", _most_likely if vocab else _as_it_is)(pred)


def at_pixels(
    said: Prediction, transforms: Sequence[Any], pipeline: Any, channels: int, height: int, width: int
) -> Prediction:
    """A predicted mask at the pixels of its image as it is stored, by bilinear interpolation of the probabilities.
    Pixels that the model did not see, which crops leave out, are of the class -100.

    Args:
        transforms, pipeline: what the image was prepared with, in evaluation form.
    """
    from mfc.runtime.data.origin import restored

    values = torch.stack([*said.probabilities.values()])
    values, seen = restored(values, transforms, pipeline, channels, height, width)
    return Prediction(values.argmax(0).where(seen, IGNORED), dict(zip(said.probabilities, values)))


def measure(
    model: nn.Module, loader: Iterable[Any], metrics: Sequence[Any], device: torch.device
) -> dict[str, float]:
    """What metrics say of a model in evaluation mode, by their names."""
    with evaluating(model):
        return compute_metrics(metrics, ((model(x.to(device)), y) for x, y, _ in loader))


def _softmax(pred: torch.Tensor) -> torch.Tensor:
    return pred.softmax(1)


def _most_likely(pred: torch.Tensor) -> torch.Tensor:
    return pred.argmax(1)


def _as_it_is(pred: torch.Tensor) -> torch.Tensor:
    return pred
