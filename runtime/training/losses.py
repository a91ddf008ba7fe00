"""Losses: how far predictions are from targets, as one number (the mean over the batch).

A loss also knows what its predictions mean: `activation` turns them into probabilities (or values), `scores` such
back into predictions, and `decode` predictions into the predicted target. `each` gives the loss of each item, which
callbacks that mix items need; where items do not count alike, it gives their weights as well.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F

from mfc.runtime.component import Range, loss
from mfc.runtime.data.targets import IGNORED
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

    def of(self, pred: torch.Tensor, target: torch.Tensor, ignored: int) -> torch.Tensor:
        """What each target counts, in its shape: its class's weight, 0 for one that is ignored."""
        weight, counted = self.like(pred), target != ignored
        return counted.to(pred.dtype) if weight is None else weight[target.where(counted, 0)] * counted


# ── one class an item ───────────────────────────────────────────────────────────────────────────────────


class _OneClass:
    """What predictions `b classes ...` mean where each item (or pixel, or token) has one class.

    Attributes:
        ignore_index: target that counts for nothing; pixels that are of no class, -100, never do.
    """

    ignore_index: int

    def counted(self, target: torch.Tensor) -> torch.Tensor:
        """Targets of which `ignore_index` alone counts for nothing."""
        if self.ignore_index == IGNORED:
            return target
        return target.masked_fill(target == IGNORED, self.ignore_index)

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes."""
        return pred.softmax(1)

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Predictions of these probabilities."""
        return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """The most probable class, `b ...`."""
        return pred.argmax(1)


@loss(shape="b classes ...", targets=("category", "mask", "next_token"), per_item=True)
class cross_entropy(_OneClass):
    """Cross entropy of softmaxed predictions with one class an item (or pixel, or token).

    Args:
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al., 2016).
        weights: one for each class, above 0; the mean is weighted by them, as in torch.
        ignore_index: target that counts for nothing.
    """

    def __init__(
        self,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
        weights: Annotated[list[float], Range(above=0)] | None = None,
        ignore_index: int = -100,
    ) -> None:
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self.weights = _Weights(weights)

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes ...` and int64 `b ...` -> scalar."""
        weight = self.weights.like(pred)
        pred, target = _side_by_side(pred, self.counted(target))
        return F.cross_entropy(
            pred,
            target,
            weight=weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums of each item's losses, and of what its targets count: both `b`."""
        target = self.counted(target)
        losses = F.cross_entropy(
            pred,
            target,
            weight=self.weights.like(pred),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        return _sums(losses), _sums(self.weights.of(pred, target, self.ignore_index))


@loss(shape="b classes ...", targets=("category", "mask", "next_token"), per_item=True)
class label_smoothing_cross_entropy(cross_entropy):
    """Cross entropy with a share of each target spread evenly over all classes (Szegedy et al., 2016).

    The same as `cross_entropy(label_smoothing = eps)`, by fastai's name and with its default.

    Args:
        eps: the share that is spread.
        weights: one for each class, above 0; the mean is weighted by them, as in torch.
        ignore_index: target that counts for nothing.
    """

    def __init__(
        self,
        eps: Annotated[float, Range(0, 1)] = 0.1,
        weights: Annotated[list[float], Range(above=0)] | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__(eps, weights, ignore_index)


def _side_by_side(pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`b classes ...` and `b ...` as `n classes` and `n` where the classes lie side by side in memory, as those of
    a language model do: torch would copy them apart and be slower by more than half."""
    if type(pred) is torch.Tensor and pred.ndim > 2 and pred.movedim(1, -1).is_contiguous():
        return pred.movedim(1, -1).flatten(0, -2), target.flatten()
    return pred, target


@loss(shape="b classes ...", targets=("category", "mask"), per_item=True)
class focal(_OneClass):
    """Cross entropy in which an item (or pixel) counts for less the nearer it is to right: `-(1 - p)^gamma log p`, with
    `p` the probability of its class (Lin et al., "Focal loss for dense object detection", 2017).

    Args:
        gamma: how much less; 0 is cross entropy.
        weights: one for each class, above 0; the mean is weighted by them, as that of cross entropy.
        ignore_index: target that counts for nothing.
    """

    def __init__(
        self,
        gamma: Annotated[float, Range(0)] = 2.0,
        weights: Annotated[list[float], Range(above=0)] | None = None,
        ignore_index: int = -100,
    ) -> None:
        self.gamma, self.ignore_index = gamma, ignore_index
        self.weights = _Weights(weights)

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes ...` and int64 `b ...` -> scalar."""
        losses, weights = self.each(pred, target)
        return losses.sum() / weights.sum()

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums of each item's losses, and of what its targets count: both `b`."""
        target = self.counted(target)
        weights = self.weights.of(pred, target, self.ignore_index)
        losses = F.cross_entropy(pred, target, ignore_index=self.ignore_index, reduction="none")
        wrong = -torch.expm1(-losses)  # 1 - p
        # the slope of a power below 1 is infinite at 0
        wrong = wrong.clamp(min=torch.finfo(pred.dtype).tiny) ** self.gamma
        return _sums(wrong * losses * weights), _sums(weights)


@loss(shape="b classes h w", targets=("mask",), per_item=True)
class dice(_OneClass):
    """Soft dice: 1 less twice what a predicted and a true mask share over the sum of both, for each class of each image
    (Milletari et al., "V-Net", 2016, with squares in the denominator); the mean over classes and images.

    Args:
        smooth: added above and below, so that a class which an image lacks divides nothing by nothing.
        ignore_index: pixels of this target count for nothing.
    """

    def __init__(self, smooth: Annotated[float, Range(above=0)] = 1e-6, ignore_index: int = -100) -> None:
        self.smooth, self.ignore_index = smooth, ignore_index

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes h w` and int64 `b h w` -> scalar."""
        return self.each(pred, target).mean()

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean over the classes for each image, `b`."""
        target = self.counted(target)
        counted = (target != self.ignore_index)[:, None]
        probabilities = pred.softmax(1) * counted
        true = torch.zeros_like(pred).scatter_(1, target[:, None].where(counted, 0), 1.0) * counted
        shared = (probabilities * true).flatten(2).sum(2)
        both = (probabilities.square() + true).flatten(2).sum(2)  # 0 and 1 are their own squares
        return (1 - (2 * shared + self.smooth) / (both + self.smooth)).mean(1)


# ── several classes an item ─────────────────────────────────────────────────────────────────────────────


@loss(shape="b classes", targets=("category", "multi_category"), per_item=True)
class bce:
    """Binary cross entropy of sigmoided predictions, each class for itself.

    Category targets become one-hot, so that a model may also say "none of these".

    Args:
        weights: one for each class, above 0.
        threshold: probability from which `decode` says a class is there.
    """

    def __init__(
        self,
        weights: Annotated[list[float], Range(above=0)] | None = None,
        threshold: Annotated[float, Range(0, 1)] = 0.5,
    ) -> None:
        self.threshold = threshold
        self.weights = _Weights(weights)

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """`b classes`, and int64 `b` or 0/1 `b classes` -> scalar."""
        return self._compare(pred, target, "mean")

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean over the classes for each item, `b`."""
        return self._compare(pred, target, "none").mean(1)

    def _compare(self, pred: torch.Tensor, target: torch.Tensor, reduction: str) -> torch.Tensor:
        if target.ndim == pred.ndim - 1:
            target = F.one_hot(target, pred.shape[1])
        target, weight = target.to(pred.dtype), self.weights.like(pred)
        return F.binary_cross_entropy_with_logits(pred, target, weight=weight, reduction=reduction)

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """The probability of each class."""
        return pred.sigmoid()

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Predictions of these probabilities."""
        return probabilities.logit(eps=torch.finfo(probabilities.dtype).eps)

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """Which classes are there: bool, `b classes`."""
        return pred.sigmoid() >= self.threshold


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────


class _OfValues:
    """What predictions mean that are values themselves, `b ...` (or `b 1` for targets `b`)."""

    def activation(self, pred: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return pred

    def scores(self, probabilities: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return probabilities

    def decode(self, pred: torch.Tensor) -> torch.Tensor:
        """The values as they are."""
        return pred


@loss(shape="b ...", targets=("value",), per_item=True)
class mse(_OfValues):
    """Mean squared error."""

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Values `b ...` (or `b 1` for targets `b`) and targets of the same count -> scalar."""
        return F.mse_loss(alike(pred, target), target.to(pred.dtype))

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean over the values of each item, `b`."""
        return _means(F.mse_loss(alike(pred, target), target.to(pred.dtype), reduction="none"))


@loss(shape="b ...", targets=("value",), per_item=True)
class l1(_OfValues):
    """Mean absolute error."""

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Values `b ...` (or `b 1` for targets `b`) and targets of the same count -> scalar."""
        return F.l1_loss(alike(pred, target), target.to(pred.dtype))

    def each(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean over the values of each item, `b`."""
        return _means(F.l1_loss(alike(pred, target), target.to(pred.dtype), reduction="none"))


def alike(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Predictions in the shape of the targets: `b 1` against `b` would otherwise be compared all with all."""
    if pred.shape == target.shape:
        return pred
    if pred.numel() != target.numel():
        ours, theirs = ("x".join(map(str, t.shape)) for t in (pred, target))
        raise RunError("R0207", f"predictions of shape {ours} don't fit targets of shape {theirs}")
    return pred.reshape(target.shape)


def _sums(values: torch.Tensor) -> torch.Tensor:
    """The sum for each item, `b`."""
    return values.reshape(len(values), -1).sum(1)


def _means(values: torch.Tensor) -> torch.Tensor:
    """The mean for each item, `b`."""
    return values.reshape(len(values), -1).mean(1)
