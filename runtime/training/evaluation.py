"""What metrics say of trained models: of each for itself, or of their averaged predictions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mfc.runtime.errors import RunError
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.metrics import metric_names, metric_value
from mfc.runtime.training.predict import Predictions, measure

Measured = dict[str, Any]
"""`result`: each metric by its name; of several models the mean. `spread`: the standard deviation over several models.
`each`: the metrics of each model by its name."""


def measure_each(learners: Mapping[str, Learner], metrics: Sequence[Any], part: str) -> Measured:
    """The metrics of each model on a part of its own data, their mean and their spread over the models."""
    each = {n: measure(lrn.model, loader(lrn, part), metrics, lrn.device) for n, lrn in learners.items()}
    rows = [list(values) for values in zip(*(measured.values() for measured in each.values()))]
    names = metric_names(metrics)
    spread = dict(zip(names, map(statistics.stdev, rows))) if len(each) > 1 else {}
    return {"result": dict(zip(names, map(statistics.fmean, rows))), "spread": spread, "each": each}


def measure_together(learners: Mapping[str, Learner], metrics: Sequence[Any], part: str) -> Measured:
    """The metrics of the models' averaged predictions, beside those of each model for itself.

    Raises RunError R0213 where the models do not predict the same of the same items.
    """
    found = {name: learner.get_preds(loader(learner, part)) for name, learner in learners.items()}
    paths = {n: [lrn.dls.items.paths[i] for i in found[n].items.tolist()] for n, lrn in learners.items()}
    leading, *others = learners
    for name in others:
        _must_agree(name, paths[name], found[name], paths[leading], found[leading])
    loss, first = learners[leading].loss_func, found[leading]
    alike = {leading: first.probabilities}  # in one order of the items
    for name in others:
        place = {path: row for row, path in enumerate(paths[name])}
        alike[name] = found[name].probabilities[[place[path] for path in paths[leading]]]
    averaged = torch.stack([*alike.values()]).mean(0)
    each, result = (
        [_measured(metrics, _scores(loss, p, first.vocab), first.targets) for p in probabilities]
        for probabilities in (alike.values(), [averaged])
    )
    return {"result": result[0], "spread": {}, "each": dict(zip(learners, each))}


def loader(learner: Learner, part: str) -> Any:
    """The batches of a part in evaluation form."""
    return learner.dls.valid if part == "valid" else learner.dls.evaluation(part)


def _measured(metrics: Sequence[Any], pred: torch.Tensor, target: torch.Tensor | None) -> dict[str, float]:
    names = metric_names(metrics)
    for metric in metrics:
        metric.reset()
        metric.update(pred, target)
    return {name: metric_value(name, metric) for name, metric in zip(names, metrics)}


def _scores(loss: Any, probabilities: torch.Tensor, vocab: Sequence[str]) -> torch.Tensor:
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


def _must_agree(
    name: str, paths: list[str], found: Predictions, first_paths: list[str], first: Predictions
) -> None:
    """Raises R0213 unless a model predicts the same classes of the same items as the first one."""
    theirs, ours = (dict(zip(p, f.targets.tolist())) for p, f in ((first_paths, first), (paths, found)))  # type: ignore[union-attr]
    if list(found.vocab) != list(first.vocab):
        classes = [", ".join(map(str, f.vocab)) for f in (found, first)]
        message = f"`{name}` tells {classes[0]} apart, the first model of the ensemble {classes[1]}"
    elif alone := sorted(ours.keys() ^ theirs.keys()):
        counts = f"{len(ours):,} items, the first model of the ensemble on {len(theirs):,}"
        message = f"`{name}` is evaluated on {counts}; `{alone[0]}` is one that they do not share"
    elif differing := [path for path, target in ours.items() if theirs[path] != target]:
        message = f"`{differing[0]}` has another label for `{name}` than for the first model of the ensemble"
    else:
        return
    raise RunError("R0213", message, help="give their data blocks the same source, split and label")
