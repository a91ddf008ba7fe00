"""Each optimizer against its paper's update rule, written here by hand, and against torch's and fastai's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.check_optimizer import hyperparameters
from mfc.runtime.component import stepper
from mfc.runtime.errors import RunError
from mfc.runtime.optim import optimizers, stats, steppers
from mfc.runtime.optim.optimizer import Composition
from mfc.runtime.optim.optimizers import (
    adam,
    bn_bias_lr,
    lamb,
    larc,
    lookahead,
    momentum,
    radam,
    ranger,
    rmsprop,
    sgd,
    stateful,
)
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.stats import average_grad, average_sqr_grad, slow_weights, step_count
from mfc.runtime.optim.steppers import (
    adam_step,
    l2_reg,
    lamb_decay_step,
    larc_step,
    momentum_step,
    weight_decay,
)
from tests.runtime.optimizing import (
    LAYOUTS,
    NET,
    SHAPES,
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

SQR_MOM, EPS, WD = 0.95, 1e-5, 0.1  # a short memory, so that RAdam is rectified within the steps

# ── the papers' rules ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Member:
    """A whole parameter and what is kept of it, for rules that know neither pieces nor groups."""

    p: torch.Tensor
    wd: float
    t: int = 0
    m: Any = 0.0
    v: Any = 0.0
    slow: Any = None


Rule = Callable[[Member, torch.Tensor, dict[str, float]], None]


def rms_prop(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
    """Tieleman and Hinton, slide 29: divide the gradient by a running average of its recent magnitude."""
    own.v = SQR_MOM * own.v + (1 - SQR_MOM) * g**2
    own.p -= hyper["lr"] * own.wd * own.p
    own.p -= hyper["lr"] * g / (own.v.sqrt() + EPS)


def averages(own: Member, g: torch.Tensor, mom: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Adam's two averages, their bias taken out."""
    own.m = mom * own.m + (1 - mom) * g
    own.v = SQR_MOM * own.v + (1 - SQR_MOM) * g**2
    return own.m / (1 - mom**own.t), own.v / (1 - SQR_MOM**own.t)


def r_adam(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
    """Liu et al., algorithm 2, with the threshold of the authors' code."""
    average, square = averages(own, g, hyper["mom"])
    own.p -= hyper["lr"] * own.wd * own.p
    most = 2 / (1 - SQR_MOM) - 1
    rho = most - 2 * own.t * SQR_MOM**own.t / (1 - SQR_MOM**own.t)
    if rho > 5:
        r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        own.p -= hyper["lr"] * r * average / (square.sqrt() + EPS)
    else:
        own.p -= hyper["lr"] * average


def lamb_rule(inside: bool) -> Rule:
    """You et al. 2019, algorithm 2, its decay `inside` the step or, as in fastai, before it."""

    def rule(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
        average, square = averages(own, g, hyper["mom"])
        step = average / (square.sqrt() + EPS)
        if inside:
            step = step + own.wd * own.p
        else:
            own.p -= hyper["lr"] * own.wd * own.p
        lengths = own.p.norm(), step.norm()
        trust = min(float(lengths[0] / lengths[1]), 10) if all(lengths) else 1
        own.p -= hyper["lr"] * trust * step

    return rule


def larc_rule(trust: float, clip: bool) -> Rule:
    """You et al. 2017, equation 6 and its clipped form; momentum as in fastai."""

    def rule(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
        own.m = hyper["mom"] * own.m + g
        own.p -= hyper["lr"] * own.wd * own.p
        if own.p.norm() and g.norm():
            local = trust * own.p.norm() / (g.norm() + own.wd * own.p.norm() + EPS)
            local = min(float(local), 1) if clip else float(local)
        else:
            local = 1
        own.p -= hyper["lr"] * local * own.m

    return rule


def looking_ahead(inner: Rule, k: int, alpha: float) -> Rule:
    """Zhang et al., algorithm 1."""

    def rule(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
        if own.slow is None:
            own.slow = own.p.clone()
        inner(own, g, hyper)
        if own.t % k == 0:
            own.slow = own.slow + alpha * (own.p - own.slow)
            own.p = own.slow.clone()

    return rule


def descent(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
    own.p -= hyper["lr"] * own.wd * own.p
    own.p -= hyper["lr"] * g


def by_hand(rule: Rule, run: Case, wd: float) -> list[list[torch.Tensor]]:
    """What the rule makes of a training; only parameters of more than one dimension decay."""
    made = []
    for group, tensors in enumerate(run.groups):
        made.append([])
        for index, tensor in enumerate(tensors):
            own = Member(tensor.clone(), wd if tensor.ndim > 1 else 0.0)
            for gradients, hypers in zip(run.gradients, run.hypers):
                if (g := gradients[group][index]) is not None:
                    own.t += 1
                    rule(own, g, hypers[group])
            made[-1].append(own.p)
    return made


def same_rules(wd: float) -> dict[str, tuple[Composition, Rule]]:
    shared: dict[str, Any] = {"sqr_mom": SQR_MOM, "eps": EPS, "wd": wd}
    adam_stats = [average_grad(dampening=True), average_sqr_grad(SQR_MOM), step_count()]
    return {
        "rmsprop": (rmsprop(**shared), rms_prop),
        "radam": (radam(**shared), r_adam),
        "lamb": (lamb(**shared), lamb_rule(inside=False)),
        "lamb_of_the_paper": (
            stateful(stats=adam_stats, steppers=[lamb_decay_step(wd, EPS)]),
            lamb_rule(inside=True),
        ),
        "larc": (larc(eps=EPS, wd=wd, trust_coeff=0.02), larc_rule(0.02, True)),
        "lars": (larc(eps=EPS, wd=wd, trust_coeff=3.0, clip=False), larc_rule(3.0, False)),
        "lookahead": (lookahead(sgd(wd=wd), k=4, alpha=0.3), looking_ahead(descent, 4, 0.3)),
        "ranger": (ranger(**shared, k=3), looking_ahead(r_adam, 3, 0.5)),
    }


NAMES = list(same_rules(WD))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(
    shapes=st.lists(
        st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(LAYOUTS)), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 10_000),
    wd=st.sampled_from([0.0, WD]),
    missing=st.sampled_from([0.0, 0.2]),
    chunk=st.sampled_from([16, 100, 131_072]),
)
def test_equals_the_rule_by_hand(name, shapes, seed, wd, missing, chunk):
    factory, rule = same_rules(wd)[name]
    run = case(shapes, seed=seed, missing=missing)
    with pieces_of(chunk):
        ours = trained(factory, run, lowered=True)
    assert_equal(ours, by_hand(rule, run, wd), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_rule_by_hand_in_single_precision(name):
    run = case(NET, missing=0.1, dtype=torch.float32, scale=0.1)
    factory, rule = same_rules(WD)[name]
    with pieces_of(100):
        ours = trained(factory, run, lowered=True)
    exact = replace(
        run,
        groups=[[p.double() for p in group] for group in run.groups],
        gradients=[
            [[None if g is None else g.double() for g in group] for group in step] for step in run.gradients
        ],
    )
    assert_equal(ours, by_hand(rule, exact, WD))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            rmsprop(eps=1e-12, wd=WD, decouple_wd=False, wd_bn_bias=True),
            lambda p: torch.optim.RMSprop(p, alpha=0.99, eps=1e-12, weight_decay=WD, foreach=False),
        ),
        (
            radam(sqr_mom=0.95, eps=1e-12, wd=WD, wd_bn_bias=True),
            lambda p: torch.optim.RAdam(
                p, betas=(0.9, 0.95), eps=1e-12, weight_decay=WD, decoupled_weight_decay=True, foreach=False
            ),
        ),
        (
            radam(sqr_mom=0.95, eps=1e-12, wd=WD, decouple_wd=False, wd_bn_bias=True),
            lambda p: torch.optim.RAdam(
                p, betas=(0.9, 0.95), eps=1e-12, weight_decay=WD, decoupled_weight_decay=False, foreach=False
            ),
        ),
    ],
    ids=["rmsprop", "radam", "radam_l2"],
)
def test_equals_torch(ours, theirs):
    run = case(NET, missing=0.1)
    with pieces_of(100):
        assert_equal(trained(ours, run, lowered=True), trained_by_torch(theirs, run))


# what fastai 2.8 makes of the two parameters in `fastai_steps`
every: dict[str, Any] = {"wd": 0.1, "wd_bn_bias": True}
FASTAI: dict[str, tuple[Composition, list[list[float]]]] = {
    "rmsprop": (
        rmsprop(**every),
        [
            [-1.2951731075965949, -0.03790730478622901, 1.5067707988914019, 2.3948742723907577],
            [-2.0621169903569703, 1.2271389944134672],
        ],
    ),
    "rmsprop_momentum": (
        rmsprop(mom=0.9, decouple_wd=False, **every),
        [
            [-2.813881920323093, 1.6271298353352717, -0.5831465987219245, 2.444065827313221],
            [-1.6462071362674762, 2.454523182800623],
        ],
    ),
    "radam": (
        radam(**every),
        [
            [0.9356848249524313, -1.8825111515374262, 2.9127660377308504, 0.5301585775057485],
            [0.28199966613712274, -0.6375767004715416],
        ],
    ),
    "radam_smoothed": (
        radam(beta=50.0, sqr_mom=0.9, decouple_wd=False, **every),
        [
            [0.9344233603175156, -1.8879070230502022, 2.925361074363554, 0.5411131290767015],
            [0.27632910890873946, -0.6345494574105724],
        ],
    ),
    "lamb": (
        lamb(**every),
        [
            [0.35849771813929754, -1.354503009960707, 2.570258736291697, 1.078268957610836],
            [0.16155335609569507, -0.5534686393146895],
        ],
    ),
    "lamb_l2": (
        lamb(decouple_wd=False, **every),
        [
            [0.3922462734627714, -1.4201357373987056, 2.4113304827346695, 1.067284428339486],
            [0.16463852455920178, -0.570040026719174],
        ],
    ),
    "larc": (
        larc(**every),
        [
            [0.9570845535313302, -1.9280451113936508, 2.9173445827800655, 0.49867660042509265],
            [0.29005077280851843, -0.6748317552889912],
        ],
    ),
    "lars": (
        larc(clip=False, trust_coeff=2.0, mom=0.0),
        [
            [-0.35982754299335545, -0.4651989907792749, 2.83035455868271, 1.523200672813817],
            [0.21780788721981018, -0.3817795689404341],
        ],
    ),
    "ranger": (
        ranger(k=3, wd_bn_bias=True),
        [
            [0.9782534079062571, -1.963615852974407, 2.990853018686151, 0.5224772471428133],
            [0.2931819979226137, -0.6757327529745316],
        ],
    ),
    "lookahead": (
        lookahead(adam(wd_bn_bias=True), k=2, alpha=0.8),
        [
            [0.8011013003524747, -1.8060463712151356, 2.8848275870654896, 0.6885196933507076],
            [0.10548598628916908, -0.5088735344371245],
        ],
    ),
}


def fastai_steps(factory: Composition) -> list[list[float]]:
    """The first elements of two parameters after eight steps."""
    p = nn.Parameter(torch.tensor([[1.0, -2.0, 3.0], [0.5, -0.25, 4.0]], dtype=torch.float64))
    q = nn.Parameter(torch.tensor([0.3, -0.7], dtype=torch.float64))
    optimizer = factory.create([{"params": [p, q]}])
    for i in range(8):
        p.grad = torch.tensor([[0.1 * (i + 1), -0.3, 0.02 * i], [-0.2, 0.4 - 0.1 * i, 0.05]]).double()
        q.grad = torch.tensor([0.03 * i + 0.01, -0.2]).double()
        optimizer.hypers[0].update(lr=0.1 / (i + 1), mom=0.95 - 0.02 * i)
        optimizer.step()
    return [p.flatten().tolist()[:4], q.tolist()]


@pytest.mark.parametrize("name", FASTAI)
def test_equals_fastai(name):
    factory, expected = FASTAI[name]
    for ours, theirs in zip(fastai_steps(factory), expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


# ── norms over whole parameters ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["lamb", "lars", "lamb_of_the_paper"])
@pytest.mark.parametrize("chunk", [16, 40, 131_072])
def test_norms_are_those_of_whole_parameters_in_threads_too(two_threads, name, chunk):
    run = case([*NET, [((), "contiguous"), ((0, 3), "contiguous"), ((40, 3), "gaps")]], missing=0.1)
    factory, rule = same_rules(WD)[name]
    with pieces_of(chunk):
        ours = trained(factory, run, lowered=True)
    assert_equal(ours, by_hand(rule, run, WD), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("chunk", [16, 131_072])
def test_a_penalty_in_the_gradient_is_there_in_every_pass(two_threads, chunk):
    run = case(NET, steps=10)
    parts = [l2_reg(WD), larc_step(trust_coeff=0.5, eps=EPS)]
    with pieces_of(chunk):
        ours = trained(Composition(parts), run, lowered=True)

    def rule(own: Member, g: torch.Tensor, hyper: dict[str, float]) -> None:
        g = g + WD * own.p
        local = 0.5 * own.p.norm() / (g.norm() + WD * own.p.norm() + EPS)
        own.p -= hyper["lr"] * min(float(local), 1) * g

    every = [[Member(p.clone(), WD) for p in group] for group in run.groups]
    for gradients, hypers in zip(run.gradients, run.hypers):
        for group, own, hyper in zip(every, gradients, hypers):
            for member, g in zip(group, own):
                assert g is not None
                rule(member, g, hyper)
    assert_equal(ours, [[member.p for member in group] for group in every], atol=1e-12)


@pytest.mark.parametrize(
    ("factory", "step"), [(lamb(lr=0.1), 1.0), (larc(lr=0.1, mom=0.0), 2.0)], ids=["lamb", "larc"]
)
def test_a_parameter_of_zeros_takes_plain_steps(factory, step):
    p = nn.Parameter(torch.zeros(4, 3))
    p.grad = torch.full((4, 3), 2.0)
    factory.create([{"params": [p]}]).step()
    assert p.flatten().tolist() == pytest.approx([-0.1 * step] * 12, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_half_precision_are_taken_in_single(dtype):
    start = torch.full((300, 300), 1.0)
    halves = nn.Parameter(start.to(dtype))
    singles = nn.Parameter(start.clone())
    for p in (halves, singles):
        p.grad = torch.full_like(p, 0.25)
        with pieces_of(7000):
            larc(lr=0.5, trust_coeff=0.1, mom=0.0).create([{"params": [p]}]).step()
    assert_equal([[halves]], [[singles]], atol=4e-3)
    assert singles[0, 0].item() == pytest.approx(1 - 0.5 * 0.4 * 0.25, rel=1e-5)


@stepper
class failing_after_measuring(Part):
    "Fails once the norms are known."

    def measure(self, piece, hyper):
        return (piece.p,)

    def __call__(self, piece, hyper):
        raise ValueError("no step")


@pytest.mark.parametrize("chunk", [16, 131_072])
def test_what_a_measuring_part_raises_in_a_thread(two_threads, chunk):
    with pieces_of(chunk), pytest.raises(ValueError, match="no step"):
        trained(Composition([failing_after_measuring()]), case(NET, steps=1), lowered=True)


# ── state ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["ranger", "lookahead", "lamb", "lars", "rmsprop"])
@pytest.mark.parametrize("at", [7, 12])
def test_saved_state_goes_on_bit_for_bit(name, at, tmp_path):
    factory = same_rules(WD)[name][0]
    run = case(NET, missing=0.1, steps=20, dtype=torch.float32)
    with pieces_of(100):
        assert_goes_on(
            lambda params: factory.create([{"params": group} for group in params]), run, at, tmp_path
        )


def test_slow_weights_begin_when_a_frozen_group_is_trained():
    run = case(NET, steps=10)
    first, second = run.halves()
    params = run.params()
    for p in params[0]:
        p.requires_grad_(False)
    optimizer = lookahead(sgd(), k=4, alpha=0.3).create([{"params": group} for group in params])
    train(optimizer, params, first, set_ours)
    assert_equal(params[:1], run.groups[:1], atol=0, rtol=0)
    assert not any(key.startswith("0.") for key in optimizer.state_dict()["tensors"])
    for p in params[0]:
        p.requires_grad_(True)
    train(optimizer, params, second, set_ours)
    rule = looking_ahead(descent, 4, 0.3)
    assert_equal(params[:1], by_hand(rule, replace(second, groups=run.groups[:1]), 0.0), atol=1e-12)
    assert_equal(params[1:], by_hand(rule, run, 0.0)[1:], atol=1e-12)


def test_slow_weights_follow_weights_that_were_put_back():
    run = case(NET, steps=3)
    params = run.params()
    optimizer = lookahead(sgd(), k=4, alpha=0.3).create([{"params": group} for group in params])
    train(optimizer, params, run, set_ours)
    for group in params:
        for p in group:
            p.data.mul_(2)
    optimizer.follow()
    state = optimizer.state_dict()["tensors"]
    kept = {
        key: p
        for g, group in enumerate(params)
        for i, p in enumerate(group)
        if (key := f"{g}.{i}.slow") in state
    }
    assert kept and all(torch.equal(state[key], p) for key, p in kept.items())


# ── compositions ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_undampened_average_is_debiased_too():
    run = case(NET)
    for group in run.hypers:
        for hyper in group:
            hyper["mom"] = 0.8
    one, other = (
        trained(Composition([average_grad(dampening=damp), average_sqr_grad(dampening=sqr), step_count(),
                             adam_step()]), run, lowered=False)
        for damp, sqr in ((True, True), (False, False))
    )  # fmt: skip
    assert_equal(one, other, atol=1e-9)


def test_stateful_is_the_same_in_any_order_that_means_the_same():
    adam_stats = [average_sqr_grad(), step_count(), average_grad(dampening=True)]
    for factory, known in (
        (stateful(stats=adam_stats, steppers=[weight_decay(WD), adam_step()]), adam(wd=WD)),
        (
            stateful(stats=adam_stats, steppers=[l2_reg(WD), adam_step()]),
            adam(wd=WD, decouple_wd=False),
        ),
        (stateful(stats=[average_grad()], steppers=[l2_reg(WD), momentum_step()]), None),
    ):
        run = case(NET)
        expected = sgd(mom=0.9, wd=WD, decouple_wd=False) if known is None else known
        assert factory.create([{"params": [nn.Parameter(torch.ones(2))]}]).lowered
        for lowered in (True, False):
            ours = trained(factory, run, lowered=lowered)
            assert_equal(ours, trained(expected, run, lowered=False), atol=1e-12)


def test_the_gradient_is_changed_before_the_stats_see_it():
    made = stateful(stats=[average_grad()], steppers=[weight_decay(), l2_reg(), momentum_step()])
    assert [type(p).__name__ for p in made.parts] == [
        "l2_reg", "average_grad", "weight_decay", "momentum_step",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([average_grad(), average_grad()], "`average_grad` and `average_grad` both keep `grad_avg`"),
        ([weight_decay(0.1), l2_reg(0.2)], "`wd` is 0.1 for `weight_decay` and 0.2 for `l2_reg`"),
        ([object()], "`object` is no part of an optimizer"),
    ],
)
def test_parts_that_do_not_go_together(parts, message):
    with pytest.raises(RunError, match=message) as caught:
        Composition(parts)
    assert caught.value.code == "R0225"


AROUND_ANOTHER = ("lookahead", "bn_bias_lr")


@pytest.mark.parametrize("lowered", [True, False], ids=["lowered", "composed"])
@pytest.mark.parametrize("wd_bn_bias", [True, False], ids=["all_decay", "weights_decay"])
def test_biases_and_norms_have_a_rate_of_their_own(wd_bn_bias, lowered):
    """As torch's SGD with two groups: the rate is the group's times the factor, also while a schedule drives it."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)).double()
    theirs = deepcopy(ours)
    inner = momentum(lr=0.01, wd=0.1, nesterov=True, wd_bn_bias=wd_bn_bias)
    optimizer = bn_bias_lr(bn_bias_lr(inner, 2.0), 4.0).create(
        [{"params": ours.parameters()}], lowered=lowered
    )
    assert optimizer.lowered is lowered
    flat = [p for p in theirs.parameters() if p.ndim == 1]
    whole = [p for p in theirs.parameters() if p.ndim > 1]
    reference = torch.optim.SGD(
        [
            {"params": whole, "lr": 0.01, "weight_decay": 0.1},
            {"params": flat, "lr": 0.08, "weight_decay": 0.1 if wd_bn_bias else 0.0},
        ],
        momentum=0.9, nesterov=True,
    )  # fmt: skip
    for step in range(6):
        optimizer.hypers[0]["lr"] = 0.01 * (step + 1)
        for group, lr in zip(reference.param_groups, (0.01, 0.08)):
            group["lr"] = lr * (step + 1)
        x = torch.randn(8, 6, dtype=torch.float64)
        for model in (ours, theirs):
            model.zero_grad()
            model(x).square().sum().backward()
        optimizer.step()
        reference.step()
    for mine, its in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)


def test_a_lookahead_keeps_the_rate_of_biases():
    assert lookahead(bn_bias_lr(sgd(), 8.0)).lr_bn_bias == 8.0


def test_two_lookaheads_have_one_state():
    with pytest.raises(RunError, match="both keep `slow`"):
        lookahead(lookahead(sgd()))
    assert slow_weights().keeps == ("slow",)


def test_the_checker_knows_what_a_lookahead_can_stand_around():
    found = [info for info in builtin_catalog() if info.kind == "optimizer" and info.name != "stateful"]
    assert len(found) == 12
    for info in found:
        around = [sgd()] if info.name in AROUND_ANOTHER else []
        inner = getattr(optimizers, info.name)(*around)
        kept = {state for part in inner.parts for state in part.keeps}
        assert set(info.facts["keeps"]) == kept & {"slow"}, info.name


@pytest.mark.parametrize("module", [optimizers, stats, steppers], ids=["optimizers", "stats", "steppers"])
def test_the_hyperparameters_are_those_that_the_checker_knows(module):
    checked = 0
    for info in builtin_catalog():
        if info.target.startswith(f"{module.__name__}:") and info.name not in ("stateful", *AROUND_ANOTHER):
            known = set(hyperparameters(info, {}))
            made = getattr(module, info.name)(**({"mom": 0.9} if "mom" in known else {}))
            run = {"lr", *made.hypers} if isinstance(made, Composition) else {*made.hypers}
            assert known <= run, info.name
            assert run - known <= {"max_trust"}, info.name  # of LAMB's step, which `lamb` leaves as it is
            checked += 1
    assert checked >= 4
