"""The loss of each item, and where it is greatest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def losses_of_items(loss: Any, pred: Tensor, target: Tensor) -> Tensor:
    """The loss of each item, as that of a batch which has it alone: float32 `b`, on the CPU. So weights of classes,
    which say how items count beside each other, do not count; an item without a target that counts has NaN."""
    if hasattr(loss, "each"):
        found = loss.each(pred, target)
        losses = found[0] / found[1] if isinstance(found, tuple) else found
    else:
        losses = torch.stack([loss(pred[i : i + 1], target[i : i + 1]).reshape(()) for i in range(len(pred))])
    return losses.float().cpu()


def greatest(losses: Tensor, count: int) -> list[int]:
    """The places of the greatest losses, the greatest first; of equal ones the first. NaN is none."""
    order = losses.nan_to_num(nan=-torch.inf, posinf=torch.inf).argsort(descending=True, stable=True)
    return [i for i in order[:count].tolist() if not losses[i].isnan()]
