"""Geometric batch transforms against independent computations, and the laws that hold between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.data.batch_geometric import (
    dihedral,
    flip,
    random_crop,
    random_resized_crop,
    rotate,
    warp,
    zoom,
)
from tests.runtime.data.augmentation import Fixed, augment, draws, noise, pipeline, smooth, unit


def places(matrix: torch.Tensor, *points: tuple[float, float]) -> list[tuple[float, float]]:
    """Where homography `matrix` (`1 3 3`) sends points."""
    found = []
    for x, y in points:
        u, v, w = (matrix[0] @ torch.tensor([x, y, 1.0], dtype=torch.float64)).tolist()
        found.append((u / w, v / w))
    return found


@settings(max_examples=50)
@given(*[st.floats(0, 1, exclude_max=True)] * 2, st.integers(2, 300), st.integers(2, 300))
def test_warp_moves_the_corners_where_it_says(ux, uy, height, width):
    u = torch.tensor([[0.0, ux, 0.0, uy]], dtype=torch.float64)
    matrix = warp(0.3, p=1.0).matrix(u, height, width)
    x, y = 0.6 * ux - 0.3, 0.6 * uy - 0.3
    for s, t in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        moved = ((s - y * s * t) * width / 2, (t - x * s * t) * height / 2)
        assert places(matrix, moved)[0] == pytest.approx((s * width / 2, t * height / 2), abs=1e-9)


def test_warp_moves_the_pixels_of_the_corners():
    # Draws of 0 are the strongest to one side: m = -0.5 along y only, so the upper edge shrinks to its half.
    class tilt(warp):
        draws = 0

        def matrix(self, u, height, width):
            return super().matrix(torch.tensor([[1.0, 0.0, 0.0, 0.0]]).double(), height, width)

    images = torch.zeros(1, 1, 80, 80)
    images[0, 0, :4, :4] = 1  # upper left corner
    out = augment(images, tilt(0.5, p=0.5, pad_mode="zeros"))[0, 0]
    y, x = (out > 0.5).nonzero().double().mean(0).tolist()
    # (s, t) = (-1, -1) goes to (s + 0.5 s t, t) = (-0.5, -1): a quarter in from the left, at the top.
    assert x == pytest.approx(20, abs=2) and y < 4


def test_rotation_is_about_the_middle_and_keeps_shapes():
    quarter = rotate(90, p=1.0).matrix(torch.tensor([[0.0, 1.0]]).double(), 10, 30)
    assert places(quarter, (0, 0), (3, 0), (0, 3)) == [
        pytest.approx(point, abs=1e-12) for point in ((0, 0), (0, -3), (3, 0))
    ]
    images = noise(2, 3, 9, 9)
    turned = augment(images, Fixed(quarter))
    torch.testing.assert_close(turned, torch.rot90(images / 255, -1, (2, 3)), atol=1e-5, rtol=0)


def test_zoom_keeps_its_point():
    draw = torch.tensor([[0.0, 1.0, 0.0, 1.0]]).double()
    matrix = zoom(2.0, p=1.0).matrix(draw, 40, 60)
    assert places(matrix, (-30, 20), (30, 20), (-30, -20)) == [(-30, 20), (0, 20), (-30, 0)]


def test_the_eight_of_dihedral_are_all_different_and_right():
    images = noise(1, 3, 6, 6)
    square = unit(images)
    expected = [torch.rot90(t, k, (2, 3)) for t in (square, square.flip(3)) for k in range(4)]
    kinds = [torch.tensor([[0.0, k / 8]]).double() for k in range(8)]
    found = [augment(images, Fixed(dihedral(1.0).matrix(u, 6, 6), exact=True)) for u in kinds]
    for picture in expected:
        assert sum(torch.equal(picture, other) for other in found) == 1


@pytest.mark.parametrize(("height", "width"), [(5, 8), (8, 5), (4, 8)])
def test_dihedral_of_an_oblong_takes_whole_pixels(height, width):
    images = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width).repeat(30, 1, 1, 1)
    # A turned one shows the square in the middle and repeats it outside.
    seen = {len(picture.unique()) for picture in augment(images, dihedral(1.0))}
    assert seen == {height * width, min(height, width) ** 2}


@settings(max_examples=30)
@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99))
def test_random_crop_is_a_slice_of_the_padded_picture(height, width, size, padding, epoch):
    images = noise(5, 2, height, width, seed=epoch)
    out = augment(images, random_crop(size, padding), epoch=epoch)
    u = draws("random_crop", 5, 2, epoch)
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2], mode="symmetric")
    for i in range(5):
        left = math.floor(u[i, 0] * (width + 2 * padding - size + 1))
        top = math.floor(u[i, 1] * (height + 2 * padding - size + 1))
        expected = padded[i, :, top : top + size, left : left + size]
        assert torch.equal(out[i], unit(torch.from_numpy(expected)))


def test_padding_with_zeros():
    out = augment(torch.ones(40, 1, 4, 4), random_crop(6, padding=4, pad_mode="zeros"))
    sums = set(out.sum((1, 2, 3)).tolist())
    assert sums <= {float(a * b) for a in range(5) for b in range(5)} and len(sums) > 3


def test_random_resized_crop_covers_what_it_says():
    height, width = 60, 90
    u = torch.rand(500, 22, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = random_resized_crop(32, 0.2, 0.7, 0.5, 2.0).matrix(u, height, width)
    part_width, part_height = matrix[:, 0, 0] * 32, matrix[:, 1, 1] * 32
    area, ratio = part_width * part_height / (height * width), part_width / part_height
    assert 0.2 <= area.min() < 0.25 and 0.6 < area.max() <= 0.7
    assert 0.5 <= ratio.min() < 0.6 and 1.8 < ratio.max() <= 2
    for centre, part, side in ((matrix[:, 0, 2], part_width, width), (matrix[:, 1, 2], part_height, height)):
        assert (centre.abs() + part / 2 <= side / 2 + 1e-9).all()
        assert (centre / (side - part)).std() > 0.2


def test_random_resized_crop_that_never_fits_takes_the_middle():
    u = torch.rand(20, 22, dtype=torch.float64)
    matrix = random_resized_crop(10, 1.0, min_ratio=1.0, max_ratio=1.0).matrix(u, 20, 400)
    assert torch.allclose(matrix, torch.diag(torch.tensor([2.0, 2.0, 1.0]).double()).expand(20, 3, 3))


@settings(max_examples=25)
@given(st.permutations(range(4)), st.integers(0, 1000))
def test_exact_transforms_together_equal_one_after_the_other(order, epoch):
    chain = [[flip(), dihedral(), random_crop(9, padding=0), dihedral(0.9)][i] for i in order]
    images = unit(noise(6, 3, 12, 12, seed=epoch))  # square: nothing is turned out of the picture and back
    together = augment(images, *chain, epoch=epoch)
    names = [type(transform).__name__ for transform in chain]
    apart = images
    for i, transform in enumerate(chain):
        name = names[i] if names[i] not in names[:i] else f"{names[i]} 2"
        u = draws(name, 6, 2, epoch)
        apart = augment(apart, Fixed(transform.matrix(u, *apart.shape[2:]), transform, exact=True))
    assert torch.equal(together, apart)


@pytest.mark.parametrize(
    "chain",
    [
        [flip(), warp(p=1.0), rotate(p=1.0), zoom(p=1.0)],
        [rotate(25, p=1.0), zoom(1.5, p=1.0)],
        [zoom(1.5, 1.2, p=1.0), random_resized_crop(80, 0.6)],
        [random_crop(100, padding=0), warp(0.3, p=1.0)],
    ],
)
def test_the_fused_warp_equals_one_after_the_other(chain):
    images = smooth(6, 120, 130)
    together, apart = augment(images, *chain), images
    for transform in chain:
        apart = augment(apart, transform)
    assert together.shape == apart.shape
    inside = (..., *(slice(side // 4, -side // 4) for side in together.shape[2:]))  # away from the padding
    assert (together - apart)[inside].abs().max() < 2e-3


def test_the_exact_path_equals_the_interpolating_one():
    images = noise(8, 3, 33, 40)
    chain = [flip(), random_crop(30, padding=4), dihedral()]
    slow = pipeline(*chain)
    assert slow.warp.exact
    slow.warp.exact = False
    fast = augment(images, *chain)
    torch.testing.assert_close(slow(images, torch.arange(8), 0), fast, atol=1e-4, rtol=0)
    assert torch.equal(fast, unit(fast.mul(255).round().to(torch.uint8)))


def test_pictures_made_much_smaller_are_averaged():
    images = noise(3, 3, 64, 64)
    out = augment(images, random_resized_crop(16, 1.0, min_ratio=1.0, max_ratio=1.0))
    torch.testing.assert_close(out, F.avg_pool2d(images / 255, 4), atol=1e-5, rtol=0)


def test_items_of_different_reduction_in_one_batch():
    images, crop = noise(24, 3, 90, 90), random_resized_crop(20, 0.1)
    levels = pipeline(crop).warp.levels(crop.matrix(draws("random_resized_crop", 24, 22), 90, 90))
    assert set(levels.tolist()) == {0, 1, 2}
    whole = augment(images, crop)
    for i in range(24):
        assert torch.equal(augment(images[i : i + 1], crop, items=[i]), whole[i : i + 1])


def test_beyond_the_horizon_nothing_breaks():
    out = augment(noise(40, 3, 16, 16), warp(0.5, p=1.0), rotate(180, p=1.0))
    assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1
