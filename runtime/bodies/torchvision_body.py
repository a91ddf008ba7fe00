"""Bodies of torchvision's networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.bodies.body import Body, Declared, Tensors, library
from mfc.runtime.component import In, Range, layer
from mfc.runtime.errors import RunError

HEADS = ("classifier", "fc", "head", "heads")
"""What torchvision calls the part of a network that turns pooled features into classes."""


@layer(
    shape="b channels h w -> b features "
    "(h // patch + reduction // patch // floored - 1) // (reduction // patch // floored) // floored "
    "(w // patch + reduction // patch // floored - 1) // (reduction // patch // floored) // floored",
    table="torchvision.json",
    splits="splits",
)
class torchvision_body(Body):
    """A network of torchvision up to its pooling: images `b channels h w` to `b features h/32 w/32`.

    Needs torchvision: `pip install "mfc[vision]"`. What `features` to `splits` are for an architecture is in a table
    that comes with the package; for one that is not there, give at least `features`. Weights in the state dict have
    torchvision's names. Where the channels are not three, the first convolution is another one; pretrained weights are
    added up for it (one channel), or the further channels begin at 0.

    Args:
        name: such as `"resnet34"`, one of `torchvision.models.list_models()`.
        pretrained: whether to begin with torchvision's weights, fetched when the training runs; or a file of weights.
        tag: which of torchvision's weights, such as `"IMAGENET1K_V2"`.
        splits: with which of its parts a parameter group begins, such as `["layer3"]`; fastai's by default.
        features: channels that it gives.
        reduction: what height and width are divided by, 32 where the table does not know it.
        patch: the factor of `reduction` by which they are divided first, rounding down; the rest rounds up.
        floored: the factor of `reduction` by which they are divided last, rounding down.

    Raises:
        RunError: R0263 without torchvision, R0265 where it is no such body, R0267, R0268.
    """

    library = "torchvision"

    def __init__(
        self,
        channels: In,
        name: str,
        pretrained: bool | Path = False,
        tag: str | None = None,
        splits: list[str] | None = None,
        features: Annotated[int, Range(1)] | None = None,
        reduction: Annotated[int, Range(1)] | None = None,
        patch: Annotated[int, Range(1)] | None = None,
        floored: Annotated[int, Range(1)] | None = None,
    ) -> None:
        super().__init__(
            Declared(channels, name, pretrained, tag, splits, features, reduction, patch, floored)
        )
        models = library("torchvision", "torchvision_body").models
        if name not in models.list_models(module=models):
            message = f"this version of torchvision has no `{name}`"
            raise RunError("R0265", message, help="see `torchvision.models.list_models()`")
        network = models.get_model(name, weights=None)
        for part, child in network.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d | nn.Linear) or part in HEADS:
                break
            self._modules[part] = child
        self.rectified = name.startswith("densenet")
        self.complete()

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x)
        return F.relu(x) if self.rectified else x  # densenet's last rectifier is no module

    def download(self) -> Tensors:
        models = library("torchvision", "torchvision_body").models
        known = models.get_model_weights(self.declared.name)
        if self.declared.tag not in (names := [weights.name for weights in known]):
            raise self.untagged(names)
        try:
            return known[self.declared.tag].get_state_dict(progress=False, check_hash=True, weights_only=True)
        except Exception as error:  # whatever a network, a proxy or a cache has against it
            raise self.offline(error) from error
