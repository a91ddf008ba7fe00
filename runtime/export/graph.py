"""A trained model of images as one graph: pixels as a decoder gives them go in, probabilities come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.warp import for_device
from mfc.runtime.errors import RunError


class Graph(nn.Module):
    """What is done to a batch in evaluation form, the model, and what its loss makes of outputs: uint8 `b c h w` to
    probabilities `b classes ...`, or values.

    Args:
        model: in evaluation mode.
        transforms: the batch transforms.
        loss: says what outputs mean by its `activation`, if it has one.
        classes: whether outputs are scores of classes, where the loss does not say what they mean.
        shape: of one image, `c h w`.

    Raises RunError R0607 where a batch transform draws at random in its evaluation form.
    """

    maps: Tensor
    homographies: Tensor | None
    bounds: Tensor | None

    def __init__(
        self, model: nn.Module, transforms: Sequence[Any], loss: Any, classes: bool, shape: Sequence[int]
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.model, self.loss, self.classes = model, loss, classes
        self.pipeline = BatchPipeline(transforms, 0, "", channels, training=False)
        warp, color = self.pipeline.warp, self.pipeline.color
        for transform in (*warp.transforms, *color.transforms, *self.pipeline.pixels):
            if transform.draws:
                name = type(transform).__name__
                message = f"`{name}` draws at random on validation data too, and a graph draws nothing"
                raise RunError("R0607", message, help="export a `bundle()`")
        nothing = torch.empty(1, 0, dtype=torch.float64)
        cpu = torch.device("cpu")
        self.size = self.pipeline.output_size(height, width)
        self.level = 0
        homographies = None
        if warp.transforms:
            homographies = warp.matrices([nothing] * len(warp.transforms), height, width)
            self.level = int(warp.levels(homographies))
            homographies = for_device(homographies, height, width, cpu)
        self.register_buffer("homographies", homographies)
        self.register_buffer("maps", color.matrices([nothing] * len(color.transforms), 1, 255.0, cpu))
        self.register_buffer("bounds", color.bounds)

    def forward(self, image: Tensor) -> Tensor:
        """Images, uint8 `b c h w` with values 0 to 255 -> probabilities of the classes, or values."""
        x = image.to(torch.float32)
        if self.homographies is not None:
            matrices = self.homographies.expand(x.shape[0], 3, 3)
            x = self.pipeline.warp.sample(x, matrices, self.size, self.level)[0]
        x = self._colored(x)
        for transform in self.pipeline.pixels:
            x = transform(x, torch.empty(x.shape[0], 0, dtype=torch.float64))
        said = self.model(x).float()
        if hasattr(self.loss, "activation"):
            return self.loss.activation(said)
        return said.softmax(1) if self.classes else said

    def _colored(self, x: Tensor) -> Tensor:
        """The affine map of `ColorMap.apply`, which writes to memory of its own."""
        maps = self.maps[..., None, None]
        if self.pipeline.color.mixes:
            planes = []
            for i in range(x.shape[1]):
                plane = x[:, 0] * maps[:, i, 0] + maps[:, i, -1]
                for j in range(1, x.shape[1]):
                    plane = plane + x[:, j] * maps[:, i, j]
                planes.append(plane)
            x = torch.stack(planes, 1)
        else:
            x = x * self.maps.diagonal(dim1=1, dim2=2)[..., None, None] + maps[:, :, -1]
        if self.bounds is not None:
            low, high = self.bounds[..., None, None]
            x = torch.minimum(torch.maximum(x, low), high)
        return x
