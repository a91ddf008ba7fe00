"""Metrics: what a person wants to know of the predictions on the validation data, by torchmetrics.

Each is a small component over a torchmetrics metric that is made at the first batch, when the number of
classes is seen. Predictions are what the model puts out, before any softmax or sigmoid.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch

from mfc.runtime.component import Range, metric
from mfc.runtime.data.targets import IGNORED
from mfc.runtime.errors import RunError
from mfc.runtime.training.losses import alike

if TYPE_CHECKING:
    import torchmetrics


class Metric:
    """Gathers batches by `update` and gives one number by `compute`, until `reset`."""

    def __init__(self) -> None:
        self._inner: torchmetrics.Metric | None = None
        self._empty = True

    def create(self, pred: torch.Tensor) -> torchmetrics.Metric:
        """The torchmetrics metric for predictions like these."""
        raise NotImplementedError

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predictions and targets as the torchmetrics metric takes them."""
        return pred, target

    def update(self, pred: torch.Tensor, target: torch.Tensor) -> None:
        """Adds a batch."""
        pred = pred.detach()
        if self._inner is None:
            self._inner = self.create(pred).to(pred.device)
        self._inner.update(*self.prepare(pred, target))
        self._empty = False

    def compute(self) -> float:
        """The metric over all batches since the last `reset`; NaN if there were none."""
        if self._inner is None or self._empty:
            return math.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as: a class that no item has is left out of a mean
            return float(self._inner.compute())

    def reset(self) -> None:
        """Forgets all batches."""
        self._empty = True
        if self._inner is not None:
            self._inner.reset()


class _TopK(Metric):
    """The share of items whose class is among the `k` most probable."""

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassAccuracy

        classes = pred.shape[1]
        if self.k > classes:
            message = f"top_k_accuracy({self.k}) needs {self.k} classes, but the model has {classes}"
            raise RunError("R0207", message, help=f"choose a k up to {classes}")
        ignored = IGNORED if pred.ndim > 2 else None
        return MulticlassAccuracy(
            classes, top_k=self.k, average="micro", ignore_index=ignored, validate_args=False
        )


@metric(shape="b classes ...", targets=("category", "mask", "next_token"), better="higher")
class accuracy(_TopK):
    """The share of items (or pixels, or tokens) whose most probable class is right."""

    def __init__(self) -> None:
        super().__init__(1)


@metric(shape="b classes ...", targets=("category", "mask", "next_token"), better="lower")
class error_rate(_TopK):
    """The share of items whose most probable class is wrong: 1 - accuracy."""

    def __init__(self) -> None:
        super().__init__(1)

    def compute(self) -> float:
        return 1 - super().compute()


@metric(shape="b classes ... where k <= classes", targets=("category", "mask", "next_token"), better="higher")
class top_k_accuracy(_TopK):
    """The share of items whose class is among the `k` most probable.

    Args:
        k: how many classes count.
    """

    def __init__(self, k: Annotated[int, Range(1)] = 5) -> None:
        super().__init__(k)


@metric(shape="b classes", targets=("multi_category",), better="higher")
class accuracy_multi(Metric):
    """The share of right answers, yes or no, over all items and classes.

    Args:
        threshold: the probability from which the answer is yes.
    """

    def __init__(self, threshold: Annotated[float, Range(0, 1)] = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MultilabelAccuracy

        return MultilabelAccuracy(pred.shape[1], self.threshold, average="micro", validate_args=False)

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return pred.sigmoid(), target.long()


class _SingleOrMulti(Metric):
    """A metric that takes targets of one class an item (`b`) or of several (0/1, `b classes`)."""

    multi = False

    def update(self, pred: torch.Tensor, target: torch.Tensor) -> None:
        self.multi = target.ndim == pred.ndim
        super().update(pred, target)

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (pred.sigmoid() if self.multi else pred.softmax(1)), target.long()


@metric(shape="b classes", targets=("category", "multi_category"), better="higher")
class f_beta(_SingleOrMulti):
    """F-beta: the weighted harmonic mean of precision and recall.

    Args:
        beta: how many times as much recall counts as precision.
        average: over classes alike (macro) or by their frequency (weighted), or over all answers (micro).
        threshold: the probability from which a class is there, for several classes an item.
    """

    def __init__(
        self,
        beta: Annotated[float, Range(above=0)] = 1.0,
        average: Literal["macro", "micro", "weighted"] = "macro",
        threshold: Annotated[float, Range(0, 1)] = 0.5,
    ) -> None:
        super().__init__()
        self.beta, self.threshold = float(beta), threshold
        self.average: Literal["macro", "micro", "weighted"] = average

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassFBetaScore, MultilabelFBetaScore

        classes = pred.shape[1]
        if self.multi:
            return MultilabelFBetaScore(
                self.beta, classes, threshold=self.threshold, average=self.average, validate_args=False
            )
        return MulticlassFBetaScore(self.beta, classes, average=self.average, validate_args=False)


@metric(shape="b classes", targets=("category", "multi_category"), better="higher")
class roc_auc(_SingleOrMulti):
    """The area under the receiver operating characteristic: each class against the rest, mean over classes.

    Keeps all predictions of a pass in memory.
    """

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassAUROC, MultilabelAUROC

        return (MultilabelAUROC if self.multi else MulticlassAUROC)(pred.shape[1], validate_args=False)


@metric(shape="b classes", targets=("category", "multi_category"), better="higher")
class matthews(_SingleOrMulti):
    """Matthews' correlation coefficient, from -1 to 1; with several classes an item, over all answers.

    Args:
        threshold: the probability from which a class is there, for several classes an item.
    """

    def __init__(self, threshold: Annotated[float, Range(0, 1)] = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.classification import MulticlassMatthewsCorrCoef, MultilabelMatthewsCorrCoef

        if self.multi:
            return MultilabelMatthewsCorrCoef(pred.shape[1], self.threshold, validate_args=False)
        return MulticlassMatthewsCorrCoef(pred.shape[1], validate_args=False)


@metric(shape="b classes ...", targets=("next_token", "category"), better="lower")
class perplexity(Metric):
    """The exponential of the mean cross entropy; targets of -100 count for nothing."""

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.text import Perplexity

        return Perplexity(ignore_index=-100)

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return pred.movedim(1, -1).reshape(1, -1, pred.shape[1]), target.reshape(1, -1)


class _Regression(Metric):
    """A metric of values."""

    def prepare(self, pred: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return alike(pred, target), target


@metric(shape="b ...", targets=("value",), better="lower")
class mse(_Regression):
    """Mean squared error."""

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.regression import MeanSquaredError

        return MeanSquaredError()


@metric(shape="b ...", targets=("value",), better="lower")
class mae(_Regression):
    """Mean absolute error."""

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.regression import MeanAbsoluteError

        return MeanAbsoluteError()


@metric(shape="b ...", targets=("value",), better="higher")
class r2(_Regression):
    """The coefficient of determination: the share of the targets' variance that the predictions explain."""

    def create(self, pred: torch.Tensor) -> Any:
        from torchmetrics.regression import R2Score

        return R2Score()


def metric_names(metrics: Sequence[Any]) -> list[str]:
    """The columns of the metrics: their own names, with a count where one comes again. Raises R0207 for what is no
    metric."""
    names: list[str] = []
    for one in metrics:
        name = getattr(one, "name", type(one).__name__)
        for method in ("reset", "update", "compute"):
            if not callable(getattr(one, method, None)):
                help = "a metric has `reset()`, `update(pred, target)` and `compute()`"
                raise RunError("R0207", f"the metric `{name}` has no method `{method}`", help=help)
        count = sum(n.removeprefix(name).removeprefix("_").isdigit() or n == name for n in names)
        names.append(f"{name}_{count + 1}" if count else name)
    return names


def compute_metrics(
    metrics: Sequence[Any], batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> dict[str, float]:
    """What metrics say of batches of predictions and targets, by their names."""
    names = metric_names(metrics)
    for one in metrics:
        one.reset()
    for pred, target in batches:
        for one in metrics:
            one.update(pred, target)
    return {name: metric_value(name, one) for name, one in zip(names, metrics)}


def metric_value(name: str, metric: Any) -> float:
    """What a metric says of the batches that it got. Raises R0207 where that is not one number."""
    value = metric.compute()
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        message = f"the metric `{name}` gives {type(value).__name__}, not one number: {error}"
        raise RunError("R0207", message, help="`compute()` gives a number, or a tensor with one") from error
