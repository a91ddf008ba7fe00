"""Bodies of timm's networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch

from mfc.runtime.bodies.body import Body, Declared, Tensors, library
from mfc.runtime.component import In, Range, layer
from mfc.runtime.errors import RunError


@layer(
    shape="b channels h w -> b features "
    "(h // patch + reduction // patch // floored - 1) // (reduction // patch // floored) // floored "
    "(w // patch + reduction // patch // floored - 1) // (reduction // patch // floored) // floored",
    table="timm.json",
    splits="splits",
)
class timm_body(Body):
    """A network of timm up to its pooling, its `forward_features`: images `b channels h w` to `b features h/32 w/32`.

    Needs timm: `pip install "mfc[vision]"`. What `features` to `tag` are for an architecture is in a table that comes
    with the package; for one that is not there, give at least `features`. Weights in the state dict have timm's names
    after `model.`. Where the channels are not three, the first convolution is another one; pretrained weights are added
    up for it (one channel), or the further channels begin at 0.

    Args:
        name: such as `"convnext_tiny"`, one of `timm.list_models()`, without a tag.
        pretrained: whether to begin with timm's weights, fetched when the training runs; or a file of weights.
        tag: which of timm's weights, such as `"in12k_ft_in1k"`.
        splits: with which of its parts a parameter group begins, such as `["stages.2"]`; the body is one group by
            default, as in fastai.
        features: channels that it gives.
        reduction: what height and width are divided by, 32 where the table does not know it.
        patch: the factor of `reduction` by which they are divided first, rounding down; the rest rounds up.
        floored: the factor of `reduction` by which they are divided last, rounding down.

    Raises:
        RunError: R0263 without timm, R0265 where it is no such body, R0267, R0268.
    """

    library = "timm"

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
        timm = library("timm", "timm_body")
        if not timm.is_model(name):
            raise RunError("R0265", f"this version of timm has no `{name}`", help="see `timm.list_models()`")
        self.model = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        self.complete()

    @property
    def inner(self) -> torch.nn.Module:
        return self.model

    def compute(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(x)

    def download(self) -> Tensors:
        timm = library("timm", "timm_body")
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{self.declared.name}.*")]
        if self.declared.tag not in tags:
            raise self.untagged(tags)
        try:
            full = f"{self.declared.name}.{self.declared.tag}"
            network = timm.create_model(full, pretrained=True, num_classes=0, global_pool="")
            return network.state_dict()
        except Exception as error:  # whatever a network, a proxy or a cache has against it
            raise self.offline(error) from error
