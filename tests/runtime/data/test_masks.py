"""Masks follow their images: whatever moves the pixels of an image moves its mask's, and nothing else changes them.

The images here say where their pixels come from: red grows with x, green with y. The masks say in which band of 8 by 8
pixels they were. So each pixel of a mask can be compared with the image that it came out with.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mfc.runtime.component import item_transform
from mfc.runtime.data import batch_geometric as geometric
from mfc.runtime.data import batch_transforms as batch
from mfc.runtime.data import item_transforms as item
from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.files import Listing, list_files
from mfc.runtime.data.images import read
from mfc.runtime.data.items import list_items
from mfc.runtime.data.loaders import DataLoaders
from mfc.runtime.data.masks import VOID, Masks, mask_file
from mfc.runtime.data.pack import Packed, pack
from mfc.runtime.data.splits import index
from mfc.runtime.errors import RunError

SIDE, BAND = 48, 8
STEP = 5  # of the colours from one pixel to the next


def ramp(height: int, width: int) -> Image.Image:
    """Red and green say where a pixel is, blue is full."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([10 + STEP * x, 10 + STEP * y, np.full_like(x, 255)], 2).astype(np.uint8))


def bands(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray((y // BAND * 8 + x // BAND).astype(np.uint8))


class Ramps:
    """A source and a labeler of ramps: an item is `height x width`."""

    def open(self, item: str) -> Image.Image:
        height, width = map(int, item.split("x"))
        return ramp(height, width)

    def mask(self, item: str, image: Image.Image) -> Image.Image:
        return bands(image.height, image.width)


MASKS = Masks(Ramps(), [str(i) for i in range(64)])


def follows(image: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """The share of a mask's pixels whose band is that of their image's colours, to so many pixels."""
    inside = (mask != VOID) & (mask >= 0) & (image[2] == 255)
    x, y = ((image[i].astype(float) - 10) / STEP for i in (0, 1))
    mask, near = mask.astype(int), np.ones(mask.shape, bool)
    for place, band in ((x, mask % 8), (y, mask // 8)):
        near &= (place >= band * BAND - tolerance) & (place <= band * BAND + BAND - 1 + tolerance)
    return near[inside].mean()


# ── item transforms ─────────────────────────────────────────────────────────────────────────────────────

ITEM = {
    "crop": [item.resize(24)],
    "squish": [item.resize(30, "squish")],
    "pad": [item.resize(40, "pad")],
    "pad border": [item.resize(40, "pad", "border")],
    "pad zeros": [item.resize(40, "pad", "zeros")],
    "larger": [item.resize(96)],
    "resize_to": [item.resize_to(20, 31)],
    "resize_to padded": [item.resize_to(31, 20, "pad", "zeros")],
    "center_crop": [item.center_crop(20)],
    "center_crop around": [item.center_crop(64)],
    "random_resized_crop": [item.random_resized_crop(32, min_scale=0.3)],
    "flip": [item.flip()],
    "dihedral": [item.resize(32), item.dihedral()],
    "train_only": [item.train_only(item.flip()), item.to_rgb()],
    "all": [item.flip(), item.random_resized_crop(32), item.dihedral(), item.resize(20)],
}


@pytest.mark.parametrize("name", ITEM)
@settings(max_examples=12)
@given(
    height=st.integers(24, SIDE), width=st.integers(24, SIDE), seed=st.integers(0, 99), training=st.booleans()
)
def test_masks_follow_item_transforms(name, height, width, seed, training):
    transforms = item.pipeline(ITEM[name], training)
    both = read(Ramps(), f"{height}x{width}", transforms, Random(seed), MASKS)
    image, mask = both[:3], both[3]
    assert np.array_equal(image, read(Ramps(), f"{height}x{width}", transforms, Random(seed)))
    assert follows(image, mask, tolerance=height / 20) == 1
    outside = image[2] == 0  # what has no colour is of no class
    assert (
        np.array_equal(mask[outside], np.full(outside.sum(), VOID))
        and not (mask[image[2] == 255] == VOID).any()
    )


def test_a_mask_that_stays_behind_is_noticed():
    """The law above fails where the draws differ."""
    found = read(Ramps(), "48x48", [item.flip(1.0)], Random(0), MASKS)
    assert follows(found[:3], found[3], 1) == 1
    assert follows(found[:3], np.asarray(bands(48, 48)), 1) < 0.3


@item_transform(shape="c h w -> c h w")
class halved:
    """A transform of one's own that does not say that masks follow."""

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        return image.reduce(2)


@item_transform(shape="c h w -> c h w", random=True, on=("image", "mask"))
class shifted:
    """One that does."""

    def __call__(self, image: Image.Image, rng: Random) -> Image.Image:
        by = rng.randrange(8)
        return image.crop((by, 0, image.width, image.height))

    def evaluation(self) -> None:
        return None


def test_transforms_of_ones_own():
    with pytest.raises(RunError, match="`48x32` is 48 x 32 after the item transforms, and the image 24 x 16"):
        read(Ramps(), "48x32", [halved()], Random(0), MASKS)
    found = read(Ramps(), "48x32", [shifted(), item.flip()], Random(5), MASKS)
    assert found.shape[2] < 32 and follows(found[:3], found[3], 1) == 1


# ── batch transforms ────────────────────────────────────────────────────────────────────────────────────

BATCH = {
    "flip": [geometric.flip()],
    "dihedral": [geometric.dihedral(1.0)],
    "rotate": [geometric.rotate(45, 1.0)],
    "rotate zeros": [geometric.rotate(45, 1.0, "zeros")],
    "zoom": [geometric.zoom(1.5, 0.7, 1.0)],
    "warp": [geometric.warp(0.3, 1.0)],
    "random_crop": [geometric.random_crop(SIDE, 6, "zeros")],
    "random_crop reflected": [geometric.random_crop(32, 6)],
    "random_resized_crop": [geometric.random_resized_crop(40, 0.3)],
    "much smaller": [geometric.random_resized_crop(10)],
    "all": [geometric.flip(), geometric.rotate(20, 1.0), geometric.zoom(), geometric.random_crop(40)],
    "usual": [batch.aug_transforms(max_lighting=0, p_affine=1.0)],
}


def batch_of(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    image, mask = (torch.from_numpy(np.array(of(SIDE, SIDE))) for of in (ramp, bands))
    return image.permute(2, 0, 1).repeat(count, 1, 1, 1), mask.repeat(count, 1, 1)


@pytest.mark.parametrize("name", BATCH)
@settings(max_examples=8)
@given(seed=st.integers(0, 999), epoch=st.integers(0, 3), training=st.booleans())
def test_masks_follow_batch_transforms(name, seed, epoch, training):
    pipeline = BatchPipeline(BATCH[name], seed, "fit", 3, training)
    images, masks = batch_of(4)
    items = torch.arange(4) + seed
    x, y = pipeline.with_masks(images, masks, items, epoch)
    assert y.dtype == torch.int64 and y.shape == (4, *pipeline.output_size(SIDE, SIDE))
    assert torch.equal(x, pipeline(images, items, epoch))
    reach = 6 if name == "much smaller" else 1.3
    image = (x * 255).numpy()
    image[:, 2][image[:, 2] > 254.9] = 255
    for i in range(4):
        assert follows(image[i], y[i].numpy(), reach) > 0.999  # but for edges of perspectives and mirrors
    outside = (x[:, 2] == 0).numpy()
    assert (y.numpy()[outside] == -100).all()
    if "zeros" not in name and name != "random_crop":
        assert (y >= 0).all()


def test_colours_and_erasing_touch_no_mask():
    images, masks = batch_of(8)
    plain = [geometric.rotate(30, 1.0)]
    more = [
        batch.brightness(0.5),
        batch.hue(),
        *plain,
        batch.erasing(1.0),
        batch.normalize([[0.5] * 3, [0.2] * 3]),
    ]
    results = [
        BatchPipeline(t, 1, "fit", 3, True).with_masks(images, masks, torch.arange(8), 0)
        for t in (plain, more)
    ]
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[1][0])
    colours = BatchPipeline([batch.brightness(0.5)], 1, "fit", 3, True)
    assert torch.equal(colours.with_masks(images, masks, torch.arange(8), 0)[1], masks.long())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_masks_on_a_gpu_are_those_of_the_cpu():
    images, masks = batch_of(8)
    pipeline = BatchPipeline(BATCH["all"], 5, "fit", 3, True)
    here = pipeline.with_masks(images, masks, torch.arange(8), 0)[1]
    there = pipeline.with_masks(images.cuda(), masks.cuda(), torch.arange(8), 0)[1]
    assert there.is_cuda and (here == there.cpu()).float().mean() > 0.999


# ── from files to batches ───────────────────────────────────────────────────────────────────────────────


class Photos(Ramps):
    """Ramps of growing sizes, whose masks lie in files."""

    def scan(self) -> list[str]:
        return [f"{24 + 2 * i}x{40 - i}" for i in range(8)]

    def digests(self, items, caches):
        return items


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in Photos().scan():
        bands(*map(int, name.split("x"))).save(folder / f"{name}_P.png")
    return folder


def loaders(folder: Path, packed: bool, out: Path, caches, workers: int = 0) -> DataLoaders:
    labeler = mask_file("{stem}_P.png", folder)
    source, transforms = Photos(), [item.resize(24, "squish")]
    items = list_items(list_files(source, caches, labeler), index([1, 6]), labeler, "mask", MASKS.vocab)
    opened = Masks(labeler, items.vocab)
    images = pack(source, items.paths, transforms, out, masks=opened) if packed else source
    pipelines = [BatchPipeline([geometric.flip()], 3, "fit", 3, training) for training in (True, False)]
    more = () if packed else transforms
    train, valid = pipelines
    return DataLoaders(items, images, train, valid, 3, more, 3, "fit", workers=workers, masks=opened)


def test_packed_masks_are_those_of_the_files(masks, tmp_path, caches):
    dls = [loaders(masks, packed, tmp_path, caches) for packed in (True, False)]
    assert dls[0].items.facts() == {"train.count": 6, "valid.count": 2, "classes": 64}
    for part in ("train", "valid"):
        for one, two in zip(*(getattr(d, part) for d in dls), strict=True):
            assert all(map(torch.equal, one, two))
            assert one.y.shape == (len(one.items), 24, 24) and one.y.dtype == torch.int64
            for x, y in zip(one.x, one.y):
                assert follows((x * 255).round().numpy(), y.numpy(), 2) == 1
    assert isinstance(dls[0]._images, Packed)


def test_a_changed_mask_is_other_content(masks, caches):
    labeler = mask_file("{stem}_P.png", masks)
    before = list_files(Photos(), caches, labeler)
    Image.new("L", (40, 24)).save(masks / "24x40_P.png")
    after = list_files(Photos(), caches, labeler)
    changed = [a != b for a, b in zip(before.digests, after.digests)]
    assert changed == [True] + [False] * 7 and before.paths == after.paths
    assert before.digests != Photos().scan()


def test_names_of_masks_and_classes(tmp_path):
    (tmp_path / "codes.txt").write_text("Animal\nCar\n\n Void \n")
    labeler = mask_file("{parent}/{stem}_{name}{suffix}", tmp_path, codes=tmp_path / "codes.txt")
    assert labeler.path("a/b/1.x.png") == "a/b/1.x_1.x.png.png" and labeler.path("1.png") == "1_1.png.png"
    assert labeler.names() == ["Animal", "Car", "Void"]
    listing = Listing(["1", "2"], ["1", "2"])
    assert list_items(listing, index([0]), labeler, "mask").vocab == ["Animal", "Car", "Void"]
    with pytest.raises(RunError, match=r"an item's path has no `stam`"):
        mask_file("{stam}.png", tmp_path)
    with pytest.raises(RunError, match="a mask has 1 to 254 classes, not 0"):
        list_items(listing, index([0]), mask_file("{stem}.png", tmp_path), "mask")
    with pytest.raises(RunError, match="splits by labels"):
        from mfc.runtime.data.splits import stratified

        list_items(listing, stratified(), labeler, "mask")


@pytest.mark.parametrize(
    "mask, code, said",
    [
        (Image.new("L", (8, 9)), "R0141", "the mask of `8x8` is 9 x 8, and the image 8 x 8"),
        (Image.new("L", (8, 8), 3), "R0142", "has pixels `3`, and there are 2 classes: `sky`, `road`"),
        (Image.new("RGB", (8, 8)), "R0142", "is an image in mode RGB, not one of a number a pixel"),
        (Image.fromarray(np.full((8, 8), 700, np.int32)), "R0142", "has pixels from 700 to 700"),
    ],
)
def test_masks_that_are_none(tmp_path, mask, code, said):
    mask.save(tmp_path / "8x8.png") if mask.mode != "I" else mask.save(tmp_path / "8x8.tiff")
    labeler = mask_file("{stem}.png" if mask.mode != "I" else "{stem}.tiff", tmp_path)
    with pytest.raises(RunError) as caught:
        read(Ramps(), "8x8", [], Random(0), Masks(labeler, ["sky", "road"]))
    assert caught.value.code == code and said in str(caught.value)


def test_broken_and_missing_masks_are_named(tmp_path, caches):
    (tmp_path / "8x8.png").write_bytes(b"no image")
    labeler = mask_file("{stem}.png", tmp_path)
    with pytest.raises(RunError, match=r"`8x8\.png`, the mask of `8x8`, is a broken image") as caught:
        read(Ramps(), "8x8", [], Random(0), Masks(labeler, ["sky"]))
    assert caught.value.code == "R0104"
    with pytest.raises(RunError, match="there is no mask of `9x9` and 1 more: ") as caught:
        labeler.digests(["8x8", "9x9", "10x10"], caches)
    assert caught.value.code == "R0140"


def test_other_numbers_palettes_and_no_class(tmp_path):
    stored = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "2x2.png")
    opened = Masks(mask_file("{stem}.png", tmp_path, values=[0, 255]), ["sky", "road"]).open(
        "2x2", ramp(2, 2)
    )
    assert np.asarray(opened).tolist() == [[0, 1], [1, 0]]
    opened = Masks(mask_file("{stem}.png", tmp_path), ["sky"]).open("2x2", ramp(2, 2))
    assert np.asarray(opened).tolist() == stored.tolist()  # 255 is of no class
    palette = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    palette.save(tmp_path / "2x2.png")
    opened = Masks(mask_file("{stem}.png", tmp_path), ["a", "b", "c"]).open("2x2", ramp(2, 2))
    assert opened.mode == "L" and np.asarray(opened).tolist() == [[0, 1], [2, 0]]
    Image.fromarray(np.array([[False, True], [True, True]])).save(tmp_path / "2x2.png")
    opened = Masks(mask_file("{stem}.png", tmp_path), ["a", "b"]).open("2x2", ramp(2, 2))
    assert np.asarray(opened).tolist() == [[0, 1], [1, 1]]
