"""The loss of each item is that of a batch with this item alone, for every loss; and the greatest are found."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mfc.runtime.data.targets import IGNORED
from mfc.runtime.training import losses
from mfc.runtime.training.item_losses import greatest, losses_of_items

WEIGHTS = [0.5, 2.0, 1.0]
SEVERAL = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])


def own(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss of a user's own, that says nothing of items."""
    return (pred.softmax(1)[torch.arange(len(target)), target] - 1).square().mean()


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.cross_entropy(), torch.tensor([0, 2, 1, 1])),
        (losses.cross_entropy(label_smoothing=0.1, weights=WEIGHTS), torch.tensor([0, 2, 1, 1])),
        (losses.focal(weights=WEIGHTS), torch.tensor([0, 2, 1, 1])),
        (losses.bce(), torch.tensor([0, 2, 1, 1])),
        (losses.bce(weights=WEIGHTS), SEVERAL),
        (losses.mse(), SEVERAL),
        (losses.l1(), SEVERAL),
        (own, torch.tensor([0, 2, 1, 1])),
    ],
)
def test_of_an_item_alone(loss: Any, target: torch.Tensor) -> None:
    pred = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    alone = torch.stack([loss(pred[i : i + 1], target[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(losses_of_items(loss, pred, target), alone)


def test_cross_entropy_is_torchs() -> None:
    pred, target = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    expected = F.cross_entropy(pred, target, reduction="none")
    torch.testing.assert_close(losses_of_items(losses.cross_entropy(), pred, target), expected)


def test_masks_are_means_over_the_pixels_that_count() -> None:
    pred, target = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    target[0, 0] = IGNORED
    target[1] = IGNORED
    found = losses_of_items(losses.cross_entropy(), pred, target)
    each = F.cross_entropy(pred[:1], target[:1], reduction="none")
    torch.testing.assert_close(found[0], each[target[:1] != IGNORED].mean())
    assert found[1].isnan()


def test_the_greatest() -> None:
    found = torch.tensor([1.0, math.nan, 3.0, math.inf, 3.0, 0.5])
    assert greatest(found, 4) == [3, 2, 4, 0]
    assert greatest(found, 9) == [3, 2, 4, 0, 5]
