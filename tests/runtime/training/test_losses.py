"""Losses against torch's functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mfc.runtime.errors import RunError
from mfc.runtime.training.losses import bce, cross_entropy, mse


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


@pytest.mark.parametrize("loss", [cross_entropy, bce])
def test_weights_of_the_wrong_number(loss):
    with pytest.raises(RunError) as caught:
        loss(weights=[1.0, 2.0])(draw(0, 2, 3), torch.tensor([0, 1]))
    assert caught.value.code == "R0207"
    assert caught.value.message == "the loss has 2 weights, but the model has 3 outputs"
