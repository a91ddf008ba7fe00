"""What is done to each image on its own, before batches are made.

An item transform is a class; what it builds is called with a PIL image and a generator for its draws, and
returns a PIL image. A random one has `evaluation()`, which gives the transform for validation, or None where
nothing is to be done then.

Masks follow those that act `on` them too: by their method `mask(mask, rng)`, or where they have none by being called
with the mask, in mode L, after the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image

from mfc.runtime.component import ItemTransform, Range, item_transform
from mfc.runtime.data.images import on_mask, shrink
from mfc.runtime.data.masks import VOID
from mfc.runtime.errors import RunError

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


@item_transform(shape="c h w -> 3 h w")
class to_rgb:
    """Makes an image RGB; a grey one gets three equal channels."""

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.convert("RGB")


@item_transform(shape="c h w -> 1 h w")
class to_gray:
    """Makes an image grey: its luma, 0.299 R + 0.587 G + 0.114 B."""

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.convert("L")


@item_transform(shape="c h w -> c size size", on=("image", "mask"))
class resize:
    """Makes an image `size` x `size` with bilinear interpolation over all of its pixels.

    `crop` keeps the middle part that has the right proportions, in training too: unlike fastai's, which draws
    the part's place while training, it is done once and kept. `random_resized_crop` draws.

    Args:
        size: height and width in pixels.
        method: `crop` cuts off what sticks out, `squish` changes proportions, `pad` fills up what is missing.
        pad_mode: what `pad` fills with: zeros, the border's pixels, or a reflection.
    """

    def __init__(
        self,
        size: Annotated[int, Range(1, 16384)],
        method: Literal["crop", "squish", "pad"] = "crop",
        pad_mode: Literal["reflection", "zeros", "border"] = "reflection",
    ) -> None:
        self.size, self.method, self.pad_mode = size, method, pad_mode

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return _resized(image, self.size, self.size, self.method, self.pad_mode, BILINEAR, 0)

    def mask(self, mask: Image.Image, rng: Random) -> Image.Image:
        return _resized(mask, self.size, self.size, self.method, self.pad_mode, NEAREST, VOID)


@item_transform(shape="c h w -> c height width", on=("image", "mask"))
class resize_to:
    """Makes an image `height` x `width` with bilinear interpolation over all of its pixels: `resize` for images that
    are not square.

    Args:
        height, width: in pixels.
        method: `crop` cuts off what sticks out, `squish` changes proportions, `pad` fills up what is missing.
        pad_mode: what `pad` fills with: zeros, the border's pixels, or a reflection.
    """

    def __init__(
        self,
        height: Annotated[int, Range(1, 16384)],
        width: Annotated[int, Range(1, 16384)],
        method: Literal["crop", "squish", "pad"] = "crop",
        pad_mode: Literal["reflection", "zeros", "border"] = "reflection",
    ) -> None:
        self.height, self.width, self.method, self.pad_mode = height, width, method, pad_mode

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return _resized(image, self.height, self.width, self.method, self.pad_mode, BILINEAR, 0)

    def mask(self, mask: Image.Image, rng: Random) -> Image.Image:
        return _resized(mask, self.height, self.width, self.method, self.pad_mode, NEAREST, VOID)


@item_transform(shape="c h w -> c size size", on=("image", "mask"))
class center_crop:
    """Cuts `size` x `size` pixels out of the middle; a smaller image gets a black border, its mask one of no class.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: Annotated[int, Range(1, 16384)]) -> None:
        self.size = size

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return _middle(image, self.size, 0)

    def mask(self, mask: Image.Image, rng: Random) -> Image.Image:
        return _middle(mask, self.size, VOID)


@item_transform(shape="c h w -> c size size", random=True, on=("image", "mask"))
class random_resized_crop:
    """Cuts out a part of random area, proportions and place, and makes it `size` x `size`.

    From "Going deeper with convolutions" (Szegedy and others, 2014). In evaluation the whole image is
    squished to somewhat more than `size`, and the middle of that is cut out.

    Args:
        size: height and width in pixels.
        min_scale: least area of the part, as a share of the image's.
        max_scale: greatest area of the part.
        min_ratio: least width of the part over its height.
        max_ratio: greatest width over height.
        val_xtra: share of `size` that evaluation cuts off, rounded up to a multiple of 8 pixels.
    """

    def __init__(
        self,
        size: Annotated[int, Range(1, 16384)],
        min_scale: Annotated[float, Range(above=0, hi=1)] = 0.08,
        max_scale: Annotated[float, Range(above=0, hi=1)] = 1.0,
        min_ratio: Annotated[float, Range(above=0)] = 0.75,
        max_ratio: Annotated[float, Range(above=0)] = 1.3333333333333333,
        val_xtra: Annotated[float, Range(0, 1)] = 0.14,
    ) -> None:
        self.size = size
        self.scales, self.ratios = (min_scale, max_scale), (min_ratio, max_ratio)
        self.extra = math.ceil(size * val_xtra / 8) * 8

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return _resize_box(image, self.box(image.width, image.height, rng), self.size, self.size)

    def mask(self, mask: Image.Image, rng: Random) -> Image.Image:
        return _resize_box(mask, self.box(mask.width, mask.height, rng), self.size, self.size, NEAREST)

    def box(self, width: int, height: int, rng: Random) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a drawn part; the largest middle part if ten draws do not fit."""
        low, high = math.log(self.ratios[0]), math.log(self.ratios[1])
        for _ in range(10):
            area = rng.uniform(*self.scales) * width * height
            ratio = math.exp(rng.uniform(low, high))
            w, h = max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))
            if w <= width and h <= height:
                left, top = rng.randint(0, width - w), rng.randint(0, height - h)
                return left, top, left + w, top + h
        w = max(1, min(width, int(height * self.ratios[1])))
        h = max(1, min(height, int(width / self.ratios[0])))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def evaluation(self) -> ItemTransform:
        return _Chain([resize(self.size + self.extra, "squish"), center_crop(self.size)])


@item_transform(shape="c h w -> c h w", random=True, on=("image", "mask"))
class flip:
    """Mirrors an image left to right with probability `p`.

    Args:
        p: the probability.
    """

    def __init__(self, p: Annotated[float, Range(0, 1)] = 0.5) -> None:
        self.p = p

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < self.p else image

    def evaluation(self) -> None:
        return None


@item_transform(shape="c h w -> c h w where h == w", random=True, on=("image", "mask"))
class dihedral:
    """Turns an image into one of the eight forms that turning by 90 degrees and mirroring give.

    Args:
        p: the probability that it is drawn at all.
    """

    def __init__(self, p: Annotated[float, Range(0, 1)] = 1.0) -> None:
        self.p = p

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        if rng.random() >= self.p:
            return image
        form = rng.randrange(8)
        return image.transpose(Image.Transpose(form - 1)) if form else image

    def evaluation(self) -> None:
        return None


# one item has two forms: it can't be kept packed
@item_transform(shape="c h w -> c h w", random=True, part="train")
class train_only:
    """Applies a transform to items of the training part and leaves those of the validation part as they are.

    Args:
        transform: what to apply.
    """

    def __init__(self, transform: ItemTransform) -> None:
        self.transform = transform
        self.random = is_random(transform)

    def training(self) -> ItemTransform | None:
        return training_form(self.transform)

    def evaluation(self) -> None:
        return None


@item_transform(shape="c h w -> c h w", random=True, part="valid")
class valid_only:
    """Applies a transform, in its evaluation form, to items of the validation part only.

    Args:
        transform: what to apply.
    """

    random = False

    def __init__(self, transform: ItemTransform) -> None:
        self.transform = transform

    def training(self) -> None:
        return None

    def evaluation(self) -> ItemTransform:
        return evaluation_form(self.transform)


class _Chain:
    """Transforms one after the other."""

    random = False

    def __init__(self, transforms: Sequence[ItemTransform]) -> None:
        self.transforms = transforms

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        for transform in self.transforms:
            image = transform(image, rng)
        return image

    def mask(self, mask: Image.Image, rng: Random) -> Image.Image:
        for transform in self.transforms:
            mask = on_mask(transform, mask, rng)
        return mask


def is_random(transform: Any) -> bool:
    """Whether a transform draws, as its decorator or its own attribute `random` says."""
    if hasattr(transform, "random"):
        return bool(transform.random)
    facts = getattr(type(transform), "__mfc_facts__", None)
    if facts is None:
        name = getattr(transform, "__name__", type(transform).__name__)
        raise RunError(
            "R0111", f"`{name}` is no item transform", help="decorate a class with `@mfc.item_transform`"
        )
    return facts["random"]


def training_form(transform: Any) -> Any:
    """The transform for items that are trained on; None where nothing is to be done to them."""
    return transform.training() if hasattr(transform, "training") else transform


def evaluation_form(transform: Any) -> Any:
    """The transform for items that are not trained on; None where nothing is to be done to them."""
    if hasattr(transform, "evaluation"):
        return transform.evaluation()
    if is_random(transform):
        raise RunError(
            "R0111",
            f"the random transform `{type(transform).__name__}` does not say what it does in evaluation",
            help="give it `def evaluation(self)`, which returns a transform, or None for nothing at all",
        )
    return transform


def pipeline(transforms: Sequence[Any], training: bool) -> list[Any]:
    """The transforms in the form in which they act on items that are trained on, or on all others."""
    forms = map(training_form if training else evaluation_form, transforms)
    return [form for form in forms if form is not None]


def _resized(
    image: Image.Image,
    height: int,
    width: int,
    method: str,
    pad_mode: str,
    how: Image.Resampling,
    around: int,
) -> Image.Image:
    """An image made `height` x `width` by a method of `resize`; `around` is what padded zeros are."""
    whole = (0, 0, *image.size)
    if method == "squish":
        return _resize_box(image, whole, height, width, how)
    across, down = width / image.width, height / image.height
    if method == "crop":
        scale = max(across, down)
        w, h = (
            max(1, min(side, round(to / scale)))
            for side, to in ((image.width, width), (image.height, height))
        )
        left, top = (image.width - w) // 2, (image.height - h) // 2
        return _resize_box(image, (left, top, left + w, top + h), height, width, how)
    scale = min(across, down)
    inner = (max(1, round(image.height * scale)), max(1, round(image.width * scale)))
    return _pad(_resize_box(image, whole, *inner, how), height, width, pad_mode, around)


def _resize_box(
    image: Image.Image,
    box: tuple[int, int, int, int],
    height: int,
    width: int,
    how: Image.Resampling = BILINEAR,
) -> Image.Image:
    """The part in `box` (left, top, right, bottom) made `height` x `width`."""
    left, top, right, bottom = box
    if box == (0, 0, width, height) == (0, 0, *image.size):
        return image
    down, across = shrink(image, image.height * height / (bottom - top), image.width * width / (right - left))
    part = (left / across, top / down, min(right / across, image.width), min(bottom / down, image.height))
    return image.resize((width, height), how, box=part)


def _middle(image: Image.Image, size: int, around: int) -> Image.Image:
    """`size` x `size` pixels around the middle of an image; beyond its edges they are `around`."""
    left, top = (image.width - size) // 2, (image.height - size) // 2
    if around == 0 or (left >= 0 and top >= 0):
        return image.crop((left, top, left + size, top + size))
    whole = Image.new(image.mode, (size, size), around)
    whole.paste(image, (-left, -top))
    return whole


def _pad(image: Image.Image, height: int, width: int, mode: str, around: int) -> Image.Image:
    """An image in the middle of `height` x `width` pixels; `around` is what zeros are."""
    left, top = (width - image.width) // 2, (height - image.height) // 2
    if mode == "zeros":
        whole = Image.new(image.mode, (width, height), around)
        whole.paste(image, (left, top))
        return whole
    edges = [(top, height - image.height - top), (left, width - image.width - left)]
    array = np.asarray(image)
    how = "edge" if mode == "border" else "reflect"
    return Image.fromarray(np.pad(array, edges + [(0, 0)] * (array.ndim - 2), mode=how))
