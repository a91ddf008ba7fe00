"""Mixup and cutmix against targets that are mixed by hand, in a Learner and in a spec."""

from __future__ import annotations

import io
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mfc
from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.streams import Stream
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.mixing import MixedLoss, Mixing, cutmix, mixup
from mfc.runtime.training.callbacks.precision import channels_last
from mfc.runtime.training.events import Callback, CancelEpoch
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import bce, cross_entropy, dice, focal, l1, mse
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from mfc.stages import module
from tests.runtime.training.standins import Factory, Loader, Loaders, learner, weights

CLASSES = 3


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(items: int = 24, size: int = 8, rest: tuple[int, ...] = ()) -> Loaders:
    """Images `2 6 5` of three classes; targets of that many dimensions more."""
    x, y = draw(1, items, 2, 6, 5), draw(2, items, CLASSES, *rest).argmax(1)
    train, valid = Loader(x, y, size, shuffle=True), Loader(x[:9], y[:9], size)
    return Loaders(train, valid, [f"class {i}" for i in range(CLASSES)])


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(nn.Flatten(), nn.Linear(60, CLASSES))


def train(*callbacks: Any, loss: Any = None, dls: Any = None, model: Any = None, epochs: int = 1) -> Learner:
    run = Learner(
        model or network(), dls or images(), loss or cross_entropy(), Factory(lr=0.3), callbacks=callbacks,
        seed=7, stream=io.StringIO(),
    )  # fmt: skip
    run.fit(Phase(epochs))
    return run


class Watch(Callback):
    """Keeps what the model saw and the loss that came of it; after the mixing, before the step."""

    order = 10

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Tensor, ...]] = []

    def before_pred(self) -> None:
        self.x = self.learner.x.clone()

    def after_loss(self) -> None:
        loss = self.learner.loss.detach()
        self.seen.append((self.x, self.learner.pred.detach(), self.learner.y, loss))


# ── the loss of a mixture ───────────────────────────────────────────────────────────────────────────────


class Fixed:
    """A mixture that is given."""

    def __init__(self, share: torch.Tensor, partners: torch.Tensor) -> None:
        self.share, self.partners = share, partners


def mixture(seed: int, items: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return Fixed(torch.rand(items, generator=generator), torch.randperm(items, generator=generator))


def soft(target: torch.Tensor, mixed: Any, classes: int) -> torch.Tensor:
    """The mixed targets as probabilities, `b ... classes`."""
    one_hot = F.one_hot(target, classes).float()
    share = mixed.share.view(-1, *[1] * (one_hot.ndim - 1))
    return share * one_hot + (1 - share) * one_hot[mixed.partners]


@settings(max_examples=40)
@given(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.integers(2, 5),
    st.sampled_from([0.0, 0.1, 0.7]),
    st.booleans(),
    st.sampled_from([(), (3,), (2, 3)]),
)
def test_the_mixed_cross_entropy_is_the_one_against_mixed_targets(
    seed, items, classes, smoothing, weighted, rest
):
    pred, target = draw(seed, items, classes, *rest), draw(seed + 1, items, classes, *rest).argmax(1)
    mixed = mixture(seed, items)
    class_weights = [0.5 + i for i in range(classes)] if weighted else None
    ours = MixedLoss(cross_entropy(smoothing, class_weights), mixed)(pred, target)
    rows, hard = pred.movedim(1, -1).reshape(-1, classes), soft(target, mixed, classes).reshape(-1, classes)
    weight = torch.tensor(class_weights) if class_weights else torch.ones(classes)
    # torch divides a loss against probabilities by the number of items; a weighted mean has the weights below
    total = F.cross_entropy(rows, hard, weight, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(ours, total / (hard @ weight).sum())


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_the_mixed_bce_is_the_one_against_mixed_targets(seed, items, classes, weighted):
    pred, target = draw(seed, items, classes), (draw(seed + 1, items, classes) > 0).long()
    mixed = mixture(seed, items)
    class_weights = [0.5 + i for i in range(classes)] if weighted else None
    share = mixed.share[:, None]
    hard = share * target + (1 - share) * target[mixed.partners]
    weight = torch.tensor(class_weights) if class_weights else None
    expected = F.binary_cross_entropy_with_logits(pred, hard, weight)
    torch.testing.assert_close(MixedLoss(bce(class_weights), mixed)(pred, target), expected)


@pytest.mark.parametrize(("loss", "each"), [(mse, torch.square), (l1, torch.abs)])
def test_the_mixed_loss_of_values_is_the_mean_of_both(loss, each):
    pred, target, mixed = draw(0, 5, 1), draw(1, 5), mixture(2, 5)
    own, others = each(pred[:, 0] - target), each(pred[:, 0] - target[mixed.partners])
    expected = (mixed.share * own + (1 - mixed.share) * others).mean()
    torch.testing.assert_close(MixedLoss(loss(), mixed)(pred, target), expected)


@pytest.mark.parametrize("loss", [dice(), focal(1.5, [1.0, 2.0, 0.5])])
def test_the_mixed_loss_of_masks(loss):
    pred, target, mixed = draw(0, 4, 3, 5, 6), draw(1, 4, 3, 5, 6).argmax(1), mixture(2, 4)
    up, down = 0.0, 0.0
    for i, (share, partner) in enumerate(zip(mixed.share.tolist(), mixed.partners.tolist())):
        for part, true in ((share, target[i]), (1 - share, target[partner])):
            if isinstance(loss, dice):
                up, down = up + part * float(loss(pred[i : i + 1], true[None])), down + part
                continue
            p = pred[i].softmax(0).gather(0, true[None])[0]
            weight = torch.tensor([1.0, 2.0, 0.5])[true]
            up += part * float((weight * -((1 - p) ** 1.5) * p.log()).sum())
            down += part * float(weight.sum())
    assert float(MixedLoss(loss, mixed)(pred, target)) == pytest.approx(up / down, rel=1e-5)


def test_ignored_pixels_count_for_nothing_in_a_mixture():
    pred, target, mixed = draw(0, 2, 3, 4), draw(1, 2, 3, 4).argmax(1), mixture(2, 2)
    mixed.partners = torch.tensor([1, 0])
    target[0, 1:], target[1, 0] = -100, -100
    up = down = 0.0
    for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)):  # item i against the target of j
        part = float(mixed.share[i] if i == j else 1 - mixed.share[i])
        up += part * float(F.cross_entropy(pred[[i]], target[[j]], reduction="sum"))
        down += part * int((target[j] >= 0).sum())
    assert float(MixedLoss(cross_entropy(), mixed)(pred, target)) == pytest.approx(up / down, rel=1e-5)


# ── what is mixed ───────────────────────────────────────────────────────────────────────────────────────


def by_hand(kind: str, alpha: float, epochs: int = 1) -> tuple[nn.Module, list[torch.Tensor]]:
    """The training with mixtures that are made item by item, and a target that is mixed itself."""
    model, dls, stream = network(), images(), Stream(7, "fit", kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for epoch in range(epochs):
        dls.train.set_epoch(epoch)
        for number, (x, y, _) in enumerate(dls.train):
            rng = stream.generator(epoch, number)
            partners = list(range(len(x)))
            rng.shuffle(partners)
            mixed, target = x.clone(), F.one_hot(y, CLASSES).float()
            shares = []
            for i, partner in enumerate(partners):
                lam = rng.betavariate(alpha, alpha)
                if kind == "mixup":
                    lam = max(lam, 1 - lam)
                    mixed[i] = lam * x[i] + (1 - lam) * x[partner]
                else:
                    cut = (1 - lam) ** 0.5
                    middle = rng.randrange(6), rng.randrange(5)
                    rows, columns = (
                        slice(max(at - int(side * cut) // 2, 0), at + int(side * cut) // 2)
                        for at, side in zip(middle, (6, 5))
                    )
                    mixed[i, :, rows, columns] = x[partner, :, rows, columns]
                    lam = 1 - x[i, 0, rows, columns].numel() / 30
                shares.append(lam)
            share = torch.tensor(shares)[:, None]
            loss = F.cross_entropy(model(mixed), share * target + (1 - share) * target[partners])
            losses.append(loss.detach())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return model, losses


@pytest.mark.parametrize(("kind", "alpha"), [(mixup, 0.4), (mixup, 4.0), (cutmix, 1.0), (cutmix, 0.5)])
def test_training_is_that_of_a_loop_by_hand(kind, alpha):
    watch = Watch()
    run = train(kind(alpha), watch, epochs=2)
    model, losses = by_hand(kind.__name__, alpha, epochs=2)
    torch.testing.assert_close(weights(run.model), weights(model))
    shown = [loss for x, _, _, loss in watch.seen if len(x) == 8 and loss.requires_grad is False]
    assert len(losses) == 6
    training = [shown[i] for i in (0, 1, 2, 4, 5, 6)]  # a batch of 8 in validation stands between
    torch.testing.assert_close(torch.stack(training), torch.stack(losses))
    assert weights(run.model) != weights(train(epochs=2).model)


def test_validation_and_metrics_see_plain_items():
    watch, dls = Watch(), images()
    run = train(mixup(4.0), watch, dls=dls)
    x, pred, y, loss = watch.seen[3]
    assert torch.equal(x, dls.valid.x[:8]) and torch.equal(y, dls.valid.y[:8])
    assert torch.equal(loss, F.cross_entropy(pred, y))
    assert isinstance(run.loss_func, cross_entropy)


def test_the_batch_of_the_loader_is_not_written_to():
    x = draw(0, 8, 2, 6, 5)
    dls = Loaders([(x, torch.zeros(8).long(), torch.arange(8))], [], ["a", "b", "c"])
    dls.train = type("Once", (list,), {"set_epoch": lambda self, epoch: None})(dls.train)
    before = x.clone()
    for kind in (mixup, cutmix):
        watch = Watch()
        train(kind(2.0), watch, dls=dls)
        assert torch.equal(x, before) and not torch.equal(watch.seen[0][0], before)


def test_images_keep_their_memory_format():
    formats = []

    class Look(Callback):
        order = 10

        def before_pred(self) -> None:
            x = self.learner.x
            formats.append(x.is_contiguous(memory_format=torch.channels_last) or not self.learner.training)

    for kind in (mixup, cutmix):
        train(kind(), channels_last(), Look())
    assert all(formats)


class Draws(Callback):
    """Keeps the shares and partners of a mixing callback."""

    def __init__(self, of: Mixing) -> None:
        self.of, self.shares, self.partners = of, [], []

    def after_loss(self) -> None:
        if self.learner.training:
            self.shares.append(self.of.share)
            self.partners.append(self.of.partners)


def test_shares_and_partners_are_drawn_for_each_item_and_step():
    """Means of 2,000 draws: Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))."""
    mixing = mixup(1.0)
    draws = Draws(mixing)
    train(mixing, draws, dls=images(items=400, size=100), epochs=5)
    shares, partners = torch.stack(draws.shares), torch.stack(draws.partners)
    assert shares.min() >= 0.5 and shares.unique().numel() > 1900
    assert float(shares.mean()) == pytest.approx(0.75, abs=0.02)  # of the greater of two parts
    assert all(not torch.equal(a, b) for a, b in pairwise(partners))
    assert all(row.sort()[0].tolist() == list(range(100)) for row in partners)
    cutting = cutmix(1.0)
    draws = Draws(cutting)
    train(cutting, draws, dls=images(items=400, size=100), epochs=1)
    assert torch.stack(draws.shares).unique().numel() > 5  # an image of 6 by 5 has few boxes


def test_a_smaller_alpha_mixes_less():
    means = []
    for alpha in (0.1, 0.4, 2.0):
        mixing = mixup(alpha)
        draws = Draws(mixing)
        train(mixing, draws)
        means.append(float(torch.stack(draws.shares).mean()))
    assert means[0] > means[1] > means[2]


@settings(max_examples=8)
@given(st.sampled_from([mixup, cutmix]), st.integers(0, 1), st.integers(0, 2))
def test_resumed_equals_uninterrupted(kind, epoch, batch):
    class Kill(Callback):
        order = -1000

        def after_step(self) -> None:
            if (self.learner.epoch, self.learner.batch) == (epoch, batch):
                raise KeyboardInterrupt

    def staged(folder: Path, *callbacks: Callback) -> Learner:
        return train_stage(
            network(), images(), cross_entropy(), Factory(lr=0.3), phases=[Phase(2)], seed=7, stage="fit",
            callbacks=[kind(2.0), *callbacks], folder=folder, device=torch.device("cpu"), progress=False,
            stream=io.StringIO(),
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as name, patch.multiple(checkpoint, EVERY=0, SHARE=0):
        whole = staged(Path(name) / "whole")
        with pytest.raises(RunInterrupted):
            staged(Path(name) / "stopped", Kill())
        resumed = staged(Path(name) / "stopped")
        assert weights(resumed.model) == weights(whole.model)
        assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in whole.history]


def test_a_phases_own_loss_is_mixed_and_given_back():
    run = learner(model=network(), dls=images(), callbacks=[mixup()])
    own = focal()
    run.fit(Phase(1, loss=own), Phase(1))
    assert isinstance(run.loss_func, cross_entropy)


# ── what can't be mixed ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [mixup, cutmix])
def test_a_loss_of_the_whole_batch_is_refused(kind):
    with pytest.raises(RunError, match=f"`{kind.__name__}` needs the loss of each item") as caught:
        train(kind(), loss=F.cross_entropy)
    assert (
        caught.value.code == "R0235" and "`cross_entropy` has no `each(pred, target)`" in caught.value.message
    )


@pytest.mark.parametrize("given", [torch.zeros(()), torch.zeros(8, 2)])
def test_each_must_give_one_loss_an_item(given):
    class wrong(cross_entropy):
        def each(self, pred: Any, target: Any) -> Any:
            return given

    with pytest.raises(
        RunError, match=r"`each` of the loss `wrong` gives (one number|8x2) for 8 items"
    ) as caught:
        train(mixup(), loss=wrong())
    assert caught.value.code == "R0235"


def test_what_has_no_mean_is_refused():
    dls = images()
    dls.train.x = dls.train.x.long()
    with pytest.raises(RunError, match="`mixup` can't mix inputs of int64") as caught:
        train(mixup(), dls=dls)
    assert caught.value.code == "R0236"
    dls.train.x = draw(1, 24, 60)
    with pytest.raises(RunError, match="`cutmix` cuts boxes out of images, and inputs are 8x60"):
        train(cutmix(), dls=dls)
    train(mixup(), dls=dls)  # which has no need of boxes


# ── in a spec ───────────────────────────────────────────────────────────────────────────────────────────

SPEC = """
data digits: image -> category {
    source           = builtin("digits")
    split            = subset(random(valid = 0.2), train = 96, valid = 32)
    label            = parent()
    batch_transforms = [normalize(digits_stats)]
    batch_size       = 32
}
model net { flatten()  linear(digits.classes) }
train fit {
    data      = digits
    model     = net
    loss      = LOSS
    optimizer = sgd(lr = 0.1)
    callbacks = [CALLBACK]
    epochs    = 1
}
"""
WEIGHTS = [1.0, 2.0, 1.0, 1.0, 0.5, 1.0, 1.0, 3.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("callback", "loss"),
    [
        ("mixup(0.4)", "cross_entropy()"),
        ("mixup(0.4)", f"cross_entropy(weights = {WEIGHTS})"),
        ("cutmix()", f"label_smoothing_cross_entropy(0.2, weights = {WEIGHTS})"),
    ],
)
def test_three_steps_of_a_spec_are_those_of_a_loop_by_hand(callback, loss, tmp_path):
    spec = tmp_path / "digits.mfs"
    spec.write_text(SPEC.replace("LOSS", loss).replace("CALLBACK", callback))
    run = mfc.run(spec)
    model = module(run["fit"].stage.recipe["model"], [], 42, "fit")
    dls, kind = run["fit"].learner.dls, callback.partition("(")[0]
    weight = torch.tensor(WEIGHTS) if "weights" in loss else torch.ones(10)
    smoothing = 0.2 if "smoothing" in loss else 0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dls.train.set_epoch(0)
    for number, (x, y, _) in enumerate(dls.train):
        rng = Stream(42, "fit", kind).generator(0, number)
        partners = list(range(32))
        rng.shuffle(partners)
        mixed, shares = x.clone(), []
        for i, partner in enumerate(partners):
            if kind == "mixup":
                lam = rng.betavariate(0.4, 0.4)
                lam = max(lam, 1 - lam)
                mixed[i] = lam * x[i] + (1 - lam) * x[partner]
            else:
                half = int(8 * (1 - rng.betavariate(1, 1)) ** 0.5) // 2
                row, column = rng.randrange(8), rng.randrange(8)
                box = (
                    slice(None),
                    slice(max(row - half, 0), row + half),
                    slice(max(column - half, 0), column + half),
                )
                mixed[i][box] = x[partner][box]
                lam = 1 - x[i][box].numel() / 64
            shares.append(lam)
        share, one_hot = torch.tensor(shares)[:, None], F.one_hot(y, 10).float()
        target = share * one_hot + (1 - share) * one_hot[partners]
        total = F.cross_entropy(model(mixed), target, weight, label_smoothing=smoothing, reduction="sum")
        (total / (target @ weight).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert number == 2
    torch.testing.assert_close(weights(run["fit"].learner.model), weights(model))


def test_an_epoch_that_was_cut_short_leaves_the_plain_loss():
    seen = []

    class CutsShort(Callback):
        def after_step(self) -> None:
            if self.learner.epoch == 0:
                raise CancelEpoch

        def before_validate(self) -> None:
            seen.append(self.learner.loss_func)

    run = train(mixup(), CutsShort(), epochs=2)
    assert seen == [run.loss_func] and not isinstance(run.loss_func, MixedLoss)
