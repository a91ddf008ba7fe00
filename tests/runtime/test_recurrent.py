"""Recurrent layers and single numbers, against torch's own and formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mfc.runtime.layers.recurrent import gru, lstm
from mfc.runtime.layers.scalar import bias, scale
from mfc.runtime.models import build_model
from tests.runtime.plans import layer, stack

ARGUMENTS = [
    {},
    {"layers": 2, "dropout": 0.5},
    {"bidirectional": True},
    {"layers": 3, "bidirectional": True, "bias": False},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("ours, theirs", [(lstm, nn.LSTM), (gru, nn.GRU)])
def test_recurrent_layers_are_torchs(ours, theirs, arguments):
    options = {"num_layers": arguments.get("layers", 1)} | {
        k: v for k, v in arguments.items() if k != "layers"
    }
    module, reference = ours(5, 7, **arguments), theirs(5, 7, batch_first=True, **options)
    reference.load_state_dict(module.state_dict())
    x = torch.randn(3, 11, 5)
    for mode in (True, False):
        torch.manual_seed(1)
        out = module.train(mode)(x)
        torch.manual_seed(1)
        assert torch.equal(out, reference.train(mode)(x)[0])
    assert out.shape == (3, 11, 14 if "bidirectional" in arguments else 7)


def test_an_lstm_is_its_formula():
    module: Any = lstm(2, 3)
    x = torch.randn(4, 5, 2)
    hidden, cell, outs = torch.zeros(4, 3), torch.zeros(4, 3), []
    for step in range(5):
        sums = x[:, step] @ module.weight_ih_l0.T + module.bias_ih_l0
        sums = sums + hidden @ module.weight_hh_l0.T + module.bias_hh_l0
        take, forget, candidate, give = sums.chunk(4, 1)
        cell = forget.sigmoid() * cell + take.sigmoid() * candidate.tanh()
        hidden = give.sigmoid() * cell.tanh()
        outs.append(hidden)
    torch.testing.assert_close(module(x), torch.stack(outs, 1))


def test_a_step_sees_what_came_before_it_and_both_directions_all():
    for directions, sees in ((False, 3), (True, 0)):
        x = torch.randn(1, 6, 2, requires_grad=True)
        gru(2, 4, bidirectional=directions)(x)[0, 2].sum().backward()
        assert x.grad is not None
        seen = x.grad[0].abs().sum(1) > 0
        assert seen[:3].all() and seen[3:].all() == (sees == 0)


@pytest.mark.parametrize("component", [lstm, gru])
def test_dropout_needs_two_layers(component):
    with pytest.raises(ValueError, match="between layers"):
        component(3, 4, dropout=0.5)


def test_single_numbers():
    x = torch.randn(2, 3)
    shift, factor = bias(), scale(init=2.5)
    assert torch.equal(shift(x), x) and torch.equal(factor(x), 2.5 * x)
    (factor(shift(x))).sum().backward()
    assert shift.bias.grad is not None and factor.scale.grad is not None
    assert shift.bias.grad.item() == pytest.approx(2.5 * 6)
    assert factor.scale.grad.item() == pytest.approx(x.sum().item(), abs=1e-5)


def test_a_number_that_stays():
    """It is part of the weights, so that a model read back computes the same, and no optimizer sees it."""
    fixed = scale(init=0.125, learned=False)
    x = torch.randn(3, 4)
    assert torch.equal(fixed(x), x / 8)
    assert list(fixed.parameters()) == []
    assert {name: value.item() for name, value in fixed.state_dict().items()} == {"scale": 0.125}


@pytest.mark.parametrize("before", [layer("bias"), layer("scale", init=2.0), layer("running_batchnorm", c=3)])
def test_a_rectifier_may_overwrite_what_single_numbers_give(before):
    """In place saves memory, and gradients stay right."""
    model = build_model(stack("", before, layer("relu")))
    assert model.get_submodule("relu").inplace is True
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.double().eval(), (x,))
