"""What the tests of batch transforms share: pictures, draws, and pipelines of one seed."""

from __future__ import annotations

import torch

from mfc.runtime.data.batch_geometric import dihedral, flip, random_crop, rotate, warp, zoom
from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.batch_transforms import brightness, contrast, erasing, hue, normalize, saturation
from mfc.runtime.data.stats import imagenet_stats
from mfc.runtime.data.warp import Geometric
from mfc.runtime.streams import Stream

SEED, STAGE = 3, "fit"


def pipeline(*transforms, channels=3, training=True, **options) -> BatchPipeline:
    return BatchPipeline(list(transforms), SEED, STAGE, channels, training, **options)


def augment(images, *transforms, items=None, epoch=0, **options) -> torch.Tensor:
    items = torch.arange(len(images)) if items is None else torch.as_tensor(items)
    return pipeline(*transforms, channels=images.shape[1], **options)(images, items, epoch)


def draws(name, count, n, epoch=0) -> torch.Tensor:
    return Stream(SEED, STAGE, f"batch_transforms.{name}").uniform(epoch, torch.arange(count), n).double()


def noise(*shape, seed=0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def unit(images) -> torch.Tensor:
    """uint8 images in 0..1, rounded as the pipeline rounds."""
    return images.float() * (1 / 255)


def smooth(count, height, width) -> torch.Tensor:
    """Pictures of slow waves in 0..1, another one for each item and channel."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    phase = torch.arange(count * 3).view(count, 3, 1, 1)
    return 0.5 + 0.25 * torch.sin(4 * x + phase) + 0.25 * torch.cos(3 * y - 2 * x + 0.7 * phase)


def everything() -> list:
    return [
        flip(), dihedral(), warp(), rotate(20), zoom(1.3, 0.9), random_crop(20, padding=2), brightness(),
        contrast(), saturation(0.4), hue(), normalize(imagenet_stats), erasing(max_count=2),
    ]  # fmt: skip


class Fixed(Geometric):
    """A homography that is given."""

    def __init__(self, matrix, like: Geometric | None = None, exact=False):
        self.fixed, self.like, self.exact = matrix, like or Geometric(), exact

    def size(self, height, width):
        return self.like.size(height, width)

    def matrix(self, u, height, width):
        return self.fixed.expand(len(u), 3, 3)
