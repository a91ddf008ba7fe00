"""Colour batch transforms as affine maps of a pixel's channels, and the one pass that does them all.

A map is a matrix over `(channels, 1)`: transforms `t1, t2, ...` compose to `... @ M2 @ M1`. The scaling of
uint8 and the normalisation are such maps too. Between the colours and the normalisation values are clamped to
0..1; since a normalisation only scales and shifts, that is a clamp of the result to bounds for each channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Color:
    """A batch transform that maps each pixel's channels (0..1); subclass it and give it `matrix`.

    Attributes:
        draws: how many numbers in [0, 1) each item needs.
        mixes: whether an output channel depends on other channels.
    """

    draws: int = 0
    mixes: bool = False

    def matrix(self, u: Tensor, channels: int) -> Tensor:
        """Affine maps (float64, `b channels+1 channels+1`) from draws `u` (float64, `b draws`)."""
        raise NotImplementedError

    def evaluation(self) -> Color | None:
        """What stands in for it on validation data; `None` for nothing at all."""
        return None


def scale_and_shift(scale: Tensor, shift: Tensor, channels: int) -> Tensor:
    """Maps `scale * v + shift` (`b channels+1 channels+1`); `scale` and `shift` are `b` or `b channels`."""
    maps = torch.zeros(len(scale), channels + 1, channels + 1, dtype=torch.float64)
    maps[:, :-1, -1] = shift if shift.ndim == 2 else shift[:, None]
    maps.diagonal(dim1=1, dim2=2)[:, :-1] = scale if scale.ndim == 2 else scale[:, None]
    maps[:, -1, -1] = 1
    return maps


class ColorMap:
    """Colour transforms and a normalisation (`[means, deviations]`) composed into one map for each item."""

    def __init__(
        self, transforms: Sequence[Color], stats: Sequence[Sequence[float]] | None, channels: int
    ) -> None:
        self.transforms = list(transforms)
        self.channels = channels
        self.mixes = any(transform.mixes for transform in transforms)
        mean, std = torch.tensor(stats or [[0.0] * channels, [1.0] * channels], dtype=torch.float64)
        self.normalization = scale_and_shift(1 / std[None], -mean[None] / std[None], channels)
        self.bounds = torch.stack([-mean / std, (1 - mean) / std]).to(torch.float32) if transforms else None

    def matrices(self, draws: Sequence[Tensor], count: int, unit: float, device: torch.device) -> Tensor:
        """The composed maps of `count` items as `apply` takes them (float32, `b c c+1`).

        `draws` has one tensor a transform; the images' values are in 0..`unit`.
        """
        one = torch.ones(count, dtype=torch.float64)
        total = scale_and_shift(one / unit, torch.zeros_like(one), self.channels)
        for transform, u in zip(self.transforms, draws):
            total = transform.matrix(u, self.channels) @ total
        total = self.normalization @ total
        return total[:, :-1].to(torch.float32).to(device, non_blocking=True)

    def apply(self, images: Tensor, matrices: Tensor, out: Tensor) -> None:
        """Writes the mapped `images` (uint8 or float32, `b c h w`) to `out` (float32, any strides)."""
        # Several passes over strided memory cost more than one copy at the end.
        work = out if out.is_contiguous() else torch.empty(out.shape, device=out.device)
        maps = matrices[..., None, None]
        if self.mixes:
            self._mix(images, maps, work)
        else:
            diagonal = matrices.diagonal(dim1=1, dim2=2)[..., None, None]
            torch.mul(images, diagonal, out=work).add_(maps[:, :, -1])
        if self.bounds is not None:
            low, high = self.bounds[..., None, None].to(work.device, non_blocking=True)
            torch.maximum(work, low, out=work)
            torch.minimum(work, high, out=work)
        if work is not out:
            out.copy_(work)

    def _mix(self, images: Tensor, maps: Tensor, out: Tensor) -> None:
        # Products and sums apart, not a matrix product: its rounding may depend on how many items there are.
        term = torch.empty_like(out[:, 0])
        for i, plane in enumerate(out.unbind(1)):
            torch.mul(images[:, 0], maps[:, i, 0], out=plane).add_(maps[:, i, -1])
            for j in range(1, self.channels):
                plane.add_(torch.mul(images[:, j], maps[:, i, j], out=term))
