"""Convolutions. Kernels are square; `ks`, `stride`, `padding` and `dilation` hold for both dimensions."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import In, Range, layer


class Conv2d(nn.Conv2d):
    """torch's convolution of images, `b c h w`; on a CPU, one matrix product where images are 1 or 2 pixels wide.

    Most of a kernel then lies in the padding, and torch's convolutions are far from what the processor can do:
    512 to 512 channels at 1x1, forwards and backwards for a batch of 128, take 146 ms, and 5 ms as a product.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`b c h w` -> `b nf h w`"""
        h, w = input.shape[-2:]
        if h * w <= 4 and self._as_product(input):
            return self._product(input)
        return super().forward(input)

    def _as_product(self, input: torch.Tensor) -> bool:
        """Whether a product pays: its matrix, made for each batch, is `h * w` times as large as an image's part
        of the kernel. Tensors that only stand for others, as in tracing, keep the convolution."""
        real = type(input) is torch.Tensor and input.dim() == 4 and input.device.type == "cpu"
        if not real or self.groups > 1 or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
            return False
        b, _, h, w = input.shape
        return b >= 8 * h * w and 2 * h * w <= self.kernel_size[0] * self.kernel_size[1]

    def _product(self, input: torch.Tensor) -> torch.Tensor:
        b, c, h, w = input.shape
        axes = zip((h, w), self.kernel_size, self.stride, self.padding, self.dilation)
        taps, out_h, out_w = _taps(*axes)
        matrix = (self.weight.flatten(2) @ taps.to(self.weight.dtype)).view(-1, c, out_h * out_w, h * w)
        matrix = matrix.transpose(1, 2).reshape(-1, c * h * w)
        out = F.linear(input.flatten(1), matrix).view(b, -1, out_h, out_w)
        return out if self.bias is None else out + self.bias.view(-1, 1, 1)


@lru_cache(maxsize=256)
def _taps(*axes: tuple[Any, ...]) -> tuple[torch.Tensor, int, int]:
    """Which tap of a kernel joins which place of the output to which of the input, as zeros and ones: `taps
    out*in`; and the height and width of the output. An axis is (size, ks, stride, padding, dilation)."""
    with torch.inference_mode(False):  # what is kept may be needed for a backward pass
        rows, columns = (_line(*axis) for axis in axes)
        both = torch.einsum("aop,bqr->aboqpr", rows, columns)
    return both.reshape(len(rows) * len(columns), -1), rows.shape[1], columns.shape[1]


def _line(size: int, ks: int, stride: int, padding: int, dilation: int) -> torch.Tensor:
    """The same along one dimension: `ks out size`."""
    out = (size + 2 * padding - dilation * (ks - 1) - 1) // stride + 1
    tap, place = torch.arange(ks, device="cpu")[:, None], torch.arange(out, device="cpu")
    source = tap * dilation + place * stride - padding
    return F.one_hot(source.clamp(-1, size) + 1, size + 2)[..., 1:-1].float()


@layer(
    shape="b c length -> b nf conv(length) where c % groups == 0 and nf % groups == 0",
    parameters="nf*(c // groups)*ks; nf*bias",
)
def conv1d(
    c: In,
    nf: Annotated[int, Range(1)],
    ks: Annotated[int, Range(1)] = 3,
    stride: Annotated[int, Range(1)] = 1,
    padding: Annotated[int, Range(0)] | None = None,
    dilation: Annotated[int, Range(1)] = 1,
    groups: Annotated[int, Range(1)] = 1,
    bias: bool = True,
) -> nn.Conv1d:
    """A convolution along one dimension: `b c length` to `b nf length`.

    Args:
        nf: filters, the channels that come out.
        ks: kernel size.
        stride: steps from one place of the kernel to the next.
        padding: zeros added at either end; `(ks - 1) // 2` where left out.
        dilation: distance of the kernel's places.
        groups: parts of the channels that are convolved each for itself.
        bias: whether a number that is learnt is added to each channel that comes out.
    """
    return nn.Conv1d(c, nf, ks, stride, _padding(padding, ks), dilation, groups, bias)


@layer(
    shape="b c h w -> b nf conv(h) conv(w) where c % groups == 0 and nf % groups == 0",
    parameters="nf*(c // groups)*ks*ks; nf*bias",
)
def conv2d(
    c: In,
    nf: Annotated[int, Range(1)],
    ks: Annotated[int, Range(1)] = 3,
    stride: Annotated[int, Range(1)] = 1,
    padding: Annotated[int, Range(0)] | None = None,
    dilation: Annotated[int, Range(1)] = 1,
    groups: Annotated[int, Range(1)] = 1,
    bias: bool = True,
) -> nn.Conv2d:
    """A convolution of images: `b c h w` to `b nf h w`, with height and width divided by `stride`.

    Args:
        nf: filters, the channels that come out.
        ks: kernel size, of a square kernel.
        stride: steps from one place of the kernel to the next.
        padding: zeros added at each side; `(ks - 1) // 2` where left out.
        dilation: distance of the kernel's rows and columns.
        groups: parts of the channels that are convolved each for itself; as many as channels for depthwise.
        bias: whether a number that is learnt is added to each channel that comes out.
    """
    return Conv2d(c, nf, ks, stride, _padding(padding, ks), dilation, groups, bias)


@layer(
    shape="b c h w -> b nf tconv(h) tconv(w) where c % groups == 0 and nf % groups == 0 "
    "and (output_padding < stride or output_padding < dilation)",
    parameters="c*(nf // groups)*ks*ks; nf*bias",
)
def tconv2d(
    c: In,
    nf: Annotated[int, Range(1)],
    ks: Annotated[int, Range(1)] = 3,
    stride: Annotated[int, Range(1)] = 1,
    padding: Annotated[int, Range(0)] = 0,
    output_padding: Annotated[int, Range(0)] = 0,
    dilation: Annotated[int, Range(1)] = 1,
    groups: Annotated[int, Range(1)] = 1,
    bias: bool = True,
) -> nn.ConvTranspose2d:
    """A transposed convolution of images: `b c h w` to `b nf h w`, with height and width times `stride`.

    A kernel of `2 * stride` with a padding of `stride // 2` gives exactly that size.

    Args:
        nf: filters, the channels that come out.
        ks: kernel size, of a square kernel.
        stride: how many times as high and wide it becomes.
        padding: rows and columns taken away at each side of what comes out.
        output_padding: rows and columns added at the bottom and right of what comes out.
        dilation: distance of the kernel's rows and columns.
        groups: parts of the channels that are convolved each for itself.
        bias: whether a number that is learnt is added to each channel that comes out.
    """
    return nn.ConvTranspose2d(c, nf, ks, stride, padding, output_padding, groups, bias, dilation)


def _padding(padding: int | None, ks: int) -> int:
    return (ks - 1) // 2 if padding is None else padding
