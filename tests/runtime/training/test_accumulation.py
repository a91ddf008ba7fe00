"""Gradients of several batches for one step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.events import (
    Callback,
    CancelBackward,
    CancelEpoch,
    CancelFit,
    CancelStep,
    CancelTrain,
)
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Batch, Factory, Loaders, learner, loaders, weights


def steady() -> nn.Module:
    """A network in which batches leave no trace but their gradients."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def trained(dls: Loaders, *callbacks: Callback, epochs: int = 2, **changes):
    run = learner(model=steady(), dls=dls, callbacks=callbacks, **changes)
    run.fit(Phase(epochs))
    return run


@pytest.mark.parametrize("items", [48, 40, 44, 41, 33])
def test_it_is_one_large_batch(items):
    """Also where the last group of an epoch has fewer batches, or a smaller last one."""
    small = trained(loaders(items, size=4), gradient_accumulation(batches=3))
    large = trained(loaders(items, size=12))
    assert small.optimizer.steps == large.optimizer.steps == 2 * -(-items // 12)
    assert weights(small.model) == pytest.approx(weights(large.model), rel=1e-4, abs=1e-6)


class Ready:
    """Batches that are there, of any shape."""

    def __init__(self, batches: list[Batch], said: int | None = None) -> None:
        self.batches, self.said = batches, len(batches) if said is None else said

    def __len__(self) -> int:
        return self.said

    def __iter__(self):
        return iter(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """All epochs are alike."""


def test_tokens_count_and_not_rows():
    """As in a language model, whose last batch has as many rows, but is shorter."""
    torch.manual_seed(3)
    tokens, targets = torch.randint(0, 7, (4, 10)), torch.randint(0, 7, (4, 10))
    items = torch.arange(4)
    cut = [Batch(tokens[:, a:b], targets[:, a:b], items) for a, b in ((0, 4), (4, 8), (8, 10))]

    def model() -> nn.Module:
        torch.manual_seed(4)

        class Flip(nn.Module):
            def forward(self, x):
                return x.transpose(1, 2)

        return nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7), Flip())

    found = []
    for batches, callbacks in ((cut, [gradient_accumulation(3)]), ([Batch(tokens, targets, items)], [])):
        run = learner(model=model(), dls=Loaders(Ready(batches), Ready(batches), []), callbacks=callbacks)
        run.fit(Phase(2))
        found.append(weights(run.model))
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-6)


def test_a_loader_with_fewer_batches_than_it_said_loses_nothing():
    whole = loaders(40, size=8)
    batches = [Batch(*batch) for batch in whole.train]
    short = trained(Loaders(Ready(batches, said=7), whole.valid, []), gradient_accumulation(2), epochs=1)
    exact = trained(Loaders(Ready(batches), whole.valid, []), gradient_accumulation(2), epochs=1)
    assert short.optimizer.steps == exact.optimizer.steps == 3
    assert weights(short.model) == pytest.approx(weights(exact.model), rel=1e-5, abs=1e-7)


class Raise(Callback):
    """Raises a cancel in one batch of the first epoch."""

    def __init__(self, event: str, cancel: type[Exception], batch: int) -> None:
        self.event, self.cancel, self.at = event, cancel, batch

    def go(self, event: str) -> None:
        if (self.event, 0, self.at) == (event, self.learner.epoch, self.learner.batch):
            raise self.cancel

    def before_backward(self) -> None:
        self.go("before_backward")

    def after_batch(self) -> None:
        if self.learner.training:
            self.go("after_batch")


def test_training_that_is_cut_short_steps_with_what_there_is():
    seen = []

    class Look(Callback):
        def after_step(self) -> None:
            seen.append((self.learner.batch, self.learner.cancelled))

        def after_train(self) -> None:
            assert self.learner.cancelled == (self.learner.epoch == 0)

    run = trained(loaders(40, size=8), gradient_accumulation(3), Look(), Raise("after_batch", CancelTrain, 3))
    assert seen[:5] == [(0, True), (1, True), (2, False), (3, True), (3, False)]
    assert run.optimizer.steps == 4
    first = loaders(40, size=8)
    first.train.set_epoch(0)
    cut = Loaders(Ready(list(first.train)[:4]), first.valid, [])
    assert weights(trained(cut, gradient_accumulation(3), epochs=1).model) == pytest.approx(
        weights(trained(loaders(40, size=8), gradient_accumulation(3), Raise("after_batch", CancelTrain, 3),
                        epochs=1).model), rel=1e-5, abs=1e-7
    )  # fmt: skip


@pytest.mark.parametrize("cancel", [CancelEpoch, CancelFit])
def test_an_epoch_or_fit_that_ends_within_a_group_leaves_nothing_to_the_next(cancel):
    run = learner(
        model=steady(),
        dls=loaders(40, size=8),
        callbacks=[gradient_accumulation(3), Raise("after_batch", cancel, 3)],
    )
    run.fit(Phase(1))
    assert run.optimizer.steps == 1
    fresh = learner(model=steady(), dls=loaders(40, size=8), callbacks=[gradient_accumulation(3)])
    fresh.model.load_state_dict(run.model.state_dict())
    fresh.epoch = fresh.done.epochs = run.done.epochs = 1
    for each in (run, fresh):
        each.optimizer = None  # momentum is no part of this
        each.fit(Phase(1))
    assert weights(run.model) == weights(fresh.model)


def test_a_batch_without_a_backward_pass_counts_for_nothing():
    """The group's mean is one of those that went back."""
    dls = loaders(24, size=8)
    run = trained(dls, gradient_accumulation(3), Raise("before_backward", CancelBackward, 1), epochs=1)
    dls.train.set_epoch(0)
    left = [batch for number, batch in enumerate(dls.train) if number != 1]
    other = trained(Loaders(Ready(left), dls.valid, []), gradient_accumulation(2), epochs=1)
    assert weights(run.model) == pytest.approx(weights(other.model), rel=1e-5, abs=1e-7)


def test_only_the_step_of_a_whole_group_is_seen_by_others():
    seen = []

    class Look(Callback):
        def before_step(self) -> None:
            seen.append(self.learner.batch)

    trained(loaders(40, size=8), gradient_accumulation(2), Look(), epochs=1)
    assert seen == [1, 3, 4]


def test_one_that_puts_off_a_group_adds_it_to_the_next():
    class Wait(Callback):
        def before_step(self) -> None:
            if self.learner.batch == 1:
                raise CancelStep

    run = trained(loaders(32, size=8), gradient_accumulation(2), Wait(), epochs=1, optimizer=Factory(lr=0.1))
    model, dls = steady(), loaders(32, size=8)
    dls.train.set_epoch(0)
    for x, y, _ in dls.train:
        (nn.functional.cross_entropy(model(x), y) / 2).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad, alpha=0.1)  # type: ignore[arg-type]
    assert weights(run.model) == pytest.approx(weights(model), rel=1e-5, abs=1e-7)


def test_the_loss_that_others_see_is_that_of_the_batch():
    losses = []

    class Look(Callback):
        def after_batch(self) -> None:
            losses.append(self.learner.loss.item())

    for callbacks in ([Look()], [Look(), gradient_accumulation(8)]):
        trained(loaders(), *callbacks, epochs=1, optimizer=Factory(lr=0))
    assert losses[: len(losses) // 2] == losses[len(losses) // 2 :]
