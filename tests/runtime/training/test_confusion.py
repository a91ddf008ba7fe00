"""The confusion matrix against scikit-learn's, and what is read out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import confusion_matrix as expected

from mfc.runtime.data.targets import IGNORED
from mfc.runtime.training.confusion import confusion_matrix
from mfc.runtime.training.findings import Confused, ConfusionMatrix


@given(st.integers(2, 6), st.lists(st.integers(1, 20), min_size=1, max_size=3), st.integers(0, 99))
def test_it_is_scikit_learns(classes: int, batches: list[int], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    found, metric = [], confusion_matrix()
    for size in batches:
        pred = torch.randn(size, classes, generator=draw)
        target = torch.randint(classes, (size,), generator=draw)
        metric.update(pred, target)
        found.append((target, pred.argmax(1)))
    true, predicted = (torch.cat(part) for part in zip(*found))
    assert np.array_equal(metric.compute(), expected(true, predicted, labels=range(classes)))
    metric.reset()
    assert metric.compute() is None


def test_pixels_of_no_class_are_left_out() -> None:
    draw = torch.Generator().manual_seed(1)
    pred, target = torch.randn(2, 3, 4, 5, generator=draw), torch.randint(3, (2, 4, 5), generator=draw)
    target[0, :2] = IGNORED
    metric = confusion_matrix()
    metric.update(pred, target)
    counted = target != IGNORED
    assert np.array_equal(metric.compute(), expected(target[counted], pred.argmax(1)[counted]))


def test_the_pairs_that_are_confused_most() -> None:
    matrix = ConfusionMatrix(["a", "b", "c"], [[9, 2, 0], [5, 7, 2], [0, 1, 3]])
    pairs = matrix.most_confused()
    assert pairs == [
        Confused("b", "a", 5),
        Confused("a", "b", 2),
        Confused("b", "c", 2),
        Confused("c", "b", 1),
    ]
    assert matrix.most_confused(least=3) == pairs[:1]


@pytest.mark.parametrize("classes", [3, 30, 60])
def test_pictures_of_any_names(tmp_path: Path, classes: int) -> None:
    names = ["$\\frac", "犬", "a name that is too long to be drawn whole", *map(str, range(classes - 3))]
    counts = np.random.default_rng(0).integers(0, 9, (classes, classes))
    counts[1] = 0
    for suffix in ("png", "svg", "pdf"):
        ConfusionMatrix(names, counts.tolist()).plot(tmp_path / f"matrix.{suffix}")
        assert (tmp_path / f"matrix.{suffix}").stat().st_size > 1000
    with Image.open(tmp_path / "matrix.png") as picture:
        assert picture.width > 200
