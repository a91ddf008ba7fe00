"""Symbolic sizes: what they print as, what they answer, and that they compute what integers do."""

from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.dims import (
    LARGEST,
    LIMIT,
    Dim,
    TooLarge,
    at_most,
    bounds,
    compare,
    equal,
    is_varying,
    maximum,
    minimum,
    product,
    substitute,
)

h, w, classes = Dim.symbol("h"), Dim.symbol("w"), Dim.symbol("cifar.classes")


@pytest.mark.parametrize(
    "size, text",
    [
        (classes, "cifar.classes"),
        ((h - 1) // 2 + 1, "(h + 1) // 2"),
        ((h + 1) // 2, "(h + 1) // 2"),
        (h // 2, "h // 2"),
        (2 * (h // 2), "2*(h // 2)"),
        (((h + 1) // 2 + 1) // 2, "(h + 3) // 4"),
        (2 * classes + 3, "2*cifar.classes + 3"),
        (3 - h, "3 - h"),
        (-h, "-h"),
        (-(h // 2), "-(h // 2)"),
        (w - h + 1, "w + 1 - h"),
        (h * w * 3, "3*h*w"),
        (h * w // 4, "(h*w) // 4"),
        ((h // 2) * (w // 3), "(h // 2)*(w // 3)"),
        (h % 2, "h - 2*(h // 2)"),
        (h // w, "h // w"),
        (5 // h, "5 // h"),
        (h // (w + 1), "h // (w + 1)"),
        (minimum([h, 4]), "min(4, h)"),
        (maximum([h, w]) + 1, "max(h, w) + 1"),
        (h // 2 // 3 + h, "h + h // 6"),
        ((4 * h + 6) // 4, "h + 1"),
        ((h - 7) // 2 + 1, "(h - 5) // 2"),
        (h // 3 + 1, "h // 3 + 1"),
        (minimum([(h + 1) // 3, h // 3]), "h // 3"),
        ((6 * h + 3) // 4, "h + (h + 1) // 2"),
    ],
)
def test_text(size, text):
    assert str(size) == text


@pytest.mark.parametrize(
    "size, plain",
    [
        (h - h, 0),
        ((2 * h + 3) // 2 - h, 1),
        (h * 0, 0),
        ((8 * classes) % 8, 0),
        (h * w // w - h, 0),
        ((h * w + 2 * w) // w - h, 2),
        ((2 * h + 4) // (h + 2), 2),
        (0 // h, 0),
        (minimum([h, 0]), 0),
        (maximum([h, 1]) - h, 0),
        (product([]), 1),
    ],
)
def test_stays_an_integer_where_it_can(size, plain):
    assert type(size) is int
    assert size == plain


def test_equal_forms_are_one():
    assert (h + w) * 2 == 2 * w + h + h
    assert len({(h - 1) // 2 + 1, (h + 1) // 2}) == 1
    assert Dim.symbol("h") == h != w
    assert h != 3


@pytest.mark.parametrize(
    "op, a, b, answer",
    [
        ("==", h, h, True),
        ("==", h, w, None),
        ("==", h, 3, None),
        ("==", h, 0, False),
        ("==", h + 3, 3, False),
        ("==", 2 * h, 2 * w + 1, False),  # even and odd
        ("!=", 2 * h, 5, True),
        ("!=", h, 64, None),
        ("==", h, h + 1, False),
        ("<=", 1, h, True),
        ("<=", h, 1, None),
        ("<", h, 1, False),
        (">=", h // 2, 0, True),
        (">", (h + 1) // 2, 0, True),
        (">=", (h + 1) // 2, 2, None),
        ("<=", minimum([h, 7]), 7, True),
        (">", h * w, 0, True),
        ("<", h, h + 1, True),
        ("<=", h // 3, (h + 1) // 3, True),
        ("==", h // 2, (h + 2) // 2, False),
        (">=", (h + 1) // 2, h // 2 + 1, None),
        ("==", 3, 3, True),
        (">", 2, 3, False),
    ],
)
def test_comparisons_answer_or_leave_it_open(op, a, b, answer):
    assert compare(op, a, b) is answer


def test_unknown_comparison_is_an_error():
    with pytest.raises(ValueError, match="no comparison"):
        compare("<>", h, w)


def test_varying_sizes_are_known_by_their_parts():
    height = Dim.varying("photos.height")
    assert is_varying(height) and is_varying((height * 3 + w) // 2) and is_varying(minimum([w, height]))
    assert not is_varying(w) and not is_varying(3) and not is_varying(height - height)
    assert str(height) == "photos.height"


def test_substitution_can_bring_in_other_symbols():
    assert substitute((h + 1) // 2, {"h": 2 * w}) == w
    assert substitute(h * w, {"h": 3}) == 3 * w
    assert substitute(minimum([h, w]), {"h": 2, "w": 5}) == 2
    assert substitute(7, {"h": 3}) == 7
    assert substitute(h, {"w": 3}) is h
    with pytest.raises(ZeroDivisionError):
        substitute(h // (w - 1), {"w": 1})


def test_division_by_zero():
    with pytest.raises(ZeroDivisionError):
        _ = h // 0
    with pytest.raises(ZeroDivisionError):
        _ = h % 0


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod])
def test_only_integers_are_sizes(op):
    for a, b in ((h, 1.5), (1.5, h), (h, "2"), (None, h)):
        with pytest.raises(TypeError):
            op(a, b)


def test_bounded_in_size():
    size = h
    with pytest.raises(TooLarge):
        for i in range(LIMIT):
            size = size * h + Dim.symbol(f"s{i}")
    size = h
    with pytest.raises(TooLarge):
        for _ in range(LIMIT):
            size = (size + w) * (size // 3 + 1) // 2
    size = h
    with pytest.raises(TooLarge):
        for i in range(LIMIT):
            size = size // Dim.symbol(f"s{i}")
    with pytest.raises(TooLarge):
        _ = h * LARGEST * 2


def test_bounds_survive_huge_numbers():
    size = minimum([h, 2**62])
    for _ in range(20):
        size = size * minimum([w, 2**62])
    assert bounds(size - h) == (float("-inf"), float("inf"))


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = ("a", "b", "c")


def sizes():
    """Expressions as functions of an environment: each is computed on symbols and on numbers alike."""
    leaves = st.sampled_from(NAMES).map(lambda name: lambda env: env[name]) | st.integers(-6, 9).map(
        lambda n: lambda env: n
    )

    def extend(inner):
        binary = st.sampled_from([operator.add, operator.sub, operator.mul])
        by = st.integers(1, 6)
        return (
            st.builds(lambda op, x, y: lambda env: op(x(env), y(env)), binary, inner, inner)
            | st.builds(lambda x, n: lambda env: x(env) // n, inner, by)
            | st.builds(lambda x, n: lambda env: x(env) % n, inner, by)
            | st.builds(lambda x, name: lambda env: x(env) // env[name], inner, st.sampled_from(NAMES))
            | st.builds(lambda x, y: lambda env: minimum([x(env), y(env)]), inner, inner)
            | st.builds(lambda x, y: lambda env: maximum([x(env), y(env)]), inner, inner)
        )

    return st.recursive(leaves, extend, max_leaves=8)


SYMBOLS = {name: Dim.symbol(name) for name in NAMES}
numbers = st.fixed_dictionaries({name: st.integers(1, 40) for name in NAMES})


def symbolic(expression):
    try:
        return expression(SYMBOLS)
    except TooLarge:
        return None


@given(sizes(), numbers)
def test_substitution_is_the_arithmetic_of_integers(expression, env):
    size = symbolic(expression)
    if size is not None:
        assert substitute(size, env) == expression(env)


@given(sizes(), numbers)
def test_bounds_hold(expression, env):
    size = symbolic(expression)
    if size is not None:
        low, high = bounds(size)
        assert low <= expression(env) <= high


@given(sizes(), sizes(), numbers)
def test_answers_are_true_of_every_value(first, second, env):
    a, b = symbolic(first), symbolic(second)
    if a is None or b is None:
        return
    try:
        same, ordered = equal(a, b), at_most(a, b)
    except TooLarge:
        return
    assert same in (None, first(env) == second(env))
    assert ordered in (None, first(env) <= second(env))


@given(sizes(), sizes(), sizes())
def test_addition_and_multiplication_have_one_form(first, second, third):
    a, b, c = symbolic(first), symbolic(second), symbolic(third)
    if a is None or b is None or c is None:
        return
    try:
        assert a + b == b + a and (a + b) + c == a + (b + c)
        assert a * b == b * a and a * (b + c) == a * b + a * c
    except TooLarge:
        pass


@given(sizes())
def test_text_is_python_that_computes_the_same(expression):
    size = symbolic(expression)
    env = {"a": 3, "b": 7, "c": 2}
    if size is not None:
        assert eval(str(size), {"min": min, "max": max}, env) == substitute(size, env)
