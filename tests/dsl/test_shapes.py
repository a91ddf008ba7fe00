"""Shape rules: what they read, what comes out, what is left open, and what a user is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.dims import Dim, is_varying, substitute
from mfc.dsl.rules import DEEPEST, LONGEST, parse_count
from mfc.dsl.shapes import Mismatch, RuleError, apply, counted, join, parse_rule, show_shape

b, c, h, w, classes = (Dim.symbol(name) for name in ("b", "c", "h", "w", "cifar.classes"))

CONV = "b c h w -> b nf conv(h) conv(w) where c % groups == 0 and nf % groups == 0"
CONV_ARGS = {"nf": 64, "ks": 3, "stride": 1, "padding": None, "dilation": 1, "groups": 1}
POOL = "b c h w -> b c pool(h) pool(w) where 2*padding <= ks"


def shown(applied):
    return show_shape(applied.out)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────


def test_parts_of_a_rule():
    rule = parse_rule("b t c -> b t hidden*(1 + bidirectional); layers b hidden where c >= 1")
    assert rule.dims == ("b", "t", "c")
    assert rule.arguments == ("hidden", "bidirectional", "layers")
    assert len(rule.gives) == 2
    assert [rule.source(item) for item in rule.gives[0]] == ["b", "t", "hidden*(1 + bidirectional)"]
    assert rule.where is not None and rule.source(rule.where) == "c >= 1"
    assert parse_rule(rule.text) is rule


@pytest.mark.parametrize(
    "text, outs",
    [
        ("b c -> b (c + 1) // 2 3*c", "(b, 5, 30)"),
        ("b c -> b (c+1)//2*3 c", "(b, 15, 10)"),
        ("b c -> b c - 1 - 2", "(b, 7)"),
        ("b c -> b c % 4 + 2 * 3", "(b, 8)"),
        ("b c -> b min(c, 4) max(c, 4, 12)", "(b, 4, 12)"),
        ("b ... -> b prod(...)", "(b, 10)"),
        ("... -> ...", "(b, 10)"),
        ("... c -> c ...", "(10, b)"),
        ("b c -> b sizes...", "(b, 2, 5)"),
        ("b c -> b prod(sizes...) c*flag", "(b, 10, 10)"),
        ("b 10 -> b 1", "(b, 1)"),
    ],
)
def test_what_comes_out(text, outs):
    assert shown(apply(parse_rule(text), (b, 10), {"sizes": [2, 5], "flag": True})) == outs


@pytest.mark.parametrize(
    "text, position, message",
    [
        ("", 0, "names the dims of what comes in"),
        ("->", 2, "expected a dim"),
        ("b c == b", 4, "expected a dim, `->` or `where`"),
        ("b c -> b $", 9, "`$` is not part of a shape rule"),
        ("b c -> b konv(c)", 9, "`konv` is no function"),
        ("b c -> b conv(c, c)", 9, "`conv` takes 1, here are 2"),
        ("b c -> b min(c)", 9, "`min` takes 2 or more"),
        ("b ... -> b conv(...)", 16, "takes one dim, not several"),
        ("b c -> b ...", 9, "`...` stands for dims of what comes in"),
        ("b c -> b prod(...)", 14, "`...` stands for dims of what comes in"),
        ("... c ... -> c", 6, "`...` stands once"),
        ("b 2*c -> b c", 2, "names, numbers and `...`"),
        ("b sizes... -> b", 2, "names, numbers and `...`"),
        ("b c -> b (c", 11, "expected `)`, found the end"),
        ("b c -> b c where", 16, "expected a number, a name or `(`"),
        ("b c -> b c where c", -1, ""),
        ("b c -> b c where 3", 17, "expected a comparison, found a number"),
        ("b c -> b c where c + 1", 17, "expected a comparison, found a number"),
        ("b c -> b c where c == 1 and 2*c", 28, "expected a comparison, found a number"),
        ("b c -> b (c == 1)", 9, "expected a number, found a comparison"),
        ("b c -> b c where (c == 1) + 2 == 3", 17, "expected a number, found a comparison"),
        ("b c -> b c where min(c, 2)", 17, "expected a comparison"),
        ("b c -> b c where c == 1 or", 26, "expected a number, a name or `(`"),
        ("b c -> b c c == 1", 13, "expected a dim, `;` or `where`"),
        (
            "b c -> " + "(" * (DEEPEST + 1) + "c" + ")" * (DEEPEST + 1),
            7 + DEEPEST,
            "parentheses within each other",
        ),
        ("b c -> " + "c" * LONGEST, LONGEST, "at most 500 characters"),
    ],
)
def test_rules_that_cannot_be_read(text, position, message):
    if position < 0:
        assert parse_rule(text).where is not None
        return
    with pytest.raises(RuleError) as caught:
        parse_rule(text)
    assert message in caught.value.message
    assert caught.value.position == position


@pytest.mark.parametrize(
    "text, position, message",
    [
        ("", 0, "expected a number, a name or `(`, found the end"),
        ("c;", 2, "expected a number, a name or `(`, found the end"),
        ("c c", 2, "expected an operation, `;` or the end, found `c`"),
        ("c -> c", 2, "expected an operation, `;` or the end, found `->`"),
        ("c == 1", 2, "expected an operation, `;` or the end, found `==`"),
        ("(c == 1)*c", 0, "expected a number, found a comparison"),
        ("2*widths...", 8, "expected an operation, `;` or the end, found `...`"),
        ("sizes(c)", 0, "`sizes` is no function of count rules"),
        ("encoder .n", 8, "expected an operation"),
        ("encoder.n.m", 9, "expected an operation"),
        ("c $", 2, "`$` is not part of a count rule"),
        ("c" * (LONGEST + 1), LONGEST, "a count rule has at most 500 characters"),
    ],
)
def test_count_rules_that_cannot_be_read(text, position, message):
    with pytest.raises(RuleError) as caught:
        parse_count(text)
    assert message in caught.value.message
    assert caught.value.position == position


@pytest.mark.parametrize(
    "text, parts",
    [
        ("nf*c; nf*bias", (320, 32)),
        ("nf*(c // groups) + 1", (321,)),
        ("sum(widths...)*c", (80,)),
        ("sum(c, nf, 1)", (43,)),
        ("prod(...)", (h * w,)),
        ("prod(widths...)", (15,)),
        ("hidden*c", (0,)),  # none counts as 0
        ("ks*stride", (9,)),  # but a stride that is none is the kernel's size
        ("encoder + encoder.n", (105,)),
        ("classes*c", (10 * classes,)),
    ],
)
def test_what_is_counted(text, parts):
    args = {"nf": 32, "bias": True, "groups": 1, "widths": [3, 5], "hidden": None, "ks": 3, "stride": None}
    args |= {"encoder": 100, "encoder.n": 5, "classes": classes}
    assert counted(parse_count(text), parse_rule("b c ... -> b c ..."), (b, 10, h, w), args) == parts


@given(st.text(alphabet="bc12 ()*+->;.,where=%/and", max_size=60) | st.text(max_size=20))
def test_any_text_is_a_count_or_an_error(text):
    try:
        parse_count(text)
    except RuleError as error:
        assert 0 <= error.position <= len(text)


@given(st.text(alphabet="bc12 ()*+->;.,where=%/and", max_size=60) | st.text(max_size=20))
def test_any_text_is_a_rule_or_an_error(text):
    try:
        rule = parse_rule(text)
    except RuleError as error:
        assert 0 <= error.position <= len(text)
        return
    assert rule.takes or rule.gives


def test_the_longest_rule_is_within_pythons_recursion():
    rule = parse_rule("b c -> b " + "c+" * ((LONGEST - 11) // 2) + "1")
    assert apply(rule, (b, 1), {}).out == (b, (LONGEST - 11) // 2 + 1)


# ── applying ────────────────────────────────────────────────────────────────────────────────────────────


def test_convolution_on_numbers_and_symbols():
    applied = apply(parse_rule(CONV), (b, 3, 32, w), CONV_ARGS | {"stride": 2})
    assert shown(applied) == "(b, 64, 16, (w + 1) // 2)"
    assert applied.bound == {"b": b, "c": 3, "h": 32, "w": w}
    assert applied.obligations == ()


def test_arguments_that_are_known_later():
    applied = apply(parse_rule("b ... features -> b ... nf"), (b, 512), {"nf": classes})
    assert shown(applied) == "(b, cifar.classes)"
    assert applied.bound["features"] == 512
    assert not applied.obligations


def test_none_stands_for_the_default():
    assert (
        shown(apply(parse_rule(POOL), (b, 8, 9, 9), {"ks": 3, "stride": None, "padding": 0}))
        == "(b, 8, 3, 3)"
    )
    assert (
        shown(apply(parse_rule(POOL), (b, 8, 9, 9), {"ks": 3, "stride": 1, "padding": None}))
        == "(b, 8, 9, 9)"
    )
    with pytest.raises(Mismatch, match="`nf` is none"):
        apply(parse_rule("b c -> b nf"), (b, 8), {"nf": None})


def test_several_outputs():
    applied = apply(parse_rule("b t c -> b t 2*n; n b"), (b, 7, 3), {"n": 4})
    assert applied.out == ((b, 7, 8), (4, b))


def test_a_rule_that_only_takes():
    applied = apply(parse_rule("b classes ..."), (b, classes, h, w), {})
    assert applied.outs == () and applied.bound["classes"] == classes
    with pytest.raises(Mismatch, match=r"expected at least 2 dims \(b classes ...\), got 1 \(b\)"):
        apply(parse_rule("b classes ..."), (b,), {})


def test_a_rule_without_input_has_sizes_that_vary():
    applied = apply(parse_rule("-> channels h w"), (), {"channels": 3})
    assert applied.out[0] == 3
    assert all(is_varying(size) for size in applied.out[1:])
    assert [str(size) for size in applied.out] == ["3", "h", "w"]


@pytest.mark.parametrize(
    "text, shape, args, reason",
    [
        (CONV, (b, 512), CONV_ARGS, "expected 4 dims (b c h w), got 2 (b, 512)"),
        ("b c ... -> b c", (b,), {}, "expected at least 2 dims (b c ...), got 1 (b)"),
        (
            CONV,
            (b, 6, 8, 8),
            CONV_ARGS | {"groups": 4},
            "`c % groups == 0 and nf % groups == 0` does not hold where c = 6, groups = 4 and nf = 64",
        ),
        (
            POOL,
            (b, 6, 8, 8),
            {"ks": 2, "padding": 2},
            "`2*padding <= ks` does not hold where padding = 2 and ks = 2",
        ),
        (
            CONV,
            (b, 6, 4, 8),
            CONV_ARGS | {"ks": 7, "padding": 1},
            "`conv(h)` would be 0 where h = 4, ks = 7 and padding = 1",
        ),
        ("b n n -> b n", (b, 3, 4), {}, "`n` can't be both 3 and 4"),
        ("b 3 h w -> b", (b, 1, h, w), {}, "expected 3 in (b 3 h w), got 1"),
        ("b c -> b c", (b, 3), {"c": 4}, "`c` is 4, but what comes in has 3"),
        ("b c -> b c // n", (b, 3), {"n": 0}, "`c // n` divides by zero"),
        (
            "b ... -> b sizes... where prod(sizes...) == prod(...)",
            (b, 3, 4),
            {"sizes": [5, 2]},
            "`prod(sizes...) == prod(...)` does not hold where sizes = (5, 2) and ... = (3, 4)",
        ),
        (
            "b c -> b c where flag or c > 4",
            (b, 3),
            {"flag": False},
            "`flag or c > 4` does not hold where flag = false and c = 3",
        ),
        (
            "b c -> b c*c*c*c",
            (b, 2**40),
            {},
            "what comes out can't be computed: a size above 9223372036854775807",
        ),
    ],
)
def test_reasons(text, shape, args, reason):
    with pytest.raises(Mismatch) as caught:
        apply(parse_rule(text), shape, args)
    assert caught.value.reason == str(caught.value) == reason


@pytest.mark.parametrize(
    "text, args, message",
    [
        ("b c -> b d", {}, "`d` is neither a dim of what comes in nor an argument"),
        ("b c -> b d", {"d": "x"}, "`d` is no integer"),
        ("b c -> b d", {"d": 1.5}, "`d` is no integer"),
        ("b c -> b d...", {"d": 3}, "`d` is no argument that is a list of integers"),
        ("b c -> b d...", {"d": ["a"]}, "`d` is no argument that is a list of integers"),
        ("b c -> b c where d", {"d": 3}, "`d` is not true or false"),
        ("b c -> b conv(c)", {}, "`ks` is neither a dim of what comes in nor an argument"),
    ],
)
def test_rules_that_do_not_fit_their_component(text, args, message):
    with pytest.raises(RuleError) as caught:
        apply(parse_rule(text), (b, 3), args)
    assert message in caught.value.message


def test_obligations_are_decided_when_more_is_known():
    applied = apply(parse_rule(CONV), (b, c, h, 32), CONV_ARGS | {"ks": 7, "padding": 0, "groups": 4})
    assert [str(o) for o in applied.obligations] == [
        "`c % groups == 0 and nf % groups == 0`",
        "`conv(h)` >= 1",
    ]
    groups, fits = applied.obligations
    assert groups.decide() is None and fits.decide() is None
    assert groups.decide({"c": 8}) is True and groups.decide({"c": 6}) is False
    assert fits.decide({"h": 7}) is True and fits.decide({"h": 6}) is False
    assert fits.decide({"c": 6}) is None
    assert fits.reason({"h": 6}) == "`conv(h)` would be 0 where h = 6 and ks = 7"


def test_either_of_two_conditions():
    rule = parse_rule("b c h w -> b c where (c == 1 or c == 3) and h >= 2")
    assert apply(rule, (b, 3, 2, w), {}).obligations == ()
    (obligation,) = apply(rule, (b, c, 2, w), {}).obligations
    assert [obligation.decide({"c": n}) for n in (1, 2, 3)] == [True, False, True]
    with pytest.raises(Mismatch):
        apply(rule, (b, c, 1, w), {})
    assert apply(parse_rule("b c -> b c where c >= 1 or c == d"), (b, c), {"d": h}).obligations == ()


def test_what_is_divided_by_zero_later_does_not_hold():
    (obligation,) = apply(parse_rule("b c -> b c where c // (n - 1) == 2"), (b, 3), {"n": h}).obligations
    assert obligation.decide({"h": 1}) is False
    assert "n = 1" in obligation.reason({"h": 1})


def test_a_size_that_grows_too_large_is_a_mismatch():
    shape = (b, *(Dim.symbol(f"s{i}") for i in range(120)))
    with pytest.raises(Mismatch, match="can't be computed"):
        apply(parse_rule("b ... -> b prod(...)*prod(...)"), shape, {})


@given(
    st.fixed_dictionaries(
        {
            "ks": st.integers(1, 5), "stride": st.integers(1, 4), "padding": st.integers(0, 2),
            "dilation": st.integers(1, 3), "ceil_mode": st.booleans(),
        }
    ),
    st.sampled_from(["conv", "pool", "tconv"]),
    st.integers(1, 30),
)  # fmt: skip
def test_symbols_then_numbers_is_numbers(args, function, size):
    """A size that is known later gives the same shape, or the same refusal, as one that is known now."""
    rule = parse_rule(f"b h -> b {function}(h)")
    try:
        later = apply(rule, (b, h), args)
    except Mismatch:
        with pytest.raises(Mismatch):
            apply(rule, (b, size), args)
        return
    try:
        now = apply(rule, (b, size), args)
    except Mismatch as error:
        (obligation,) = later.obligations
        assert obligation.decide({"h": size}) is False
        assert obligation.reason({"h": size}) == error.reason
        return
    assert now.out == tuple(substitute(s, {"h": size}) for s in later.out)
    assert all(o.decide({"h": size}) for o in later.obligations)


# ── joins ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "op, shapes, out",
    [
        ("add", [(b, 64, h, w), (b, 64, h, w)], "(b, 64, h, w)"),
        ("mul", [(b, 64, h, w), (b, 64, 1, 1)], "(b, 64, h, w)"),
        ("mul", [(b, 1, h, w), (b, 64, 1, w)], "(b, 64, h, w)"),
        ("sub", [(b, 10), (b, 10)], "(b, 10)"),
        ("concat", [(b, 64, h, w), (b, 32, h, w), (b, c, h, w)], "(b, c + 96, h, w)"),
        ("concat", [(b, 3), (b, 4)], "(b, 7)"),
        ("matmul", [(b, 5, 3), (b, 3, 7)], "(b, 5, 7)"),
        ("matmul", [(b, 8, 5, c), (b, 8, c, 7)], "(b, 8, 5, 7)"),
    ],
)
def test_joins(op, shapes, out):
    applied = join(op, shapes)
    assert shown(applied) == out
    assert applied.obligations == ()


@pytest.mark.parametrize(
    "op, shapes, reason",
    [
        ("add", [(b, 64, h, w), (b, 128, h, w)], "channels 64 and 128 differ: (b, 64, h, w) and (b, 128, h, w)"),
        ("add", [(b, 64, 7, 8), (b, 64, 7, 4)], "width 8 and 4 differ: (b, 64, 7, 8) and (b, 64, 7, 4)"),
        ("mul", [(b, 10), (b, 9)], "features 10 and 9 differ: (b, 10) and (b, 9)"),
        ("sub", [(b, 10), (b, 10, 1)], "2 dims and 3 dims: (b, 10) and (b, 10, 1)"),
        ("concat", [(b, 3, 7), (b, 4, 8)], "dim 2 7 and 8 differ: (b, 3, 7) and (b, 4, 8)"),
        ("concat", [(b,), (b,)], "expected at least 2 dims (b c), got 1 (b)"),
        ("matmul", [(b, 3), (b, 3)], "expected at least 3 dims (b n k), got 2 (b, 3)"),
        ("matmul", [(b, 5, 3), (b, 4, 7)], "the last dim 3 and the last but one 4 differ: (b, 5, 3) and (b, 4, 7)"),
        ("matmul", [(b, 2, 5, 3), (b, 4, 3, 7)], "channels 2 and 4 differ: (b, 2, 5, 3) and (b, 4, 3, 7)"),
    ],
)  # fmt: skip
def test_joins_that_do_not_fit(op, shapes, reason):
    with pytest.raises(Mismatch) as caught:
        join(op, shapes)
    assert caught.value.reason == reason


def test_joins_that_may_fit():
    (obligation,) = join("add", [(b, 64, h, h), (b, 64, h, (h + 1) // 2 * 2)]).obligations
    assert obligation.decide({"h": 4}) is True
    assert obligation.decide({"h": 5}) is False
    assert obligation.reason({"h": 5}) == "width 5 and 6 differ: (b, 64, 5, 5) and (b, 64, 5, 6)"
    assert str(obligation) == "h == 2*((h + 1) // 2)"
