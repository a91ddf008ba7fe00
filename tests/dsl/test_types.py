"""Types: which values fit, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.dims import Dim
from mfc.dsl.ir import Call, Fact
from mfc.dsl.ranges import Range
from mfc.dsl.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NONE,
    PATH,
    STRING,
    Choice,
    Kind,
    ListOf,
    Number,
    Type,
    Union,
    Unknown,
    describe,
    list_of,
    optional,
    overlaps,
    type_of,
    union,
)
from mfc.dsl.wording import literal
from mfc.runtime import component

SHARE = Number(False, Range(0, 1))
CROP = Choice(("squish", "crop", "pad"))
LOSS = Call("loss", "mse", "mfc.runtime.losses:mse")

TEXTS: list[tuple[Type, str, str]] = [
    (INT, "int", "an integer"),
    (Number(True, Range(1, 15)), "int in 1..15", "an integer in 1..15"),
    (Number(True, Range(lo=1)), "int at least 1", "an integer at least 1"),
    (SHARE, "float in 0..1", "a number in 0..1"),
    (Number(False, Range(above=0)), "float above 0", "a number above 0"),
    (Number(False, Range(0, below=1)), "float at least 0 and below 1", "a number at least 0 and below 1"),
    (Number(False, Range(hi=1e-3)), "float at most 1e-3", "a number at most 1e-3"),
    (BOOL, "bool", "true or false"),
    (STRING, "string", "a string"),
    (PATH, "path", "a path"),
    (NONE, "none", "none"),
    (list_of(INT), "list(int)", "a list of integers"),
    (list_of(SHARE), "list(float in 0..1)", "a list of numbers in 0..1"),
    (list_of(ANY), "list(any)", "a list"),
    (list_of(list_of(Kind("loss"))), "list(list(loss))", "a list of lists of losses"),
    (CROP, "choice(squish, crop, pad)", "one of squish, crop, pad"),
    (ListOf(SHARE, Range(3, 3)), "list(float in 0..1, 3 of them)", "a list of 3 numbers in 0..1"),
    (ListOf(INT, Range(1)), "list(int, one or more of them)", "a list of one or more integers"),
    (
        ListOf(INT, Range(hi=2), 1),
        "list(int, at most 2 of them, adding up to 1)",
        "a list of at most 2 integers that add up to 1",
    ),
    (ListOf(ANY, Range(2, 5)), "list(any, 2 to 5 of them)", "a list of 2 to 5 values"),
    (ListOf(FLOAT, total=1), "list(float, adding up to 1)", "a list of numbers that add up to 1"),
    (Choice((3,)), "choice(3)", "3"),
    (Kind("item_transform"), "item transform", "an item transform"),
    (Kind("data"), "data block", "a data block"),
    (optional(SHARE), "float in 0..1 or none", "a number in 0..1 or none"),
    (union([FLOAT, Kind("curve"), NONE]), "float or curve or none", "a number, a curve or none"),
]


@pytest.mark.parametrize(("of", "short", "words"), TEXTS, ids=[short for _, short, _ in TEXTS])
def test_texts(of: Type, short: str, words: str) -> None:
    assert str(of) == short
    assert of.words() == words


FITS: list[tuple[Type, list[object]]] = [
    (INT, [0, -3, Fact("cifar.classes"), Dim.symbol("b"), Unknown(INT), Unknown(ANY)]),
    (FLOAT, [0, 1.5, 10**400, Fact("cifar.classes"), Unknown(INT)]),
    (SHARE, [0, 1, 0.5]),
    (Number(True, Range(lo=1)), [Dim.symbol("b")]),
    (BOOL, [True, False]),
    (STRING, ["", "a"]),
    (PATH, ["~/data"]),
    (NONE, [None]),
    (list_of(INT), [[], [1, 2], [Unknown(ANY)]]),
    (ListOf(INT, Range(2, 3)), [[1, 2], [1, 2, 3], [Unknown(ANY), 2]]),
    (ListOf(FLOAT, total=1), [[0.5, 0.5], [0.333333, 0.333333, 0.333334], [1, Unknown(FLOAT)]]),
    (CROP, ["pad", Unknown(STRING)]),
    (Choice((1, 3)), [3, Unknown(INT)]),
    (Kind("loss"), [LOSS, SimpleNamespace(kind="loss"), Unknown(Kind("loss"))]),
    (Kind("model"), [SimpleNamespace(kind=k) for k in ("model", "train", "architecture")]),
    (optional(SHARE), [None, 0.5]),
]


@pytest.mark.parametrize(("of", "values"), FITS, ids=[str(of) for of, _ in FITS])
def test_values_that_fit(of: Type, values: list[object]) -> None:
    assert [of.accepts(value) for value in values] == [None] * len(values)


PROBLEMS: list[tuple[Type, object, str, str]] = [
    (INT, True, "type", "expected an integer, found true"),
    (INT, 1.0, "type", "expected an integer, found 1.0"),
    (INT, "3", "type", 'expected an integer, found "3"'),
    (FLOAT, None, "type", "expected a number, found none"),
    (SHARE, 1.5, "range", "expected a number in 0..1, found 1.5"),
    (Number(False, Range(above=0)), 0, "range", "expected a number above 0, found 0"),
    (Number(True, Range(hi=0)), Dim.symbol("b"), "range", "expected an integer at most 0, found `b`"),
    (BOOL, 1, "type", "expected true or false, found 1"),
    (STRING, LOSS, "type", "expected a string, found the loss `mse`"),
    (STRING, Fact("a.classes"), "type", "expected a string, found `a.classes`"),
    (CROP, "squash", "choice", 'expected one of squish, crop, pad, found "squash"'),
    (CROP, 3, "type", "expected one of squish, crop, pad, found 3"),
    (Choice((1, 2)), True, "type", "expected one of 1, 2, found true"),
    (Kind("curve"), LOSS, "type", "expected a curve, found the loss `mse`"),
    (Kind("loss"), Unknown(STRING), "type", "expected a loss, found a string"),
    (list_of(INT), 3, "type", "expected a list of integers, found 3"),
    (list_of(INT), [1, "a"], "type", 'expected an integer, found "a"'),
    (ListOf(INT, Range(3, 3)), [1, 2], "length", "expected a list of 3 integers, found [1, 2]"),
    (ListOf(INT, Range(3, 3)), [1, "a"], "type", 'expected an integer, found "a"'),
    (
        optional(ListOf(INT, Range(1))),
        [],
        "length",
        "expected a list of one or more integers or none, found []",
    ),
    (
        ListOf(FLOAT, total=1),
        [0.5, 0.4],
        "sum",
        "expected a list of numbers that add up to 1, found [0.5, 0.4]",
    ),
    (optional(SHARE), 2, "range", "expected a number in 0..1 or none, found 2"),
    (optional(list_of(SHARE)), [0, 2], "range", "expected a number in 0..1, found 2"),
    (union([CROP, INT]), "crp", "choice", 'expected one of squish, crop, pad or an integer, found "crp"'),
    (INT, list(range(99)), "type", "expected an integer, found a list of 99 items"),
]


@pytest.mark.parametrize(("of", "value", "reason", "text"), PROBLEMS, ids=[p[3] for p in PROBLEMS])
def test_what_is_said_of_values_that_do_not_fit(of: Type, value: object, reason: str, text: str) -> None:
    problem = of.accepts(value)
    assert problem is not None
    assert (str(problem), problem.reason) == (text, reason)


def test_a_problem_names_the_place_in_a_list_and_the_choices() -> None:
    problem = list_of(list_of(CROP)).accepts([["pad"], ["pad", "squash"]])
    assert problem is not None
    assert problem.at == (1, 1)
    assert problem.choices == ("squish", "crop", "pad")


def test_ranges_are_those_of_components() -> None:
    assert [(f.name, f.default) for f in fields(Range)] == [
        (f.name, f.default) for f in fields(component.Range)
    ]


def test_a_value_as_the_language_writes_it() -> None:
    assert literal([1, 0.5, 3e-3, 1e-2, 30_000.0, True, None, 'a "b"\n']) == (
        '[1, 0.5, 3e-3, 0.01, 30000, true, none, "a \\"b\\"\\n"]'
    )
    assert describe("x" * 50) == '"' + "x" * 37 + '..."'


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────

numbers = st.integers(-3, 3)
ends = st.none() | numbers
ranges = st.builds(Range, ends, ends, ends, ends)
plain = st.sampled_from([INT, FLOAT, BOOL, STRING, PATH, NONE, ANY, Kind("loss"), Kind("model")])
types = st.recursive(
    plain
    | st.builds(Number, st.booleans(), ranges)
    | st.lists(st.sampled_from(["a", "b", 1, 2, True]), min_size=1, max_size=3).map(
        lambda v: Choice(tuple(v))
    ),
    lambda inner: inner.map(ListOf) | st.lists(inner, min_size=1, max_size=3).map(union),
    max_leaves=5,
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(-3, 3) | st.sampled_from(["a", "b", "c"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(ranges, ranges)
def test_ranges_meet_where_a_number_is_in_both(a: Range, b: Range) -> None:
    grid = [x / 4 for x in range(-20, 21)]
    assert a.meets(b) == any(x in a and x in b for x in grid)
    assert a.meets(b) == b.meets(a)


@given(types, values)
def test_a_known_value_fits_where_its_type_may_fit(of: Type, value: object) -> None:
    if of.accepts(value) is None:
        assert of.accepts(Unknown(type_of(value))) is None


@given(types)
def test_a_value_of_a_type_fits_it_unless_no_value_does(of: Type) -> None:
    empty = "Range" in repr(of) and not overlaps(of, of)
    assert empty or of.accepts(Unknown(of)) is None
    assert overlaps(ANY, of) and overlaps(of, ANY)


@given(types, types)
def test_unions_take_what_any_member_takes(a: Type, b: Type) -> None:
    both = union([a, b])
    assert union([both]) == both == union([a, both])
    assert not any(isinstance(member, Union) for member in getattr(both, "members", ()))
    for value in (None, True, 1, 0.5, "a", [], [1]):
        assert (both.accepts(value) is None) == (a.accepts(value) is None or b.accepts(value) is None)


@given(types, values)
def test_something_can_be_said_of_every_value(of: Type, value: object) -> None:
    problem = of.accepts(value)
    assert problem is None or (problem.expected and problem.found)
    assert str(of) and of.words() and of.plural() and repr(of)
