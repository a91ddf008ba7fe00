"""Convolutions. Kernels are square; `ks`, `stride`, `padding` and `dilation` hold for both dimensions."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mfc.runtime.component import In, Range, layer


@layer(shape="b c length -> b nf conv(length) where c % groups == 0 and nf % groups == 0")
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
        padding: zeros added at either end; `(ks - 1) // 2` where left out.
        groups: parts of the channels that are convolved each for itself.
    """
    return nn.Conv1d(c, nf, ks, stride, _padding(padding, ks), dilation, groups, bias)


@layer(shape="b c h w -> b nf conv(h) conv(w) where c % groups == 0 and nf % groups == 0")
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
        padding: zeros added at each side; `(ks - 1) // 2` where left out.
        groups: parts of the channels that are convolved each for itself; as many as channels for depthwise.
    """
    return nn.Conv2d(c, nf, ks, stride, _padding(padding, ks), dilation, groups, bias)


@layer(
    shape="b c h w -> b nf tconv(h) tconv(w) where c % groups == 0 and nf % groups == 0 "
    "and (output_padding < stride or output_padding < dilation)"
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
        padding: rows and columns taken away at each side of what comes out.
        output_padding: rows and columns added at the bottom and right of what comes out.
        groups: parts of the channels that are convolved each for itself.
    """
    return nn.ConvTranspose2d(c, nf, ks, stride, padding, output_padding, groups, bias, dilation)


def _padding(padding: int | None, ks: int) -> int:
    return (ks - 1) // 2 if padding is None else padding
