"""What holds for all batch transforms: draws, evaluation, types, and the memory of the result."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.data import batch_pipeline
from mfc.runtime.data.batch_geometric import flip, random_crop, random_resized_crop, rotate, zoom
from mfc.runtime.data.batch_transforms import (
    Pixels,
    aug_transforms,
    brightness,
    contrast,
    erasing,
    hue,
    normalize,
)
from mfc.runtime.data.buffers import BufferPool
from mfc.runtime.data.color import Color, scale_and_shift
from mfc.runtime.data.stats import cifar_stats, imagenet_stats, mnist_stats
from mfc.runtime.data.warp import Geometric
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream, uniforms
from tests.runtime.data.augmentation import augment, everything, noise, pipeline, unit

# ── draws ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_draws_of_several_streams_are_those_of_each():
    streams = [Stream(1, "fit", name) for name in ("flip", "zoom", "warp")]
    items = torch.tensor([5, 0, 2**40, 17])
    together = uniforms(streams, 9, items, [1, 4, 2])
    for stream, count, u in zip(streams, (1, 4, 2), together):
        assert torch.equal(u, stream.uniform(9, items, count))


def test_each_item_and_each_epoch_gets_its_own_draw():
    images = noise(1, 3, 24, 24).expand(16, 3, 24, 24)
    first, second = augment(images, aug_transforms()), augment(images, aug_transforms(), epoch=1)
    assert len({tuple(picture.flatten().tolist()) for picture in torch.cat([first, second])}) == 32


def test_two_transforms_of_one_name_draw_apart():
    images = noise(200, 1, 1, 2)
    flipped_once = (augment(images, flip()) != unit(images)).flatten(1).any(1).float().mean()
    flipped_twice = (augment(images, flip(), flip()) != unit(images)).flatten(1).any(1).float().mean()
    assert 0.35 < flipped_once < 0.65 and 0.35 < flipped_twice < 0.65


def test_an_alternating_flip_shows_both_forms_of_each_image_in_two_epochs():
    images, chain = noise(200, 3, 4, 5), (flip(alternate=True), normalize(cifar_stats))
    mirrored = augment(images.flip(3), normalize(cifar_stats))
    plain = augment(images, normalize(cifar_stats))
    epochs = [augment(images, *chain, epoch=epoch) for epoch in range(4)]
    begins = (epochs[0] == mirrored).flatten(1).all(1)
    assert 0.35 < begins.float().mean() < 0.65
    assert torch.equal(epochs[0], torch.where(begins[:, None, None, None], mirrored, plain))
    assert torch.equal(epochs[1], torch.where(begins[:, None, None, None], plain, mirrored))
    assert torch.equal(epochs[2], epochs[0]) and torch.equal(epochs[3], epochs[1])


@settings(max_examples=25)
@given(st.permutations(range(7)), st.integers(1, 7), st.sampled_from([1, 10_000, 1 << 30]))
def test_an_item_does_not_depend_on_its_batch(order, count, piece):
    images = noise(7, 3, 24, 28)
    whole = augment(images, *everything())
    part = torch.tensor(order[:count])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_pipeline, "_PIECE", piece)
        patch.setattr(batch_pipeline, "_SMALL", 0)
        assert torch.equal(augment(images[part], *everything(), items=part), whole[part])


# ── evaluation ─────────────────────────────────────────────────────────────────────────────────────────────


def test_validation_is_never_augmented():
    images = noise(5, 3, 20, 20)
    out = augment(images, *everything(), training=False)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in imagenet_stats)
    torch.testing.assert_close(out, (images / 255 - mean) / std)
    again = augment(images, *everything(), training=False, epoch=4, items=[9, 8, 7, 6, 5])
    assert torch.equal(out, again)
    assert torch.equal(augment(images / 255, aug_transforms(), training=False), images / 255)


def test_random_crop_in_evaluation_is_the_middle():
    images = noise(2, 3, 20, 23)
    out = augment(images, random_crop(11), training=False)
    assert torch.equal(out, unit(images[:, :, 4:15, 6:17]))


def test_random_resized_crop_in_evaluation_is_the_resized_middle():
    images = noise(2, 3, 20, 34)
    middle = images[:, :, :, 7:27] / 255
    for size in (15, 20, 50):
        expected = F.interpolate(middle, (size, size), mode="bilinear")
        out = augment(images, random_resized_crop(size), training=False)
        torch.testing.assert_close(out[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4, rtol=0)


# ── the pipeline ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_users_own_transforms():
    class shift(Geometric):
        exact = True

        def matrix(self, u, height, width):
            return torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]).double().expand(len(u), 3, 3)

    class negative(Color):
        draws = 1

        def matrix(self, u, channels):
            sign = torch.where(u[:, 0] < 2, -1.0, 1.0).double()
            return scale_and_shift(sign, sign + 2, channels)

    class double(Pixels):
        def __call__(self, images, u):
            return images * 2

    images = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    out = augment(images, double(), negative(), shift())
    assert out.flatten().tolist() == pytest.approx([1.5, 0.0, 0.0])
    assert torch.equal(augment(images, double(), negative(), shift(), training=False), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "chain", [[], [flip()], [rotate()], [brightness()], [hue()], [normalize(cifar_stats)]]
)
def test_types_of_images(dtype, chain):
    images = noise(3, 3, 6, 6)
    given = images if dtype == torch.uint8 else (images / 255).to(dtype)
    before = given.clone()
    out = augment(given, *chain)
    assert out.dtype == torch.float32 and torch.equal(given, before)
    torch.testing.assert_close(
        out, augment(images, *chain), atol=1e-2 if dtype == torch.float16 else 1e-5, rtol=0
    )
    if not any(isinstance(transform, normalize) for transform in chain):
        assert out.min() >= 0 and out.max() <= 1


def test_memory_format_is_kept():
    images = noise(4, 3, 24, 24)
    plain, out = (augment(i, *everything()) for i in (images, images.to(memory_format=torch.channels_last)))
    assert plain.is_contiguous() and torch.equal(out, plain)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("training", [True, False])
def test_a_gpu_gives_the_same(training):
    images, items = noise(9, 3, 40, 44), torch.arange(9)
    chain = [*everything(), random_resized_crop(12, 0.1)]
    expected = pipeline(*chain, training=training)(images, items, 0)
    found = pipeline(*chain, training=training)(images.cuda(), items, 0)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


def test_the_order_of_the_list_is_that_of_the_steps():
    images = noise(4, 3, 16, 16)
    chain = [normalize(cifar_stats), contrast(), flip(), brightness(), rotate()]
    sorted_chain = [flip(), rotate(), contrast(), brightness(), normalize(cifar_stats)]
    assert torch.equal(augment(images, *chain), augment(images, *sorted_chain))


def test_aug_transforms_is_the_usual_set():
    names = lambda *args, **kwargs: [type(t).__name__ for t in aug_transforms(*args, **kwargs)]
    assert names() == ["flip", "warp", "rotate", "zoom", "brightness", "contrast"]
    assert names(flip_vert=True)[0] == "dihedral"
    assert names(do_flip=False, max_rotate=0, max_zoom=1.0, max_warp=0, max_lighting=0) == []
    assert aug_transforms(mult=2.0)[1].magnitude == 0.4


def test_shape_rules_say_what_comes_out():
    chains = [(t, {}) for t in everything() if not hasattr(t, "side")]
    chains += [(random_crop(12, 3), {"size": 12}), (random_resized_crop(40), {"size": 40})]
    for transform, arguments in chains:
        rule = transform.__mfc_facts__["shape"].split(" where ")[0]
        before, after = (side.split() for side in rule.split(" -> "))
        sizes = dict(zip(before, (2, 3, 20, 30))) | arguments
        assert augment(noise(2, 3, 20, 30), transform).shape == tuple(sizes[name] for name in after)


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("R0150", lambda: pipeline(normalize(mnist_stats))),
        ("R0150", lambda: pipeline(hue(), channels=4)),
        ("R0151", lambda: pipeline(rotate(), random_crop(8, pad_mode="zeros"))),
        ("R0152", lambda: pipeline(normalize(cifar_stats), normalize(cifar_stats))),
        ("R0152", lambda: normalize([[0.5], [0.0]])),
        ("R0152", lambda: normalize([[0.5, 0.5], [1.0]])),
        ("R0152", lambda: zoom(1.2, 1.5)),
        ("R0152", lambda: erasing(sl=0.5, sh=0.3)),
        ("R0152", lambda: random_resized_crop(8, min_ratio=2.0, max_ratio=1.0)),
        ("R0152", lambda: random_resized_crop(8, 0.5, max_scale=0.3)),
        ("R0152", lambda: aug_transforms(mult=10.0)),
        ("R0153", lambda: pipeline(flip)),
        ("R0153", lambda: pipeline(torch.nn.ReLU())),
    ],
)
def test_mistakes_have_a_code(code, make):
    with pytest.raises(RunError) as caught:
        make()
    assert caught.value.code == code


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_memory_is_used_again_once_nobody_holds_it():
    images, items, run = noise(4, 3, 16, 16), torch.arange(4), pipeline(flip())
    first = run(images, items, 0)
    place = first.data_ptr()
    del first
    second = run(images, items, 1)
    assert second.data_ptr() == place
    third = run(images, items, 2)
    assert third.data_ptr() != place


def test_a_batch_in_use_is_never_written_to():
    images, items, run = noise(4, 3, 16, 16), torch.arange(4), pipeline(*aug_transforms(), erasing())
    weight = torch.ones(1, requires_grad=True)
    expected = [run(images, items, epoch).clone() for epoch in range(12)]
    kept = []
    for epoch in range(12):
        batch = run(images, items, epoch)
        # The batch itself is dropped: a view, an alias or autograd's saved tensor must hold its memory.
        kept.append((batch[1:3], batch.detach().view(-1), (batch * weight).sum()))
        del batch
    for whole, (view, alias, loss) in zip(expected, kept):
        assert torch.equal(view, whole[1:3]) and torch.equal(alias, whole.view(-1))
        weight.grad = None
        loss.backward()
        assert weight.grad is not None
        assert weight.grad.item() == pytest.approx(whole.sum().item(), rel=1e-4, abs=1e-2)


def test_batches_of_several_threads_do_not_meet():
    images, run = noise(4, 3, 16, 16), pipeline(*aug_transforms())
    expected = [augment(images, aug_transforms(), epoch=epoch).clone() for epoch in range(40)]
    wrong = []

    def work(start: int) -> None:
        for epoch in range(start, 40, 4):
            batch = run(images, torch.arange(4), epoch)
            if not torch.equal(batch, expected[epoch]):
                wrong.append(epoch)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pool_keeps_few_blocks_and_grows_with_the_need():
    pool = BufferPool(keep=2)
    many = [pool.empty(100) for _ in range(6)]
    del many
    assert len(pool._idle) == 2
    large = pool.empty(1000)
    assert large.shape == (1000,) and not pool._idle
    del large
    assert pool.empty(10).shape == (10,)


def test_a_smaller_last_batch():
    images, run = noise(6, 3, 16, 16), pipeline(*aug_transforms())
    whole = run(images, torch.arange(6), 0).clone()
    assert torch.equal(run(images[:2], torch.arange(2), 0), whole[:2])
    assert run(images[:0], torch.arange(0), 0).shape == (0, 3, 16, 16)
