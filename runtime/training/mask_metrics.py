"""Metrics of masks: how far predicted and true regions of classes overlap, over all pixels of a pass.

Predictions are what the model puts out, `b classes h w`. Pixels of no class count for nothing.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch

from mfc.runtime.component import Range, metric
from mfc.runtime.data.targets import IGNORED
from mfc.runtime.errors import RunError
from mfc.runtime.training.metrics import Metric


class _Overlap(Metric):
    """A metric of what each class's predicted and true pixels share: the mean over the classes that there are."""

    def __init__(self, of: int | None) -> None:
        super().__init__()
        self.of = of

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassConfusionMatrix

        classes = pred.shape[1]
        if self.of is not None and self.of >= classes:
            message = f"`{type(self).__name__}` is asked of the class {self.of}, and the model has {classes}"
            raise RunError("R0207", message, help=f"classes are counted from 0 to {classes - 1}")
        return MulticlassConfusionMatrix(classes, ignore_index=IGNORED, validate_args=False)

    def score(self, shared: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """The score of each class from its counts of pixels; NaN for a class that is nowhere."""
        raise NotImplementedError

    def compute(self) -> float:
        if self._inner is None or self._empty:
            return math.nan
        matrix = self._inner.compute().to(torch.float64)
        scores = self.score(matrix.diagonal(), matrix.sum(0), matrix.sum(1))
        return float(scores.nanmean() if self.of is None else scores[self.of])


@metric(shape="b classes h w where of < classes", targets=("mask",), better="higher")
class dice(_Overlap):
    """The Dice coefficient, or F1: twice what predicted and true pixels of a class share over the sum of both; the mean
    over the classes that are in a prediction or a mask (fastai's DiceMulti).

    Args:
        of: the place of one class in the vocabulary, to measure it alone.
    """

    def __init__(self, of: Annotated[int, Range(0)] | None = None) -> None:
        super().__init__(of)

    def score(self, shared: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return 2 * shared / (predicted + true)


@metric(shape="b classes h w where of < classes", targets=("mask",), better="higher")
class iou(_Overlap):
    """Intersection over union, the Jaccard index: what predicted and true pixels of a class share over the pixels of
    either; the mean over the classes that are in a prediction or a mask (mIoU; fastai's JaccardCoeffMulti).

    Args:
        of: the place of one class in the vocabulary, to measure it alone.
    """

    def __init__(self, of: Annotated[int, Range(0)] | None = None) -> None:
        super().__init__(of)

    def score(self, shared: torch.Tensor, predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return shared / (predicted + true - shared)


@metric(shape="b classes h w where background < classes", targets=("mask",), better="higher")
class foreground_acc(Metric):
    """The share of pixels whose most probable class is right, without those of one class (fastai's foreground_acc).

    Args:
        background: the place of that class in the vocabulary, such as CamVid's `Void`.
    """

    def __init__(self, background: Annotated[int, Range(0)] = 0) -> None:
        super().__init__()
        self.background = background

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassAccuracy

        return MulticlassAccuracy(pred.shape[1], average="micro", validate_args=False)

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counted = (target != IGNORED) & (target != self.background)
        return pred.movedim(1, -1)[counted], target[counted]
