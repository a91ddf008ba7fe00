"""Losses: how far predictions are from targets, as one number (the mean over the batch).

A loss also knows what its predictions mean: `activation` turns them into probabilities (or values), `scores` such
back into predictions, and `decode` predictions into the predicted target.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F

from mfc.runtime.component import Range, loss
from mfc.runtime.errors import RunError


class _Weights:
    """Weights of the classes, moved to where the predictions are when that changes."""

    def __init__(self, weights: list[float] | None) -> None:
        self.tensor = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def like(self, pred: torch.Tensor) -> torch.Tensor | None:
        if self.tensor is None:
            return None
        if len(self.tensor) != pred.shape[1]:
            message = f"the loss has {len(self.tensor)} weights, but the model has {pred.shape[1]} outputs"
            raise RunError("R0207", message, help="give one weight for each class")
        if self.tensor.device != pred.device or self.tensor.dtype != pred.dtype:
            self.tensor = self.tensor.to(pred.device, pred.dtype)
        return self.tensor


@loss(shape="b classes ...", targets=("category", "mask", "next_token"))
class cross_entropy:
    """Cross entropy of softmaxed predictions with one class an item (or pixel, or token).

    Args:
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al., 2016).
        weights: one for each class; the mean is weighted by them, as in torch.
        ignore_index: target that counts for nothing.
    """

    def __init__(
        self,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
        weights: list[float] | None = None,
        ignore_index: int = -100,
    ) -> None:
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self.weights = _Weights(weights)

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes ...` and int64 `b ...` -> scalar."""
        weight = self.weights.like(pred)
        pred, target = _side_by_side(pred, target)
        return F.cross_entropy(
            pred,
            target,
            weight=weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes."""
        return pred.softmax(1)

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Predictions of these probabilities."""
        return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """The most probable class, `b ...`."""
        return pred.argmax(1)


def _side_by_side(pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`b classes ...` and `b ...` as `n classes` and `n` where the classes lie side by side in memory, as those of
    a language model do: torch would copy them apart and be slower by more than half."""
    if type(pred) is torch.Tensor and pred.ndim > 2 and pred.movedim(1, -1).is_contiguous():
        return pred.movedim(1, -1).flatten(0, -2), target.flatten()
    return pred, target


@loss(shape="b classes", targets=("category", "multi_category"))
class bce:
    """Binary cross entropy of sigmoided predictions, each class for itself.

    Category targets become one-hot, so that a model may also say "none of these".

    Args:
        weights: one for each class.
        threshold: probability from which `decode` says a class is there.
    """

    def __init__(
        self, weights: list[float] | None = None, threshold: Annotated[float, Range(0, 1)] = 0.5
    ) -> None:
        self.threshold = threshold
        self.weights = _Weights(weights)

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes`, and int64 `b` or 0/1 `b classes` -> scalar."""
        if target.ndim == pred.ndim - 1:
            target = F.one_hot(target, pred.shape[1])
        return F.binary_cross_entropy_with_logits(pred, target.to(pred.dtype), weight=self.weights.like(pred))

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """The probability of each class."""
        return pred.sigmoid()

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Predictions of these probabilities."""
        return probabilities.logit(eps=torch.finfo(probabilities.dtype).eps)

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """Which classes are there: bool, `b classes`."""
        return pred.sigmoid() >= self.threshold


@loss(shape="b ...", targets=("value",))
class mse:
    """Mean squared error."""

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Values `b ...` (or `b 1` for targets `b`) and targets of the same count -> scalar."""
        return F.mse_loss(alike(pred, target), target.to(pred.dtype))

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return pred

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return probabilities

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return pred


def alike(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Predictions in the shape of the targets: `b 1` against `b` would otherwise be compared all with all."""
    if pred.shape == target.shape:
        return pred
    if pred.numel() != target.numel():
        ours, theirs = ("x".join(map(str, t.shape)) for t in (pred, target))
        raise RunError("R0207", f"predictions of shape {ours} don't fit targets of shape {theirs}")
    return pred.reshape(target.shape)
