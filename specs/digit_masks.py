"""The labeler of specs/digit_masks.mfs."""

from typing import Annotated

from PIL import Image

import mfc


@mfc.labeler(gives="mask")
class ink:
    """Pixels that are bright are ink.

    Args:
        least: the brightness from which they are, of 255.
    """

    def __init__(self, least: Annotated[int, mfc.Range(1, 255)] = 96) -> None:
        self.least = least

    def mask(self, item: str, image: Image.Image) -> Image.Image:
        """1 for ink, 0 for paper."""
        return image.point(lambda value: int(value >= self.least))
