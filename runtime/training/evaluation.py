"""What metrics say of trained models: of each for itself, or of their averaged predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from mfc.runtime.errors import RunError
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.metrics import compute_metrics
from mfc.runtime.training.predict import Predictions, measure


class Said(NamedTuple):
    """What a model says of the items of its part: their paths in the order of `predictions`, and its loss."""

    paths: list[str]
    predictions: Predictions
    loss: Any


def measured(learner: Learner, metrics: Sequence[Any], part: str) -> dict[str, float]:
    """The metrics of a model on a part of its own data, by their names."""
    return measure(learner.model, loader(learner, part), metrics, learner.device)


def said(learner: Learner, part: str) -> Said:
    """What a model says of a part of its own data."""
    found = learner.get_preds(loader(learner, part))
    return Said([learner.dls.items.paths[i] for i in found.items.tolist()], found, learner.loss_func)


def loader(learner: Learner, part: str) -> Any:
    """The batches of a part in evaluation form."""
    return learner.dls.valid if part == "valid" else learner.dls.evaluation(part)


def mean_and_spread(each: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Of several models' metrics the means, and the standard deviations where there are several."""
    values = {name: torch.tensor([one[name] for one in each], dtype=torch.float64) for name in each[0]}
    spread = {name: of.std().item() for name, of in values.items()} if len(each) > 1 else {}
    return {name: of.mean().item() for name, of in values.items()}, spread


def together(
    models: Mapping[str, Said], metrics: Sequence[Any]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The metrics of the models' averaged predictions, and those of each model for itself.

    Raises RunError R0213 where the models do not predict the same of the same items.
    """
    (leading, first), *others = models.items()
    alike = {leading: first.predictions.probabilities}  # in one order of the items
    for name, other in others:
        _must_agree(name, other, first)
        place = {path: row for row, path in enumerate(other.paths)}
        alike[name] = other.predictions.probabilities[[place[path] for path in first.paths]]
    targets, vocab = first.predictions.targets, first.predictions.vocab
    assert targets is not None

    def measured(probabilities: torch.Tensor) -> dict[str, float]:
        return compute_metrics(metrics, [(scores(first.loss, probabilities, vocab), targets)])

    averaged = torch.stack([*alike.values()]).mean(0)
    return measured(averaged), {name: measured(probabilities) for name, probabilities in alike.items()}


def scores(loss: Any, probabilities: torch.Tensor, vocab: Sequence[str]) -> torch.Tensor:
    """What a model would put out for these probabilities: metrics take that."""
    if (inverse := getattr(loss, "scores", None)) is not None:
        return inverse(probabilities)
    if hasattr(loss, "activation"):
        name = type(loss).__name__
        help = f"give `{name}` a method `scores(probabilities)` that undoes `activation`"
        raise RunError(
            "R0213", f"the loss `{name}` does not say what scores probabilities come from", help=help
        )
    return probabilities.log() if vocab else probabilities


def _must_agree(name: str, other: Said, first: Said) -> None:
    """Raises R0213 unless a model predicts the same classes of the same items as the first one."""
    vocabs = [list(map(str, each.predictions.vocab)) for each in (other, first)]
    ours, theirs = (_targets(each) for each in (other, first))
    if vocabs[0] != vocabs[1]:
        classes = [", ".join(vocab) for vocab in vocabs]
        message = f"`{name}` tells {classes[0]} apart, the first model of the ensemble {classes[1]}"
    elif alone := sorted(ours.keys() ^ theirs.keys()):
        counts = f"{len(ours):,} items, the first model of the ensemble on {len(theirs):,}"
        message = f"`{name}` is evaluated on {counts}; `{alone[0]}` is one that they do not share"
    elif differing := [path for path, target in ours.items() if theirs[path] != target]:
        message = f"`{differing[0]}` has another label for `{name}` than for the first model of the ensemble"
    else:
        return
    raise RunError("R0213", message, help="give their data blocks the same source, split and label")


def _targets(said: Said) -> dict[str, Any]:
    assert said.predictions.targets is not None
    return dict(zip(said.paths, said.predictions.targets.tolist()))
