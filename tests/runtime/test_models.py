"""Models from plans: what they compute, what their weights are called, what is shared, what works in place."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mfc.dsl import ir
from mfc.runtime.errors import RunError
from mfc.runtime.models import IN_PLACE, Stack, build_model, ends, named_groups, parameter_groups, part
from mfc.runtime.streams import Stream
from tests.runtime.plans import branch, group, layer, res_block, stack, xresnet

STREAM = Stream(1, "fit", "init")


def built(*steps, **kinds) -> Stack:
    model = build_model(stack("", *steps, **kinds), STREAM)
    assert isinstance(model, Stack)
    return model


def activations(model: nn.Module) -> dict[str, bool]:
    """Which activations work in place, by their paths."""
    return {name: m.inplace for name, m in model.named_modules() if isinstance(m, IN_PLACE)}


def loss_and_gradients(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    model.zero_grad()
    out = model(x)
    out.square().sum().backward()
    assert x.grad is not None
    return [out.detach(), x.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def same_as_out_of_place(model: nn.Module, x: torch.Tensor) -> bool:
    reference = copy.deepcopy(model)
    for module in reference.modules():
        if isinstance(module, IN_PLACE):
            module.inplace = False
    kept = x.clone()
    results = zip(loss_and_gradients(model, x), loss_and_gradients(reference, x), strict=True)
    return torch.equal(x, kept) and all(torch.equal(a, b) for a, b in results)


# ── xresnet ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "layers, expansion, count",
    [
        ((2, 2, 2, 2), 1, 11_708_744),
        ((3, 4, 6, 3), 1, 21_816_904),
        ((3, 4, 6, 3), 4, 25_576_264),
        ((3, 4, 23, 3), 4, 44_568_392),
        ((3, 8, 36, 3), 4, 60_212_040),
    ],
)
def test_xresnets_have_fastais_parameter_counts(layers, expansion, count):
    with torch.device("meta"):
        model = build_model(xresnet(1000, layers, expansion))
        out = model.eval()(torch.empty(2, 3, 128, 96))
    assert sum(p.numel() for p in model.parameters()) == count
    assert out.shape == (2, 1000) and out.is_meta


def test_state_dict_has_the_names_of_the_plan():
    with torch.device("meta"):
        names = list(build_model(xresnet(10)).state_dict())
    assert names[0] == "body.conv_layer_0.conv2d.weight"
    assert names[-2:] == ["head.linear.weight", "head.linear.bias"]
    assert "body.res_block_2.shortcut.conv_layer.batchnorm.running_mean" in names
    assert not any("steps" in name or "applied" in name for name in names)


def test_residual_block_is_what_it_says():
    model = build_model(res_block(8, 4, 4, stride=2), STREAM)
    x = torch.randn(2, 8, 7, 7)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(len(name)))
    get = dict(model.state_dict())

    def conv(x: torch.Tensor, name: str, stride: int = 1, act: bool = True) -> torch.Tensor:
        weight = get[f"{name}.conv2d.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        x = F.batch_norm(
            x, None, None, get[f"{name}.batchnorm.weight"], get[f"{name}.batchnorm.bias"], training=True
        )
        return F.relu(x) if act else x

    aside = conv(F.avg_pool2d(x, 2, ceil_mode=True), "shortcut.conv_layer", act=False)
    y = conv(conv(x, "conv_layer_0"), "conv_layer_1", stride=2)
    y = F.relu(conv(y, "conv_layer_2", act=False) + aside)
    torch.testing.assert_close(model(x), y)


def test_a_model_can_be_copied_sent_and_loaded():
    model = build_model(xresnet(4, (1, 1, 1, 1)), STREAM).eval()
    x = torch.randn(2, 3, 32, 32)
    other = build_model(xresnet(4, (1, 1, 1, 1)), Stream(2, "fit", "init")).eval()
    assert not torch.equal(other(x), model(x))
    other.load_state_dict(model.state_dict())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), other):
        assert torch.equal(twin(x), model(x))


def test_a_plan_from_json_is_the_same_model():
    plan = xresnet(4, (1, 1, 1, 1))
    assert ir.from_json(ir.to_json(plan)) == plan
    x = torch.randn(1, 3, 32, 32)
    first, second = build_model(plan, STREAM), build_model(ir.from_json(ir.to_json(plan)), STREAM)
    assert torch.equal(first.eval()(x), second.eval()(x))


# ── steps ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "op, expected",
    [
        ("add", lambda x, y: x + y),
        ("sub", lambda x, y: x - y),
        ("mul", lambda x, y: x * y),
        ("matmul", lambda x, y: x @ y),
        ("concat", lambda x, y: torch.cat([x, y], 1)),
    ],
)
def test_joins(op, expected):
    model = built(ir.Keep("s"), layer("tanh"), ir.Join(op, ("s",)))
    x = torch.randn(2, 3, 3)
    assert torch.equal(model(x), expected(x.tanh(), x))


def test_several_tensors_are_joined_in_order():
    model = built(ir.Keep("a"), layer("tanh"), ir.Keep("b"), layer("sigmoid"), ir.Join("concat", ("b", "a")))
    x = torch.randn(2, 3)
    assert torch.equal(model(x), torch.cat([x.tanh().sigmoid(), x.tanh(), x], 1))


def test_kept_loaded_and_branched():
    model = built(
        ir.Keep("s"),
        layer("sigmoid"),
        branch("t", layer("tanh"), ir.Join("add", ("s",))),  # a branch sees the slots of its stack
        ir.Load("s"),
        ir.Join("mul", ("t",)),
    )
    x = torch.randn(2, 3)
    assert torch.equal(model(x), x * (x.sigmoid().tanh() + x))


def test_slots_pass_from_group_to_group_but_not_into_blocks():
    inner = stack("block", ir.Keep("s"), layer("tanh"), ir.Join("add", ("s",)))
    model = built(group("down", ir.Keep("s"), layer("sigmoid")), inner, group("up", ir.Join("sub", ("s",))))
    x = torch.randn(2, 3)
    y = x.sigmoid()
    assert torch.equal(model(x), y.tanh() + y - x)


def test_a_block_takes_tensors_of_its_caller():
    inner = stack("block", layer("tanh"), ir.Join("add", ("skip",)), passes={"skip": "s"})
    x = torch.randn(2, 3)
    assert torch.equal(built(ir.Keep("s"), layer("sigmoid"), inner)(x), x.sigmoid().tanh() + x)


def test_a_layer_takes_tensors_by_name(tmp_path):
    (tmp_path / "film.py").write_text(FILM)
    call = ir.Call("layer", "film", f"{tmp_path}/film.py:film", {})
    model = built(ir.Keep("s"), layer("tanh"), ir.Layer("film", call, {"condition": "s"}))
    x = torch.randn(2, 3)
    assert torch.equal(model(x), x.tanh() * x)


FILM = """
from torch import nn

class film(nn.Module):
    def forward(self, x, condition):
        return x * condition
"""


# ── sharing ─────────────────────────────────────────────────────────────────────────────────────────────


def twice() -> ir.Stack:
    f = stack("f", layer("linear", features=3, nf=3), layer("relu"), shares_slots=True)
    return stack("", group("body", ir.Define(f), ir.Apply("body.f")), ir.Apply("body.f"))


def test_a_module_that_is_applied_twice_has_one_set_of_weights():
    model = build_model(twice(), STREAM)
    assert list(model.state_dict()) == ["body.f.linear.weight", "body.f.linear.bias"]
    weight, bias = model.parameters()
    x = torch.randn(2, 3)
    once = F.relu(F.linear(x, weight, bias))
    assert torch.equal(model(x), F.relu(F.linear(once, weight, bias)))
    model(x).sum().backward()
    assert weight.grad is not None


def test_a_copy_shares_within_itself():
    model = build_model(twice(), STREAM)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    x = torch.randn(2, 3)
    assert twin(x).eq(0).all()
    assert model(x).ne(0).any()


def test_a_model_used_again_is_the_same_model():
    net = stack("net", layer("linear", features=3, nf=3))
    model = built(net, layer("tanh"), ir.Apply("net"))
    assert list(model.state_dict()) == ["net.linear.weight", "net.linear.bias"]
    x = torch.randn(2, 3)
    f = part(model, "net")
    assert torch.equal(model(x), f(f(x).tanh()))


def tied(nf: int = 5) -> ir.Stack:
    vectors = stack("vectors", layer("embedding", n=5, nf=3), shares_slots=True)
    out = layer("linear", features=3, nf=nf)
    return stack(
        "", ir.Define(vectors), ir.Apply("vectors"), ir.Run(ir.Layer("linear", out.call, tie="vectors"))
    )


def test_tied_weights_are_one_tensor():
    model = build_model(tied(), STREAM)
    assert list(model.state_dict()) == ["vectors.embedding.weight", "linear.weight", "linear.bias"]
    assert [name for name, _ in model.named_parameters()] == ["vectors.embedding.weight", "linear.bias"]
    weight = model.get_parameter("vectors.embedding.weight")
    ids = torch.tensor([[0, 4], [2, 2]])
    torch.testing.assert_close(model(ids), F.linear(weight[ids], weight, model.get_parameter("linear.bias")))
    model(ids).sum().backward()
    twin = copy.deepcopy(model)
    assert part(twin, "linear").weight is part(twin, "vectors.embedding").weight


def names_of_ends(model: nn.Module) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in ends(model)]


def test_the_ends_of_a_model_are_embeddings_and_its_last_matrix():
    conv = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm(2)
    )
    assert names_of_ends(conv) == ["3.weight"]
    assert names_of_ends(nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 2))) == [
        "0.weight", "2.weight",
    ]  # fmt: skip
    assert set(names_of_ends(build_model(tied(), STREAM))) == {"vectors.embedding.weight"}
    assert names_of_ends(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3))) == []


def test_ties_that_do_not_fit():
    with pytest.raises(RunError, match=r"R0254.*their shapes are \[4, 3\] and \[5, 3\]"):
        build_model(tied(nf=4))
    f = stack("f", layer("linear", features=3, nf=3), layer("linear", name="other", features=3, nf=3))
    out = ir.Layer("linear", layer("linear", features=3, nf=3).call, tie="f")
    with pytest.raises(RunError, match=r"R0254.*it has 2 weights"):
        built(ir.Define(f), ir.Apply("f"), out)


# ── in place ────────────────────────────────────────────────────────────────────────────────────────────


def linear():
    return layer("linear", features=3, nf=3)


PRE_ACTIVATION = stack(
    "block",
    layer("relu"),
    layer("linear", features=3, nf=3),
    layer("relu"),
    layer("linear", features=3, nf=3),
)


@pytest.mark.parametrize(
    "steps, in_place",
    [
        ([layer("relu"), linear()], {"relu": False}),  # the caller's own tensor
        ([linear(), layer("relu")], {"relu": True}),
        ([linear(), layer("relu", leak=0.1)], {"relu": True}),
        ([linear(), layer("relu", leak=0.1, sub=0.4, maxv=2.0)], {"relu": True}),
        ([linear(), layer("tanh"), layer("relu")], {"relu": False}),  # tanh's backward reads its result
        ([linear(), layer("relu"), layer("relu")], {"relu_0": True, "relu_1": False}),
        ([linear(), ir.Keep("s"), layer("relu"), ir.Join("add", ("s",))], {"relu": False}),
        ([linear(), ir.Keep("s"), linear(), ir.Load("s"), layer("relu")], {"relu": False}),
        ([ir.Keep("s"), linear(), ir.Join("add", ("s",)), layer("relu")], {"relu": True}),
        ([ir.Keep("s"), linear(), ir.Join("mul", ("s",)), layer("relu")], {"relu": True}),
        ([ir.Keep("s"), linear(), ir.Join("concat", ("s",)), layer("relu")], {"relu": True}),
        ([linear(), branch("s"), layer("relu"), ir.Join("add", ("s",))], {"relu": False}),
        ([linear(), branch("s", layer("relu")), ir.Join("add", ("s",))], {"s.relu": False}),
        (
            [linear(), branch("s", linear(), layer("relu")), layer("relu"), ir.Join("add", ("s",))],
            {"s.relu": True, "relu": False},
        ),
        ([linear(), branch("s", layer("flatten")), layer("relu"), ir.Join("add", ("s",))], {"relu": False}),
        ([linear(), PRE_ACTIVATION], {"block.relu_0": True, "block.relu_1": True}),
        (
            [linear(), ir.Keep("s"), PRE_ACTIVATION, ir.Join("add", ("s",))],
            {"block.relu_0": False, "block.relu_1": True},
        ),
        ([linear(), stack("block", linear()), layer("relu")], {"relu": True}),
        ([linear(), stack("block"), layer("relu")], {"relu": True}),
        ([linear(), ir.Keep("s"), stack("block"), layer("relu"), ir.Join("add", ("s",))], {"relu": False}),
        ([linear(), stack("block", linear(), ir.Keep("s")), layer("relu")], {"relu": False}),
        ([linear(), group("body", linear()), group("head", layer("relu"))], {"head.relu": True}),
        ([linear(), layer("dropout", p=0.0), layer("relu")], {"relu": False}),
        (
            [ir.Define(stack("f", layer("relu"), linear())), linear(), ir.Apply("f"), layer("relu")],
            {"f.relu": False, "relu": True},
        ),
        (  # run where it may overwrite, and applied again where it may not
            [
                linear(),
                stack("net", layer("relu"), linear()),
                ir.Keep("s"),
                ir.Apply("net"),
                ir.Join("add", ("s",)),
            ],
            {"net.relu": False},
        ),
    ],
)
def test_activations_overwrite_only_what_nothing_else_needs(steps, in_place):
    model = built(*steps)
    assert activations(model) == in_place
    torch.manual_seed(0)
    assert same_as_out_of_place(model, torch.randn(4, 3))


def test_a_residual_net_in_place_has_the_gradients_of_one_out_of_place():
    model = build_model(xresnet(3, (1, 1, 1, 1), expansion=4), STREAM)
    assert all(activations(model).values())
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    assert same_as_out_of_place(model, torch.randn(4, 3, 32, 32))


def test_an_activation_of_the_users_own_is_kept_from_overwriting(tmp_path):
    (tmp_path / "own.py").write_text("from torch import nn\ndef own():\n    return nn.ReLU(inplace=True)\n")
    own = ir.Layer("own", ir.Call("layer", "own", f"{tmp_path}/own.py:own", {}))
    model = built(linear(), ir.Keep("s"), own, ir.Join("sub", ("s",)))
    assert same_as_out_of_place(model, torch.randn(4, 3))


# ── names, groups, first weights ────────────────────────────────────────────────────────────────────────


def test_blocks_may_have_any_name():
    names = ["train", "double", "forward", "steps", "group", "applied", "weight", "training"]
    model = built(*(stack(name, linear()) for name in names))
    assert list(model.state_dict()) == [f"{n}.linear.{p}" for n in names for p in ("weight", "bias")]
    x = torch.randn(2, 3)
    y = x
    for name in names:
        y = part(model, name)(y)
    assert torch.equal(model.train()(x), y)
    assert torch.equal(copy.deepcopy(model)(x), y)


def test_groups_in_the_order_of_the_model():
    model = built(
        linear(),
        group(
            "body",
            group("stem", linear()),
            layer("linear", name="own", features=3, nf=3),
            group("blocks", linear()),
        ),
        group("head", group("empty", layer("relu")), linear()),
        layer("linear", name="last", features=3, nf=3),
    )
    groups = named_groups(model)
    assert list(groups) == ["", "body.stem", "body", "body.blocks", "head"]
    assert [len(parameters) for parameters in groups.values()] == [4, 2, 2, 2, 2]
    assert groups["body"][0] is model.get_parameter("body.own.weight")
    assert parameter_groups(model) == list(groups.values())
    assert sum(map(len, groups.values())) == len(list(model.parameters()))


def test_a_shared_parameter_is_in_the_first_group_only():
    vectors = stack("vectors", layer("embedding", n=5, nf=3), shares_slots=True)
    out = ir.Layer("linear", layer("linear", features=3, nf=5).call, tie="encoder.vectors")
    model = built(group("encoder", ir.Define(vectors), ir.Apply("encoder.vectors")), group("decoder", out))
    assert {name: len(ps) for name, ps in named_groups(model).items()} == {"encoder": 1, "decoder": 1}


def test_a_module_without_groups_is_one():
    assert list(named_groups(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))) == [""]


def test_part_is_the_module_at_a_path():
    model = build_model(xresnet(10, (1, 1, 1, 1)), STREAM)
    assert isinstance(part(model, "body.conv_layer_0.conv2d"), nn.Conv2d)
    with pytest.raises(KeyError):
        part(model, "body.nothing")


def test_first_weights_depend_on_the_layers_path_alone():
    one = built(layer("linear", name="a", features=3, nf=3), layer("linear", name="b", features=3, nf=3))
    other = built(layer("linear", name="new", features=3, nf=4), layer("linear", name="b", features=3, nf=3))
    assert torch.equal(one.get_parameter("b.weight"), other.get_parameter("b.weight"))
    assert not torch.equal(one.get_parameter("a.weight"), one.get_parameter("b.weight"))
    again = build_model(stack("", layer("linear", name="b", features=3, nf=3)), Stream(2, "fit", "init"))
    assert not torch.equal(one.get_parameter("b.weight"), again.get_parameter("b.weight"))


def test_building_leaves_torchs_generator_as_it_was():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    built(linear())
    assert torch.equal(torch.get_rng_state(), before)
    build_model(stack("", linear()))  # without a stream it draws from it
    assert not torch.equal(torch.get_rng_state(), before)


def test_layers_that_cannot_be_built(tmp_path):
    (tmp_path / "own.py").write_text(
        "def no_module():\n    return 3\ndef fails():\n    raise ValueError('no')\n"
    )

    def own(name: str) -> ir.Layer:
        return ir.Layer(name, ir.Call("layer", name, f"{tmp_path}/own.py:{name}", {}))

    with pytest.raises(RunError, match=r"R0253.*`no_module` gives int, which is no torch module"):
        built(own("no_module"))
    with pytest.raises(RunError, match=r"R0252.*`fails` can't be built: ValueError: no"):
        built(own("fails"))
    with pytest.raises(RunError, match=r"R0251.*`missing` can't be loaded"):
        built(own("missing"))


def test_compiles_without_a_break():
    model = build_model(xresnet(4, (1, 1, 1, 1)), STREAM).eval()
    x = torch.randn(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
