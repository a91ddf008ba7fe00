"""What layers compute, against torch's own modules and plain formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import profile

from mfc.runtime.initializers import kaiming, xavier
from mfc.runtime.layers.activation import gelu, mish, relu, selu, silu
from mfc.runtime.layers.attention import self_attention, squeeze_excite
from mfc.runtime.layers.conv import conv1d, conv2d, tconv2d
from mfc.runtime.layers.dropout import alpha_dropout, drop_path, dropout2d
from mfc.runtime.layers.linear import embedding, linear
from mfc.runtime.layers.norm import batchnorm, group_norm, instance_norm, layer_norm
from mfc.runtime.layers.pool import (
    adaptive_avg_pool1d,
    adaptive_concat_pool,
    adaptive_concat_pool1d,
    adaptive_max_pool1d,
    avg_pool,
    avg_pool1d,
    max_pool,
    max_pool1d,
)
from mfc.runtime.layers.reshape import (
    interpolate,
    pixel_shuffle,
    pixel_shuffle_icnr,
    reshape,
    transpose,
    upsample,
)
from mfc.runtime.streams import Stream


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "module, kind",
    [
        (conv1d(4, 6), nn.Conv1d),
        (tconv2d(4, 6), nn.ConvTranspose2d),
        (linear(4, 6), nn.Linear),
        (avg_pool(), nn.AvgPool2d),
        (max_pool(), nn.MaxPool2d),
        (avg_pool1d(), nn.AvgPool1d),
        (max_pool1d(), nn.MaxPool1d),
        (adaptive_avg_pool1d(), nn.AdaptiveAvgPool1d),
        (adaptive_max_pool1d(), nn.AdaptiveMaxPool1d),
        (layer_norm(4), nn.LayerNorm),
        (group_norm(4, 2), nn.GroupNorm),
        (instance_norm(4), nn.InstanceNorm2d),
        (relu(), nn.ReLU),
        (relu(leak=0.1), nn.LeakyReLU),
        (selu(), nn.SELU),
        (mish(), nn.Mish),
        (silu(), nn.SiLU),
        (embedding(4, 6), nn.Embedding),
    ],
)
def test_layers_are_torchs_own_modules(module, kind):
    assert type(module) is kind


def test_layers_of_our_own_count_as_torchs():
    assert isinstance(batchnorm(4), nn.BatchNorm2d)
    assert isinstance(conv2d(4, 6), nn.Conv2d)


def test_padding_of_a_convolution_keeps_the_size():
    for ks, padding in ((1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 3)):
        assert conv2d(1, 1, ks).padding == (padding, padding)
        assert conv1d(1, 1, ks).padding == (padding,)
    assert conv2d(1, 1, 5, padding=0).padding == (0, 0)


def test_convolution_arguments_arrive():
    module = conv2d(4, 8, 3, stride=2, padding=1, dilation=2, groups=4, bias=False)
    assert (module.stride, module.dilation, module.groups, module.bias) == ((2, 2), (2, 2), 4, None)
    transposed = tconv2d(4, 8, 4, stride=2, padding=1, output_padding=1, dilation=1, groups=2, bias=False)
    x = torch.randn(1, 4, 5, 5)
    expected = F.conv_transpose2d(x, transposed.weight, stride=2, padding=1, output_padding=1, groups=2)
    assert torch.equal(transposed(x), expected)
    assert tconv2d(4, 8, 4, 2, 1)(x).shape == (1, 8, 10, 10)


sides = st.integers(1, 3)


@settings(max_examples=80)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 3), sides, sides), st.sampled_from([1, 2, 3, 5, 7]),
    st.integers(1, 3), st.integers(0, 3), st.integers(1, 2), st.booleans(),
)  # fmt: skip
def test_convolution_of_tiny_images_is_torchs(shape, ks, stride, padding, dilation, bias):
    """Forwards and backwards, whether it is computed as a matrix product or not."""
    torch.manual_seed(0)
    try:
        ours = conv2d(shape[1], 4, ks, stride, padding, dilation, bias=bias).double()
        theirs = nn.Conv2d(shape[1], 4, ks, stride, padding, dilation, bias=bias).double()
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        expected = theirs(x)
    except RuntimeError:  # the kernel does not fit
        return
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), expected)
    out = ours(x)
    torch.testing.assert_close(out, expected)
    upstream = torch.randn_like(out)
    for a, b in zip(
        torch.autograd.grad(out, [x, *ours.parameters()], upstream),
        torch.autograd.grad(expected, [x, *theirs.parameters()], upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_convolution_of_tiny_images_is_one_product():
    """Where it pays: on real tensors, for batches that are large enough."""
    module = conv2d(8, 8)
    for shape, product in (
        ((8, 8, 1, 1), True),
        ((7, 8, 1, 1), False),
        ((32, 8, 2, 2), True),
        ((99, 8, 3, 2), False),
    ):
        with profile() as profiled:
            module(torch.randn(shape))
        assert any("conv" in event.key for event in profiled.key_averages()) is not product
    traced = torch.export.export(module, (torch.randn(32, 8, 1, 1),))
    assert "convolution" in str(traced.graph) or "conv2d" in str(traced.graph)
    assert module(torch.randn(8, 1, 1)).shape == (8, 1, 1)
    last = torch.randn(32, 8, 2, 2).to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(last), F.conv2d(last, module.weight, module.bias, padding=1))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 3, 2), (5, 4, 3, 2, 2)])
def test_batchnorm_of_any_rank(shape):
    x = torch.randn(shape) * 3 + 1
    dims = [d for d in range(len(shape)) if d != 1]
    like = [1, 4] + [1] * (len(shape) - 2)
    mean, var = x.mean(dims), x.var(dims, correction=0)
    module = batchnorm(4, momentum=0.3)
    expected = (x - mean.view(like)) / (var.view(like) + 1e-5).sqrt()
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(module.running_mean, 0.3 * mean)
    module.eval()
    running = module.running_var
    assert running is not None
    torch.testing.assert_close(
        module(x), (x - 0.3 * mean.view(like)) / (running.view(like) + 1e-5).sqrt(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="at least 2 dims"):
        module(torch.randn(4))


def test_batchnorm_that_begins_at_zero():
    assert batchnorm(3, zero_init=True)(torch.randn(4, 3)).eq(0).all()


def test_general_relu():
    x = torch.linspace(-3, 9, 50)
    assert torch.equal(relu()(x), x.clamp_min(0))
    assert torch.equal(relu(leak=0.1)(x), F.leaky_relu(x, 0.1))
    assert torch.equal(relu(maxv=6.0)(x), F.relu6(x))
    expected = (torch.where(x > 0, x, 0.1 * x) - 0.4).clamp_max(5)
    torch.testing.assert_close(relu(leak=0.1, sub=0.4, maxv=5.0)(x), expected)
    torch.testing.assert_close(relu(sub=0.4)(x), x.clamp_min(0) - 0.4)


def test_activations_are_their_formulas():
    x = torch.linspace(-4, 4, 41, dtype=torch.float64)
    torch.testing.assert_close(mish()(x), x * torch.tanh(torch.log1p(x.exp())))
    torch.testing.assert_close(silu()(x), x / (1 + (-x).exp()))
    torch.testing.assert_close(gelu()(x), x * 0.5 * (1 + torch.erf(x / math.sqrt(2))))
    tanh = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    torch.testing.assert_close(gelu(approximate=True)(x), 0.5 * x * (1 + tanh))
    negative = 1.0507009873554805 * 1.6732632423543772 * (x.exp() - 1)
    torch.testing.assert_close(selu()(x), torch.where(x > 0, 1.0507009873554805 * x, negative))


def test_pools():
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert avg_pool(2)(x).flatten().tolist() == [3, 5, 13, 15]
    assert avg_pool(2, ceil_mode=True)(x)[0, 0, 2].tolist() == [20.5, 22.5, 24]  # means of what is there
    assert max_pool(3, stride=2, padding=1)(x).flatten().tolist() == [6, 8, 9, 16, 18, 19, 21, 23, 24]
    assert adaptive_concat_pool()(x).flatten().tolist() == [24, 12]


def test_embedding_begins_small():
    weight = embedding(500, 20).weight.detach()
    assert weight.abs().max() <= 0.02
    assert 0.008 < weight.std() < 0.0095  # a normal cut off at two deviations has 0.88 of it
    assert embedding(500, 20, std=1.0).weight.abs().max() > 1


def test_reshapes():
    x = torch.arange(24.0).view(2, 12)
    assert torch.equal(reshape([3, 2, 2])(x), x.view(2, 3, 2, 2))
    shuffled = pixel_shuffle(2)(torch.arange(4.0).view(1, 4, 1, 1))
    assert shuffled[0, 0].tolist() == [[0, 1], [2, 3]]
    small = torch.tensor([[[[0.0, 1.0]]]])
    assert upsample(2)(small)[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert upsample(2, "bilinear")(small)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_norms_are_their_formulas():
    x = torch.randn(3, 4, 5, 6) * 2 + 1

    def normal(x, dims):
        return (x - x.mean(dims, keepdim=True)) / (x.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()

    torch.testing.assert_close(layer_norm(6)(x), normal(x, -1))
    torch.testing.assert_close(instance_norm(4)(x), normal(x, (2, 3)))
    torch.testing.assert_close(group_norm(4, groups=1)(x), normal(x, (1, 2, 3)))
    torch.testing.assert_close(group_norm(4, groups=2)(x), normal(x.view(3, 2, -1), 2).view_as(x))
    assert instance_norm(4).weight is not None and instance_norm(4, affine=False).weight is None


def test_self_attention():
    module = self_attention(16).eval()
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(module(x), x)  # gamma begins at 0
    nn.init.constant_(module.gamma, 0.7)
    flat = x.view(2, 16, 12)
    weights: list[Any] = [f.weight for f in (module.query, module.key, module.value)]
    query, key, value = (torch.einsum("oc,bcn->bon", weight[..., 0], flat) for weight in weights)
    share = torch.einsum("bci,bcj->bij", query, key).exp()
    share = share / share.sum(1, keepdim=True)
    expected = flat + 0.7 * torch.einsum("bci,bij->bcj", value, share)
    torch.testing.assert_close(module(x), expected.view_as(x))
    channels_last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(channels_last), module(x))
    assert torch.linalg.matrix_norm(weights[2][..., 0], 2).item() == pytest.approx(1, rel=0.05)
    with pytest.raises(ValueError, match="at least 8 channels"):
        self_attention(7)


def test_squeeze_excite():
    module = squeeze_excite(64, reduction=16)
    assert module.squeeze.out_channels == 8  # 64 / 16, rounded up to a multiple of 8
    assert squeeze_excite(512, 16).squeeze.out_channels == 32
    assert squeeze_excite(4, 16).squeeze.out_channels == 8
    x = torch.randn(2, 64, 5, 3)
    hidden = F.relu(F.linear(x.mean((2, 3)), module.squeeze.weight[..., 0, 0], module.squeeze.bias))
    scale = torch.sigmoid(F.linear(hidden, module.excite.weight[..., 0, 0], module.excite.bias))
    torch.testing.assert_close(module(x), x * scale[..., None, None])


# ── dropout ─────────────────────────────────────────────────────────────────────────────────────────────


def test_dropout2d_takes_whole_channels():
    out = dropout2d(0.25)(torch.ones(400, 10, 2, 3)).flatten(2)
    assert torch.equal(out.amax(2), out.amin(2))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_drop_path_takes_whole_items():
    layer, x = drop_path(0.2), torch.randn(2000, 3, 2)
    ratio = (layer(x) / x).flatten(1)
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-6)
    assert float((ratio == 0).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert ratio.amax(0).tolist() == pytest.approx([1.25] * 6)
    assert torch.equal(layer.eval()(x), x)


def test_alpha_dropout_keeps_mean_and_variance():
    x = torch.randn(200_000)
    out = alpha_dropout(0.3)(x)
    assert float(out.mean()) == pytest.approx(0, abs=0.02) and float(out.var()) == pytest.approx(1, abs=0.03)
    dropped = out == out.mode().values  # the one value that dropped numbers have
    assert float(dropped.float().mean()) == pytest.approx(0.3, abs=0.01)


# ── finer images ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("again", [None, kaiming(), xavier()], ids=["as built", "kaiming", "xavier"])
def test_icnr_begins_as_nearest_pixels(scale, again):
    layer = pixel_shuffle_icnr(5, 4, scale)
    if again is not None:
        again(layer, Stream(1, "fit", "weights"))
    x = torch.randn(2, 5, 3, 4)
    out = layer(x)
    assert out.shape == (2, 4, 3 * scale, 4 * scale)
    torch.testing.assert_close(out, F.interpolate(out[..., ::scale, ::scale], scale_factor=float(scale)))
    assert out.std() > 0.1 and not torch.equal(out[:, 0], out[:, 1])


def test_interpolate_is_torchs():
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(interpolate(9, 4)(x), F.interpolate(x, (9, 4)))
    assert torch.equal(interpolate(9, 4, "bilinear")(x), F.interpolate(x, (9, 4), mode="bilinear"))


# ── sequences ───────────────────────────────────────────────────────────────────────────────────────────


def test_pools_of_sequences():
    x = torch.tensor([[[1.0, 5.0, 2.0, 4.0], [0.0, 0.0, 8.0, 4.0]]])
    assert avg_pool1d()(x).tolist() == [[[3, 3], [0, 6]]]
    assert max_pool1d(3, stride=1)(x).tolist() == [[[5, 5], [8, 8]]]
    assert adaptive_concat_pool1d()(x).tolist() == [[[5], [8], [3], [3]]]
    assert adaptive_max_pool1d(2)(x).tolist() == [[[5, 4], [0, 8]]]


def test_transpose():
    x = torch.randn(2, 3, 4)
    assert torch.equal(transpose()(x), torch.einsum("bnm->bmn", x))
