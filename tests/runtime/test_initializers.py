"""First weights: their distributions, that they depend on names alone, and weights that come from files."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mfc.dsl import ir
from mfc.runtime.errors import RunError
from mfc.runtime.initializers import file, from_training, kaiming, lecun, orthogonal, xavier
from mfc.runtime.models import build_model
from mfc.runtime.streams import Stream
from mfc.runtime.training.checkpoint import write_tensors
from mfc.runtime.training.train import MODEL
from tests.runtime.plans import group, layer, stack, xresnet

STREAM = Stream(1, "fit", "weights 0")


def filled(initializer, *steps, stream=STREAM) -> nn.Module:
    model = build_model(stack("", *steps), Stream(0, "fit", "init"))
    initializer(model, stream)
    return model


def wide() -> list[ir.Layer]:
    return [layer("conv2d", c=64, nf=128, ks=3), layer("linear", features=300, nf=200)]


@pytest.mark.parametrize(
    "initializer, deviation",
    [
        (kaiming(), lambda ins, outs: math.sqrt(2 / ins)),
        (kaiming(uniform=True), lambda ins, outs: math.sqrt(2 / ins)),
        (kaiming(leak=0.5), lambda ins, outs: math.sqrt(2 / 1.25 / ins)),
        (lecun(), lambda ins, outs: math.sqrt(1 / ins)),
        (lecun(uniform=True), lambda ins, outs: math.sqrt(1 / ins)),
        (xavier(), lambda ins, outs: math.sqrt(2 / (ins + outs))),
        (xavier(gain=2.0, uniform=False), lambda ins, outs: 2 * math.sqrt(2 / (ins + outs))),
    ],
)
def test_deviations(initializer, deviation):
    model = filled(initializer, *wide())
    for name, ins, outs in (("conv2d", 64 * 9, 128 * 9), ("linear", 300, 200)):
        weight = model.get_parameter(f"{name}.weight").detach()
        assert weight.std().item() == pytest.approx(deviation(ins, outs), rel=0.03)
        assert abs(weight.mean().item()) < 0.02 * deviation(ins, outs)
        largest = weight.abs().max().item() / deviation(ins, outs)
        assert largest < math.sqrt(3) * 1.001 if initializer.uniform else largest > 3
        assert model.get_parameter(f"{name}.bias").eq(0).all()


def test_orthogonal():
    model = filled(orthogonal(gain=3.0), *wide())
    weight = model.get_parameter("linear.weight").detach()
    torch.testing.assert_close(weight @ weight.T, 9 * torch.eye(200), rtol=0, atol=1e-4)


@pytest.mark.parametrize("initializer, kept", [(lecun(), True), (kaiming(), False)])
def test_lecun_keeps_a_deep_selu_net_normal(initializer, kept):
    """Klambauer et al., 2017: mean 0 and variance 1 are drawn to themselves, layer after layer; not so where the
    weights' variance is another one."""
    steps = [step for _ in range(32) for step in (layer("linear", features=256, nf=256), layer("selu"))]
    model = filled(initializer, *steps)
    with torch.no_grad():
        out = model(torch.randn(512, 256, generator=torch.Generator().manual_seed(0)) * 1.3 + 0.2)
    normal = abs(out.mean().item()) < 0.1 and abs(out.var().item() - 1) < 0.15
    assert normal == kept


def test_kaiming_leaves_norms_as_they_were():
    model = build_model(xresnet(10, (1, 1, 1, 1)), Stream(0, "fit", "init"))
    kaiming()(model, STREAM)
    assert model.get_parameter("body.res_block_0.conv_layer_1.batchnorm.weight").eq(0).all()
    assert model.get_parameter("body.res_block_0.conv_layer_0.batchnorm.weight").eq(1).all()


@pytest.mark.parametrize("initializer", [kaiming(), xavier(), orthogonal(), lecun()])
def test_a_weight_depends_on_its_name_alone(initializer):
    b = layer("linear", name="b", features=3, nf=3)
    one = filled(initializer, layer("linear", name="a", features=3, nf=3), b)
    other = filled(initializer, layer("conv2d", c=3, nf=3), b)
    assert torch.equal(one.get_parameter("b.weight"), other.get_parameter("b.weight"))
    assert not torch.equal(one.get_parameter("a.weight"), one.get_parameter("b.weight"))
    another = filled(initializer, b, stream=Stream(2, "fit", "weights 0"))
    assert not torch.equal(one.get_parameter("b.weight"), another.get_parameter("b.weight"))


def test_filling_leaves_torchs_generator_as_it_was():
    model = build_model(stack("", *wide()), Stream(0, "fit", "init"))
    before = torch.get_rng_state()
    for initializer in (kaiming(), xavier(), orthogonal()):
        initializer(model, STREAM)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_other_types_and_computed_ones():
    model = filled(kaiming(), layer("self_attention", c=16)).to(torch.bfloat16)
    before = {name: p.clone() for name, p in model.named_parameters()}
    kaiming()(model, STREAM)  # spectral norm computes the weights of its convolutions
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    half = filled(kaiming(), layer("linear", features=3, nf=3)).to(torch.bfloat16)
    kaiming()(half, STREAM)
    assert half.get_parameter("linear.weight").dtype == torch.bfloat16


def test_tied_weights_are_filled_once():
    f = stack("f", layer("linear", features=4, nf=4), shares_slots=True)
    tied = ir.Layer("out", layer("linear", features=4, nf=4).call, tie="f")
    model = filled(kaiming(), ir.Define(f), ir.Apply("f"), tied)
    alone = filled(kaiming(), f)
    assert torch.equal(model.get_parameter("out.weight"), alone.get_parameter("f.linear.weight"))


# ── weights that were trained before ────────────────────────────────────────────────────────────────────


def net(classes: int = 3, head: str = "head") -> nn.Module:
    body = group("body", layer("linear", features=4, nf=5), layer("batchnorm", c=5))
    plan = stack("", body, group(head, layer("linear", features=5, nf=classes)))
    return build_model(plan, Stream(classes, "fit", "init"))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_weights_from_a_file(tmp_path):
    trained = net()
    nn.init.normal_(trained.get_parameter("body.linear.weight"))
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    model = net()
    file(tmp_path / "w.safetensors")(model, STREAM)
    assert same(model, trained)


def test_files_that_do_not_fit(tmp_path):
    save_file(net(head="top").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(RunError) as caught:
        file(tmp_path / "w.safetensors")(net(), STREAM)
    assert caught.value.code == "R0255"
    assert caught.value.notes == [
        f"only in {tmp_path}/w.safetensors: `top.linear.bias`, `top.linear.weight`",
        "only in the model: `head.linear.bias`, `head.linear.weight`",
    ]
    save_file(net(4).state_dict(), tmp_path / "w.safetensors")
    model = net()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(RunError) as caught:
        file(tmp_path / "w.safetensors")(model, STREAM)
    assert caught.value.notes == [
        "`head.linear.bias` is [4] there and [3] here",
        "`head.linear.weight` is [4, 5] there and [3, 5] here",
    ]
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_files_that_are_no_weights(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not weights at all")
    for name in ("w.safetensors", "missing.safetensors"):
        with pytest.raises(RunError, match="R0256"):
            file(tmp_path / name)(net(), STREAM)


def test_weights_of_a_training_before(tmp_path):
    trained = net(7)
    nn.init.normal_(trained.get_parameter("body.linear.weight"))
    write_tensors(tmp_path / MODEL, trained.state_dict())
    model = net(7)
    from_training(tmp_path)(model, STREAM)
    assert same(model, trained)
    other = net(3)
    from_training(tmp_path, "body")(other, STREAM)
    assert torch.equal(other.get_parameter("body.linear.weight"), trained.get_parameter("body.linear.weight"))
    with pytest.raises(RunError, match=r"R0255"):
        from_training(tmp_path)(net(3), STREAM)
    with pytest.raises(RunError, match=r"R0255.*no part `encoder`"):
        from_training(tmp_path, "encoder")(net(3), STREAM)
