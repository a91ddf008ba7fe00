"""Layers of our own."""

from typing import Annotated

import torch
from torch import nn

import mfc


@mfc.layer(shape="b c h w -> b nf h w")
class coord_conv(nn.Module):
    """A convolution that also sees each pixel's coordinates."""

    def __init__(self, c: mfc.In, nf: Annotated[int, mfc.Range(1)], ks: Annotated[int, mfc.Range(1, 15)] = 3):
        super().__init__()
        self.conv = nn.Conv2d(c + 2, nf, ks, padding=ks // 2)

    def forward(self, x):
        b, _, h, w = x.shape
        y = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
        z = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(b, 1, h, w)
        return self.conv(torch.cat([x, y, z], 1))
