"""The targets of a data block's items as a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from mfc.runtime.data.items import Items

IGNORED = -100
"""The target that losses and metrics leave out, torch's default: pixels of masks that are of no class."""


def encoded(items: Items) -> Tensor | None:
    """The targets by the items' ids: int64 `n`, a class each; float32 `n classes` of 0 and 1, several classes each;
    float32 `n` or `n count`, values. None for items without targets, and for masks, which are read with the images."""
    targets = items.targets
    if not targets:
        return None
    if not items.vocab:
        return torch.tensor(targets, dtype=torch.float32)
    if not isinstance(targets[0], list):
        return torch.tensor(targets, dtype=torch.int64)
    rows = torch.tensor([i for i, places in enumerate(targets) for _ in places], dtype=torch.int64)
    columns = torch.tensor([place for places in targets for place in places], dtype=torch.int64)
    several = torch.zeros(len(targets), len(items.vocab))
    several[rows, columns] = 1
    return several
