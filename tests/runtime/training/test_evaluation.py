"""What is measured of trained models: each for itself, and their predictions averaged item by item."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.training import evaluation
from mfc.runtime.training.evaluation import mean_and_spread
from mfc.runtime.training.losses import bce, cross_entropy, mse
from mfc.runtime.training.metrics import accuracy, mae
from tests.runtime.training.standins import Loader, Loaders, learner, loaders

PATHS = [f"{i}.png" for i in range(40)]


def with_paths(data: Any, paths: list[str] = PATHS) -> Any:
    data.items = SimpleNamespace(paths=paths)
    return data


def models(loss: Any, outputs: int = 3, count: int = 3) -> dict[str, Any]:
    found = {}
    for number in range(count):
        torch.manual_seed(number)
        model = nn.Sequential(nn.Linear(6, outputs))
        found[f"fit({number})"] = learner(model=model, loss=loss, dls=with_paths(loaders()))
    return found


def together(learners: dict[str, Any], metrics: list[Any]) -> Any:
    found = {name: evaluation.said(lrn, "valid") for name, lrn in learners.items()}
    each = {name: one.measured(metrics).numbers for name, one in found.items()}
    return evaluation.together(found).measured(metrics).numbers, each


def measured(learner: Any, metrics: list[Any], part: str) -> dict[str, float]:
    return evaluation.measured(learner, metrics, part).numbers


def test_each_with_mean_and_spread():
    learners = models(cross_entropy())
    each = [measured(learner, [accuracy()], "valid") for learner in learners.values()]
    x, y = learners["fit(0)"].dls.valid.x, learners["fit(0)"].dls.valid.y
    expected = [accuracy_score(y, lrn.model(x).argmax(1)) for lrn in learners.values()]
    assert [one["accuracy"] for one in each] == pytest.approx(expected)
    mean, spread = mean_and_spread(each)
    assert mean["accuracy"] == pytest.approx(sum(expected) / 3)
    assert spread["accuracy"] == pytest.approx(np.std(expected, ddof=1))
    assert mean_and_spread(each[:1]) == (each[0], {})
    mean, spread = mean_and_spread([{"p": math.inf}, {"p": 2.0}])
    assert mean["p"] == math.inf and math.isnan(spread["p"])


@pytest.mark.parametrize("loss", [cross_entropy(), bce()], ids=["softmax", "sigmoid"])
def test_together_averages_probabilities(loss):
    learners = models(loss)
    data = learners["fit(0)"].dls.valid
    turned = Loader(data.x.flip(0), data.y.flip(0), 7)  # the same items in another order and in other batches
    turned_items = list(range(len(data.x)))[::-1]

    class Turned(Loaders):
        items = SimpleNamespace(paths=[PATHS[i] for i in turned_items])

    learners["fit(1)"].dls = Turned(turned, turned, learners["fit(0)"].dls.vocab)
    result, each = together(learners, [accuracy()])
    mean = torch.stack([loss.activation(lrn.model(data.x)) for lrn in learners.values()]).mean(0)
    assert result["accuracy"] == pytest.approx(accuracy_score(data.y, mean.argmax(1)))
    for name, alone in models(loss).items():
        assert each[name] == pytest.approx(measured(alone, [accuracy()], "valid"))


def test_together_averages_values():
    learners = models(mse(), outputs=1)
    for lrn in learners.values():
        data = loaders()
        valid = Loader(data.valid.x, data.valid.y.float(), 8)
        lrn.dls = with_paths(Loaders(valid, valid, []))
    result, _ = together(learners, [mae()])
    x, y = learners["fit(0)"].dls.valid.x, learners["fit(0)"].dls.valid.y
    mean = torch.stack([lrn.model(x)[:, 0] for lrn in learners.values()]).mean(0)
    assert result["mae"] == pytest.approx((mean - y).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("loss", [cross_entropy(), bce(), mse()])
def test_scores_undo_activation(loss):
    probabilities = torch.rand(20, 4).softmax(1)
    torch.testing.assert_close(loss.activation(loss.scores(probabilities)), probabilities)
    certain = torch.tensor([[0.0, 1.0]])
    assert torch.isfinite(loss.scores(certain)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dls: setattr(dls, "vocab", ["x", "y", "z"]), "tells x, y, z apart"),
        (lambda dls: with_paths(dls, [f"other/{p}" for p in PATHS]), "`0.png` is one that they do not share"),
        (lambda dls: setattr(dls.valid, "y", dls.valid.y.roll(1)), "has another label for `fit\\(1\\)`"),
    ],
)
def test_models_that_do_not_predict_the_same(change, said):
    learners = models(cross_entropy())
    change(learners["fit(1)"].dls)
    with pytest.raises(RunError, match=said) as caught:
        together(learners, [accuracy()])
    assert caught.value.code == "R0213"


def test_a_loss_that_does_not_say_what_scores_mean():
    class Own(cross_entropy):
        scores = None  # type: ignore[assignment]

    with pytest.raises(RunError, match="`Own` does not say"):
        together(models(Own()), [accuracy()])


def test_what_a_metric_gives_is_one_number():
    class Several(accuracy):
        def compute(self):
            return torch.zeros(3)

    with pytest.raises(RunError, match="gives Tensor, not one number"):
        measured(models(cross_entropy())["fit(0)"], [Several()], "valid")


@pytest.mark.parametrize("loss", [cross_entropy(), bce()], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("count", [1, 7, 100])
def test_the_greatest_losses_are_found_while_batches_come(loss, count):
    lrn = models(loss, count=1)["fit(0)"]
    data = lrn.dls.valid
    x, y = (
        data.x.repeat(2, 1),
        data.y.repeat(2),
    )  # each loss is there twice: of equal ones the first item counts
    x[5] = math.nan
    lrn.dls.valid = Loader(x, y, 3, shuffle=True)
    top = evaluation.TopLosses(lrn, count, labelled=True)
    most = 0

    class Watching:
        def update(self, *batch):
            nonlocal most
            top.update(*batch)
            most = max(most, len(top._worst))

    evaluation.measured(lrn, [], "valid", Watching())  # type: ignore[arg-type]
    expected = evaluation.said(lrn, "valid").top_losses(count)
    assert len(expected) == min(count, len(x) - 1) == most
    for row, other in zip(top.rows(), expected, strict=True):
        assert row._replace(loss=0.0, probability=None) == other._replace(loss=0.0, probability=None)
        assert (row.loss, row.probability) == (pytest.approx(other.loss), pytest.approx(other.probability))
    alone = evaluation.TopLosses(lrn, count, labelled=False)
    evaluation.measured(lrn, [], "valid", alone)
    assert [(row.path, row.label) for row in alone.rows()] == [(row.path, None) for row in expected]
