"""Linear layers and embeddings."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mfc.runtime.component import In, Range, layer


@layer(shape="b ... features -> b ... nf", parameters="nf*features; nf*bias")
def linear(features: In, nf: Annotated[int, Range(1)], bias: bool = True) -> nn.Linear:
    """A linear map of the last dimension: `b ... features` to `b ... nf`.

    Args:
        nf: features that come out.
        bias: whether a number that is learnt is added to each of them.
    """
    return nn.Linear(features, nf, bias)


@layer(shape="b ... -> b ... nf", parameters="n*nf", ids=True)
def embedding(
    n: Annotated[int, Range(1)], nf: Annotated[int, Range(1)], std: Annotated[float, Range(0)] = 0.01
) -> nn.Embedding:
    """A vector for each id: int64 ids `b ...` below `n` to `b ... nf`.

    Args:
        n: how many ids there are.
        nf: length of a vector.
        std: the vectors begin normal with this deviation, cut off at two of them (fastai's way).
    """
    module = nn.Embedding(n, nf)
    nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    return module
