"""LSUV: unit variance against forward passes written by hand, what is left alone, and what goes wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from mfc.dsl import ir
from mfc.runtime.errors import RunError
from mfc.runtime.init_report import lines
from mfc.runtime.initializers import kaiming, orthogonal
from mfc.runtime.layers.activation import relu
from mfc.runtime.lsuv import Moments, lsuv
from mfc.runtime.models import build_model
from mfc.runtime.streams import Stream
from tests.runtime.plans import layer, stack

STREAM = Stream(1, "fit", "weights 1")


def batches(*shape: int, count: int = 3, seed: int = 0) -> list[tuple[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(shape, generator=generator) * 3 + 1,) for _ in range(count)]


def convolutions(depth: int = 8, bias: bool = True, **activation) -> nn.Module:
    steps = []
    for i in range(depth):
        steps += [layer("conv2d", c=8 if i else 3, nf=8, ks=3, bias=bias), layer("relu", **activation)]
    steps += [layer("adaptive_avg_pool"), layer("flatten"), layer("linear", features=8, nf=5)]
    return build_model(stack("", *steps), Stream(0, "fit", "init"))


def by_hand(model: nn.Module, x: torch.Tensor, activation, after: bool = False) -> list[torch.Tensor]:
    """What each layer gives, or the activation after it, from weights alone."""
    found = []
    for name, weight in model.named_parameters():
        if name.endswith("weight"):
            if weight.dim() == 2:
                x = x.mean((2, 3))
            bias = dict(model.named_parameters()).get(name.replace("weight", "bias"))
            out = F.conv2d(x, weight, bias, padding=1) if weight.dim() == 4 else F.linear(x, weight, bias)
            x = activation(out, name) if weight.dim() == 4 else out
            found.append(x if after else out)
    return found


def test_each_layer_gives_unit_variance():
    model, data = convolutions(), batches(16, 3, 10, 10)
    orthogonal()(model, STREAM)
    report = lsuv()(model, STREAM, data)
    with torch.no_grad():
        outs = by_hand(model, data[0][0], lambda out, _: out.relu())
    assert len(outs) == len(report) == 9
    for out, row in zip(outs, report):
        assert out.std(correction=0).item() == pytest.approx(1, abs=1e-2)
        assert out.mean().item() == pytest.approx(0, abs=1e-2)
        assert row["after"]["std"] == pytest.approx(out.std(correction=0).item(), abs=1e-4)
        assert row["after"]["mean"] == pytest.approx(out.mean().item(), abs=1e-4)


def test_without_it_there_is_no_unit_variance():
    model, data = convolutions(), batches(16, 3, 10, 10)
    orthogonal()(model, STREAM)
    with torch.no_grad():
        before = [
            out.std(correction=0).item() for out in by_hand(model, data[0][0], lambda out, _: out.relu())
        ]
    assert all(abs(std - 1) > 0.1 for std in before)
    report = lsuv()(model, STREAM, data)
    assert [row["before"]["std"] for row in report] == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("argument", [{"leak": 0.1, "sub": 0.4, "maxv": 6.0}, {"sub": 0.4}])
def test_of_activations_as_in_the_course(argument):
    """Notebook 07a_lsuv: `sub` shifts the mean of what the general relu gives to 0, the weight scales it to 1."""
    model, data = convolutions(bias=False, **argument), batches(16, 3, 10, 10)
    kaiming()(model, STREAM)
    lsuv(of="activation", tol=1e-3)(model, STREAM, data)
    subs = {n: b.item() for n, b in model.named_buffers() if n.endswith("sub")}
    assert all(abs(sub - 0.4) > 1e-3 for sub in subs.values()), "each was set"

    def general(out: torch.Tensor, name: str) -> torch.Tensor:
        sub = subs[name.replace("conv2d", "relu").replace("weight", "sub")]
        out = torch.where(out > 0, out, argument.get("leak", 0) * out) - sub
        return out.clamp_max(argument.get("maxv", math.inf))

    with torch.no_grad():
        *outs, last = by_hand(model, data[0][0], general, after=True)
    for out in outs:
        assert out.std(correction=0).item() == pytest.approx(1, abs=2e-3)
        assert out.mean().item() == pytest.approx(0, abs=2e-3)
    assert last.std().item() == pytest.approx(1, abs=2e-2)  # no activation follows: the layer itself


def test_what_is_set_is_kept_with_the_weights():
    model, data = convolutions(bias=False, sub=0.4), batches(8, 3, 6, 6)
    lsuv(of="activation")(model, STREAM, data)
    other = convolutions(bias=False, sub=0.4)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(data[1][0]), model(data[1][0]))


def test_rectifiers_alone_are_not_shifted():
    model, data = convolutions(3), batches(16, 3, 10, 10)
    report = lsuv(of="activation")(model, STREAM, data)
    assert [row["after"]["std"] for row in report] == pytest.approx([1] * 4, abs=1e-2)
    assert all(row["after"]["mean"] > 0.3 for row in report[:-1])


def test_center_is_a_choice():
    model, data = convolutions(3), batches(16, 3, 10, 10)
    report = lsuv(center=False)(model, STREAM, data)
    assert [row["after"]["std"] for row in report] == pytest.approx([1] * 4, abs=1e-2)
    assert any(abs(row["after"]["mean"]) > 0.1 for row in report)


def test_several_batches_count_together():
    model, data = convolutions(4), batches(8, 3, 10, 10, count=5)
    model_of_one = convolutions(4)
    lsuv(batches=3)(model, STREAM, data)
    lsuv()(model_of_one, STREAM, [(torch.cat([x for (x,) in data[:3]]),)])
    for a, b in zip(model.parameters(), model_of_one.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9), min_size=1, max_size=5))
@settings(max_examples=60)
def test_moments_of_parts_are_those_of_the_whole(parts):
    moments = Moments()
    for part in parts:
        moments.add(torch.tensor(part))
    whole = torch.tensor([number for part in parts for number in part], dtype=torch.float64)
    assert moments.mean == pytest.approx(whole.mean().item(), abs=1e-2)
    assert moments.std == pytest.approx(whole.std(correction=0).item(), abs=1e-2)


# ── what is left as it is ───────────────────────────────────────────────────────────────────────────────


def scaled(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The layers whose weights are other ones now."""
    return {n.removesuffix(".weight") for n, p in model.named_parameters()
            if n.endswith("weight") and not torch.equal(p, before[n])}  # fmt: skip


def run(*steps, shape=(8, 3, 6, 6), **options):
    model = build_model(stack("", *steps), Stream(0, "fit", "init"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = lsuv(**options)(model, STREAM, batches(*shape))
    return model, before, {row["layer"]: row for row in report}


@pytest.mark.parametrize("norm", ["batchnorm", "running_batchnorm", "instance_norm", "group_norm"])
def test_a_layer_before_a_norm_stays_and_statistics_too(norm):
    norms: dict[str, Any] = {"c": 32}
    steps = [layer("conv2d", name="a", c=3, nf=32), layer(norm, **norms), layer("relu")]
    model, before, report = run(*steps, layer("conv2d", name="b", c=32, nf=4))
    assert scaled(model, before) == {"b"}
    assert report["a"]["kept"].endswith("follows it") and report["b"]["kept"] == ""
    assert report["b"]["after"]["std"] == pytest.approx(1, abs=1e-2)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_shared_tied_and_computed_weights():
    f = stack("f", layer("linear", name="s", features=6, nf=6), shares_slots=True)
    tied = ir.Layer("t", layer("linear", features=6, nf=6).call, tie="f")
    steps = [ir.Define(f), ir.Apply("f"), layer("relu"), ir.Apply("f"), layer("relu"), tied]
    _, _, report = run(*steps, layer("linear", name="end", features=6, nf=3), shape=(40, 6))
    assert list(report) == ["f.s", "t", "end"]
    assert report["t"]["kept"] == "its weight is that of f.s"
    assert report["f.s"]["after"]["std"] == pytest.approx(1, abs=1e-2)
    computed = nn.Sequential(spectral_norm(nn.Linear(5, 5)), nn.ReLU(), nn.Linear(5, 5))
    rows = lsuv()(computed, STREAM, batches(30, 5))
    assert [row["kept"] for row in rows] == ["its weight is computed from others", ""]


def test_a_weight_that_an_embedding_has_too_stays():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.hidden, self.out = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9)
            self.out.weight = self.embedding.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.hidden(self.embedding(x)).relu())

    model = Tied()
    before = model.embedding.weight.clone()
    rows = lsuv()(model, STREAM, [(torch.arange(9),)])
    assert torch.equal(model.embedding.weight, before)
    assert [row["kept"] for row in rows] == ["", "its weight is that of embedding"]


def test_one_activation_for_several_layers():
    """As in torchvision's blocks, which have one rectifier: it counts for each layer whose numbers it gets."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act = nn.Linear(6, 6), nn.Linear(6, 6), relu(sub=0.3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.b(self.act(self.a(x))))

    model = Block()
    rows = lsuv(of="activation")(model, STREAM, batches(50, 6))
    assert [row["after"]["std"] for row in rows] == pytest.approx([1, 1], abs=1e-2)
    assert rows[0]["after"]["mean"] == pytest.approx(0, abs=1e-2)  # the second is not shifted


def test_dropout_draws_the_same_in_each_pass():
    model, data = convolutions(2), batches(16, 3, 10, 10)
    noisy = nn.Sequential(nn.Dropout(0.5), model)
    state = torch.get_rng_state()
    report = lsuv()(noisy, STREAM, data)
    assert torch.equal(torch.get_rng_state(), state)
    assert [row["after"]["std"] for row in report] == pytest.approx([1] * 3, abs=1e-4)


def test_the_same_seed_gives_the_same_weights():
    models = [convolutions(3) for _ in range(2)]
    for model in models:
        lsuv()(model.eval(), STREAM, batches(16, 3, 10, 10))
        assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters()))


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────


def test_dead_layers_are_named():
    steps = [
        layer("linear", name="a", features=5, nf=5),
        layer("relu"),
        layer("linear", name="b", features=5, nf=5),
    ]
    model = build_model(stack("", *steps), Stream(0, "fit", "init"))
    nn.init.zeros_(model.get_parameter("b.weight"))
    with pytest.raises(RunError, match=r"R0257.*`b` gives a constant.*its weights are all 0"):
        lsuv()(model, STREAM, batches(20, 5))
    model = build_model(
        stack("", layer("relu", name="dead", sub=9.0, maxv=-8.0), *steps), Stream(0, "fit", "init")
    )
    with pytest.raises(RunError, match=r"R0257.*`a` gives a constant.*what comes into it"):
        lsuv()(model, STREAM, [(-torch.ones(20, 5),)])


def test_numbers_that_are_not_finite():
    model, data = convolutions(2), batches(4, 3, 6, 6)
    with torch.no_grad():
        model.get_parameter("conv2d_1.weight")[0] = math.nan
    with pytest.raises(RunError, match=r"R0258.*`conv2d_1`"):
        lsuv()(model, STREAM, data)


@pytest.mark.parametrize("steps", [[layer("relu")], [layer("conv2d", c=3, nf=3), layer("batchnorm", c=3)]])
def test_nothing_to_scale(steps):
    with pytest.raises(RunError, match=r"R0259.*no layer to scale"):
        run(*steps)


def test_what_can_not_reach_it_ends_and_is_told():
    """The numbers of tanh are within 1 of 0: their deviation never is 1."""
    steps = [layer("linear", name="a", features=5, nf=5), layer("tanh"), layer("linear", features=5, nf=5)]
    model, _, report = run(*steps, shape=(50, 5), of="activation", steps=4)
    assert report["a"]["steps"] == 4 and report["a"]["after"]["std"] < 0.99
    assert torch.isfinite(model.get_parameter("a.weight")).all()
    assert any(
        "not reached" in line for line in lines([{"initializer": "lsuv", "report": list(report.values())}])
    )


def test_depth_that_overflows():
    """Before it layers overflow; after it all is well, as each layer is scaled with those before it done."""
    model, data = convolutions(60), batches(8, 3, 6, 6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    report = lsuv()(model, STREAM, data)
    assert report[-2]["before"]["std"] is None
    assert all(row["after"]["std"] == pytest.approx(1, abs=1e-2) for row in report)
    said = lines([{"initializer": "lsuv", "report": report}])
    assert said[0].startswith("lsuv: std of 61 layers from ") and said[0].endswith("..inf to 1")
    assert "and 37 more layers" in said[-1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_the_device_of_the_run():
    model, data = convolutions().cuda(), [(x.cuda(),) for (x,) in batches(16, 3, 10, 10)]
    lsuv()(model, STREAM, data)
    with torch.no_grad():
        outs = by_hand(model, data[0][0], lambda out, _: out.relu())
    assert all(out.std(correction=0).item() == pytest.approx(1, abs=1e-2) for out in outs)
