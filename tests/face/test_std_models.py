"""The models of `specs/std`, through the whole compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mfc
from mfc.runtime.models import build_model, named_groups
from tests.runtime.plans import xresnet

STD = Path(mfc.__file__).parent / "specs" / "std"


def job(tmp_path: Path, source: str, call: str, size: int = 64) -> mfc.Job:
    """A model of a file of `specs/std` for RGB images of a size."""
    shutil.copy(STD / source, tmp_path / source)
    name = call.partition("(")[0]
    text = f'import "{source}" ({name})\nmodel net {{\n    input = image(3, {size}, {size})\n    {call}\n}}\n'
    (tmp_path / "net.mfs").write_text(text)
    return mfc.compile(mfc.load(tmp_path / "net.mfs"))


@pytest.mark.parametrize(
    "name, count",
    [
        ("xresnet18", 11_708_744),
        ("xresnet34", 21_816_904),
        ("xresnet50", 25_576_264),
        ("xresnet101", 44_568_392),
        ("xresnet152", 60_212_040),
        ("xresnext18", 13_555_784),
        ("xresnext34", 23_983_304),
        ("xresnext50", 25_048_136),
        ("xresnext101", 44_196_936),
        ("xse_resnet18", 11_798_856),
        ("xse_resnet34", 21_979_648),
        ("xse_resnet50", 126_777_336),
        ("xse_resnet101", 236_065_848),
        ("xse_resnet152", 326_074_360),
        ("xse_resnext18", 13_645_896),
        ("xse_resnext34", 24_146_048),
        ("xse_resnext50", 27_579_128),
        ("xse_resnext101", 48_974_648),
    ],
)
def test_xresnets_have_fastais_parameter_counts(tmp_path, name, count):
    rows = job(tmp_path, "xresnet.mfs", f"{name}(classes = 1_000)").layers("net")
    assert sum(row.parameters for row in rows) == count
    assert rows[-1].out == (1, 1000)


def test_xresnet_is_the_plan_written_by_hand(tmp_path):
    net = job(tmp_path, "xresnet.mfs", "xresnet(classes = 7, layers = [1, 2, 1, 1], expansion = 4)").build(
        "net"
    )
    assert isinstance(net, nn.Module)
    by_hand = build_model(xresnet(7, (1, 2, 1, 1), 4))
    names = [name.removeprefix("xresnet.") for name in net.state_dict()]
    assert names == list(by_hand.state_dict())
    assert list(named_groups(net)) == ["xresnet.body", "xresnet.head"]
    by_hand.load_state_dict(dict(zip(names, net.state_dict().values())))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(net.train()(x), by_hand.train()(x))


@pytest.mark.parametrize(
    "source, call, shape",
    [
        ("cnn.mfs", "cnn(classes = 10)", (4, 3, 64, 64)),
        ("cnn.mfs", "cnn(classes = 10, widths = [8, 16])", (4, 3, 64, 64)),
        ("fixup_resnet.mfs", "fixup_resnet(classes = 10, layers = [1, 2, 1])", (4, 3, 32, 32)),
        ("mlp.mfs", "mlp(classes = 10)", (4, 3, 8, 8)),
        ("mlp.mfs", "mlp(classes = 10, widths = [], dropout_p = 0.5)", (4, 3, 8, 8)),
    ],
)
def test_plain_models_learn(tmp_path, source, call, shape):
    net = job(tmp_path, source, call, shape[-1]).build("net")
    assert isinstance(net, nn.Module)
    out = net(torch.randn(shape))
    assert out.shape == (4, 10)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


# ── U-nets ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(96, 128), (45, 60)])
@pytest.mark.parametrize("name, count", [("unet_xresnet34", 41_243_300), ("unet_xresnet50", 339_097_700)])
def test_unets_have_fastais_parameter_counts(tmp_path, name, count, size):
    """fastai 2's DynamicUnet on the first eight children of its xresnets, for 31 classes."""
    for source in ("unet.mfs", "xresnet.mfs"):
        shutil.copy(STD / source, tmp_path / source)
    height, width = size
    text = f'import "unet.mfs" ({name})\nmodel net {{\n    input = image(3, {height}, {width})\n    {name}(31)\n}}\n'
    (tmp_path / "net.mfs").write_text(text)
    rows = mfc.compile(tmp_path / "net.mfs").layers("net")
    assert sum(row.parameters for row in rows) == count
    assert rows[-1].out == (1, 31, *size)


UNET = """import "unet.mfs" (unet_head)

model net {
    input = image(3, 21, 14)
    let image = x
    group body {
        conv2d(4, stride = 2)
        relu()
        let half = x
        conv2d(6, stride = 2)
        relu()
        let quarter = x
        conv2d(8, stride = 2)
    }
    group head { unet_head(5, image, [body.half, body.quarter]) }
}
"""


def test_a_unet_is_the_one_written_by_hand(tmp_path):
    """With sides that are odd at every step, after the description of fastai's DynamicUnet."""
    for source in ("unet.mfs", "xresnet.mfs"):
        shutil.copy(STD / source, tmp_path / source)
    (tmp_path / "net.mfs").write_text(UNET)
    net = mfc.compile(tmp_path / "net.mfs").build("net")
    assert isinstance(net, nn.Module)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert list(named_groups(net)) == ["body", "head"]
    w = net.state_dict()

    def conv(x: torch.Tensor, name: str, stride: int = 1, act: bool = True) -> torch.Tensor:
        weight = w[f"{name}.weight"]
        x = F.conv2d(x, weight, w[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)
        return x.relu() if act else x

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.batch_norm(x, None, None, w[f"{name}.weight"], w[f"{name}.bias"], training=True)

    def finer(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.pixel_shuffle(conv(x, f"{name}.pixel_shuffle_icnr.0"), 2)

    def step(x: torch.Tensor, skip: torch.Tensor, name: str) -> torch.Tensor:
        x = F.interpolate(finer(x, name), skip.shape[-2:])
        x = torch.cat([x, norm(skip, f"{name}.known.batchnorm")], 1).relu()
        return conv(conv(x, f"{name}.conv_act_0.conv2d"), f"{name}.conv_act_1.conv2d")

    image = torch.randn(2, 3, 21, 14)
    half = conv(image, "body.conv2d_0", 2)
    quarter = conv(half, "body.conv2d_1", 2)
    x, head = conv(quarter, "body.conv2d_2", 2, act=False), "head.unet_head"
    x = norm(x, f"{head}.batchnorm").relu()
    x = conv(conv(x, f"{head}.conv_act_0.conv2d"), f"{head}.conv_act_1.conv2d")
    x = step(step(x, quarter, f"{head}.unet_block_0"), half, f"{head}.unet_block_1")
    x = torch.cat([F.interpolate(finer(x, head), (21, 14)), image], 1)
    x = (x + conv(conv(x, f"{head}.conv_act_2.conv2d"), f"{head}.conv2d_0", act=False)).relu()
    torch.testing.assert_close(net.train()(image), conv(x, f"{head}.conv2d_1", act=False))


TRANSFER = """import "xresnet.mfs" (xresnet18)
import "unet.mfs" (unet_xresnet18)

data digits: image -> category {
    source          = builtin("digits")
    split           = random(0.2)
    label           = parent()
    item_transforms = [resize(32)]
}

data scenes: image -> mask {
    source          = image_files("images", channels = 1)
    split           = random(0.2)
    label           = mask_file("{stem}.png", folder = "labels")
    vocab           = ["sky", "road"]
    item_transforms = [resize_to(48, 64)]
}

train classify { data = digits  model = xresnet18(digits.classes)       loss = cross_entropy()  epochs = 1 }
train segment  {
    data    = scenes
    model   = unet_xresnet18(scenes.classes)
    weights = [kaiming(), classify.body]
    loss    = cross_entropy()
    phase head { freeze_to = -1  epochs = 1 }
    phase all  { epochs = 1 }
}
"""


def test_the_body_of_a_classifier_is_that_of_a_unet(tmp_path):
    for source in ("unet.mfs", "xresnet.mfs"):
        shutil.copy(STD / source, tmp_path / source)
    (tmp_path / "net.mfs").write_text(TRANSFER)
    spec = mfc.load(tmp_path / "net.mfs")
    assert [d.message for d in spec.diagnostics] == []
    trains = {i.name: info.model for i, info in spec.compiled.checked.trains.items()}
    bodies = []
    for model in trains.values():
        assert model is not None and model.groups == ("body", "head")
        bodies.append([r.path for r in model.layers if r.path.startswith("body.")])
    assert bodies[0] == bodies[1] and len(bodies[0]) > 50
