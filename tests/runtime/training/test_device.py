"""Choosing a device, with and without CUDA."""

from __future__ import annotations

import pytest
import torch

from mfc.runtime.errors import RunError
from mfc.runtime.training.device import choose_device, describe_device, require_dtype


@pytest.fixture
def cuda(monkeypatch):
    def devices(count: int, built: str | None = "12.8") -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.version, "cuda", built)

    return devices


def test_auto_takes_cuda_where_there_is_one(cuda):
    cuda(0)
    assert choose_device() == torch.device("cpu")
    cuda(2)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "mps"])
def test_no_device(cuda, name):
    cuda(1)
    with pytest.raises(RunError) as caught:
        choose_device(name)
    assert caught.value.code == "R0401"
    assert caught.value.message == f"`{name}` is no device"


@pytest.mark.parametrize(
    ("count", "built", "name", "message"),
    [
        (0, None, "cuda", "can't use cuda: this torch was built without CUDA"),
        (0, "12.8", "cuda:1", "can't use cuda:1: no usable CUDA device was found"),
        (1, "12.8", "cuda:1", "can't use cuda:1: there is 1 CUDA device"),
        (2, "12.8", "cuda:7", "can't use cuda:7: there are 2 CUDA devices"),
    ],
)
def test_cuda_that_is_not_there(cuda, count, built, name, message):
    cuda(count, built)
    with pytest.raises(RunError) as caught:
        choose_device(name)
    assert (caught.value.code, caught.value.message) == ("R0402", message)


def test_dtypes(monkeypatch):
    require_dtype(torch.device("cpu"), torch.bfloat16)
    with pytest.raises(RunError) as caught:
        require_dtype(torch.device("meta"), torch.bfloat16)
    assert (caught.value.code, caught.value.message) == ("R0403", "meta has no arithmetic of bfloat16")


def test_a_device_as_a_person_knows_it():
    assert describe_device(torch.device("cpu")) == "cpu"
