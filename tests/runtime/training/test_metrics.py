"""Metrics against scikit-learn, over batches of unequal size."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from mfc.runtime.component import KINDS
from mfc.runtime.errors import RunError
from mfc.runtime.training import metrics

ITEMS, CLASSES = 101, 4


def predictions(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


PRED = predictions(0, ITEMS, CLASSES)
ONE = (PRED + 2 * predictions(1, ITEMS, CLASSES)).argmax(1)
MANY = (PRED + 2 * predictions(2, ITEMS, CLASSES) > 0.5).long()
VALUES = predictions(3, ITEMS, 1)
TRUE = VALUES[:, 0] + predictions(4, ITEMS)

P, S = PRED.softmax(1).numpy(), PRED.sigmoid().numpy()
ANSWERS = S >= 0.5


def log_loss() -> float:
    return float(np.exp(sk.log_loss(ONE, P.astype(np.float64) / P.sum(1, keepdims=True, dtype=np.float64))))


CASES = [
    (metrics.accuracy(), PRED, ONE, sk.accuracy_score(ONE, P.argmax(1))),
    (metrics.error_rate(), PRED, ONE, 1 - sk.accuracy_score(ONE, P.argmax(1))),
    (metrics.top_k_accuracy(2), PRED, ONE, sk.top_k_accuracy_score(ONE, P, k=2)),
    (metrics.top_k_accuracy(4), PRED, ONE, 1.0),
    (metrics.accuracy_multi(), PRED, MANY, sk.accuracy_score(MANY.flatten(), ANSWERS.flatten())),
    (metrics.accuracy_multi(0.7), PRED, MANY, sk.accuracy_score(MANY.ravel(), (S >= 0.7).ravel())),
    (metrics.f_beta(), PRED, ONE, sk.f1_score(ONE, P.argmax(1), average="macro")),
    (metrics.f_beta(2, "weighted"), PRED, ONE, sk.fbeta_score(ONE, P.argmax(1), beta=2, average="weighted")),
    (metrics.f_beta(2.0, "micro"), PRED, ONE, sk.fbeta_score(ONE, P.argmax(1), beta=2, average="micro")),
    (metrics.f_beta(0.5), PRED, MANY, sk.fbeta_score(MANY, ANSWERS, beta=0.5, average="macro")),
    (metrics.f_beta(1, "micro", 0.3), PRED, MANY, sk.fbeta_score(MANY, S >= 0.3, beta=1, average="micro")),
    (metrics.roc_auc(), PRED, ONE, sk.roc_auc_score(ONE, P / P.sum(1, keepdims=True), multi_class="ovr")),
    (metrics.roc_auc(), PRED, MANY, sk.roc_auc_score(MANY, S)),
    (metrics.roc_auc(), PRED[:, :2], ONE % 2, sk.roc_auc_score(ONE % 2, PRED[:, :2].softmax(1)[:, 1])),
    (metrics.matthews(), PRED, ONE, sk.matthews_corrcoef(ONE, P.argmax(1))),
    (metrics.matthews(), PRED, MANY, sk.matthews_corrcoef(MANY.flatten(), ANSWERS.flatten())),
    (metrics.perplexity(), PRED, ONE, log_loss()),
    (metrics.mse(), VALUES, TRUE, sk.mean_squared_error(TRUE, VALUES)),
    (metrics.mae(), VALUES, TRUE, sk.mean_absolute_error(TRUE, VALUES)),
    (metrics.r2(), VALUES, TRUE, sk.r2_score(TRUE, VALUES)),
]  # fmt: skip


def feed(metric, pred, target, size=30):
    for start in range(0, len(pred), size):
        metric.update(pred[start : start + size], target[start : start + size])
    return metric.compute()


@pytest.mark.parametrize(
    ("metric", "pred", "target", "expected"), CASES, ids=[type(c[0]).__name__ for c in CASES]
)
def test_metrics_are_scikit_learns(metric, pred, target, expected):
    assert math.isnan(metric.compute())
    for _ in range(2):
        metric.reset()
        assert math.isnan(metric.compute())
        value = feed(metric, pred, target)
        assert isinstance(value, float)
        assert value == pytest.approx(expected, abs=1e-5)


def test_every_metric_is_tested():
    ours = {name for name, thing in vars(metrics).items() if getattr(thing, "__mfc_kind__", None) == "metric"}
    assert "metric" in KINDS
    assert ours == {type(case[0]).__name__ for case in CASES}
    assert all(inspect.getdoc(getattr(metrics, name)) for name in ours)


def test_accuracy_of_masks():
    pred, target = predictions(7, 3, 4, 5, 6), torch.arange(90).view(3, 5, 6) % 4
    assert feed(metrics.accuracy(), pred, target, 2) == pytest.approx(
        float((pred.argmax(1) == target).float().mean())
    )


def test_perplexity_leaves_out_ignored_targets():
    pred, target = predictions(8, 2, 5, 7), torch.arange(14).view(2, 7) % 5
    kept = target.clone()
    kept[1, 3:] = -100
    flat, which = pred.movedim(1, -1)[kept >= 0], target[kept >= 0]
    expected = torch.nn.functional.cross_entropy(flat, which).exp()
    assert feed(metrics.perplexity(), pred, kept) == pytest.approx(float(expected), rel=1e-5)


def test_top_k_of_too_few_classes():
    with pytest.raises(RunError) as caught:
        metrics.top_k_accuracy().update(PRED, ONE)
    assert caught.value.code == "R0207"
    assert caught.value.message == "top_k_accuracy(5) needs 5 classes, but the model has 4"


def test_names_are_unique():
    named = [
        metrics.accuracy(),
        metrics.f_beta(),
        metrics.f_beta(2),
        metrics.accuracy_multi(),
        metrics.f_beta(3),
    ]
    assert metrics.metric_names(named) == ["accuracy", "f_beta", "f_beta_2", "accuracy_multi", "f_beta_3"]
