"""What is found out of trained models: of each for itself, or of their averaged predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from mfc.runtime.errors import RunError
from mfc.runtime.modes import evaluating
from mfc.runtime.training.findings import ConfusionMatrix, TopLoss
from mfc.runtime.training.item_losses import greatest, losses_of_items
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.metrics import metric_names, metric_value
from mfc.runtime.training.predict import Predictions, activated, decoded, outputs_of
from mfc.runtime.training.tables import Table

PARTS = ("train", "valid", "all")
"""The parts of its own data that a trained model can be asked about."""

ALIKE = "give their data blocks the same source, split and label"
"""What makes models go together."""


class Measured(NamedTuple):
    """What metrics say, by their names: of most a number, of some a table."""

    numbers: dict[str, float]
    tables: dict[str, ConfusionMatrix]


@dataclass(frozen=True)
class Said:
    """What a model, or several together, say of the items of a part, in the order of their paths.

    Attributes:
        paths: of the items.
        predictions: of them, in that order.
        outputs: what metrics and the loss take: float32 `n ...`.
        loss: the loss of the model.
    """

    paths: list[str]
    predictions: Predictions
    outputs: torch.Tensor
    loss: Any

    def measured(self, metrics: Sequence[Any]) -> Measured:
        """What metrics say of it."""
        targets = self.predictions.targets
        return _measured(
            metrics, [] if targets is None else [(self.outputs, targets)], self.predictions.vocab
        )

    @cached_property
    def losses(self) -> torch.Tensor | None:
        """The loss of each item, float32 `n`; None where targets are not known."""
        targets = self.predictions.targets
        return None if targets is None else losses_of_items(self.loss, self.outputs, targets)

    @property
    def labels(self) -> list[Any] | None:
        """The targets by name."""
        said = self.predictions
        if (targets := said.targets) is None:
            return None
        several = said.vocab and targets.is_floating_point()
        return replace(said, decoded=targets.bool() if several else targets).labels

    def top_losses(self, count: int) -> list[TopLoss]:
        """The items with the greatest losses, the greatest first. They need targets."""
        assert self.losses is not None
        return self.with_losses(self.losses.tolist(), greatest(self.losses, count))

    def with_losses(self, losses: Sequence[float], places: Iterable[int]) -> list[TopLoss]:
        """What is told of the items at some places, with their losses."""
        said, labels = self.predictions, self.labels
        assert labels is not None
        one = said.decoded.dtype is torch.int64
        return [
            TopLoss(
                self.paths[i],
                labels[i],
                said.labels[i],
                said.probabilities[i, said.decoded[i]].item() if one else None,
                losses[i],
            )
            for i in places
        ]

    def table(self) -> Table:
        """A row an item."""
        said, losses = self.predictions, self.losses
        probabilities = said.probabilities if said.vocab else said.probabilities[:, :0].reshape(len(said), -1)
        return Table(
            self.paths,
            said.labels,
            self.labels,
            None if losses is None else losses.tolist(),
            said.vocab,
            probabilities.tolist(),
        )


def said(learner: Learner, part: str) -> Said:
    """What a model says of a part of its data."""
    pred, targets, items = outputs_of(learner.model, loader(learner, part), learner.device)
    return _sorted(learner, _predictions(learner, pred, targets, items), pred)


def augmented(learner: Learner, part: str, n: int, beta: float) -> Said:
    """What a model says of a part of its data with test-time augmentation: see `mfc.runtime.training.tta`."""
    from mfc.runtime.training.tta import tta

    found = tta(learner, part, n, beta)
    return _sorted(learner, found, scores(learner.loss_func, found.probabilities, found.vocab))


def _predictions(
    learner: Learner, pred: torch.Tensor, targets: torch.Tensor | None, items: torch.Tensor
) -> Predictions:
    loss, vocab = learner.loss_func, learner.dls.vocab
    return Predictions(activated(pred, loss, vocab), decoded(pred, loss, vocab), targets, items, vocab)


def _sorted(learner: Learner, found: Predictions, outputs: torch.Tensor) -> Said:
    """Predictions in the order of the items' paths."""
    order = found.items.argsort()
    targets = None if found.targets is None else found.targets[order]
    inner = Predictions(
        found.probabilities[order], found.decoded[order], targets, found.items[order], found.vocab
    )
    paths = [learner.dls.items.paths[i] for i in inner.items.tolist()]
    return Said(paths, inner, outputs[order], learner.loss_func)


class Worst(NamedTuple):
    """An item of those with the greatest losses: they sort by these, then by their ids.

    Args:
        below: minus its loss.
        output, target: what the model puts out for it, and what it should.
    """

    below: float
    item: int
    output: torch.Tensor | None
    target: torch.Tensor | None


@dataclass
class TopLosses:
    """The items with the greatest losses, found while batches come: no others are kept.

    Args:
        learner: whose losses.
        count: how many items.
        labelled: whether labels are told of them; of masks they are not.
    """

    learner: Learner
    count: int
    labelled: bool
    _worst: list[Worst] = field(default_factory=list)

    def update(self, items: torch.Tensor, pred: torch.Tensor, target: torch.Tensor) -> None:
        """Takes the items of a batch."""
        losses = losses_of_items(self.learner.loss_func, pred, target)
        ids, order = items.tolist(), items.cpu().argsort()
        batch = (pred.float(), target) if self.labelled else ()
        for row in order[greatest(losses[order], self.count)].tolist():
            about = [each[row].cpu().clone() for each in batch] or [None, None]  # a view would keep the batch
            self._worst.append(Worst(-losses[row].item(), ids[row], *about))
        self._worst = sorted(self._worst, key=lambda worst: worst[:2])[: self.count]

    def rows(self) -> list[TopLoss]:
        """What is told of these items, the one with the greatest loss first."""
        losses, items = [-worst.below for worst in self._worst], [worst.item for worst in self._worst]
        paths = [self.learner.dls.items.paths[item] for item in items]
        outputs = [worst.output for worst in self._worst if worst.output is not None]
        targets = [worst.target for worst in self._worst if worst.target is not None]
        if not outputs:
            return [TopLoss(path, None, None, None, loss) for path, loss in zip(paths, losses)]
        pred = torch.stack(outputs)
        found = _predictions(self.learner, pred, torch.stack(targets), torch.tensor(items))
        return Said(paths, found, pred, self.learner.loss_func).with_losses(losses, range(len(paths)))


def measured(
    learner: Learner, metrics: Sequence[Any], part: str, top_losses: TopLosses | None = None
) -> Measured:
    """What metrics say of a model on a part of its data, a batch at a time; `top_losses` gets the same batches."""

    def answers() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for x, y, items in loader(learner, part):
            pred = learner.model(x.to(learner.device))
            if top_losses is not None:
                top_losses.update(items, pred, y)
            yield pred, y

    with evaluating(learner.model):
        return _measured(metrics, answers(), learner.dls.vocab)


def _measured(
    metrics: Sequence[Any], batches: Iterable[tuple[torch.Tensor, torch.Tensor]], vocab: Sequence[str]
) -> Measured:
    names = metric_names(metrics)
    for one in metrics:
        one.reset()
    for pred, target in batches:
        for one in metrics:
            one.update(pred, target)
    found = Measured({}, {})
    for name, one in zip(names, metrics):
        if getattr(type(one), "__mfc_facts__", {}).get("gives") == "table":
            found.tables[name] = ConfusionMatrix(list(vocab), _table(name, one, len(vocab)))
        else:
            found.numbers[name] = metric_value(name, one)
    return found


def _table(name: str, metric: Any, size: int) -> list[list[int]]:
    """The counts that a metric gives. Raises RunError R0207 where these are not a number for each pair of classes."""
    counts = metric.compute()
    if getattr(counts, "shape", None) != (size, size):
        message = f"the metric `{name}` gives {type(counts).__name__}, not {size} x {size} numbers"
        raise RunError("R0207", message, help="`compute()` gives a number for each true and predicted class")
    return counts.tolist()


def picturing(dls: Any) -> Callable[[Sequence[TopLoss]], np.ndarray] | None:
    """What gives the images of items as item transforms leave them in evaluation, uint8 `n c h w`; None for texts."""
    if (dataset := getattr(dls.valid, "dataset", None)) is None:
        return None
    places, masked = {path: i for i, path in enumerate(dls.items.paths)}, dls.valid.masked

    def images(rows: Sequence[TopLoss]) -> np.ndarray:
        fetched = dataset[(0, torch.tensor([places[row.path] for row in rows], dtype=torch.int64))]
        if isinstance(fetched, RunError):
            raise fetched
        return (fetched.images[:, :-1] if masked else fetched.images).numpy()

    return images


def loader(learner: Learner, part: str) -> Any:
    """The batches of a part in evaluation form. Raises RunError R0218 for what is no part."""
    if part not in PARTS:
        message = f"`{part}` is no part of what a model was trained on: these are {', '.join(PARTS)}"
        raise RunError("R0218", message, help="about other items a spec asks with `evaluate`")
    return learner.dls.valid if part == "valid" else learner.dls.evaluation(part)


def mean_and_spread(each: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Of several models' metrics the means, and the standard deviations where there are several."""
    values = {name: torch.tensor([one[name] for one in each], dtype=torch.float64) for name in each[0]}
    spread = {name: of.std().item() for name, of in values.items()} if len(each) > 1 else {}
    return {name: of.mean().item() for name, of in values.items()}, spread


def together(models: Mapping[str, Said]) -> Said:
    """The averaged predictions of models.

    Raises RunError R0213 where the models do not predict the same of the same items.
    """
    first, *others = models.values()
    for name, other in list(models.items())[1:]:
        _must_agree(name, other, first)
    inner, vocab = first.predictions, first.predictions.vocab
    alike = [first.predictions.probabilities]  # in one order of the items
    for other in others:
        place = {path: row for row, path in enumerate(other.paths)}
        alike.append(other.predictions.probabilities[[place[path] for path in first.paths]])
    averaged = torch.stack(alike).mean(0)
    outputs = scores(first.loss, averaged, vocab)
    labels = decoded(outputs, first.loss, vocab)
    predictions = Predictions(averaged, labels, inner.targets, inner.items, vocab)
    return Said(first.paths, predictions, outputs, first.loss)


def scores(loss: Any, probabilities: torch.Tensor, vocab: Sequence[str]) -> torch.Tensor:
    """What a model would put out for these probabilities: metrics take that."""
    inverse: Callable[[torch.Tensor], torch.Tensor] | None = getattr(loss, "scores", None)
    if inverse is not None:
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
    must_share_classes(name, other.predictions.vocab, first.predictions.vocab)
    ours, theirs = (_targets(each) for each in (other, first))
    if alone := sorted(ours.keys() ^ theirs.keys()):
        counts = f"{len(ours):,} items, the first model of the ensemble on {len(theirs):,}"
        message = f"`{name}` is evaluated on {counts}; `{alone[0]}` is one that they do not share"
    elif differing := [path for path, target in ours.items() if theirs[path] != target]:
        message = f"`{differing[0]}` has another label for `{name}` than for the first model of the ensemble"
    else:
        return
    raise RunError("R0213", message, help=ALIKE)


def must_share_classes(name: str, vocab: Sequence[str], first: Sequence[str]) -> None:
    """Raises R0213 unless a model of an ensemble tells the same classes apart as the first one."""
    ours, theirs = list(map(str, vocab)), list(map(str, first))
    if ours != theirs:
        classes = ", ".join(ours), ", ".join(theirs)
        message = "`{}` tells {} apart, the first model of the ensemble {}".format(name, *classes)
        raise RunError("R0213", message, help=ALIKE)


def _targets(said: Said) -> dict[str, Any]:
    targets = said.predictions.targets
    return dict.fromkeys(said.paths) if targets is None else dict(zip(said.paths, targets.tolist()))
