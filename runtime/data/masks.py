"""Masks: for each pixel of an image, the number of the class that it shows.

A labeler of masks has `mask(item, image) -> PIL.Image.Image`, of the image's size, whose pixels are the classes'
numbers; 255 stands for no class. `image` is the item's as its source opens it. One whose masks lie in files has
`digests(items, caches)`, a hash of each mask's content, and one that knows the classes' names has `names()`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import xxhash

from mfc.runtime.component import Range, labeler
from mfc.runtime.data.labels import failed
from mfc.runtime.data.paths import shown
from mfc.runtime.data.sources import Caches
from mfc.runtime.data.templates import OF_ITEM, filled, of_item, placeholders
from mfc.runtime.data.walk import unreadable
from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from PIL import Image

VOID = 255
"""The pixel of a mask that is of no class."""


@labeler(gives="mask", templates=("template",))
class mask_file:
    """The mask of each image in a file of its own: `labels/0016_P.png` for `images/0016.png`.

    A mask has its image's size, and one number a pixel: grey, or with a palette, whose indices are taken. The number is
    the place of the pixel's class in `vocab`, or in the file `codes`; 255 stands for no class, and counts for nothing
    in losses and metrics.

    Args:
        template: the mask's path from `folder`, made of its image's: `"{stem}_P.png"`. There are `{stem}`, `{name}`,
            `{suffix}` and `{parent}`, the path of the image's folder from that of the source.
        folder: where the masks lie.
        codes: a file with the name of a class on each line, instead of `vocab`.
        values: the numbers that the masks have for the classes, where they are not 0, 1, 2, ...: `[0, 255]`.
    """

    def __init__(
        self,
        template: str,
        folder: Path,
        codes: Path | None = None,
        values: list[Annotated[int, Range(0, 255)]] | None = None,
    ) -> None:
        unknown = [name for name in placeholders(template) if name not in OF_ITEM]
        if unknown:
            raise RunError(
                "R0110", f"an item's path has no `{unknown[0]}`", help=f"there are {shown(OF_ITEM)}"
            )
        self.template, self.root = template, os.path.abspath(os.path.expanduser(folder))
        self.codes = None if codes is None else Path(codes).expanduser()
        self.values = values

    def mask(self, item: str, image: Image.Image) -> Image.Image:
        """The mask of an item, in mode L where `values` are given, else as it is stored."""
        from PIL import Image

        with Image.open(f"{self.root}/{self.path(item)}") as stored:
            if self.values is None or stored.mode not in ("L", "P"):
                stored.load()
                return stored.copy()
            return Image.fromarray(self._places[_numbers(stored, item)])

    def path(self, item: str) -> str:
        """Where the mask of an item lies, from `folder`."""
        return posixpath.normpath(filled(self.template, of_item(item)))

    def names(self) -> list[str] | None:
        """The names of the classes, where `codes` says them. Raises RunError where it can't be read."""
        if self.codes is None:
            return None
        try:
            lines = self.codes.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError):
                raise unreadable(str(self.codes), error) from error
            raise RunError("R0130", f"`{self.codes}` is no text in UTF-8") from error
        return [line.strip() for line in lines if line.strip()]

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """XXH3 (128 bits) of each mask's file. Raises RunError R0140 for masks that are not there."""
        paths = [self.path(item) for item in items]
        missing = [
            (item, path)
            for item, path in zip(items, paths)
            if not os.path.isfile(os.path.join(self.root, path))
        ]
        if missing:
            item, path = missing[0]
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise RunError(
                "R0140",
                f"there is no mask of `{item}`{more}: `{self.root}/{path}`",
                help="`mask_file` makes its name of the image's; leave images without masks out of the source",
            )
        names = "\n".join(self.names() or ())
        found = caches(self.root).digests(paths)
        return (
            [xxhash.xxh3_128_hexdigest(f"{digest}/{names}".encode()) for digest in found] if names else found
        )

    @cached_property
    def _places(self) -> Any:
        """The class of each number that a mask has, 254 for numbers that are none."""
        import numpy as np

        values = self.values or []
        if len({*values}) < len(values) or len(values) > VOID - 1:
            raise RunError("R0110", f"`values` of `mask_file` names a number twice: {values}")
        places = np.full(256, VOID - 1, np.uint8)
        places[VOID] = VOID
        places[values] = np.arange(len(values))
        return places


class Masks:
    """The masks of a data block, looked at as they are opened.

    Args:
        labeler: gives an item's mask.
        vocab: the names of the classes.
    """

    def __init__(self, labeler: Any, vocab: Sequence[str]) -> None:
        self.labeler, self.vocab = labeler, vocab

    def open(self, item: str, image: Image.Image) -> Image.Image:
        """An item's mask in mode L, of its image's size.

        Raises:
            RunError: R0104 for a file that can't be decoded, R0111 for a labeler that fails, R0141 for another size
                than the image's, R0142 for pixels that are no class.
        """
        from PIL import Image

        try:
            mask = self.labeler.mask(item, image)
        except RunError:
            raise
        except Exception as error:
            if hasattr(self.labeler, "path") and isinstance(error, OSError):
                path = self.labeler.path(item)
                raise RunError(
                    "R0104",
                    f"`{path}`, the mask of `{item}`, is a broken image: {error}",
                    help="mend or remove the file, or leave broken images out with `on_error = skip`",
                ) from error
            raise failed(self.labeler, f"`{item}`", error) from error
        if mask.size != image.size:
            raise RunError(
                "R0141",
                f"the mask of `{item}` is {mask.height} x {mask.width}, and the image {image.height} x {image.width}",
                help="a mask has a pixel for each of its image's",
            )
        numbers = _numbers(mask, item)
        counts = _present(numbers)
        if wrong := [n for n in counts if n >= len(self.vocab) and n != VOID]:
            raise RunError(
                "R0142",
                f"the mask of `{item}` has pixels {shown([str(n) for n in wrong])}, and there are "
                f"{len(self.vocab)} classes: {shown(list(self.vocab))}",
                help="pixels count the classes from 0 on, and 255 is none; `values = [0, 255]` of `mask_file` names "
                "other numbers",
            )
        return mask if mask.mode == "L" else Image.fromarray(numbers)


def _numbers(mask: Image.Image, item: str) -> Any:
    """The pixels of a mask, uint8 `h w`. Raises RunError R0142 for one that has more than a number a pixel."""
    import numpy as np

    numbers = np.asarray(mask)
    if numbers.ndim != 2 or not (numbers.dtype == bool or np.issubdtype(numbers.dtype, np.integer)):
        raise RunError(
            "R0142",
            f"the mask of `{item}` is an image in mode {mask.mode}, not one of a number a pixel",
            help="store masks in grey, or with a palette, the number of the class in each pixel",
        )
    if numbers.dtype not in (bool, np.uint8) and (numbers.min() < 0 or numbers.max() > VOID):
        raise RunError(
            "R0142",
            f"the mask of `{item}` has pixels from {numbers.min()} to {numbers.max()}",
            help=f"pixels count the classes from 0 on, {VOID - 1} at most",
        )
    return numbers.astype(np.uint8, copy=False)


def _present(numbers: Any) -> list[int]:
    """The numbers that there are, in ascending order."""
    import numpy as np

    return np.flatnonzero(np.bincount(numbers.ravel(), minlength=VOID + 1)).tolist()
