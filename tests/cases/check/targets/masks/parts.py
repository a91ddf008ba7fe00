"""Components of our own for masks."""

import mfc


@mfc.labeler(gives="mask")
class ink:
    """Where there is ink."""

    def mask(self, item, image):
        return image.point(lambda value: value > 96)


@mfc.item_transform(shape="c h w -> c h//2 w//2")
class halved:
    """Halves images alone."""

    def __call__(self, image, rng):
        return image.reduce(2)
