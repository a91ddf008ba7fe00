"""What a trained model says of items."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfc.runtime.training.losses import bce, cross_entropy, mse
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.predict import get_preds
from tests.runtime.training.standins import Batch, learner

CPU = torch.device("cpu")


def test_probabilities_and_labels_of_the_validation_data():
    run = learner()
    run.fit(Phase(5))
    found = run.get_preds()
    assert found.probabilities.shape == (20, 3)
    assert torch.allclose(found.probabilities.sum(1), torch.ones(20))
    assert found.labels == [f"class {i}" for i in found.probabilities.argmax(1)]
    assert found.targets is not None
    assert torch.equal(found.targets, run.dls.valid.y)
    assert torch.equal(found.items, torch.arange(20))
    assert float((found.decoded == found.targets).float().mean()) > 0.8


def test_predicting_changes_nothing_and_uses_evaluation_mode():
    run = learner()
    run.model.train()
    first, second = run.get_preds(), run.get_preds(run.dls.valid)
    assert torch.equal(first.probabilities, second.probabilities)  # no dropout
    assert run.model.training
    assert all(p.grad is None for p in run.model.parameters())


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (cross_entropy(), ["a", "b", "a"]),
        (bce(), [["a"], ["b"], []]),
        (bce(threshold=0.8), [[], [], []]),
        (mse(), [[1, -1], [-1, 1], [-1, -2]]),
        (nn.CrossEntropyLoss(), ["a", "b", "a"]),
    ],
)
def test_the_loss_gives_outputs_their_meaning(loss, labels):
    x = torch.tensor([[1.0, -1], [-1, 1], [-1, -2]])
    found = get_preds(nn.Identity(), [Batch(x, None, torch.arange(3))], loss, ["a", "b"], CPU)  # type: ignore[arg-type]
    assert found.labels == [prediction.label for prediction in found] == labels
    assert found.targets is None


def test_a_single_value_is_a_number():
    x = torch.tensor([[1.0], [2.5]])
    found = get_preds(nn.Identity(), [Batch(x, None, torch.arange(2))], mse(), [], CPU)  # type: ignore[arg-type]
    assert found.labels == [1.0, 2.5]
    assert found[0].probabilities == {}


def test_predicting_one_item():
    run = learner()
    run.fit(Phase(3))
    whole = run.get_preds()
    one = run.predict(run.dls.valid.x[4])
    assert one.label == whole.labels[4]
    assert list(one.probabilities) == run.dls.vocab
    assert sum(one.probabilities.values()) == pytest.approx(1)
    assert one.probabilities["class 0"] == pytest.approx(float(whole.probabilities[4, 0]), abs=1e-6)
