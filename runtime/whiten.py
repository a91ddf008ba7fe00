"""Filters that make small patches of the data white, for a model's first convolution."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import Range, initializer
from mfc.runtime.errors import RunError
from mfc.runtime.modes import evaluating
from mfc.runtime.streams import Stream
from mfc.runtime.training.hooks import Hooks


@initializer(reads_data=True)
class whiten:
    """Makes the first convolution one that whitens patches of the data, so that nets of few layers learn faster.

    Its filters become the eigenvectors of the covariance of all patches of training batches, each divided by the
    root of its eigenvalue: what they give is uncorrelated and of unit variance (A. Coates and A. Ng, "Learning Feature
    Representations with K-means", 2012). Each stands there twice, the second time negated, so that an activation after
    it loses nothing (K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024). A convolution of `ks` on `c`
    channels has `2 * c * ks * ks` of them; one with fewer filters gets those of the largest eigenvalues, one with more
    keeps the rest as it was. The bias becomes 0. Put the convolution into a `group` of its own, and it can be frozen.

    Args:
        batches: of how many training batches the covariance is.
        eps: added to the eigenvalues, so that directions in which the data hardly varies are not blown up.
    """

    def __init__(
        self, batches: Annotated[int, Range(1)] = 20, eps: Annotated[float, Range(above=0)] = 5e-4
    ) -> None:
        self.batches, self.eps = batches, eps

    @torch.no_grad()
    def __call__(self, model: nn.Module, stream: Stream, batches: Iterable[Any]) -> None:
        """Fills the first convolution of `model` from batches that begin with images, `b c h w`.

        Raises:
            RunError: R0261 where the model does not begin with a convolution of one group.
        """
        images = [batch[0] for batch in islice(batches, self.batches)]
        layer = _convolution_of(images[0], model)
        if layer is None or layer.groups > 1:
            what = "finds no convolution" if layer is None else "can't fill a convolution of several groups"
            help = "it is for models whose first layer is `conv2d(...)` of the images themselves"
            raise RunError("R0261", f"`whiten` {what}", help=help)
        values, vectors = torch.linalg.eigh(covariance(images, layer))
        filters = (vectors / (values.clamp(min=0) + self.eps).sqrt()).T.flip(
            0
        )  # the largest eigenvalue first
        count = min(len(layer.weight) // 2, len(filters))
        both = torch.cat([filters[:count], -filters[:count]])
        layer.weight[: 2 * count].copy_(both.view(-1, *layer.weight.shape[1:]))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _convolution_of(images: torch.Tensor, model: nn.Module) -> nn.Conv2d | None:
    """The first convolution that gets the images themselves."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    found: list[nn.Conv2d] = []

    def see(name: str, into: torch.Tensor) -> None:
        if into is images:
            found.append(layers[name])

    with evaluating(model), Hooks(layers, inputs=see):
        model(images)
    return found[0] if found else None


def covariance(images: Iterable[torch.Tensor], layer: nn.Conv2d) -> torch.Tensor:
    """The covariance of all patches of images that lie under a convolution's kernel, padding left out: float64,
    `c*ks*ks c*ks*ks`, of values in the order of the weight's."""
    size = layer.weight[0].numel()
    count, total, products = (
        0,
        torch.zeros(size, dtype=torch.float64),
        torch.zeros(size, size, dtype=torch.float64),
    )
    for batch in images:
        patches = F.unfold(batch.float(), layer.kernel_size, layer.dilation).transpose(1, 2).flatten(0, 1)  # type: ignore[arg-type]
        count += len(patches)
        total += patches.sum(0).double().cpu()
        products += (patches.T @ patches).double().cpu()
    mean = total / count
    return products / count - mean.outer(mean)
