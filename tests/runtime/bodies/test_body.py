"""Bodies: declared shapes, groups within a body, pretrained weights. A small network stands in for a library's."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mfc.runtime.bodies.body import Body, Declared, for_channels, library, read_weights
from mfc.runtime.errors import RunError
from mfc.runtime.models import fresh, load_pretrained, named_groups


class Small(Body):
    """Two convolutions that halve, with the names of a library."""

    library = "small"

    def __init__(
        self, channels=3, pretrained=False, splits=None, features=8, reduction=4, patch=1, floored=1
    ):
        super().__init__(
            Declared(channels, "net", pretrained, "V1", splits, features, reduction, patch, floored)
        )
        self.stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.stages = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.complete()

    def compute(self, x):
        return self.stages(self.norm(self.stem(x)))

    def download(self):
        raise self.offline(URLError("no network"))


def failure(code: str, does, *args) -> RunError:
    with pytest.raises(RunError) as caught:
        does(*args)
    assert caught.value.code == code
    return caught.value


def test_a_batch_is_held_against_the_declaration():
    assert Small()(torch.zeros(2, 3, 33, 17)).shape == (2, 8, 9, 5)
    assert "gives 8 9 5 for 3 33 17, and 8 8 4 is declared" in failure(
        "R0265", Small(floored=4), torch.zeros(2, 3, 33, 17)
    ).message.replace("`net` of small ", "")
    failure("R0265", Small(features=9), torch.zeros(2, 3, 32, 32))


@pytest.mark.parametrize("patch, floored", [(1, 1), (1, 8), (4, 1), (1, 32)])
def test_sizes_are_divided_step_by_step(patch, floored):
    declared = Declared(3, "net", False, None, None, 7, 32, patch, floored)
    for side in range(32, 300):
        steps = [2] * 5
        size, done = side, 1
        for step in steps:
            size = size // step if done < patch or done * floored >= 32 else -(-size // step)
            done *= step
        assert declared.gives(side, 64) == (7, size, 2)


def test_splits_are_parameter_groups():
    whole = nn.ModuleDict({"body": Small(), "head": nn.Linear(8, 2)})
    assert {name: len(group) for name, group in named_groups(whole).items()} == {"": 9}
    split = nn.ModuleDict({"body": Small(splits=["stages", "stages.1"]), "head": nn.Linear(8, 2)})
    assert {name: len(group) for name, group in named_groups(split).items()} == {
        "body.start": 3, "body.stages": 2, "body.stages.1": 2, "": 2,
    }  # fmt: skip
    assert "its parts are stem, norm, stages" in str(failure("R0268", lambda: Small(splits=["stage"])).help)


def test_the_first_convolution_takes_the_channels():
    assert Small(1).stem.weight.shape == (4, 1, 3, 3)
    assert Small(5)(torch.zeros(1, 5, 8, 8)).shape == (1, 8, 2, 2)
    body = Small()
    body.stem = nn.Conv2d(4, 4, 3)
    body.declared = Declared(1, "net", False, None, None, 8, 4, 1, 1)
    failure("R0267", body.complete)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_weights_for_other_channels_are_fastais(channels):
    weight = torch.randn(4, 3, 3, 3)
    image = torch.randn(2, channels, 9, 9)
    # fastai's _load_pretrained_weights: the sum for one, 1.5 times the first two, 0 for those after the third
    if channels == 1:
        rgb = image.expand(2, 3, 9, 9)
    elif channels == 2:
        rgb = torch.cat([image * 1.5, torch.zeros(2, 1, 9, 9)], 1)
    else:
        rgb = image[:, :3]
    torch.testing.assert_close(
        nn.functional.conv2d(image, for_channels(weight, channels)), nn.functional.conv2d(rgb, weight)
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_a_file(tmp_path, suffix):
    theirs = {name: torch.randn_like(t.float()).to(t.dtype) for name, t in Small().state_dict().items()}
    kept = {**theirs, "fc.weight": torch.zeros(10, 8)}
    del kept["norm.num_batches_tracked"]  # files of old versions do not have it
    file = tmp_path / f"net{suffix}"
    save_file(kept, file) if suffix == ".safetensors" else torch.save({"state_dict": kept}, file)
    model = nn.ModuleDict({"body": Small(1, pretrained=file), "head": nn.Linear(8, 2)})
    said: list[str] = []
    load_pretrained(model, said.append)
    assert said == [f"body: 12 tensors from {file}, without `fc.weight`; fresh: head"]
    own = model["body"].state_dict()
    assert torch.equal(own["stages.0.weight"], theirs["stages.0.weight"])
    torch.testing.assert_close(own["stem.weight"], theirs["stem.weight"].sum(1, keepdim=True))


def test_files_that_do_not_fit(tmp_path):
    tensors = Small().state_dict()
    del tensors["stages.0.bias"]
    tensors["stem.weight"] = torch.zeros(4, 3, 5, 5)
    save_file(tensors, tmp_path / "other.safetensors")
    error = failure("R0255", Small(pretrained=tmp_path / "other.safetensors").load_pretrained)
    assert error.notes == [
        "only in the model: `stages.0.bias`",
        "`stem.weight` is [4, 3, 5, 5] there and [4, 3, 3, 3] here",
    ]


def test_no_code_of_a_file_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    assert "could run code" in failure("R0256", read_weights, tmp_path / "trap.pth").message
    assert not (tmp_path / "ran").exists()
    torch.save([1], tmp_path / "list.pth")
    failure("R0256", read_weights, tmp_path / "list.pth")
    failure("R0256", read_weights, tmp_path / "missing.safetensors")


def test_a_hub_that_can_not_be_reached():
    error = failure("R0264", Small(pretrained=True).load_pretrained)
    assert "no network" in error.message and "pretrained = " in str(error.help)


def test_a_library_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    from mfc.runtime.bodies.torchvision_body import torchvision_body

    error = failure("R0263", torchvision_body, 3, "resnet18")
    assert error.help == 'run `pip install "mfc[vision]"`'
    assert library("json", "it").loads("1") == 1


def test_what_stays_fresh_is_named():
    model = nn.ModuleDict(
        {"body": nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)}), "head": nn.Linear(1, 1)}
    )
    assert fresh(model, "body") == "; fresh: head"
    assert fresh(model, "body.a") == "; fresh: body.b, head"
    assert fresh(model, "") == ""
