"""Item transforms: sizes by their shape rules, pixels against independent computations, evaluation forms."""

from __future__ import annotations

import random
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mfc.runtime.component import item_transform
from mfc.runtime.data import item_transforms as it
from mfc.runtime.data.images import pixels, read, shrink
from mfc.runtime.data.sources import image_files
from mfc.runtime.errors import RunError
from tests.runtime.data.sample_images import photo

SIDE = st.integers(1, 40)


def ramp(height: int, width: int) -> Image.Image:
    """A picture whose red grows to the right and whose green grows to the bottom, by 4 a pixel."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([4 * x, 4 * y, 0 * x], -1).astype(np.uint8))


SIZED = [
    lambda n: it.resize(n), lambda n: it.resize(n, "squish"), lambda n: it.resize(n, "pad"),
    lambda n: it.resize(n, "pad", "zeros"), lambda n: it.resize(n, "pad", "border"), it.center_crop,
    it.random_resized_crop, lambda n: it.random_resized_crop(n).evaluation(),
]  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(SIZED), SIDE, SIDE, SIDE, st.sampled_from(["RGB", "L"]), st.integers(0, 99))
def test_sized_transforms_give_their_size_and_keep_the_mode(make, size, height, width, mode, seed):
    image = make(size)(ramp(height, width).convert(mode), Random(seed))
    assert image.size == (size, size) and image.mode == mode


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), SIDE, SIDE, st.sampled_from(["crop", "squish", "pad"]))
def test_resize_to_gives_its_size_and_is_resize_where_that_is_square(height, width, before, across, method):
    image = ramp(before, across)
    assert it.resize_to(height, width, method)(image, Random(0)).size == (width, height)
    square = it.resize_to(height, height, method, "zeros")(image, Random(0))
    assert np.array_equal(
        np.asarray(square), np.asarray(it.resize(height, method, "zeros")(image, Random(0)))
    )


def test_resize_to_keeps_proportions():
    image = ramp(20, 60)
    cropped, middle = it.resize_to(10, 20)(image, Random(0)), image.crop((10, 0, 50, 20))
    expected = np.asarray(it.resize_to(10, 20, "squish")(middle, Random(0)), np.float32)
    assert np.abs(np.asarray(cropped) - expected).max() <= 1  # what lies beside the box is seen at its edges
    padded = np.asarray(it.resize_to(30, 30, "pad", "zeros")(image, Random(0)))
    assert not padded[:10].any() and not padded[20:].any() and padded[10:20].any(axis=2).mean() > 0.9


@pytest.mark.parametrize("transform", [it.flip(), it.dihedral(), it.to_rgb(), it.to_gray()])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_other_transforms_keep_the_size(transform, mode):
    assert transform(ramp(9, 9).convert(mode), Random(0)).size == (9, 9)


def test_rgb_and_grey():
    grey = it.to_gray()(ramp(5, 6), Random(0))
    assert pixels(grey).shape == (1, 5, 6)
    colour = pixels(it.to_rgb()(grey, Random(0)))
    assert colour.shape == (3, 5, 6) and (colour == colour[:1]).all()


def test_resize_crops_the_middle():
    wide = ramp(10, 30)
    assert np.array_equal(np.asarray(it.resize(10)(wide, Random(0))), np.asarray(wide.crop((10, 0, 20, 10))))
    tall = ramp(31, 10)
    assert np.array_equal(np.asarray(it.resize(10)(tall, Random(0))), np.asarray(tall.crop((0, 10, 10, 20))))


def test_an_image_of_the_right_size_is_left_alone():
    image = ramp(12, 12)
    for method in ("crop", "squish", "pad"):
        assert np.array_equal(np.asarray(it.resize(12, method)(image, Random(0))), np.asarray(image))


def test_squish_takes_in_all_of_the_image():
    out = np.asarray(it.resize(8, "squish")(ramp(8, 32), Random(0)))
    # each pixel is the triangle filter's mean of what it covers: about 4 source pixels, 16 a step
    assert np.allclose(np.diff(out[4, 1:-1, 0].astype(int)), 16, atol=1)


def test_pad_fills_up():
    image = ramp(4, 8)
    zeros, border, reflection = (
        np.asarray(it.resize(8, "pad", mode)(image, Random(0))) for mode in ("zeros", "border", "reflection")
    )
    assert (zeros[:2] == 0).all() and (zeros[6:] == 0).all()
    middle = np.asarray(image)
    for out in (zeros, border, reflection):
        assert np.array_equal(out[2:6], middle)
    assert (border[:2] == middle[0]).all() and (border[6:] == middle[3]).all()
    assert np.array_equal(reflection[:2], middle[2:0:-1]) and np.array_equal(reflection[6:], middle[2:0:-1])


def test_center_crop_pads_what_is_too_small():
    image = ramp(3, 9)
    out = np.asarray(it.center_crop(5)(image, Random(0)))
    assert np.array_equal(out[1:4], np.asarray(image)[:, 2:7]) and (out[[0, 4]] == 0).all()


def test_random_resized_crop_draws_areas_and_proportions_in_range():
    crop, rng = it.random_resized_crop(32, min_scale=0.2, max_scale=0.7), Random(0)
    boxes = [crop.box(300, 200, rng) for _ in range(2000)]
    area = [(r - left) * (b - t) / 60_000 for left, t, r, b in boxes]
    ratio = [(r - left) / (b - t) for left, t, r, b in boxes]
    assert 0.19 < min(area) < 0.22 and 0.66 < max(area) < 0.71
    assert 0.74 < min(ratio) < 0.78 and 1.28 < max(ratio) < 1.35
    assert all(0 <= left < r <= 300 and 0 <= t < b <= 200 for left, t, r, b in boxes)
    assert len({(left, t) for left, t, _, _ in boxes}) > 1700


def test_random_resized_crop_of_an_image_that_no_draw_fits():
    assert it.random_resized_crop(8, min_scale=1.0).box(300, 10, Random(0)) == (143, 0, 156, 10)
    assert it.random_resized_crop(8, min_scale=1.0).box(10, 300, Random(0)) == (0, 143, 10, 156)


def test_random_resized_crop_in_evaluation():
    transform = it.random_resized_crop(128)
    assert transform.extra == 24  # fastai: ceil(128 * 0.14 / 8) * 8
    image = photo(200, 300)
    whole = image.resize((152, 152), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((12, 12, 140, 140)))
    assert np.array_equal(np.asarray(transform.evaluation()(image, Random(0))), expected)


def test_flip_and_dihedral_draw_evenly():
    image, rng = ramp(4, 4), Random(0)
    flips = [np.asarray(it.flip()(image, rng)).tobytes() for _ in range(400)]
    assert len(set(flips)) == 2 and 160 < flips.count(image.tobytes()) < 240
    forms = [np.asarray(it.dihedral()(image, rng)).tobytes() for _ in range(1600)]
    counts = [forms.count(form) for form in set(forms)]
    assert len(counts) == 8 and min(counts) > 150
    assert it.dihedral(p=0)(image, rng) is image and it.flip(p=0)(image, rng) is image


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_happens_in_training_and_in_evaluation():
    small, cut, mirror = it.resize(9), it.center_crop(8), it.flip()
    transforms = [small, it.train_only(cut), it.valid_only(it.to_gray()), mirror, it.train_only(it.flip())]
    training, evaluation = it.pipeline(transforms, True), it.pipeline(transforms, False)
    assert training[:3] == [small, cut, mirror] and len(training) == 4
    assert evaluation[0] is small and [type(t) for t in evaluation] == [it.resize, it.to_gray]
    assert type(it.evaluation_form(it.valid_only(it.random_resized_crop(8)))).__name__ == "_Chain"


def test_a_transform_of_the_users_own():
    @item_transform(shape="c h w -> c h w")
    class darker:
        def __call__(self, image, rng):
            return image.point(lambda v: v // 2)

    @item_transform(shape="c h w -> c h w", random=True)
    class noise:
        def __call__(self, image, rng):
            return image

    assert not it.is_random(darker()) and it.pipeline([darker()], False)
    with pytest.raises(RunError) as caught:
        it.pipeline([noise()], training=False)
    assert str(caught.value) == (
        "error[R0111]: the random transform `noise` does not say what it does in evaluation\n"
        "  = help: give it `def evaluation(self)`, which returns a transform, or None for nothing at all"
    )
    with pytest.raises(RunError, match=r"R0111.*no item transform"):
        it.pipeline([lambda image, rng: image], training=False)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def jpeg(tmp_path):
    photo(400, 600).save(tmp_path / "a.jpg", quality=95)
    return image_files(tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("transform", "decoded"),
    [
        (it.resize(48), (75, 50)), (it.resize(60), (150, 100)), (it.resize(300), (600, 400)),
        (it.resize(70, "squish"), (150, 100)), (it.resize(70, "pad"), (75, 50)),
    ],
)  # fmt: skip
def test_a_jpeg_is_decoded_at_a_smaller_size(tmp_path, jpeg, transform, decoded, channels):
    """`decoded` is the size that the decoder gives, by the size that is wanted."""
    source = image_files(tmp_path, channels=channels)
    image = source.open("a.jpg")
    small = transform(image, Random(0))
    assert image.size == decoded
    full = transform(Image.open(tmp_path / "a.jpg").convert(small.mode), Random(0))
    difference = np.asarray(small).astype(int) - np.asarray(full)
    assert abs(difference).max() <= 8 and abs(difference.mean()) < 1


def test_a_random_crop_is_decoded_by_what_was_drawn(jpeg):
    sizes = set()
    for seed in range(40):
        image = jpeg.open("a.jpg")
        box = it.random_resized_crop(90).box(600, 400, Random(seed))
        small = it.random_resized_crop(90)(image, Random(seed))
        sizes.add(image.size)
        full = jpeg.open("a.jpg").resize((90, 90), Image.Resampling.BILINEAR, box=box)
        assert abs(np.asarray(small).astype(int) - np.asarray(full)).max() <= 10
    assert sizes == {(600, 400), (300, 200), (150, 100)}


def test_only_a_jpeg_that_is_not_read_yet_shrinks(jpeg):
    assert shrink(photo(400, 600), 50, 50) == (1, 1)
    image = jpeg.open("a.jpg")
    image.load()
    assert it.resize(48)(image, Random(0)).size == (48, 48)
    for wanted, factor in ((90, 4), (200, 2), (201, 1)):
        with jpeg.open("a.jpg") as image:
            assert shrink(image, wanted, wanted) == (factor, factor)


def test_pixels():
    image = photo(5, 7)
    assert np.array_equal(pixels(image), np.asarray(image).transpose(2, 0, 1))
    with pytest.raises(ValueError, match="mode CMYK"):
        pixels(image.convert("CMYK"))


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
@pytest.mark.parametrize("transforms", [[], [it.resize(8)], [it.flip(1.0), it.resize(8)]])
def test_a_broken_image_is_named(tmp_path, jpeg, damage, transforms):
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(
        {"empty": b"", "text": b"no image", "cut": whole[: len(whole) // 2]}[damage]
    )
    with pytest.raises(RunError) as caught:
        read(jpeg, "b.jpg", transforms, random.Random(0))
    reason = "image file is truncated" if damage == "cut" else "it is in no format that Pillow knows"
    assert caught.value.code == "R0104"
    assert caught.value.message.startswith(f"`b.jpg` is a broken image: {reason}")
    assert caught.value.help == "mend or remove the file, or leave broken images out with `on_error = skip`"


def test_a_transform_that_fails_on_a_good_image(jpeg):
    class wrong:
        def __call__(self, image, rng):
            raise ValueError("no such thing")

    with pytest.raises(RunError) as caught:
        read(jpeg, "a.jpg", [it.resize(8), wrong()], random.Random(0))
    assert caught.value.code == "R0111"
    assert caught.value.message == "`wrong` failed on `a.jpg`: ValueError: no such thing"
    assert caught.value.notes[0].startswith(f"raised at {__file__}:")
