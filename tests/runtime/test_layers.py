"""Every layer's shape rule agrees with the real module, on the meta device, sizes and refusals alike; its count rule
with the parameters that the module has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mfc.dsl.dims import Dim, substitute
from mfc.dsl.rules import parse_count
from mfc.dsl.shapes import Mismatch, apply, counted, parse_rule
from mfc.runtime.component import In
from tests.runtime.plans import LAYERS

Shape = tuple[int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]


# ── what to try ─────────────────────────────────────────────────────────────────────────────────────────

sides = st.integers(1, 12)
batches = st.integers(2, 3)  # batch and group norm refuse a single number to normalise while training
few = st.integers(1, 4)


def images(least: int = 1, most: int = 12) -> st.SearchStrategy[Shape]:
    return st.tuples(batches, st.integers(least, most), sides, sides)


def any_shape(least: int = 1, most: int = 5) -> st.SearchStrategy[Shape]:
    return st.tuples(batches, st.lists(st.integers(1, 6), min_size=least - 1, max_size=most - 1)).map(
        lambda both: (both[0], *both[1])
    )


def no_args() -> st.SearchStrategy[dict[str, Any]]:
    return st.just({})


def window(**more: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {"ks": st.integers(1, 5), "stride": few, "padding": st.integers(0, 3), **more}


def args(required: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]):
    """Arguments as a user writes them: those that are required, and any of the others."""
    return st.fixed_dictionaries(required, optional=optional)


def convolution(**more: st.SearchStrategy[Any]):
    options = window(dilation=st.integers(1, 3), groups=few, bias=st.booleans()) | more
    return args({"nf": st.integers(1, 12)}, **options)


def recurrent():
    """Arguments of recurrent layers: dropout acts between layers, so that it needs two."""
    plain = args({"hidden": few}, layers=st.integers(1, 3), bidirectional=st.booleans(), bias=st.booleans())
    dropping = args({"hidden": few, "layers": st.just(2), "dropout": st.floats(0, 1)})
    return plain | dropping


sequences = st.tuples(batches, sides, st.integers(1, 6))
channels = st.tuples(batches, st.integers(1, 4), sides)


@dataclass
class Case:
    """Arguments and shapes to try a layer with. Where `integers`, what comes in are ids."""

    args: st.SearchStrategy[dict[str, Any]]
    shapes: st.SearchStrategy[Shape]
    integers: bool = False
    device: str = "meta"


def in_fours(shape: Shape) -> st.SearchStrategy[Shape]:
    """A shape as it is, or with as many channels again as make a multiple of four."""
    return st.sampled_from([shape, (shape[0], 4 * shape[1], *shape[2:])])


reshaped = st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)

CASES = {
    "adaptive_avg_pool": Case(args({}, size=st.integers(1, 5)), images()),
    "adaptive_avg_pool1d": Case(args({}, size=st.integers(1, 5)), sequences),
    "adaptive_concat_pool": Case(args({}, size=st.integers(1, 5)), images()),
    "adaptive_concat_pool1d": Case(args({}, size=st.integers(1, 5)), sequences),
    "adaptive_max_pool": Case(args({}, size=st.integers(1, 5)), images()),
    "adaptive_max_pool1d": Case(args({}, size=st.integers(1, 5)), sequences),
    "avg_pool": Case(args({}, **window(stride=st.none() | few, ceil_mode=st.booleans())), images()),
    "avg_pool1d": Case(args({}, **window(stride=st.none() | few, ceil_mode=st.booleans())), channels),
    "batchnorm": Case(args({}, zero_init=st.booleans(), momentum=st.floats(0, 1)), any_shape(2)),
    "bias": Case(no_args(), any_shape()),
    "conv1d": Case(
        convolution(padding=st.none() | st.integers(0, 3)), st.tuples(batches, st.integers(1, 12), sides)
    ),
    "conv2d": Case(convolution(padding=st.none() | st.integers(0, 3)), images()),
    "alpha_dropout": Case(args({}, p=st.floats(0, 0.9)), any_shape()),
    "drop_path": Case(args({}, p=st.floats(0, 0.9)), any_shape()),
    "dropout": Case(args({}, p=st.floats(0, 1)), any_shape()),
    "dropout2d": Case(args({}, p=st.floats(0, 1)), images()),
    "embedding": Case(
        args({"n": st.integers(2, 5), "nf": few}, std=st.floats(0.1, 1)), any_shape(), integers=True
    ),
    "flatten": Case(no_args(), any_shape(2)),
    "gelu": Case(args({}, approximate=st.booleans()), any_shape()),
    "group_norm": Case(args({}, groups=few), any_shape(2)),
    "gru": Case(recurrent(), sequences),
    "instance_norm": Case(args({}, affine=st.booleans()), images()),
    "layer_norm": Case(args({}, eps=st.floats(1e-6, 1)), any_shape(2)),
    "linear": Case(args({"nf": few}, bias=st.booleans()), any_shape(2)),
    "lstm": Case(recurrent(), sequences),
    "max_pool": Case(
        args({}, **window(stride=st.none() | few, dilation=st.integers(1, 3), ceil_mode=st.booleans())),
        images(),
    ),
    "max_pool1d": Case(
        args({}, **window(stride=st.none() | few, dilation=st.integers(1, 3), ceil_mode=st.booleans())),
        channels,
    ),
    "mish": Case(no_args(), any_shape()),
    "interpolate": Case(
        args({"height": few, "width": few}, mode=st.sampled_from(["nearest", "bilinear", "bicubic"])),
        images(),
    ),
    "pixel_shuffle_icnr": Case(args({"nf": few}, scale=st.integers(1, 3)), images()),
    "pixel_shuffle": Case(args({}, scale=st.integers(1, 3)), images().flatmap(in_fours)),
    "relu": Case(
        args({}, leak=st.floats(0, 1), sub=st.floats(0, 1), maxv=st.none() | st.floats(1, 6)), any_shape()
    ),
    "reshape": Case(args({"sizes": reshaped}), st.sampled_from([(2, 12), (2, 4, 3), (3, 6), (2, 1, 24, 1)])),
    "running_batchnorm": Case(args({}, momentum=st.floats(0.1, 1)), any_shape(2)),
    "scale": Case(args({}, init=st.floats(-2, 2), learned=st.booleans()), any_shape()),
    # spectral norm's iterations take 150 ms on the meta device
    "self_attention": Case(
        no_args(), st.tuples(batches, st.integers(6, 17), sides) | images(6, 17), device="cpu"
    ),
    "selu": Case(no_args(), any_shape()),
    "sigmoid": Case(no_args(), any_shape()),
    "silu": Case(no_args(), any_shape()),
    "squeeze_excite": Case(args({}, reduction=st.integers(1, 20)), images(1, 70)),
    "tanh": Case(no_args(), any_shape()),
    # torch's meta kernel takes an output padding that no device takes
    "tconv2d": Case(convolution(output_padding=st.integers(0, 3)), images(), device="cpu"),
    "transpose": Case(no_args(), sequences),
    "upsample": Case(args({}, scale=few, mode=st.sampled_from(["nearest", "bilinear", "bicubic"])), images()),
}


def test_every_layer_has_a_case():
    assert sorted(LAYERS) == sorted(CASES)
    assert len(LAYERS) == 44


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────


def signature(component: Any) -> tuple[dict[str, Any], list[str]]:
    """The defaults of a component's arguments, and the names of those that come from the shape."""
    parameters = inspect.signature(component).parameters.values()
    ins = [p.name for p in parameters if p.annotation in ("In", In)]
    return {p.name: p.default for p in parameters if p.default is not p.empty}, ins


def by_rule(component: Any, arguments: dict[str, Any], shape: Shape) -> Shape | None:
    try:
        return apply(
            parse_rule(component.__mfc_facts__["shape"]), shape, signature(component)[0] | arguments
        ).out
    except Mismatch:
        return None


def bound_by_shape(component: Any, shape: Shape) -> dict[str, Any]:
    """The arguments that come from the shape."""
    rule, (_, ins) = parse_rule(component.__mfc_facts__["shape"]), signature(component)
    bound = apply(parse_rule(" ".join(rule.source(item) for item in rule.takes or ())), shape, {}).bound
    return {name: bound[name] for name in ins}


def by_module(component: Any, arguments: dict[str, Any], shape: Shape, case: Case) -> Shape | None:
    try:
        with torch.device(case.device):
            module = component(**bound_by_shape(component, shape), **arguments)
            out = module(torch.ones(shape, dtype=torch.int64 if case.integers else None)).shape
    except (RuntimeError, ValueError):
        return None
    return None if 0 in out else tuple(out)  # a rule refuses what leaves nothing


@pytest.mark.parametrize("name", sorted(LAYERS))
@settings(max_examples=100)
@given(data=st.data())
def test_rule_is_the_module(name, data):
    component, case = LAYERS[name], CASES[name]
    arguments, shape = data.draw(case.args), data.draw(case.shapes)
    assert by_rule(component, arguments, shape) == by_module(component, arguments, shape, case)


@pytest.mark.parametrize("name", sorted(LAYERS))
@settings(max_examples=40)
@given(data=st.data())
def test_rule_on_symbols_is_the_rule_on_numbers(name, data):
    """With sizes that are known later: the same shape in the end, or a condition that says no."""
    component, case = LAYERS[name], CASES[name]
    arguments, shape = data.draw(case.args), data.draw(case.shapes)
    symbols = tuple(Dim.symbol(f"s{i}") for i in range(len(shape)))
    facts = {f"s{i}": size for i, size in enumerate(shape)}
    rule, full = parse_rule(component.__mfc_facts__["shape"]), signature(component)[0] | arguments
    now = by_rule(component, arguments, shape)
    try:
        later = apply(rule, symbols, full)
    except Mismatch:
        assert now is None
        return
    holds = [obligation.decide(facts) for obligation in later.obligations]
    assert None not in holds
    assert all(holds) == (now is not None)
    if now is not None:
        assert tuple(substitute(size, facts) for size in later.out) == now


@pytest.mark.parametrize("name", sorted(LAYERS))
@settings(max_examples=50)
@given(data=st.data())
def test_count_is_the_modules_parameters(name, data):
    """Of its weight too, which is what a tied layer does not have."""
    component, case = LAYERS[name], CASES[name]
    arguments, shape = data.draw(case.args), data.draw(case.shapes)
    if by_rule(component, arguments, shape) is None:
        return
    count, rule = (
        parse_count(component.__mfc_facts__["parameters"]),
        parse_rule(component.__mfc_facts__["shape"]),
    )
    parts = counted(count, rule, shape, signature(component)[0] | arguments)
    with torch.device(case.device):
        module = component(**bound_by_shape(component, shape), **arguments)
    assert sum(parts) == sum(p.numel() for p in module.parameters())
    weight = module._parameters.get("weight")
    assert weight is None or parts[0] == weight.numel()
    symbols = tuple(Dim.symbol(f"s{i}") for i in range(len(shape)))
    later = counted(count, rule, symbols, signature(component)[0] | arguments)
    facts = {f"s{i}": size for i, size in enumerate(shape)}
    assert tuple(substitute(part, facts) for part in later) == parts


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_documented_from_the_first_line(name):
    """The first line of a layer's docstring is its hover text, and its signature is read by the checker."""
    component = LAYERS[name]
    first = (inspect.getdoc(component) or "").partition("\n")[0]
    assert first.endswith(".") and 10 < len(first) < 110
    assert issubclass(component, nn.Module) if inspect.isclass(component) else callable(component)
