"""The models of `specs/std`, through the whole compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
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
