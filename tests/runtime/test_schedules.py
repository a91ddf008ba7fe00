"""Curves, schedules and spread learning rates against fastai's values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.runtime.errors import RunError
from mfc.runtime.optim.schedules import (
    combine,
    const,
    cos,
    exp,
    flat,
    lin,
    one_cycle,
    param_scheduler,
    slanted_triangular,
    spread,
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
        (
            combine([0.2, 0.3, 0.5], [lin(0, 1), const(1), cos(1, 0)]),
            {0: 0, 0.1: 0.5, 0.2: 1, 0.35: 1, 0.5: 1, 0.6: 0.9045084531615275, 0.75: 0.5, 1: 0},
        ),
    ],
    ids=["lin", "cos", "exp", "const", "combine"],
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
