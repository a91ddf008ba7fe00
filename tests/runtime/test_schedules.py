"""Curves, schedules and spread learning rates against fastai's values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.check_schedules import length
from mfc.dsl.source import Source, Span
from mfc.dsl.values import ComponentValue
from mfc.runtime.errors import RunError
from mfc.runtime.optim.curves import combine, const, cos, exp, lin, poly
from mfc.runtime.optim.rates import spread
from mfc.runtime.optim.schedules import (
    Together,
    flat,
    flat_cos,
    one_cycle,
    param_scheduler,
    sgdr,
    slanted_triangular,
)

# fastai 2.8's combined_cos(0.25, 3e-3 / 25, 3e-3, 3e-3 / 1e5) and combined_cos(0.25, 0.95, 0.85, 0.95)
ONE_CYCLE = {
    0: (0.00012, 0.95),
    0.1: (0.0011150155537448453, 0.915450848828304),
    0.25: (0.003, 0.85),
    0.3: (0.002967221710880735, 0.8510926205635144),
    0.5: (0.0022500074594588295, 0.8750000013513858),
    0.75: (0.0007500224189176618, 0.9250000027027716),
    0.9: (0.0001297106157287166, 0.9456772695817386),
    0.999: (4.315859068954389e-08, 0.949999561375924),
    1: (3e-08, 0.95),
}


@pytest.mark.parametrize("position", ONE_CYCLE)
def test_one_cycle_is_fastais(position):
    values = one_cycle(3e-3).values(position, 0, 1)
    lr, mom = ONE_CYCLE[position]  # fastai's positions are rounded to single precision
    assert values == {"lr": pytest.approx(lr, rel=1e-6, abs=1e-10), "mom": pytest.approx(mom, rel=1e-6)}


def test_one_cycle_without_momentum():
    assert one_cycle(1e-3, moms=None).values(0.25, 0, 1) == {"lr": pytest.approx(1e-3)}


def test_one_cycle_of_several_groups():
    schedule = one_cycle(spread(1e-5, 1e-3), div=10, pct_start=0.5)
    assert [schedule.values(0.5, group, 3)["lr"] for group in range(3)] == pytest.approx([1e-5, 1e-4, 1e-3])
    assert [schedule.values(0, group, 3)["lr"] for group in range(3)] == pytest.approx([1e-6, 1e-5, 1e-4])


@pytest.mark.parametrize(("pct_start", "start", "end"), [(0, 1.0, 1e-5), (1, 0.04, 1.0)])
def test_one_cycle_without_rise_or_fall(pct_start, start, end):
    schedule = one_cycle(1.0, pct_start=pct_start)
    assert schedule.values(0, 0, 1)["lr"] == pytest.approx(start)
    assert schedule.values(1 - 1e-9, 0, 1)["lr"] == pytest.approx(end)


@pytest.mark.parametrize(
    ("course", "values"),
    [
        (lin(2, 1), {0: 2, 0.2: 1.8, 0.5: 1.5, 1: 1}),
        (cos(2, 1), {0: 2, 0.2: 1.9045084971874737, 0.5: 1.5, 1: 1}),
        (exp(1e-7, 10), {0: 1e-7, 0.25: 1e-5, 0.5: 1e-3, 1: 10}),
        (const(3), {0: 3, 0.7: 3, 1: 3}),
        (poly(1e-2, 1e-4, 2), {0: 0.01, 0.3: 0.009109, 0.5: 0.007525, 0.9: 0.001981, 1: 1e-4}),
        (poly(1e-2, 1e-4, 0.5), {0: 0.01, 0.1: 0.006869345116433305, 0.75: 0.001426348502534057, 1: 1e-4}),
        (
            combine([0.2, 0.3, 0.5], [lin(0, 1), const(1), cos(1, 0)]),
            {0: 0, 0.1: 0.5, 0.2: 1, 0.35: 1, 0.5: 1, 0.6: 0.9045084531615275, 0.75: 0.5, 1: 0},
        ),
    ],
    ids=["lin", "cos", "exp", "const", "poly 2", "poly 0.5", "combine"],
)
def test_curves_are_fastais(course, values):
    for position, value in values.items():
        assert course(position) == pytest.approx(value, rel=1e-6, abs=1e-12)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda shares: sum(shares) > 0.1),
    st.floats(0, 1),
)
def test_combined_curves_stay_within_their_own(shares, position):
    shares = [share / sum(shares) for share in shares]
    value = combine(shares, [lin(i, i + 1) for i in range(len(shares))])(position)
    assert 0 <= value <= len(shares)


@given(st.integers(1, 6))
def test_spread_is_fastais_slice(groups):
    ratio = 100 ** (1 / max(groups - 1, 1))  # fastai's even_mults
    expected = [1e-5 * ratio**i for i in range(groups)] if groups > 1 else [1e-3]
    assert [spread(1e-5, 1e-3).at(i, groups) for i in range(groups)] == pytest.approx(expected)


def test_spread_by_a_factor():
    assert [spread(1e-2).at(i, 3) for i in range(3)] == pytest.approx([1e-2 / 2.6**2, 1e-2 / 2.6, 1e-2])
    assert [spread(1e-2, factor=2).at(i, 3) for i in range(3)] == pytest.approx([0.25e-2, 0.5e-2, 1e-2])


@given(st.integers(20, 5000), st.floats(0.05, 0.9), st.floats(1, 100), st.data())
def test_slanted_triangular_is_the_papers(steps, cut_frac, ratio, data):
    """Howard and Ruder (2018), equation 3, for iteration t of T; the paper rounds the highest step down."""
    cut = cut_frac * steps
    t = data.draw(st.integers(0, steps))
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    expected = 0.01 * (1 + p * (ratio - 1)) / ratio
    values = slanted_triangular(0.01, cut_frac, ratio).values(t / steps, 0, 1)
    assert values == {"lr": pytest.approx(expected, rel=1e-6)}


def test_slanted_triangular_of_several_groups():
    schedule = slanted_triangular(spread(1e-2))
    assert schedule.values(0.1, 1, 2) == {"lr": pytest.approx(1e-2)}
    assert schedule.values(0.1, 0, 2) == {"lr": pytest.approx(1e-2 / 2.6)}


def test_flat():
    schedule = flat(spread(1e-2, factor=10))
    assert [schedule.values(0.3, group, 2) for group in range(2)] == [
        {"lr": pytest.approx(1e-3)},
        {"lr": 1e-2},
    ]


def test_poly_backwards_is_torchs():
    """torch's PolynomialLR(lr = 0.01, total_iters = 10, power = 2) after 0 to 9 steps: it is flat at its end."""
    torchs = [0.01, 0.0081, 0.0064, 0.0049, 0.0036, 0.0025, 0.0016, 0.0009, 0.0004, 0.0001]
    assert [poly(0, 1e-2, 2)(1 - step / 10) for step in range(10)] == pytest.approx(torchs)


# fastai 2.8's combined_cos(0.75, 3e-3, 3e-3, 3e-3 / 1e5), as fit_flat_cos has it
FLAT_COS = {
    0: 3e-3,
    0.5: 3e-3,
    0.75: 3e-3,
    0.9: 0.0010364945711010603,
    0.99: 1.1857807218713847e-05,
    1: 2.9999999999821836e-08,
}


def test_flat_cos_is_fastais():
    for position, lr in FLAT_COS.items():
        assert flat_cos(3e-3).values(position, 0, 1) == {"lr": pytest.approx(lr, rel=1e-5, abs=1e-10)}
    assert flat_cos(spread(1e-2, factor=10)).values(0.2, 0, 2)["lr"] == pytest.approx(1e-3)


# torch's CosineAnnealingWarmRestarts(lr = 0.01, T_mult = 2, T_0 = 1), and with T_mult = 1, T_0 = 2, each half epoch
WARM_RESTARTS = [
    0.01, 0.005, 0.01, 0.008535533905932738, 0.005, 0.0014644660940672626, 0.01, 0.009619397662556433,
    0.008535533905932738, 0.00691341716182545, 0.005, 0.0030865828381745515, 0.0014644660940672626,
    0.0003806023374435663,
]  # fmt: skip
EVEN_RESTARTS = [0.01, 0.008535533905932738, 0.005, 0.0014644660940672626] * 3


@pytest.mark.parametrize(
    ("schedule", "torchs"),
    [(sgdr(1e-2, 3, 1), WARM_RESTARTS), (sgdr(1e-2, 3, 2, cycle_mult=1), EVEN_RESTARTS)],
    ids=["doubling", "even"],
)
def test_sgdr_is_torchs_warm_restarts(schedule, torchs):
    assert schedule.epochs == len(torchs) / 2
    found = [schedule.values(i / len(torchs), 0, 1)["lr"] for i in range(len(torchs))]
    assert found == pytest.approx(torchs)
    assert schedule.values(1, 0, 1) == {"lr": pytest.approx(0, abs=1e-12)}


def test_sgdr_is_fastais():
    # fastai 2.8's fit_sgdr(3, 1, 1e-2): combine_scheds([1/7, 2/7, 4/7], three SchedCos(1e-2, 0))
    fastais = {0.05: 0.007269952582119785, 0.3: 0.004217828414591305, 0.5: 0.009619397976063699}
    for position, lr in fastais.items():
        assert sgdr(1e-2, 3, 1).values(position, 0, 1)["lr"] == pytest.approx(lr, rel=1e-6)


def test_a_schedule_of_some_epochs_keeps_to_them_in_a_run_of_others():
    shorter, longer = Together([sgdr(1e-2, 3, 1)], 3), Together([sgdr(1e-2, 3, 1), flat(1)], 14)
    assert shorter.breaks == pytest.approx((1 / 3,))  # a cycle of one epoch and one of two
    assert [shorter.values(i / 6, 0, 1)["lr"] for i in range(6)] == pytest.approx(WARM_RESTARTS[:6])
    assert Together([sgdr(1e-2, 3, 1)], 3).values(1, 0, 1)["lr"] == pytest.approx(0.01)
    assert longer.breaks == pytest.approx((1 / 14, 3 / 14, 0.5))
    assert longer.values(0.9, 0, 1)["lr"] == 1  # the one that comes later wins


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_the_checker_knows_how_long_sgdr_lasts(cycles, cycle_len, cycle_mult):
    info = builtin_catalog().lookup("schedule", "sgdr")
    assert info is not None
    args = {"lr": 1e-2, "cycles": cycles, "cycle_len": cycle_len, "cycle_mult": cycle_mult}
    assert length(ComponentValue(info, args, Span(Source("a", ""), 0, 0), {})) == sgdr(**args).epochs


def test_curves_of_groups():
    # fastai's SchedCos(np.array([1e-4, 1e-3, 1e-2]), 0)(0.3)
    expected = [7.93892626e-05, 7.93892626e-04, 7.93892626e-03]
    spreading = param_scheduler(lr=cos(spread(1e-4, 1e-2), 0))
    listed = param_scheduler(lr=[cos(1e-4, 0), cos(1e-3, 0), cos(1e-2, 0)], wd=const(0.1))
    assert [spreading.values(0.3, group, 3)["lr"] for group in range(3)] == pytest.approx(expected)
    assert [listed.values(0.3, group, 3)["lr"] for group in range(3)] == pytest.approx(expected)
    assert listed.values(0.3, 0, 3)["wd"] == 0.1
    combined = param_scheduler(lr=combine([0.5, 0.5], [const(1), cos(spread(1e-4, 1e-2), 0)]))
    assert [combined.values(0.65, group, 3)["lr"] for group in range(3)] == pytest.approx(expected)
    own = param_scheduler(lr=lambda position: 1 - position)  # a curve of the user's: alike in all groups
    assert [own.values(0.25, group, 2)["lr"] for group in range(2)] == [0.75, 0.75]


def test_as_many_curves_as_groups():
    with pytest.raises(RunError, match="`lr` has 2 curves, and the model has 3 groups") as caught:
        param_scheduler(lr=[const(1), const(2)]).values(0, 0, 3)
    assert caught.value.code == "R0234"


COURSES = [
    one_cycle(1e-2),
    one_cycle(1e-2, pct_start=0),
    slanted_triangular(1e-2),
    flat_cos(1e-2),
    sgdr(1e-2, 3, 2),
    param_scheduler(wd=combine([0.3, 0.7], [combine([0.5, 0.5], [lin(0, 1), exp(2, 1)]), poly(3, 0, 2)])),
]


@pytest.mark.parametrize("schedule", COURSES, ids=lambda course: type(course).__name__)
def test_between_its_breaks_a_schedule_only_rises_or_falls(schedule):
    ends = [0, *schedule.breaks, 1]
    for name in schedule.values(0, 0, 1):
        for start, end in itertools.pairwise(ends):
            inner = [start + (end - start) * i / 50 for i in range(50)]
            values = [schedule.values(position, 0, 1)[name] for position in inner]
            steps = [b - a for a, b in itertools.pairwise(values)]
            assert all(s >= -1e-12 for s in steps) or all(s <= 1e-12 for s in steps)


def test_param_scheduler_drives_any_hyperparameter():
    schedule = param_scheduler(wd=lin(0.1, 0.2), sqr_mom=const(0.9))
    assert schedule.values(0.5, 1, 3) == {"wd": pytest.approx(0.15), "sqr_mom": 0.9}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: combine([0.5, 0.5], [lin(0, 1)]), "combine has 2 shares for 1 curves"),
        (lambda: combine([], []), "combine has 0 shares for 0 curves"),
        (lambda: combine([0.5, 0.4], [lin(0, 1), lin(1, 0)]), "the shares of combine add up to 0.9"),
        (lambda: one_cycle(1e-3, moms=[0.9, 0.8]), "one_cycle has 2 values of momentum"),
        (lambda: spread(1e-3, 1e-2, 2.6), "spread has both `hi` and `factor`"),
    ],
)
def test_arguments_that_do_not_fit_together(make, message):
    with pytest.raises(RunError, match=message) as caught:
        make()
    assert caught.value.code == "R0224" and caught.value.help
