"""One item from its file to pixels: reading, item transforms, and errors that name the file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mfc.runtime.data.labels import failed
from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from mfc.runtime.data.masks import Masks

MODES = {"L": 1, "RGB": 3}


def shrink(image: Image.Image, height: float, width: float) -> tuple[float, float]:
    """Has a JPEG that was not read yet decoded at a half, a quarter or an eighth of its size, if that leaves
    `height` x `width` pixels. The decoder skips the others, which saves most of the time of a large photo.

    Returns what height and width have been divided by, 1.0 where nothing was gained.
    """
    draft = getattr(image, "draft", None)
    if draft is None or image.format != "JPEG" or image.width < 2 * width or image.height < 2 * height:
        return 1.0, 1.0
    before = image.size
    draft(None, (max(1, round(width)), max(1, round(height))))
    return before[1] / image.height, before[0] / image.width


def pixels(image: Image.Image) -> np.ndarray:
    """An image in mode L or RGB as `c h w`, uint8."""
    if image.mode not in MODES:
        raise ValueError(f"an image in mode {image.mode}; `to_rgb()` and `to_gray()` convert it")
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def read(
    source: Any, item: str, transforms: Sequence[Any], rng: random.Random, masks: Masks | None = None
) -> np.ndarray:
    """An item's pixels after the transforms: `c h w`, uint8. With `masks`, its mask is one more channel, the last, and
    follows each transform by the same draw.

    Raises RunError R0104 for an image or mask that can't be decoded, R0111 for a transform that fails on a good one,
    R0141 where the two differ in size.
    """
    step: Any = source
    try:
        with source.open(item) as opened:
            image = opened
            mask = None if masks is None else masks.open(item, image)
            for step in transforms:
                before = None if mask is None else rng.getstate()
                image = step(image, rng)
                if mask is not None and before is not None:
                    mask = _followed(step, mask, rng, before)
            return pixels(image) if mask is None else _both(pixels(image), mask, item)
    except RunError:
        raise
    except Exception as error:
        # a JPEG is decoded when a transform asks for its pixels: who raised does not tell whose fault it is
        try:
            with source.open(item) as image:
                image.load()
        except Exception as broken:
            raise RunError(
                "R0104",
                f"`{item}` is a broken image: {_reason(broken)}",
                help="mend or remove the file, or leave broken images out with `on_error = skip`",
            ) from broken
        raise failed(step, f"`{item}`", error) from error


def on_mask(transform: Any, mask: Image.Image, rng: random.Random) -> Image.Image:
    """A mask after an item transform: by its method `mask` if it has one, by itself if it acts on masks too, else as
    it was."""
    if hasattr(transform, "mask"):
        return transform.mask(mask, rng)
    facts = getattr(type(transform), "__mfc_facts__", {})
    return transform(mask, rng) if "mask" in facts.get("on", ()) else mask


def _followed(transform: Any, mask: Image.Image, rng: random.Random, before: Any) -> Image.Image:
    """A mask after the transform of its image, whose draws began in the state `before`."""
    after = rng.getstate()
    rng.setstate(before)
    mask = on_mask(transform, mask, rng)
    rng.setstate(after)
    return mask


def _both(image: np.ndarray, mask: Image.Image, item: str) -> np.ndarray:
    """An image with its mask as one more channel."""
    numbers = np.asarray(mask)
    if numbers.shape != image.shape[1:]:
        sizes = (" x ".join(map(str, shape)) for shape in (numbers.shape, image.shape[1:]))
        raise RunError(
            "R0141",
            "the mask of `{}` is {} after the item transforms, and the image {}".format(item, *sizes),
            help='a transform that moves pixels says that masks follow: `on = ("image", "mask")`',
        )
    return np.concatenate([image, numbers[None]])


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is in no format that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return text[:1].lower() + text[1:] if text else type(error).__name__
