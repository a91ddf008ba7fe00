"""Metrics of masks against scikit-learn, and pixels of no class in losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as sk

from mfc.runtime.errors import RunError
from mfc.runtime.training import losses
from mfc.runtime.training.mask_metrics import dice, foreground_acc, iou
from mfc.runtime.training.metrics import accuracy, compute_metrics

CLASSES = 5
_draw = torch.Generator().manual_seed(3)
PRED = torch.randn(6, CLASSES, 9, 7, generator=_draw)
TRUE = torch.randint(0, CLASSES - 1, (6, 9, 7), generator=_draw)  # no pixel is of the last class
TRUE[torch.rand(TRUE.shape, generator=_draw) < 0.2] = -100
PRED[:, CLASSES - 1] = -9  # and it is never predicted
KNOWN = (TRUE != -100).numpy()
SAID, WAS = PRED.argmax(1).numpy()[KNOWN], TRUE.numpy()[KNOWN]


def measured(metric) -> float:
    """In two batches of unequal size."""
    (value,) = compute_metrics([metric], [(PRED[:4], TRUE[:4]), (PRED[4:], TRUE[4:])]).values()
    return value


@pytest.mark.parametrize(
    "metric, expected",
    [
        (iou(), sk.jaccard_score(WAS, SAID, average="macro")),
        (dice(), sk.f1_score(WAS, SAID, average="macro")),
        (iou(of=2), sk.jaccard_score(WAS == 2, SAID == 2)),
        (dice(1), sk.f1_score(WAS == 1, SAID == 1)),
        (accuracy(), sk.accuracy_score(WAS, SAID)),
        (foreground_acc(), sk.accuracy_score(WAS[WAS != 0], SAID[WAS != 0])),
        (foreground_acc(3), sk.accuracy_score(WAS[WAS != 3], SAID[WAS != 3])),
    ],
    ids=["iou", "dice", "iou of 2", "dice of 1", "accuracy", "foreground_acc", "foreground_acc but 3"],
)
def test_metrics_are_scikit_learns(metric, expected):
    assert measured(metric) == pytest.approx(expected, abs=1e-6)


def test_classes_that_are_nowhere_count_for_nothing():
    assert math.isnan(measured(iou(of=CLASSES - 1)))
    assert measured(iou()) == pytest.approx(np.mean([measured(iou(of=i)) for i in range(CLASSES - 1)]))
    with pytest.raises(RunError, match="`iou` is asked of the class 5, and the model has 5"):
        measured(iou(of=CLASSES))


@pytest.mark.parametrize("make", [losses.cross_entropy, losses.focal, losses.dice])
def test_pixels_of_no_class_count_for_nothing_whatever_else_is_ignored(make):
    both = TRUE.where(TRUE != 3, -100)
    assert torch.equal(make(ignore_index=3)(PRED, TRUE), make()(PRED, both))
    changed = PRED.clone()
    changed.movedim(1, -1)[both == -100] += torch.randn(int((both == -100).sum()), CLASSES)
    torch.testing.assert_close(make(ignore_index=3)(changed, TRUE), make()(PRED, both))


def test_cross_entropy_is_the_mean_over_pixels():
    flat = PRED.movedim(1, -1)[TRUE != -100]
    expected = F.cross_entropy(flat, TRUE[TRUE != -100])
    torch.testing.assert_close(losses.cross_entropy()(PRED, TRUE), expected)
