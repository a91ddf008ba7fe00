"""Muon against torch's, and against its rule by hand where torch has none: convolutions, and all but matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mfc.runtime.bfloat16 import cpu_has_bf16
from mfc.runtime.errors import RunError
from mfc.runtime.models import ends
from mfc.runtime.optim import orthogonal
from mfc.runtime.optim.optimizer import Composition
from mfc.runtime.optim.optimizers import adamw, bn_bias_lr, lookahead, muon, stateful
from mfc.runtime.optim.orthogonal import orthogonalised
from mfc.runtime.optim.stats import average_grad
from mfc.runtime.optim.steppers import momentum_step, muon_step, weight_decay
from tests.runtime.optimizing import (
    Case,
    assert_equal,
    assert_goes_on,
    case,
    pieces_of,
    set_ours,
    train,
    trained,
    trained_by_torch,
)

MATRICES: list[list[tuple[tuple[int, ...], str]]] = [
    [((40, 30), "contiguous"), ((12, 50), "transposed")],
    [((50, 7), "gaps"), ((3, 8), "contiguous")],
]
MIXED: list[list[tuple[tuple[int, ...], str]]] = [
    [((8, 3, 3, 3), "channels_last"), ((8,), "contiguous"), ((1, 6), "contiguous")],
    [((20, 72), "transposed"), ((5, 20), "contiguous"), ((5,), "contiguous")],
]
WD = 0.1


@pytest.fixture(params=["float32", "bfloat16"])
def computed_in(request, monkeypatch) -> str:
    """The type in which matrices of any size are made orthogonal."""
    if request.param == "bfloat16" and not cpu_has_bf16():
        pytest.skip("this CPU has no bfloat16 instructions")
    monkeypatch.setattr(orthogonal, "has_bf16", lambda device: request.param == "bfloat16")
    monkeypatch.setattr(orthogonal, "SMALL", 0)
    return request.param


def by_hand(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Jordan's iteration on the singular values themselves."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ v


# ── the orthogonal matrix ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(30, 30), (12, 80), (80, 12), (1, 9), (9, 1), (1, 1)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_become_about_one(computed_in, shape, scale):
    torch.manual_seed(0)
    rows, columns = shape
    u, _, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    matrix = scale * u @ torch.diag(torch.linspace(0.1, 2.0, min(rows, columns)).double()) @ v
    made = orthogonalised(matrix.float(), 5)
    assert made.shape == shape and made.dtype is getattr(torch, computed_in)
    values = torch.linalg.svdvals(made.double())
    assert values.min() > 0.65 and values.max() < 1.25
    atol = 1e-4 if computed_in == "float32" else 0.05
    torch.testing.assert_close(made.double(), by_hand(matrix), atol=atol, rtol=0)


def test_zeros_stay_zeros(computed_in):
    assert orthogonalised(torch.zeros(4, 3), 5).eq(0).all()


def test_small_matrices_are_made_orthogonal_in_float32(monkeypatch):
    monkeypatch.setattr(orthogonal, "has_bf16", lambda device: True)
    assert orthogonalised(torch.ones(128, 128), 1).dtype is torch.float32
    assert orthogonalised(torch.ones(128, 129), 1).dtype is torch.bfloat16


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False], ids=["nesterov", "plain"])
@pytest.mark.parametrize("wd", [0.0, 0.3])
@pytest.mark.parametrize("chunk", [100, 131_072])
def test_equals_torch(computed_in, adjust, nesterov, wd, chunk):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")

    def theirs(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Muon(groups, weight_decay=wd, nesterov=nesterov, adjust_lr_fn=adjust)

    run = case(MATRICES, steps=12, missing=0.1, dtype=torch.float32, scale=0.1)
    parts = [weight_decay(wd), average_grad(0.95, dampening=True), muon_step(nesterov, 5, adjust)]
    with pieces_of(chunk):
        ours = trained(Composition(parts), run, lowered=True)
        named = trained(muon(wd=wd, nesterov=nesterov, adjust=adjust), run, lowered=True)
    assert_equal(ours, named, atol=0, rtol=0)
    # twelve steps of up to lr * 0.2 * sqrt(50) = 0.014, or that times sqrt(50 / 7); torch's are in bfloat16
    assert_equal(ours, trained_by_torch(theirs, run), atol=1.5e-3, rtol=0)


def hand_trained(run: Case, is_rest: Callable[[int, int], bool], rest_of: Any) -> list[list[torch.Tensor]]:
    """Muon of the second paper on what is no rest; the rest as it is given."""
    made = [[tensor.double().clone() for tensor in group] for group in run.groups]
    averages = [[torch.zeros_like(p) for p in group] for group in made]
    for gradients, hypers in zip(run.gradients, run.hypers):
        for group, (own, hyper) in enumerate(zip(gradients, hypers)):
            for index, g in enumerate(own):
                if g is None or is_rest(group, index):
                    continue
                p, average = made[group][index], averages[group][index]
                average.lerp_(g.double(), 1 - hyper["mom"])
                direction = torch.lerp(g.double(), average, hyper["mom"]).reshape(len(p), -1)
                p *= 1 - hyper["lr"] * WD
                p -= 0.2 * math.sqrt(max(direction.shape)) * hyper["lr"] * by_hand(direction).reshape(p.shape)
    for group, own in enumerate(made):
        for index in range(len(own)):
            if is_rest(group, index):
                own[index] = rest_of[group][index].double()
    return made


@pytest.mark.parametrize("chunk", [16, 131_072])
@pytest.mark.parametrize("mixed", [True, False], ids=["gradients_anyhow", "gradients_alike"])
def test_convolutions_are_matrices_and_the_rest_is_adamw(chunk, mixed):
    """The one row, the vectors, and the given end are stepped by AdamW, in every layout of memory and of pieces."""
    rest = {(0, 1), (0, 2), (1, 1), (1, 2)}
    run = case(MIXED, steps=12, missing=0.1, mixed=mixed, dtype=torch.float32, scale=0.1)

    def adam(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, betas=(0.95, 0.95), eps=1e-8, weight_decay=WD)

    params = run.params()
    optimizer = muon(wd=WD, wd_bn_bias=True).create(
        [{"params": group} for group in params], ends=[params[1][1]]
    )
    with pieces_of(chunk):
        train(optimizer, params, run, set_ours)
    expected = hand_trained(run, lambda *at: at in rest, trained_by_torch(adam, run))
    assert_equal(params, expected, atol=2e-5)
    assert params[0][0].is_contiguous(memory_format=torch.channels_last)
    kept = optimizer.state_dict()["tensors"]
    assert {key for key in kept if key.endswith("sqr_avg")} == {f"{g}.{i}.sqr_avg" for g, i in rest}
    assert len([key for key in kept if key.endswith("grad_avg")]) == 6


def test_rows_anywhere_in_memory():
    """Weights whose first dimension lies within others, as that of a transposed convolution may, step the same."""
    torch.manual_seed(0)
    start, gradient = torch.randn(4, 5, 3), torch.randn(4, 5, 3)
    made = []
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)):
        back = [order.index(i) for i in range(3)]
        p = nn.Parameter(start.clone().permute(order).contiguous().permute(back))
        p.grad = gradient.clone()
        muon().create([{"params": [p]}]).step()
        made.append(p.detach())
    for other in made[1:]:
        torch.testing.assert_close(other, made[0])
    assert not torch.equal(made[0], start)


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_a_parameter_of_one_dimension_is_a_column(adjust):
    """Composed without a rest it takes steps of one length, against its averaged gradient."""
    p = nn.Parameter(torch.zeros(9))
    p.grad = torch.arange(9.0)
    optimizer = stateful(
        stats=[average_grad(0.0)], steppers=[muon_step(adjust=adjust)], lr=0.1, wd_bn_bias=True
    ).create([{"params": [p]}])
    optimizer.step()
    length = 0.1 * (3 if adjust == "original" else 0.2 * 3)
    assert 0.65 * length < p.norm().item() < 1.25 * length
    torch.testing.assert_close(p.detach() / p.detach().norm(), -p.grad / p.grad.norm())


def test_undampened_momentum_makes_the_same_steps():
    run = case(MATRICES, steps=9, dtype=torch.float32, scale=0.1)
    for hyper in (hyper for hypers in run.hypers for hyper in hypers):
        hyper["mom"] = 0.9
    one, other = (
        trained(Composition([average_grad(dampening=dampening), muon_step()]), run, lowered=True)
        for dampening in (True, False)
    )
    assert_equal(one, other, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_parameters_of_other_types(dtype):
    run = case(MATRICES, steps=3, dtype=torch.float32, scale=0.1)
    narrow = replace(
        run,
        groups=[[p.to(dtype) for p in group] for group in run.groups],
        gradients=[
            [[None if g is None else g.to(dtype) for g in own] for own in step] for step in run.gradients
        ],
    )
    made = trained(muon(), narrow, lowered=True)
    assert_equal(made, trained(muon(), run, lowered=True), atol=5e-3, rtol=1e-2)


# ── in company ──────────────────────────────────────────────────────────────────────────────────────────────


def test_rates_of_the_rest_and_of_biases():
    """Each is a multiple of the group's, which a schedule drives, and so is that of the rest itself."""
    p, bias, head = (nn.Parameter(torch.zeros(shape)) for shape in ((4, 4), (4,), (2, 4)))
    optimizer = bn_bias_lr(muon(lr=0.5, wd=0.0, lr_rest=0.1, eps=0.0), factor=8.0).create(
        [{"params": [p, bias, head]}], ends=[head]
    )
    for rate, factor in ((0.5, 0.1), (0.25, 0.2), (0.25, 0.4)):
        before = bias[0].item(), head[0, 0].item()
        optimizer.hypers[0].update(lr=rate, lr_rest=factor)
        for parameter in (p, bias, head):
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        assert before[0] - bias[0].item() == pytest.approx(rate * factor * 8, rel=1e-4)
        assert before[1] - head[0, 0].item() == pytest.approx(rate * factor, rel=1e-4)


def test_looking_ahead_moves_matrices_and_the_rest():
    run = case(MIXED, steps=4, dtype=torch.float32, scale=0.1)
    once, ahead = (
        trained(factory, run, lowered=True)
        for factory in (muon(wd=WD), lookahead(muon(wd=WD), k=4, alpha=0.25))
    )
    expected = [[start.lerp(p.detach(), 0.25) for start, p in zip(*group)] for group in zip(run.groups, once)]
    assert_equal(ahead, expected, atol=1e-6)


@pytest.mark.parametrize("factory", [muon(), lookahead(muon(), k=3)], ids=["muon", "lookahead"])
@pytest.mark.parametrize("at", [7, 12])
def test_saved_state_goes_on_bit_for_bit(computed_in, factory, at, tmp_path):
    run = case(MIXED, missing=0.1, steps=20, dtype=torch.float32)

    def made(params: Any) -> Any:
        return factory.create([{"params": group} for group in params], ends=[params[1][1]])

    assert_goes_on(made, run, at, tmp_path)


def test_the_state_of_a_parameter_that_was_among_the_rest_does_not_fit():
    run = case(MATRICES, steps=1)
    params = run.params()
    groups = [{"params": group} for group in params]
    optimizer = muon().create(groups, ends=[params[0][0]])
    train(optimizer, params, run, set_ours)
    with pytest.raises(
        RunError, match="keeps `sqr_avg` of parameter 0 of group 0, this optimizer `grad_avg`"
    ):
        muon().create(groups).load_state_dict(optimizer.state_dict())


def test_frozen_matrices_have_no_state_until_they_are_trained():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    before = deepcopy(model.state_dict())
    model[0].requires_grad_(False)
    groups = [{"params": list(layer.parameters())} for layer in model]
    optimizer = muon().create(groups, ends=ends(model))
    for frozen in (True, False):
        model[0].requires_grad_(not frozen)
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        assert torch.equal(model.state_dict()["0.weight"], before["0.weight"]) is frozen
        assert ("0.0.grad_avg" in optimizer.state_dict()["tensors"]) is not frozen


def test_matrices_are_updated_in_threads_too():
    run = case([*MATRICES, *MIXED], steps=8, dtype=torch.float32, scale=0.1)
    threads = torch.get_num_threads()
    made = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            with pieces_of(16):
                made.append(trained(muon(), run, lowered=True))
    finally:
        torch.set_num_threads(threads)
    assert_equal(*made, atol=1e-6)


def test_the_rest_may_be_on_a_fused_kernel():
    """All but matrices alone are stepped as by `adamw`, to the bit."""
    run = case([[((7,), "contiguous"), ((1, 5), "contiguous")]], steps=6, dtype=torch.float32)
    ours = trained(muon(wd=0.1, wd_bn_bias=True), run, lowered=True)
    theirs = trained(adamw(sqr_mom=0.95, wd=0.1), run, lowered=True)
    assert_equal(ours, theirs, atol=0, rtol=0)


def test_the_rest_is_checked_as_the_parts_are():
    with pytest.raises(RunError, match="`momentum_step` reads `grad_avg`, which no stat before it keeps"):
        Composition([average_grad(), muon_step()], rest=[momentum_step()])
    with pytest.raises(RunError, match=r"`mom` is 0\.9 for `average_grad` and 0\.8 for `average_grad`"):
        Composition([average_grad(0.9), muon_step()], rest=[average_grad(0.8), momentum_step()])
