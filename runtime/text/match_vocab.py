"""Weights that belong to tokens, for a vocabulary of other tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn


def match_vocab(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], theirs: Sequence[str], ours: Sequence[str]
) -> tuple[dict[str, torch.Tensor], int]:
    """Weights of a module trained with the tokens `theirs`, for the tokens `ours`: the rows of embeddings and of
    layers that score tokens go by token, and a token that was not known gets the mean of all rows, as in ULMFiT
    (J. Howard and S. Ruder, 2018). Other weights stay as they are.

    Gives them, and how many of `ours` were known.
    """
    place = {token: row for row, token in enumerate(theirs)}
    rows = torch.tensor([place.get(token, -1) for token in ours])
    known = rows >= 0
    matched = dict(tensors)
    for path, part in module.named_modules():
        for name in ("weight", "bias") if isinstance(part, nn.Embedding | nn.Linear) else ():
            full = f"{path}.{name}".lstrip(".")
            own, tensor = getattr(part, name, None), tensors.get(full)
            if own is None or tensor is None or (len(tensor), len(own)) != (len(theirs), len(ours)):
                continue
            matched[full] = tensor[rows.clamp(min=0)]
            matched[full][~known] = tensor.float().mean(0).to(tensor.dtype)
    return matched, int(known.sum())
