"""Which classes are taken for which: a metric whose value is a table."""

from __future__ import annotations

from typing import Any

import torch

from mfc.runtime.component import metric
from mfc.runtime.data.targets import IGNORED
from mfc.runtime.training.metrics import Metric


@metric(shape="b classes ...", targets=("category", "mask"), gives="table")
class confusion_matrix(Metric):
    """How many items (or pixels) of each class are taken for each class: a row a true class, a column a predicted one.

    For `evaluate` alone, which prints it with the classes that are confused most, and keeps it with a picture.
    """

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassConfusionMatrix

        ignored = IGNORED if pred.ndim > 2 else None
        return MulticlassConfusionMatrix(pred.shape[1], ignore_index=ignored, validate_args=False)

    def compute(self) -> Any:
        """Counts, int64 `classes classes`; None if there were no batches since the last `reset`."""
        return None if self._inner is None or self._empty else self._inner.compute().cpu()
