"""Which parameters train: freezing a model from its first group on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.layers.norm import running_batchnorm

NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norm of any dimension
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    running_batchnorm,
)


def norm_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of all normalisation layers."""
    for module in model.modules():
        if isinstance(module, NORMS):
            yield from module.parameters(recurse=False)


def freeze(
    model: nn.Module, groups: Sequence[Sequence[nn.Parameter]], trainable: set[int], freeze_to: int
) -> None:
    """Freezes all groups before `freeze_to` (-1 leaves the last one free) except their norm layers, whose
    statistics change in any case.

    Args:
        trainable: ids of the parameters that may train at all.

    Raises:
        RunError: R0206 if there is no such group, R0210 if nothing is left to train.
    """
    count = len(groups)
    if not -count <= freeze_to < max(count, 1):
        what = f"{count} group" + ("s" if count != 1 else "")
        help = f"freeze_to goes from {-count} to {count - 1}"
        raise RunError("R0206", f"freeze_to = {freeze_to}, but the model has {what}", help=help)
    first = freeze_to % count if count else 0
    norms = {id(p) for p in norm_parameters(model)}
    for index, group in enumerate(groups):
        for parameter in group:
            free = index >= first or id(parameter) in norms
            parameter.requires_grad_(free and id(parameter) in trainable)
            parameter.grad = None
    if not any(parameter.requires_grad for group in groups for parameter in group):
        raise RunError("R0210", "the model has no parameter that trains")
