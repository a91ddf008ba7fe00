"""Fixup: its factors against the paper's formula written out, its branches, and depth at which others diverge."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mfc
from mfc.dsl import ir
from mfc.runtime.branches import branches
from mfc.runtime.data.sources import builtin
from mfc.runtime.errors import RunError
from mfc.runtime.fixup import fixup
from mfc.runtime.initializers import WEIGHTED, kaiming
from mfc.runtime.models import build_model
from mfc.runtime.streams import Stream
from tests.runtime.plans import branch, layer, stack, xresnet

STREAM = Stream(1, "fit", "weights 0")
STD = Path(mfc.__file__).parent / "specs" / "std"


def conv(c: int = 4, nf: int = 4, ks: int = 3) -> ir.Layer:
    return layer("conv2d", c=c, nf=nf, ks=ks, bias=False)


def block(*aside, steps) -> ir.Stack:
    return stack("block", branch("shortcut", *aside), *steps, ir.Join("add", ("shortcut",)), layer("relu"))


def mixed() -> nn.Module:
    """Branches of three layers, of two and of one, one of them beside a projection."""
    steps = [
        conv(3, 4),
        block(steps=[conv(), layer("relu"), conv(), layer("relu"), conv()]),
        block(conv(ks=1), steps=[conv(), layer("relu"), conv()]),
        block(steps=[conv()]),
        layer("adaptive_avg_pool"),
        layer("flatten"),
        layer("linear", features=4, nf=10),
    ]
    return build_model(stack("", *steps), Stream(0, "fit", "init"))


def test_factors_are_the_papers():
    """Zhang et al., section 3: L^(-1/(2m-2)) within branches, 0 at their ends and in the classifier, He elsewhere."""
    model, he = mixed(), mixed()
    fixup()(model, STREAM)
    kaiming()(he, STREAM)
    three, two = 3 ** (-1 / 4), 3 ** (-1 / 2)  # L = 3 branches; m = 3 and m = 2 layers
    factors = {
        "conv2d": 1, "linear": 0,
        "block_0.conv2d_0": three, "block_0.conv2d_1": three, "block_0.conv2d_2": 0,
        "block_1.shortcut.conv2d": 1, "block_1.conv2d_0": two, "block_1.conv2d_1": 0,
        "block_2.conv2d": 0,
    }  # fmt: skip
    weighted = {name for name, m in model.named_modules() if isinstance(m, WEIGHTED)}
    assert weighted == set(factors)
    for name in weighted:
        expected = he.get_parameter(f"{name}.weight").detach() * factors[name]
        torch.testing.assert_close(model.get_parameter(f"{name}.weight").detach(), expected)
    assert torch.equal(model.get_parameter("linear.bias"), torch.zeros(10))


def test_blocks_begin_as_their_shortcuts():
    model = mixed()
    fixup()(model, STREAM)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(model.get_submodule("block_0")(x), x.relu())


def test_branches_of_an_xresnet():
    """Sixteen blocks of three convolutions in an xresnet50; its shortcuts' projections are in none."""
    found, end = branches(build_model(xresnet(10, (3, 4, 6, 3), 4)), WEIGHTED)
    assert [len(way) for way in found] == [3] * 16
    assert found[0] == tuple(f"body.res_block_0.conv_layer_{i}.conv2d" for i in range(3))
    assert end[-1] == "head.linear"


@pytest.mark.parametrize("kept", [True, False])
def test_it_does_not_matter_which_of_the_two_is_kept(kept):
    """`let s = x` before the branch, or the branch aside: the branch is the one with layers."""
    if kept:
        steps = [ir.Keep("s"), conv(), conv(), ir.Join("add", ("s",))]
        names = ("conv2d_0", "conv2d_1")
    else:
        steps = [branch("s", conv(), conv()), ir.Join("add", ("s",))]
        names = ("s.conv2d_0", "s.conv2d_1")
    assert branches(build_model(stack("", *steps)), WEIGHTED) == ([names], names)


def test_branches_within_branches_and_modules_that_are_used_again():
    inner = stack("inner", ir.Keep("t"), conv(), conv(), ir.Join("add", ("t",)))
    f = stack("f", conv(), shares_slots=True)
    steps = [ir.Define(f), ir.Keep("s"), ir.Apply("f"), inner, ir.Apply("f"), ir.Join("add", ("s",))]
    found, _ = branches(build_model(stack("", *steps)), WEIGHTED)
    assert found == [("inner.conv2d_0", "inner.conv2d_1"), ("f.conv2d", "f.conv2d")]
    model = build_model(stack("", *steps), Stream(0, "fit", "init"))
    fixup()(model, STREAM)
    assert not model.get_parameter("f.conv2d.weight").any()


def test_gates_are_no_layers_of_a_branch():
    """Squeeze-excite scales what the branch gives: its layers are left as they are."""
    model = build_model(
        stack("", ir.Keep("s"), conv(8, 8), conv(8, 8), layer("squeeze_excite", c=8), ir.Join("add", ("s",)))
    )
    assert branches(model, WEIGHTED)[0] == [("conv2d_0", "conv2d_1")]


@pytest.mark.parametrize("model", [build_model(stack("", conv(), layer("relu"))), nn.Linear(2, 2)])
def test_models_without_branches(model):
    with pytest.raises(RunError, match=r"R0260.*no residual branch"):
        fixup()(model, STREAM)


# ── the spec ────────────────────────────────────────────────────────────────────────────────────────────


def net(tmp_path: Path, layers: str) -> nn.Module:
    shutil.copy(STD / "fixup_resnet.mfs", tmp_path / "fixup_resnet.mfs")
    call = f"fixup_resnet(classes = 10, layers = {layers}, widths = [8, 8, 16])"
    text = f'import "fixup_resnet.mfs" (fixup_resnet)\nmodel net {{\n    input = image(1, 8, 8)\n    {call}\n}}\n'
    (tmp_path / "net.mfs").write_text(text)
    model = mfc.compile(mfc.load(tmp_path / "net.mfs")).build("net")
    assert isinstance(model, nn.Module)
    return model


def test_the_spec_is_the_papers_block(tmp_path):
    """A block beside the same one written by hand, with all its numbers drawn at random."""
    model = net(tmp_path, "[1, 1, 1]")
    found = model.get_submodule("fixup_resnet.body.fixup_block_2")
    for parameter in found.parameters():
        nn.init.normal_(parameter)
    p = dict(found.named_parameters())
    x = torch.randn(3, 8, 8, 8)
    out = nn.functional.conv2d(x + p["bias_0.bias"], p["conv2d_0.weight"], stride=2, padding=1)
    out = (out + p["bias_1.bias"]).relu()
    out = nn.functional.conv2d(out + p["bias_2.bias"], p["conv2d_1.weight"], padding=1)
    out = out * p["scale.scale"] + p["bias_3.bias"]
    shortcut = nn.functional.conv2d(nn.functional.avg_pool2d(x, 2), p["shortcut.conv2d.weight"])
    torch.testing.assert_close(found(x), (out + shortcut).relu())


def losses(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """The loss on the digits that ship with the package, step by step until it is no number."""
    source = builtin("digits")
    items = source.scan()[::6]
    x = torch.stack([torch.tensor(np.asarray(source.open(i)), dtype=torch.float32) for i in items])
    x = ((x / 255 - 0.3) / 0.35)[:, None]
    y = torch.tensor([int(i.split("/")[0]) for i in items])
    generator, found = torch.Generator().manual_seed(0), []
    while len(found) < steps and (not found or math.isfinite(found[-1])):
        batch = torch.randint(len(x), (32,), generator=generator)
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def test_it_trains_at_a_depth_where_kaiming_does_not(tmp_path):
    """51 convolutions without a norm. By `kaiming` each block adds a branch as large as its shortcut, so that numbers
    grow with 2 to the power of 12: plain SGD diverges, and Adam is lost."""
    model, start = net(tmp_path, "[8, 8, 8]"), math.log(10)
    by_sgd, by_adam = {}, {}
    for initializer, steps in ((fixup(), 75), (kaiming(), 25)):
        name = type(initializer).__name__
        initializer(model, STREAM)
        by_sgd[name] = losses(model, torch.optim.SGD(model.parameters(), lr=0.05), 6)
        model = net(tmp_path, "[8, 8, 8]")
        initializer(model, STREAM)
        by_adam[name] = losses(model, torch.optim.Adam(model.parameters(), lr=4e-3), steps)
    assert by_adam["fixup"][0] == pytest.approx(start, abs=1e-5)  # the classifier is 0
    assert sum(by_adam["fixup"][-5:]) / 5 < 0.8 * start
    assert sum(by_adam["kaiming"][-5:]) / 5 > 0.95 * start
    assert max(by_sgd["fixup"]) < 1.2 * start
    assert by_sgd["kaiming"][0] > 10 * start and not math.isfinite(by_sgd["kaiming"][-1])
