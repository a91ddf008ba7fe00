"""Losses against torch's functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.catalog import builtin_catalog
from mfc.runtime.errors import RunError
from mfc.runtime.training import losses
from mfc.runtime.training.losses import (
    bce,
    cross_entropy,
    dice,
    focal,
    l1,
    label_smoothing_cross_entropy,
    mse,
)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(
    st.integers(0, 1000),
    st.integers(1, 6),
    st.integers(2, 5),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([(), (3,), (2, 3)]),
)
def test_cross_entropy_is_torchs(seed, items, classes, smoothing, weighted, rest):
    pred = draw(seed, items, classes, *rest)
    target = draw(seed + 1, items, classes, *rest).argmax(1)
    weights = [0.5 + i for i in range(classes)] if weighted else None
    ours = cross_entropy(smoothing, weights)(pred, target)
    weight = torch.tensor(weights) if weights else None
    assert torch.equal(ours, F.cross_entropy(pred, target, weight, label_smoothing=smoothing))


@pytest.mark.parametrize("rest", [(5,), (2, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.2, "weights": [1.0, 2.0, 0.5]}, {"ignore_index": 1}]
)
def test_cross_entropy_of_classes_side_by_side_in_memory(rest, options):
    pred = draw(0, 4, *rest, 3).movedim(-1, 1).requires_grad_()
    apart = pred.detach().contiguous().requires_grad_()
    target = draw(1, 4, 3, *rest).argmax(1)
    losses = [cross_entropy(**options)(p, target) for p in (pred, apart)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, p)[0] for loss, p in zip(losses, (pred, apart))))


def test_cross_entropy_ignores_a_target():
    pred, target = draw(0, 4, 3), torch.tensor([0, 9, 2, 1])
    assert torch.equal(
        cross_entropy(ignore_index=9)(pred, target), cross_entropy()(pred[[0, 2, 3]], target[[0, 2, 3]])
    )


def test_cross_entropy_by_hand():
    pred = torch.tensor([[2.0, 0.0]])
    assert float(cross_entropy()(pred, torch.tensor([0]))) == pytest.approx(0.126928, abs=1e-6)
    loss = cross_entropy(label_smoothing=0.2)(pred, torch.tensor([0]))  # 0.9 and 0.1 of -log p
    assert float(loss) == pytest.approx(0.9 * 0.126928 + 0.1 * 2.126928, abs=1e-6)


def test_what_cross_entropys_outputs_mean():
    pred = draw(1, 4, 3, 2)
    assert torch.allclose(cross_entropy().activation(pred).sum(1), torch.ones(4, 2))
    assert torch.equal(cross_entropy().decode(pred), pred.argmax(1))


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_bce_is_torchs(seed, items, classes, weighted):
    pred, target = draw(seed, items, classes), (draw(seed + 1, items, classes) > 0).long()
    weights = [0.5 + i for i in range(classes)] if weighted else None
    weight = torch.tensor(weights) if weights else None
    expected = F.binary_cross_entropy_with_logits(pred, target.float(), weight)
    assert torch.equal(bce(weights)(pred, target), expected)


def test_bce_takes_categories_as_one_hot():
    pred, target = draw(2, 3, 4), torch.tensor([3, 0, 1])
    one_hot = torch.tensor([[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]])
    assert torch.equal(bce()(pred, target), bce()(pred, one_hot))
    assert torch.equal(bce(threshold=0.7).decode(pred), pred.sigmoid() >= 0.7)


def test_mse_never_compares_all_with_all():
    pred, target = draw(3, 5, 1), draw(4, 5)
    assert torch.equal(mse()(pred, target), F.mse_loss(pred[:, 0], target))
    assert torch.equal(mse()(draw(5, 5, 2), draw(6, 5, 2)), F.mse_loss(draw(5, 5, 2), draw(6, 5, 2)))
    with pytest.raises(RunError, match="predictions of shape 5x2 don't fit targets of shape 5"):
        mse()(draw(5, 5, 2), target)


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(2, 5), st.floats(0, 1), st.booleans())
def test_label_smoothing_is_the_mixture_of_the_target_and_all_classes(seed, items, classes, eps, weighted):
    pred, target = draw(seed, items, classes), draw(seed + 1, items, classes).argmax(1)
    weights = [0.5 + i for i in range(classes)] if weighted else None
    weight = torch.tensor(weights) if weights else torch.ones(classes)
    smoothed = (1 - eps) * F.one_hot(target, classes) + eps / classes
    expected = -(smoothed * weight * pred.log_softmax(1)).sum() / weight[target].sum()
    ours = label_smoothing_cross_entropy(eps, weights)(pred, target)
    torch.testing.assert_close(ours, expected)


def test_label_smoothing_has_fastais_default():
    """fastai's LabelSmoothingCrossEntropy()(tensor([[2., 0., 1.]]), tensor([0])): 0.9 nll + 0.1 mean(-log p)."""
    loss = label_smoothing_cross_entropy()(torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([0]))
    assert float(loss) == pytest.approx(0.9 * 0.407606 + 0.1 * 1.407606, abs=1e-6)


@given(
    st.integers(0, 1000),
    st.integers(1, 5),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    st.booleans(),
    st.sampled_from([(), (3,), (2, 3)]),
)
def test_focal_loss_is_lins(seed, items, classes, gamma, weighted, rest):
    pred, target = draw(seed, items, classes, *rest), draw(seed + 1, items, classes, *rest).argmax(1)
    weights = [0.5 + i for i in range(classes)] if weighted else None
    p = pred.double().softmax(1).gather(1, target[:, None])[:, 0]
    each = (torch.tensor(weights) if weights else torch.ones(classes)).double()[target]
    expected = (-each * (1 - p) ** gamma * p.log()).sum() / each.sum()
    ours = focal(gamma, weights)(pred, target)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    if gamma == 0:
        torch.testing.assert_close(ours, cross_entropy(weights=weights)(pred, target))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_slope_of_focal_loss_is_finite_where_all_is_right(gamma):
    pred = torch.tensor([[1000.0, 0.0], [0.0, 1.0]], requires_grad=True)
    focal(gamma)(pred, torch.tensor([0, 0])).backward()
    assert pred.grad is not None and pred.grad.isfinite().all()
    assert pred.grad[0].abs().max() == 0 and pred.grad[1].abs().min() > 0


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4))
def test_dice_is_milletaris(seed, items, classes, h, w):
    pred, target = 3 * draw(seed, items, classes, h, w), draw(seed + 1, items, classes, h, w).argmax(1)
    found = []
    for image, mask in zip(pred.double(), target):
        for name, p in enumerate(image.softmax(0)):
            true = [float(at == name) for at in mask.flatten()]
            shared = sum(a * b for a, b in zip(p.flatten().tolist(), true))
            found.append(
                1 - (2 * shared + 1e-6) / (sum(a * a for a in p.flatten().tolist()) + sum(true) + 1e-6)
            )
    assert float(dice()(pred, target)) == pytest.approx(sum(found) / len(found), abs=1e-5)


def test_dice_of_perfect_and_of_wholly_wrong_masks():
    target = torch.tensor([[[0, 1], [1, 0]]])
    right = 50 * torch.nn.functional.one_hot(target).movedim(-1, 1).float()
    assert float(dice()(right, target)) == pytest.approx(0, abs=1e-6)
    assert float(dice()(-right, target)) == pytest.approx(1, abs=1e-6)
    assert float(dice(smooth=1.0)(-right, target)) == pytest.approx(1 - 1 / 5)


@pytest.mark.parametrize(
    "loss", [dice(ignore_index=255), focal(ignore_index=255), cross_entropy(ignore_index=255)]
)
def test_pixels_that_are_ignored_count_for_nothing(loss):
    pred, target = draw(0, 2, 3, 4, 2), draw(1, 2, 3, 4, 2).argmax(1)
    target[:, 2:] = 255
    expected = loss(pred[:, :, :2], target[:, :2])
    torch.testing.assert_close(loss(pred, target), expected)
    torch.testing.assert_close(loss(pred.index_fill(2, torch.tensor([2, 3]), 9.0), target), expected)


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([(), (1,), (3,)]))
def test_l1_is_torchs(seed, items, rest):
    pred, target = draw(seed, items, *rest), draw(seed + 1, items, *rest)
    assert torch.equal(l1()(pred, target), F.l1_loss(pred, target))
    if rest == (1,):
        assert torch.equal(l1()(pred, target[:, 0]), F.l1_loss(pred, target))


BY_SHAPE = {"b classes ...": (3, 2, 2), "b classes h w": (3, 2, 2), "b classes": (3,), "b ...": (2,)}


@pytest.mark.parametrize(
    "info", [c for c in builtin_catalog() if c.kind == "loss"], ids=lambda info: info.name
)
@given(seed=st.integers(0, 100), items=st.integers(1, 5), weighted=st.booleans())
def test_every_loss_is_the_mean_of_those_of_its_items(info, seed, items, weighted):
    assert info.facts["per_item"]
    takes = [p.name for p in info.parameters]
    options = {"weights": [0.5, 2.0, 1.0]} if weighted and "weights" in takes else {}
    loss = getattr(losses, info.name)(**options)
    pred = draw(seed, items, *BY_SHAPE[info.facts["shape"]])
    target = pred.roll(1, 1) if "value" in info.facts["targets"] else draw(seed + 1, *pred.shape).argmax(1)
    found = loss.each(pred, target)
    each, weights = found if isinstance(found, tuple) else (found, torch.ones(items))
    assert each.shape == weights.shape == (items,)
    torch.testing.assert_close(loss(pred, target), each.sum() / weights.sum())
    # an item's part depends on that item alone
    alone = loss.each(pred[:1], target[:1])
    torch.testing.assert_close(alone[0] if isinstance(alone, tuple) else alone, each[:1])


@pytest.mark.parametrize("loss", [cross_entropy, bce, focal])
def test_weights_of_the_wrong_number(loss):
    with pytest.raises(RunError) as caught:
        loss(weights=[1.0, 2.0])(draw(0, 2, 3), torch.tensor([0, 1]))
    assert caught.value.code == "R0207"
    assert caught.value.message == "the loss has 2 weights, but the model has 3 outputs"
