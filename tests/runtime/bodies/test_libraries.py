"""Bodies of torchvision and timm against those libraries, where they are installed."""

from __future__ import annotations

import io
import json
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import mfc
from mfc.dsl.rules import parse_count
from mfc.dsl.shapes import counted
from mfc.runtime.bodies.timm_body import timm_body
from mfc.runtime.bodies.torchvision_body import torchvision_body
from mfc.runtime.errors import RunError
from mfc.runtime.models import named_groups
from tests.runtime.bodies.tables import FOLDER, timm_row, torchvision_row

TABLES = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("torchvision", "timm")}


def build(component: Any, name: str, channels: int = 3, **more: Any) -> Any:
    row = {key: value for key, value in TABLES[component.library][name].items() if key != "parameters"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        return component(channels, name, **{**row, **more})


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


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "convnext_tiny"])
def test_the_table_of_torchvision(name):
    pytest.importorskip("torchvision")
    assert torchvision_row(name) == TABLES["torchvision"][name]


@pytest.mark.parametrize("name", ["resnet26d", "convnext_atto"])
def test_the_table_of_timm(name):
    pytest.importorskip("timm")
    assert timm_row(name) == TABLES["timm"][name]


def families() -> dict[tuple[str, ...], tuple[Any, str]]:
    """The first architecture of each family and of each way to round in it: all of them take minutes."""
    found: dict[tuple[str, ...], tuple[Any, str]] = {}
    for component in (torchvision_body, timm_body):
        for name, row in TABLES[component.library].items():
            family = re.match(r"(tf_)?[a-z]*", name)
            roundings = (str(row[key]) for key in ("reduction", "patch", "floored"))
            if name and family is not None:
                found.setdefault((component.library, family[0], *roundings), (component, name))
    return found


@pytest.mark.parametrize(("component", "name"), families().values(), ids=map("-".join, families()))
def test_the_tables_say_what_networks_of_each_family_give(component, name):
    """At odd sides and even ones; a body raises R0265 where its table is wrong."""
    pytest.importorskip(component.library)
    for device in ("meta", "cpu"):  # some compute what they are made of
        with suppress(NotImplementedError), torch.device(device), torch.no_grad():
            body = build(component, name).eval()
            for height, width in ((223, 200), (97, 131), (65, 64)):
                features = body(torch.zeros(1, 3, height, width))
                assert features.shape[1] == TABLES[component.library][name]["features"]
            return
    raise AssertionError(f"{name} can't be built")


@pytest.mark.parametrize(("component", "name"), families().values(), ids=map("-".join, families()))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_tables_count_what_networks_learn(component, name, channels):
    pytest.importorskip(component.library)
    (count,) = counted(
        parse_count(TABLES[component.library][name]["parameters"]), None, (), {"channels": channels}
    )
    for device in ("meta", "cpu"):
        with suppress(NotImplementedError), torch.device(device):
            assert sum(p.numel() for p in build(component, name, channels).parameters()) == count
            return
    raise AssertionError(f"{name} can't be built")


def test_architectures_of_the_tables_are_there():
    models = pytest.importorskip("torchvision").models
    timm = pytest.importorskip("timm")
    assert not TABLES["torchvision"].keys() - {""} - set(models.list_models(module=models))
    assert not TABLES["timm"].keys() - {""} - set(timm.list_models())
    assert len(TABLES["torchvision"]) > 60 and len(TABLES["timm"]) > 50


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


SPEC = """
import "head.mfs" (learner)

data digits: image -> category {
    source           = builtin("digits")
    split            = subset(among(r"^[0-2]/", random(valid = 0.5)), train = 16, valid = 16)
    label            = parent()
    item_transforms  = [resize(32)]
    batch_transforms = [normalize(digits_stats)]
    batch_size       = 8
}
model net = learner(torchvision_body("resnet18", pretrained = "resnet18.pth"), classes = digits.classes)
train fit {
    data    = digits
    model   = net
    loss    = cross_entropy()
    weights = [only("head", kaiming())]
    phase head { freeze_to = -1  epochs = 1  schedule = one_cycle(lr = 2e-3) }
    phase all  { epochs = 1  schedule = one_cycle(lr = spread(1e-5, 1e-3)) }
}
"""


def test_a_spec_with_a_body_of_torchvision(tmp_path):
    models = pytest.importorskip("torchvision").models
    theirs = models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    shutil.copy(Path(mfc.__file__).parent / "specs" / "std" / "head.mfs", tmp_path)
    (tmp_path / "fit.mfs").write_text(SPEC)
    job, said = mfc.compile(mfc.load(tmp_path / "fit.mfs")), io.StringIO()
    result = job.run(device="cpu", progress=False, stream=said)
    assert "without `fc.bias`, `fc.weight`; fresh: head" in said.getvalue()
    before = {f"body.torchvision_body.{key}": tensor for key, tensor in theirs.state_dict().items()}
    before["body.torchvision_body.conv1.weight"] = theirs.conv1.weight.sum(1, keepdim=True)
    head = load_file(result["fit.head"].weights)
    body = [key for key in head if key.startswith("body.")]
    same = [key for key in body if torch.allclose(head[key].float(), before[key].float(), atol=1e-7)]
    # fastai 2.8: after freeze and an epoch, 20 of a resnet18's tensors are as before, its convolutions
    assert len(same) == 20 and all(head[key].dim() == 4 for key in same)
    learner = result["fit"].learner
    assert len(learner.groups) == 3 and job.run(device="cpu", progress=False).ran == []
    wrong = SPEC.replace('"resnet18.pth"', '"resnet18.pth", features = 256')
    (tmp_path / "wrong.mfs").write_text(wrong)
    wrong_job = mfc.compile(mfc.load(tmp_path / "wrong.mfs"))
    failure("R0265", wrong_job.run, device="cpu", progress=False, stream=said)
