"""Colours and erasing against independent computations, and what components say of themselves."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch

from mfc.runtime.data.batch_geometric import flip
from mfc.runtime.data.batch_transforms import brightness, contrast, erasing, hue, normalize, saturation
from mfc.runtime.data.stats import cifar_stats, imagenet_stats
from tests.runtime.data.augmentation import augment, draws, noise

# ── colours ────────────────────────────────────────────────────────────────────────────────────────────────


def test_colours_equal_each_pixel_by_hand():
    images = noise(6, 3, 3, 4)
    chain = [
        brightness(0.3, 1.0),
        contrast(0.4, 1.0),
        saturation(0.5, 1.0),
        hue(0.2, 1.0),
        normalize(cifar_stats),
    ]
    out = augment(images, *chain)
    shift, factor, vividness, turn = (
        draws(n, 6, 2)[:, 1] for n in ("brightness", "contrast", "saturation", "hue")
    )
    for i in range(6):
        for y in range(3):
            for x in range(4):
                r, g, b = (v / 255 + 0.3 * (shift[i].item() - 0.5) for v in images[i, :, y, x].tolist())
                k = (1 - 0.4) ** (1 - 2 * factor[i].item())
                r, g, b = (0.5 + k * (v - 0.5) for v in (r, g, b))
                k = (1 - 0.5) ** (1 - 2 * vividness[i].item())
                luma = 0.299 * r + 0.587 * g + 0.114 * b
                r, g, b = (luma + k * (v - luma) for v in (r, g, b))
                # The chroma plane as a complex number: red at 0, green at 1/3, blue at 2/3 of a turn.
                grey = (r + g + b) / 3
                root = complex(-0.5, math.sqrt(0.75))
                chroma = (r + g * root + b * root.conjugate()) * np.exp(
                    2j * math.pi * 0.4 * (turn[i].item() - 0.5)
                )
                rgb = [grey + 2 / 3 * (chroma * back).real for back in (1, root.conjugate(), root)]
                expected = [(min(max(v, 0), 1) - m) / s for v, m, s in zip(rgb, *cifar_stats)]
                assert out[i, :, y, x].tolist() == pytest.approx(expected, abs=2e-6)


def test_a_third_of_a_turn_is_that_of_hsv():
    maps = hue(0.5, 1.0).matrix(torch.tensor([[0.0, 0.5 + 1 / 3]], dtype=torch.float64), 3)[0]
    for color in ([0.9, 0.2, 0.1], [0.3, 0.3, 0.8], [0.1, 0.6, 0.5]):
        h, s, v = colorsys.rgb_to_hsv(*color)
        expected = colorsys.hsv_to_rgb((h + 1 / 3) % 1, s, v)
        assert (maps @ torch.tensor([*color, 1.0], dtype=torch.float64))[:3].tolist() == pytest.approx(
            expected, abs=1e-9
        )


def test_colours_are_clamped_before_the_normalisation():
    images = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3).repeat(50, 3, 1, 1)
    out = augment(images, brightness(1.0, 1.0), contrast(0.9, 1.0), normalize(imagenet_stats))
    mean, std = (torch.tensor(part) for part in imagenet_stats)
    assert out.amin((0, 2, 3)).tolist() == pytest.approx((-mean / std).tolist())
    assert out.amax((0, 2, 3)).tolist() == pytest.approx(((1 - mean) / std).tolist())


def test_values_of_float_images_are_not_clamped_without_colours():
    images = torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2)
    assert torch.equal(augment(images, flip(1.0)), images.flip(3))


def test_grey_images_have_no_colours_to_change():
    images = noise(4, 1, 5, 5)
    plain, coloured = augment(images, contrast(0.3)), augment(images, saturation(), contrast(0.3), hue())
    torch.testing.assert_close(plain, coloured)


@pytest.mark.parametrize("component", [brightness, contrast, saturation, hue])
def test_colours_leave_items_alone_with_their_probability(component):
    images = noise(400, 3, 1, 1).clamp(60, 200)
    changed = (augment(images, component(p=0.3)) - images / 255).abs().flatten(1).amax(1) > 1e-6
    assert 0.2 < changed.float().mean() < 0.4
    torch.testing.assert_close(augment(images, component(p=0.0)), images / 255)


# ── erasing ────────────────────────────────────────────────────────────────────────────────────────────────


def test_erasing_fills_rectangles_with_standard_normal_noise():
    images = torch.full((200, 3, 40, 40), 7.0)
    out = augment(images, erasing(p=0.5, sl=0.1, sh=0.2, min_aspect=0.5))
    erased = (out != 7).any(1)
    areas = []
    for picture in erased:
        if picture.any():
            y, x = picture.nonzero(as_tuple=True)
            height, width = int(y.max() - y.min()) + 1, int(x.max() - x.min()) + 1
            assert picture.sum() == height * width
            assert 0.4 < width / height < 2.5
            areas.append(height * width / 1600)
    assert 70 < len(areas) < 130
    assert 0.08 < min(areas) < 0.12 and 0.18 < max(areas) < 0.22
    values = out.permute(0, 2, 3, 1)[erased]
    assert values.mean(0).abs().max() < 0.03 and (values.std(0) - 1).abs().max() < 0.03
    assert torch.equal(out.permute(0, 2, 3, 1)[~erased], images.permute(0, 2, 3, 1)[~erased])


def test_erasing_several_rectangles():
    out = augment(torch.full((50, 1, 32, 32), 7.0), erasing(p=1.0, sl=0.1, sh=0.3, max_count=4))
    share = (out != 7).flatten(1).float().mean(1)
    assert share.min() > 0 and share.max() <= 0.35


def test_erasing_comes_after_the_normalisation():
    images = noise(30, 3, 16, 16)
    plain = augment(images, normalize(cifar_stats))
    erased = augment(images, erasing(p=1.0), normalize(cifar_stats))
    same = (plain == erased).all(1).flatten(1).float().mean(1)
    assert 0.6 < same.mean() < 0.95
    assert torch.equal(erased, augment(images, normalize(cifar_stats), erasing(p=1.0)))
