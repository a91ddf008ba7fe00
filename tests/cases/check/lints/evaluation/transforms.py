"""Transforms of our own: two that draw for validation items too, and three that do not."""

from PIL import Image

import mfc


@mfc.item_transform(shape="c h w -> c h w", random=True)
class tilt:
    """Turns an image by up to ten degrees."""

    def __call__(self, image: Image.Image, rng):
        return image.rotate(rng.uniform(-10, 10))

    def evaluation(self):
        return self


@mfc.batch_transform()
class noise(mfc.Pixels):
    """Adds noise."""

    draws = 1

    def __call__(self, images, u):
        return images + 0.1 * u.to(images)[:, :, None, None]

    def evaluation(self):
        return self


@mfc.batch_transform(random=False)
class gamma(mfc.Pixels):
    """Makes dark pixels lighter."""

    def __call__(self, images, u):
        return images.clamp(min=0) ** 0.5

    def evaluation(self):
        return self


@mfc.batch_transform()
class square(mfc.Pixels):
    """Squares the values; it draws nothing, whatever its decorator says."""

    def __call__(self, images, u):
        return images**2

    def evaluation(self):
        return self


@mfc.item_transform(shape="c h w -> c h w", random=True)
class jitter:
    """Mirrors half of the images, in training."""

    def __call__(self, image: Image.Image, rng):
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image

    def evaluation(self):
        return None
