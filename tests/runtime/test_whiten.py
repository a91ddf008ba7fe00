"""whiten and dirac: what the filters give, against covariances and identities computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.initializers import dirac
from mfc.runtime.streams import Stream
from mfc.runtime.whiten import whiten

STREAM = Stream(1, "fit", "weights 1")


def smooth_images(count: int = 3, size: int = 12) -> list[tuple[torch.Tensor]]:
    """Batches of images whose neighbouring pixels and channels go together, as those of photographs do."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 32, 1, size + 4, size + 4, generator=generator)
    channels = noise + 0.3 * torch.randn(count, 32, 3, size + 4, size + 4, generator=generator)
    return [(nn.functional.avg_pool2d(images, 5, stride=1) + 0.5,) for images in channels]


def conv(nf: int, ks: int = 2, **more: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, nf, ks, **more)


def correlations(layer: nn.Module, batches: list[tuple[torch.Tensor]]) -> np.ndarray:
    with torch.no_grad():
        out = torch.cat([layer(images) for (images,) in batches])
    return np.cov(out.transpose(0, 1).flatten(1).double().numpy(), bias=True)


def test_what_the_filters_give_is_white():
    model, data = conv(24), smooth_images()
    before = correlations(model, data)
    assert abs(before - np.diag(np.diag(before))).max() > 0.01  # drawn weights give correlated channels
    whiten(batches=3, eps=1e-9)(model, STREAM, data)
    assert correlations(model, data)[:12, :12] == pytest.approx(np.eye(12), abs=1e-2)


def test_each_filter_comes_a_second_time_negated_and_the_bias_is_nothing():
    model = conv(24)
    whiten()(model, STREAM, smooth_images())
    weight, bias = model.weight, model.bias
    assert bias is not None
    assert torch.equal(weight[:12], -weight[12:]) and torch.equal(bias, torch.zeros(24))


def test_the_largest_eigenvalues_come_first_and_eps_bounds_the_smallest():
    model, data = conv(24), smooth_images()
    whiten(batches=3, eps=0.1)(model, STREAM, data)
    variances = np.diag(correlations(model, data))[:12]
    patches = torch.cat([images for (images,) in data]).unfold(2, 2, 1).unfold(3, 2, 1)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double().numpy()
    values = np.linalg.eigvalsh(np.cov(patches.T, bias=True))[::-1]
    assert variances == pytest.approx(values / (values + 0.1), rel=1e-3)


def test_fewer_filters_are_those_of_the_largest_eigenvalues_and_more_leave_the_rest():
    whole, few, many = conv(24), conv(8), conv(30)
    rest = many.weight[24:].clone()
    for model in (whole, few, many):
        whiten()(model, STREAM, smooth_images())
    assert torch.equal(few.weight[:4], whole.weight[:4])
    assert torch.equal(many.weight[:24], whole.weight) and torch.equal(many.weight[24:], rest)


def test_it_reads_as_many_batches_as_it_is_told():
    one, same, more = conv(24), conv(24), conv(24)
    whiten(batches=1)(one, STREAM, smooth_images())
    whiten(batches=5)(same, STREAM, smooth_images()[:1])
    whiten(batches=2)(more, STREAM, smooth_images())
    assert torch.equal(one.weight, same.weight) and not torch.equal(one.weight, more.weight)


@pytest.mark.parametrize(
    ("model", "what"),
    [(nn.Flatten(), "no convolution"), (conv(6, groups=3), "several groups")],
)
def test_a_model_that_does_not_begin_with_a_convolution(model: nn.Module, what: str):
    with pytest.raises(RunError, match=what) as error:
        whiten()(model, STREAM, smooth_images())
    assert error.value.code == "R0261"


@pytest.mark.parametrize("more", [{"padding": 1}, {"dilation": 2, "padding": 2}])
def test_dirac_hands_channels_on(more: dict[str, Any]):
    layer = nn.Conv2d(4, 6, 3, bias=False, **more)
    rest, x = layer.weight[4:].clone(), torch.randn(2, 4, 7, 7)
    dirac()(nn.Sequential(layer), STREAM)
    assert torch.equal(layer(x)[:, :4], x) and torch.equal(layer.weight[4:], rest)


@pytest.mark.parametrize("more", [{"stride": 2, "padding": 1}, {"padding": 0}, {"groups": 2, "padding": 1}])
def test_dirac_leaves_convolutions_that_change_the_size(more: dict[str, Any]):
    layer = nn.Conv2d(4, 4, 3, **more)
    before = layer.weight.clone()
    dirac()(nn.Sequential(layer), STREAM)
    assert torch.equal(layer.weight, before)


def test_only_a_convolution_of_the_images_themselves_is_filled():
    whiten()(
        nn.Sequential(nn.Identity(), conv(24)), STREAM, smooth_images()
    )  # hands the images on as they are
    with pytest.raises(RunError) as error:
        whiten()(nn.Sequential(nn.MaxPool2d(2), conv(24)), STREAM, smooth_images())
    assert error.value.code == "R0261"
