"""Bodies of torchvision and timm against those libraries, where they are installed."""

from __future__ import annotations

import json
import warnings
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from mfc.runtime.bodies.timm_body import timm_body
from mfc.runtime.bodies.torchvision_body import torchvision_body
from mfc.runtime.errors import RunError
from mfc.runtime.models import named_groups
from tests.runtime.bodies.tables import FOLDER, timm_row, torchvision_row

TABLES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("torchvision", "timm")}


def build(component: Any, name: str, channels: int = 3, **more: Any) -> Any:
    table = TABLES[component.library]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        return component(channels, name, **{**table[name], **more})


def failure(code: str, does: Any, *args: Any, **named: Any) -> RunError:
    with pytest.raises(RunError) as caught:
        does(*args, **named)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    "name",
    ["resnet18", "densenet121", "regnet_y_400mf", "shufflenet_v2_x0_5", "mobilenet_v3_small", "swin_t"],
)
def test_features_are_torchvisions(name):
    models = pytest.importorskip("torchvision").models
    theirs = models.get_model(name, weights=None).eval()
    body = build(torchvision_body, name).eval()
    own = theirs.state_dict()
    body.load_state_dict({key: own[key] for key in body.state_dict()})
    pooled: list[torch.Tensor] = []
    last = next(
        m for m in theirs.modules() if isinstance(m, nn.Linear) and m.in_features == body.declared.features
    )
    heads = [
        m
        for n, m in theirs.named_modules()
        if isinstance(m, nn.Linear) and n.partition(".")[0] in ("fc", "classifier", "head")
    ]
    (heads[0] if heads else last).register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    x = torch.randn(2, 3, 71, 64)
    with torch.no_grad():
        theirs(x)
        torch.testing.assert_close(body(x).mean((2, 3)), pooled[0])


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_features_are_timms(name):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(name, num_classes=0, global_pool="").eval()
    body = build(timm_body, name).eval()
    body.model.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 71, 64)
    with torch.no_grad():
        assert torch.equal(body(x), theirs.forward_features(x))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "convnext_tiny", "vgg11_bn", "mnasnet0_5"])
def test_the_table_of_torchvision(name):
    pytest.importorskip("torchvision")
    assert torchvision_row(name) == TABLES["torchvision"][name]


@pytest.mark.parametrize("name", ["resnet26d", "convnext_atto", "tf_efficientnet_b0", "regnety_002"])
def test_the_table_of_timm(name):
    pytest.importorskip("timm")
    assert timm_row(name) == TABLES["timm"][name]


def test_architectures_of_the_tables_are_there():
    models = pytest.importorskip("torchvision").models
    timm = pytest.importorskip("timm")
    assert not TABLES["torchvision"].keys() - {""} - set(models.list_models(module=models))
    assert not TABLES["timm"].keys() - {""} - set(timm.list_models())
    assert len(TABLES["torchvision"]) > 60 and len(TABLES["timm"]) > 200


@pytest.mark.parametrize(
    "name, tensors, numbers",
    [
        # fastai 2.8: [len(g) for g in learner.opt.param_lists] of vision_learner(dls, resnet18), without its head
        ("resnet18", [30, 30], [683_072, 10_493_440]),
        ("densenet121", [114, 248], [1_297_536, 5_656_320]),
    ],
)
def test_groups_are_fastais(name, tensors, numbers):
    pytest.importorskip("torchvision")
    groups = named_groups(build(torchvision_body, name))
    assert [len(group) for group in groups.values()] == tensors
    assert [sum(p.numel() for p in group) for group in groups.values()] == numbers


def test_grey_images():
    pytest.importorskip("torchvision")
    assert build(torchvision_body, "resnet18", 1)(torch.zeros(2, 1, 32, 32)).shape == (2, 512, 1, 1)
    assert build(timm_body, "resnet18", 1)(torch.zeros(2, 1, 32, 32)).shape == (2, 512, 1, 1)


def test_weights_of_torchvisions_own_file(tmp_path):
    models = pytest.importorskip("torchvision").models
    theirs = models.densenet121(weights=None)
    # as torchvision's file has them: norm.1 for norm1, conv.2 for conv2
    named = {
        key: tensor for key, tensor in theirs.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    for part in ("norm1", "norm2", "conv1", "conv2"):
        dotted = f"{part[:-1]}.{part[-1]}"
        named = {
            (k.replace(f".{part}.", f".{dotted}.") if "denselayer" in k else k): t for k, t in named.items()
        }
    torch.save(named, tmp_path / "densenet121.pth")
    body = build(torchvision_body, "densenet121", pretrained=tmp_path / "densenet121.pth")
    assert body.load_pretrained().endswith("without `classifier.bias`, `classifier.weight`")
    assert all(torch.equal(tensor, theirs.state_dict()[key]) for key, tensor in body.state_dict().items())


def test_the_hub_of_torchvision(monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    asked: list[dict[str, Any]] = []
    theirs = torchvision.models.resnet18(weights=None).state_dict()

    def hub(url: str, *_: Any, **options: Any) -> Any:
        asked.append(options)
        return theirs

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", hub)
    body = build(torchvision_body, "resnet18", pretrained=True)
    assert "torchvision's resnet18 (IMAGENET1K_V1)" in body.load_pretrained()
    assert torch.equal(body.layer4[1].conv2.weight, theirs["layer4.1.conv2.weight"])
    assert asked[0]["weights_only"] is True  # nothing in a file is run

    def offline(*_: Any, **__: Any) -> Any:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    assert "no network" in failure("R0264", body.load_pretrained).message
    other = build(torchvision_body, "resnet18", pretrained=True, tag="IMAGENET1K_V9")
    assert "there are IMAGENET1K_V1" in str(failure("R0266", other.load_pretrained).help)


def test_the_hub_of_timm(monkeypatch):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet18", num_classes=0, global_pool="")
    body = build(timm_body, "resnet18", pretrained=True)
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **more: theirs if pretrained else create(name, **more)
    )
    assert "timm's resnet18 (a1_in1k)" in body.load_pretrained()
    assert torch.equal(body.model.conv1.weight, theirs.conv1.weight)
    failure("R0266", build(timm_body, "resnet18", pretrained=True, tag="nobody").load_pretrained)


def test_architectures_that_are_not_there():
    pytest.importorskip("torchvision")
    pytest.importorskip("timm")
    failure("R0265", torchvision_body, 3, "resnet19", features=1)
    failure("R0265", timm_body, 3, "resnet19", features=1)
