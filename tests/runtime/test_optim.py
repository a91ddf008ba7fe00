"""Optimizers against torch's and fastai's, on the lowered and the composed path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from mfc.runtime.component import stat, stepper
from mfc.runtime.errors import RunError
from mfc.runtime.optim.optimizer import Composition
from mfc.runtime.optim.optimizers import adam, adamw, momentum, sgd
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.rates import spread
from mfc.runtime.optim.stats import average_grad, average_sqr_grad, step_count
from mfc.runtime.optim.steppers import adam_step, momentum_step, sgd_step, weight_decay
from tests.runtime.optimizing import (
    LAYOUTS,
    NET,
    SHAPES,
    assert_equal,
    case,
    pieces_of,
    set_ours,
    train,
    trained,
    trained_by_torch,
)

PATHS = pytest.mark.parametrize("lowered", [True, False], ids=["lowered", "composed"])


def peers(wd: float, sqr_mom: float = 0.99, eps: float = 1e-5) -> dict[str, tuple[Composition, Any]]:
    """Ours and torch's of the same update. Without momentum both kinds of decay are one."""
    betas = {"betas": (0.9, sqr_mom), "eps": eps, "weight_decay": wd, "foreach": False}
    plain = {"lr": 1e-3, "weight_decay": wd, "foreach": False}
    ours: dict[str, Any] = {"wd": wd, "wd_bn_bias": True}
    return {
        "adamw": (adamw(sqr_mom=sqr_mom, eps=eps, wd=wd), lambda p: torch.optim.AdamW(p, **betas)),
        "adam": (adam(sqr_mom=sqr_mom, eps=eps, **ours), lambda p: torch.optim.AdamW(p, **betas)),
        "adam_l2": (
            adam(sqr_mom=sqr_mom, eps=eps, decouple_wd=False, **ours),
            lambda p: torch.optim.Adam(p, **betas),
        ),
        "sgd": (sgd(**ours), lambda p: torch.optim.SGD(p, **plain)),
        "sgd_l2": (sgd(decouple_wd=False, **ours), lambda p: torch.optim.SGD(p, **plain)),
        "sgd_momentum": (
            sgd(mom=0.9, decouple_wd=False, **ours),
            lambda p: torch.optim.SGD(p, momentum=0.9, **plain),
        ),
        "momentum": (momentum(wd=wd), lambda p: torch.optim.SGD(p, momentum=0.9, **plain)),
        "nesterov": (
            momentum(wd=wd, nesterov=True),
            lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True, **plain),
        ),
    }


NAMES = list(peers(0.1))


@PATHS
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(
    shapes=st.lists(
        st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(LAYOUTS)), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 10_000),
    wd=st.sampled_from([0.0, 1e-2, 0.3]),
    sqr_mom=st.floats(0.5, 0.9999),
    eps=st.sampled_from([1e-8, 1e-5, 1e-2]),
    lr=st.floats(1e-4, 0.1),
    missing=st.sampled_from([0.0, 0.2]),
    mixed=st.booleans(),
    chunk=st.sampled_from([16, 100, 1000, 131_072]),
)
def test_equals_torch(name, lowered, shapes, seed, wd, sqr_mom, eps, lr, missing, mixed, chunk):
    factory, make = peers(wd, sqr_mom, eps)[name]
    run = case(shapes, seed=seed, lr=lr, missing=missing, mixed=mixed)
    with pieces_of(chunk):
        ours = trained(factory, run, lowered=lowered)
    assert_equal(ours, trained_by_torch(make, run), atol=1e-9, rtol=1e-9)


@PATHS
@pytest.mark.parametrize("name", NAMES)
def test_equals_torch_in_single_precision(name, lowered):
    shapes = [
        [((40, 30, 3, 3), "channels_last"), ((40,), "contiguous")],
        [((10, 40), "contiguous"), ((10,), "contiguous")],
    ]
    factory, make = peers(1e-2)[name]
    run = case(shapes, missing=0.1, dtype=torch.float32, scale=0.1)  # as trained weights
    with pieces_of(4000):
        ours = trained(factory, run, lowered=lowered)
    assert_equal(ours, trained_by_torch(make, run))
    assert ours[0][0].is_contiguous(memory_format=torch.channels_last)


@PATHS
@pytest.mark.parametrize(
    "momentum_at", [lambda step: 0.0, lambda step: step % 3 * 0.4], ids=["none", "changing"]
)
def test_momentum_of_zero_makes_the_average_the_gradient(lowered, momentum_at):
    run = case([[((4, 3), "contiguous")]], steps=9)
    for step, (hyper,) in enumerate(run.hypers):
        hyper["mom"] = momentum_at(step)
    ours = trained(momentum(), run, lowered=lowered)
    p, average = run.groups[0][0].clone(), torch.zeros(4, 3, dtype=torch.float64)
    for ((gradient,),), (hyper,) in zip(run.gradients, run.hypers):
        assert gradient is not None
        average = hyper["mom"] * average + gradient
        p -= hyper["lr"] * average
    assert_equal(ours, [[p]], atol=1e-12)


FASTAI = {  # what fastai 2.8's Adam and SGD make of [1, -2, 3] in the four steps below
    "adam": (adam(lr=0.1, wd_bn_bias=True), [0.8067464416111704, -1.8072654832004418, 2.9123347472210916]),
    "adam_l2": (
        adam(lr=0.1, wd=0.1, decouple_wd=False, wd_bn_bias=True),
        [0.8081678662474211, -1.8115535014593596, 2.8105782384241245],
    ),
    "sgd": (sgd(wd=0.1, wd_bn_bias=True), [0.9395032925000001, -1.8965604187500003, 2.9341120762500004]),
    "sgd_momentum": (
        sgd(mom=0.9, wd=0.1, wd_bn_bias=True),
        [0.91340741375, -1.8467742825000002, 2.93221197625],
    ),
    "sgd_momentum_l2": (
        sgd(mom=0.9, wd=0.1, decouple_wd=False, wd_bn_bias=True),
        [0.89701139, -1.8140541, 2.8827104100000005],
    ),
}


@PATHS
@pytest.mark.parametrize("name", FASTAI)
def test_equals_fastai(name, lowered):
    factory, expected = FASTAI[name]
    p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    optimizer = factory.create([{"params": [p]}], lowered=lowered)
    for i in range(4):
        p.grad = torch.tensor([0.1 * (i + 1), -0.3, 0.02 * i], dtype=torch.float64)
        optimizer.hypers[0].update(lr=0.1 / (i + 1), mom=0.95 - 0.02 * i)
        optimizer.step()
    assert optimizer.lowered == lowered
    assert p.tolist() == pytest.approx(expected, rel=1e-12)


def test_what_is_lowered():
    def is_lowered(*parts: Part) -> bool:
        return Composition(parts).create([{"params": [nn.Parameter(torch.ones(2))]}]).lowered

    class other_step(adam_step):
        pass

    adam_stats = (average_grad(dampening=True), average_sqr_grad(), step_count())
    assert is_lowered(*adam_stats, adam_step())
    assert is_lowered(average_grad(dampening=True), momentum_step())
    assert not is_lowered(*adam_stats, other_step())
    assert not is_lowered(average_grad(), average_sqr_grad(), step_count(), adam_step())
    assert not is_lowered(weight_decay(), weight_decay(), sgd_step())
    assert not is_lowered(average_grad(), sgd_step())
    assert not is_lowered(*adam_stats, adam_step(), sgd_step())


@PATHS
def test_dampened_momentum(lowered):
    run = case([[((4, 3), "contiguous")]], steps=9)
    parts = (weight_decay(0.1), average_grad(dampening=True), momentum_step())
    ours = trained(Composition(parts), run, lowered=lowered)
    p, average = run.groups[0][0].clone(), torch.zeros(4, 3, dtype=torch.float64)
    for ((gradient,),), (hyper,) in zip(run.gradients, run.hypers):
        assert gradient is not None
        average = hyper["mom"] * average + (1 - hyper["mom"]) * gradient
        p = p * (1 - hyper["lr"] * 0.1) - hyper["lr"] * average
    assert_equal(ours, [[p]], atol=1e-12)


# ── state ───────────────────────────────────────────────────────────────────────────────────────────────────


@PATHS
@pytest.mark.parametrize("name", ["adam", "momentum", "sgd"])
def test_saved_state_goes_on_bit_for_bit(name, lowered, tmp_path):
    factory = peers(1e-2)[name][0]
    run = case(NET, missing=0.1, steps=20, dtype=torch.float32)
    first, second = run.halves()
    with pieces_of(100):
        whole = trained(factory, run, lowered=lowered)
        params = run.params()
        optimizer = factory.create([{"params": group} for group in params], lowered=lowered)
        train(optimizer, params, first, set_ours)
        state = optimizer.state_dict()
        save_file(state.pop("tensors"), tmp_path / "state.safetensors")
        (tmp_path / "state.json").write_text(json.dumps(state))

        again = [[nn.Parameter(p.detach().clone()) for p in group] for group in params]
        optimizer = factory.create([{"params": group} for group in again], lowered=lowered)
        state = json.loads((tmp_path / "state.json").read_text())
        optimizer.load_state_dict({"tensors": load_file(tmp_path / "state.safetensors"), **state})
        assert [hyper["lr"] for hyper in optimizer.hypers] == [hyper["lr"] for hyper in first.hypers[-1]]
        train(optimizer, again, second, set_ours)
    for group, others in zip(whole, again):
        assert all(torch.equal(p, q) for p, q in zip(group, others))


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_state_is_the_same_lowered_or_not(name):
    factory = peers(1e-2)[name][0]
    run = case(NET, missing=0.1, steps=20)
    params = run.params()
    first, second = run.halves()
    optimizer = factory.create([{"params": group} for group in params], lowered=True)
    train(optimizer, params, first, set_ours)
    composed = factory.create([{"params": group} for group in params], lowered=False)
    composed.load_state_dict(optimizer.state_dict())
    train(composed, params, second, set_ours)
    assert_equal(params, trained(factory, run, lowered=True), atol=1e-12)


@PATHS
def test_state_dict_is_a_copy_in_the_parameters_shape(lowered):
    run = case(NET, steps=3)
    params = run.params()
    optimizer = adam().create([{"params": group} for group in params], lowered=lowered)
    assert optimizer.state_dict()["tensors"] == {}
    train(optimizer, params, run, set_ours)
    state = optimizer.state_dict()
    assert sorted(state["tensors"]) == sorted(
        f"{group}.{index}.{name}" for group in (0, 1) for index in (0, 1) for name in ("grad_avg", "sqr_avg")
    )
    assert state["steps"] == [[3, 3], [3, 3]]
    for group, own in enumerate(params):
        for index, p in enumerate(own):
            tensor = state["tensors"][f"{group}.{index}.sqr_avg"]
            assert tensor.shape == p.shape and tensor.is_contiguous()
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
    before = {key: tensor.clone() for key, tensor in state["tensors"].items()}
    train(optimizer, params, run, set_ours)
    assert all(torch.equal(tensor, before[key]) for key, tensor in state["tensors"].items())


@PATHS
def test_cleared_state_starts_anew(lowered):
    run = case(NET, steps=5)
    params = run.params()
    optimizer = adam().create([{"params": group} for group in params], lowered=lowered)
    train(optimizer, params, run, set_ours)
    optimizer.clear_state()
    assert optimizer.state_dict()["tensors"] == {} and optimizer.state_dict()["steps"] == [[0, 0], [0, 0]]
    with torch.no_grad():
        for group, tensors in zip(params, run.groups):
            for p, tensor in zip(group, tensors):
                p.copy_(tensor)
    train(optimizer, params, run, set_ours)
    assert_equal(params, trained(adam(), run, lowered=lowered), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["steps"].pop(), r"it is of groups of \[2\] parameters, these are \[2, 2\]"),
        (
            lambda s: s["tensors"].update({"0.0.slow": torch.ones(2)}),
            "it keeps `slow`, this optimizer `grad_avg` and",
        ),
        (
            lambda s: s["tensors"].update({"0.1.grad_avg": torch.ones(9)}),
            r"parameter 1 of group 0 has shape \[8\], not \[9\]",
        ),
        (lambda s: s["hypers"][0].pop("mom"), "it has no hyperparameter `mom`"),
    ],
)
def test_state_of_another_optimizer(change, message):
    run = case(NET, steps=2)
    params = run.params()
    optimizer = adam().create([{"params": group} for group in params])
    train(optimizer, params, run, set_ours)
    state = optimizer.state_dict()
    change(state)
    with pytest.raises(RunError, match=message) as caught:
        optimizer.load_state_dict(state)
    assert caught.value.code == "R0223"


# ── parameters that stay where they are, move, freeze ───────────────────────────────────────────────────────


@PATHS
def test_parameters_and_gradients_stay_where_they_are(lowered):
    run = case(NET, steps=1, dtype=torch.float32)
    params = run.params()
    optimizer = adam(wd=0.1, decouple_wd=False, wd_bn_bias=True).create(
        [{"params": group} for group in params], lowered=lowered
    )
    places = [p.data_ptr() for group in params for p in group]
    with pieces_of(100):
        train(optimizer, params, run, set_ours)
    flat = [p for group in params for p in group]
    assert [p.data_ptr() for p in flat] == places
    assert all(p.untyped_storage().nbytes() == p.nbytes for p in flat), "no parameter shares its memory"
    for p, gradient in zip(flat, (g for group in run.gradients[0] for g in group)):
        assert p.grad is not None and gradient is not None
        assert torch.equal(p.grad, gradient), "the penalty is not left in the gradient"
    optimizer.zero_grad()
    assert all(p.grad is None for p in flat)


@PATHS
def test_gradients_that_add_up_over_two_backwards(lowered):
    p = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = sgd(lr=0.1).create([{"params": [p]}], lowered=lowered)
    for _ in range(2):
        for _ in range(2):
            (p * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert p.tolist() == pytest.approx([1 - 0.4, 1 - 0.8, 1 - 1.2])


@PATHS
@pytest.mark.parametrize(
    ("move", "atol"),
    [
        (lambda m: m.to(memory_format=torch.channels_last), 1e-12),
        (lambda m: m.to(memory_format=torch.contiguous_format), 1e-12),
        (lambda m: m.load_state_dict(m.state_dict()), 1e-12),
        (lambda m: [setattr(p, "data", p.data.clone()) for p in m.parameters()], 1e-12),
        (lambda m: m.float(), 1e-6),
    ],
    ids=["channels_last", "contiguous", "load", "replaced", "type"],
)
def test_follows_a_model_that_moves(lowered, move, atol):
    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1), nn.Flatten(), nn.Linear(144, 3)
        ).double()

    ours, theirs = net(), net()
    optimizer = adamw(wd=0.1).create([{"params": ours.parameters()}], lowered=lowered)
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    with pieces_of(200):
        for step in range(6):
            if step == 3:
                move(ours)
            for model, each in ((ours, optimizer), (theirs, reference)):
                each.zero_grad()
                model(images.to(next(model.parameters()).dtype)).square().mean().backward()
                each.step()
    assert_equal([list(ours.parameters())], [list(theirs.parameters())], atol=atol)


@PATHS
def test_frozen_groups_stay_and_keep_no_state(lowered):
    run = case(NET, steps=4)
    params = run.params()
    for p in params[0]:
        p.requires_grad_(False)
    optimizer = adam().create([{"params": group} for group in params], lowered=lowered)
    first, second = run.halves()
    train(optimizer, params, first, set_ours)  # leaves gradients on frozen parameters: they don't count
    assert_equal(params[:1], run.groups[:1], atol=0, rtol=0)
    state = optimizer.state_dict()
    assert state["steps"] == [[0, 0], [2, 2]]
    assert all(key.startswith("1.") for key in state["tensors"])

    for p in params[0]:
        p.requires_grad_(True)
    train(optimizer, params, second, set_ours)
    assert optimizer.state_dict()["steps"] == [[2, 2], [4, 4]]
    alone = trained(adam(), replace(second, groups=run.groups[:1]), lowered=lowered)
    assert_equal(params[:1], alone, atol=1e-12)
    assert_equal(params[1:], trained(adam(), run, lowered=lowered)[1:], atol=1e-12)

    for p in params[1]:
        p.requires_grad_(False)
    train(optimizer, params, first, set_ours)
    assert optimizer.state_dict()["steps"] == [[4, 4], [4, 4]], "its state is there when it trains again"


# ── hyperparameters ─────────────────────────────────────────────────────────────────────────────────────────


@PATHS
def test_biases_and_norms_without_decay(lowered):
    run = case(NET)
    ours = trained(adam(wd=0.3), run, lowered=lowered)
    decayed = trained_by_torch(
        lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.3), run
    )
    bare = trained_by_torch(lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99), eps=1e-5, weight_decay=0), run)
    assert_equal([group[:1] for group in ours], [group[:1] for group in decayed], atol=1e-9)
    assert_equal([group[1:] for group in ours], [group[1:] for group in bare], atol=1e-9)


def test_hyperparameters_of_groups():
    groups: list[dict[str, Any]] = [{"params": [nn.Parameter(torch.ones(2))]} for _ in range(3)]
    groups[1]["wd"] = 0.5
    groups[2]["lr"] = 7.0
    optimizer = adam(lr=spread(1e-3, factor=10), mom=0.8).create(groups)
    assert [hyper["lr"] for hyper in optimizer.hypers] == pytest.approx([1e-5, 1e-4, 7.0])
    assert [hyper["wd"] for hyper in optimizer.hypers] == [0.01, 0.5, 0.01]
    assert optimizer.hypers[0] == {
        "lr": pytest.approx(1e-5),
        "wd": 0.01,
        "mom": 0.8,
        "sqr_mom": 0.99,
        "eps": 1e-5,
    }


def test_unknown_hyperparameter_of_a_group():
    with pytest.raises(RunError, match="parameter group 0 sets `betas`") as caught:
        adam().create([{"params": [], "betas": 1}])
    assert caught.value.code == "R0221"
    assert caught.value.help == "its hyperparameters are lr, wd, mom, sqr_mom, eps"


def test_a_parameter_in_two_groups_belongs_to_the_first():
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = sgd(lr=1.0).create([{"params": [p, q]}, {"params": [q, p], "lr": 100.0}])
    p.grad, q.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    assert p.tolist() == q.tolist() == [0, 0]


# ── compositions of one's own ───────────────────────────────────────────────────────────────────────────────


@stat(keeps=("largest",))
class largest_grad(Part):
    "Keeps the largest magnitude that each gradient ever had."

    def __call__(self, piece, hyper):
        torch.maximum(piece.largest, piece.grad.abs(), out=piece.largest)


@stepper(reads=("grad_avg", "largest", "step"))
class adamax_step(Part):
    "Steps against the averaged gradient over its largest magnitude, less from step to step."

    def __init__(self, fade: float = 0.5) -> None:
        self.hypers = {"fade": fade}

    def __call__(self, piece, hyper):
        scale = hyper["lr"] * hyper["fade"] ** piece.step
        piece.p.addcdiv_(piece.grad_avg, piece.largest, value=-scale)


@pytest.mark.parametrize("chunk", [16, 100, 131_072])
def test_own_stats_and_steppers(chunk):
    run = case(NET, steps=6, missing=0.3)
    factory = Composition([average_grad(), largest_grad(), step_count(), adamax_step()])
    with pieces_of(chunk):
        ours = trained(factory, run, lowered=True)
    for group, (tensors, params) in enumerate(zip(run.groups, ours)):
        for index, (tensor, parameter) in enumerate(zip(tensors, params)):
            p, average, largest, count = tensor.clone(), torch.zeros_like(tensor), torch.zeros_like(tensor), 0
            for gradients, hypers in zip(run.gradients, run.hypers):
                if (gradient := gradients[group][index]) is not None:
                    count += 1
                    average = average * hypers[group]["mom"] + gradient
                    largest = torch.maximum(largest, gradient.abs())
                    p -= hypers[group]["lr"] * 0.5**count * average / largest
            torch.testing.assert_close(parameter.detach(), p, atol=1e-12, rtol=1e-12)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_pieces_in_threads(two_threads):
    run = case(NET, steps=10, missing=0.1)
    with pieces_of(16):
        ours = trained(adam(), run, lowered=False)
    assert torch.get_num_threads() == 2, "the threads' own number stays theirs"
    assert_equal(ours, trained(adam(), run, lowered=True), atol=1e-12)


@stepper
class failing_step(Part):
    "Fails."

    def __call__(self, piece, hyper):
        raise ValueError("no step")


@pytest.mark.parametrize("chunk", [16, 131_072])
def test_what_a_part_raises_in_a_thread(two_threads, chunk):
    run = case(NET, steps=1)
    with pieces_of(chunk), pytest.raises(ValueError, match="no step"):
        trained(Composition([failing_step()]), run, lowered=False)


def test_a_stepper_without_its_stat():
    with pytest.raises(
        RunError, match="`adam_step` reads `sqr_avg`, which no stat before it keeps"
    ) as caught:
        Composition([average_grad(), step_count(), adam_step()])
    assert caught.value.code == "R0222"
