"""Where items come from: folders of image files, and data that ships with the package.

A source has `scan() -> list[str]`, the items in sorted order; `open(item) -> PIL.Image.Image`; and
`digests(items, caches) -> list[str]`, a hash of each item's content. An item is a posix path relative to the
source's folder, so that splits and labels do not change when the folder is moved.

A source of rows has `column(name, items) -> list[str]` as well, what items have in a column of its table; its digests
then cover all that decides what a column holds, such as how the file is read.

`open` may leave the pixels of a JPEG unread: a transform that makes the image smaller then asks the decoder
for fewer of them (see `mfc.runtime.data.images.shrink`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import xxhash

from mfc.runtime.component import source
from mfc.runtime.data.walk import FileTree

if TYPE_CHECKING:
    from PIL import Image

IMAGE_EXTENSIONS = (
    "avif", "bmp", "gif", "jfif", "jp2", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tga",
    "tif", "tiff", "webp",
)  # fmt: skip


class Digests(Protocol):
    """Hashes of the files below one folder, such as `mfc.runtime.hashcache.HashCache`."""

    def digests(self, names: Sequence[str]) -> list[str]:
        """The hash of each file's content, for paths relative to the folder."""
        ...


Caches: TypeAlias = Callable[[str], Digests]
"""Gives the hashes of a folder's files, such as `Store.digests`."""


@source(shape="-> channels h w", items="image")
class image_files:
    """All image files in a folder and the folders below it.

    Names that begin with a dot are skipped. Links are followed; a link to a folder that it lies in is not.
    Items are paths relative to `folder` and come in sorted order. Pixels are taken as they are stored: a
    camera's note on how it was held (EXIF orientation) is not followed, as in fastai and torchvision.

    Args:
        folder: where to look; `~` is the home folder.
        extensions: which files to take, such as `["jpg", "png"]`, in any case; by default what Pillow reads.
        channels: 3 converts every image to RGB, 1 to grey.
        recurse: whether to look into folders below.
        folders: only look into these folders at the top of `folder`.
        hidden: whether to take names that begin with a dot as well.
    """

    def __init__(
        self,
        folder: Path,
        extensions: list[str] | None = None,
        channels: Literal[1, 3] = 3,
        recurse: bool = True,
        folders: list[str] | None = None,
        hidden: bool = False,
    ) -> None:
        self.files = FileTree(folder, extensions or IMAGE_EXTENSIONS, "images", recurse, folders, hidden)
        self.root = self.files.root
        self.mode = "RGB" if channels == 3 else "L"

    def scan(self) -> list[str]:
        """The items, sorted. Raises RunError where the folder is missing or holds no image."""
        return self.files.scan()

    def open(self, item: str) -> Image.Image:
        """An item as an image in mode RGB or L. The pixels of a JPEG may be unread still."""
        from PIL import Image

        return self.converted(Image.open(f"{self.root}/{item}"))

    def converted(self, image: Image.Image) -> Image.Image:
        """An image in mode RGB or L out of one that was just opened, which is closed where it is another one."""
        import numpy as np
        from PIL import Image

        if image.format == "JPEG" and self.mode == "L" and image.mode == "RGB":
            image.draft("L", None)  # the decoder then skips colour altogether
            # Pillow drafts once; a transform may still ask for fewer pixels.
            image.decoderconfig = ()  # type: ignore[attr-defined]
        if image.mode == self.mode and image.format == "JPEG":
            return image
        with image:
            if image.mode == "P" and "transparency" in image.info:
                return image.convert("RGBA").convert(self.mode)
            if image.mode.startswith("I"):  # 16 bits a pixel; Pillow would cut off what is above 255
                grey = (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
                return Image.fromarray(grey).convert(self.mode)
            return image.convert(self.mode)

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """XXH3 (128 bits) of each file's content."""
        return caches(self.root).digests(items)


DIGITS_PER_CLASS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


@source(shape="-> 1 8 8", items="image")
class builtin:
    """Small real data that ships with the package.

    `digits`: 1,797 handwritten digits of 8x8 pixels in grey, by 13 people, with values 0 to 255. They are
    scikit-learn's `load_digits`, the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin
    and C. Kaynak, 1998, UCI Machine Learning Repository, doi.org/10.24432/C50P49, CC BY 4.0). Items are paths
    such as `3/0017.png`, so that `parent()` gives the digit.

    Args:
        name: which data.
    """

    def __init__(self, name: Literal["digits"]) -> None:
        self.file = Path(__file__).with_name(f"{name}.png")

    def scan(self) -> list[str]:
        """The items, sorted."""
        return [f"{digit}/{i:04}.png" for digit, n in enumerate(DIGITS_PER_CLASS) for i in range(n)]

    def open(self, item: str) -> Image.Image:
        """An item as an image in mode L, 8x8."""
        left, top = 8 * int(item[2:6]), 8 * int(item[0])
        return self._sheet.crop((left, top, left + 8, top + 8))

    def digests(self, items: Sequence[str], caches: Caches) -> list[str]:
        """A hash of each item's content, by way of the one file that holds them all."""
        sheet = xxhash.xxh3_128_hexdigest(self.file.read_bytes())
        return [xxhash.xxh3_128_hexdigest(f"{sheet}/{item}".encode()) for item in items]

    @cached_property
    def _sheet(self) -> Image.Image:
        """All digits in one picture: row = digit, column = number of the item."""
        from PIL import Image

        with Image.open(self.file) as sheet:
            return sheet.convert("L")
