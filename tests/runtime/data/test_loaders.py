"""Packed images and loaders: what is in a batch depends on nothing but seed, stage and epoch."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from collections import Counter, namedtuple
from random import Random

import numpy as np
import pytest
import torch

from mfc.runtime.component import item_transform
from mfc.runtime.cores import cores
from mfc.runtime.data import item_transforms as it
from mfc.runtime.data import labels, splits
from mfc.runtime.data.datasets import PackedImages
from mfc.runtime.data.files import list_files
from mfc.runtime.data.images import pixels
from mfc.runtime.data.items import list_items
from mfc.runtime.data.loaders import DataLoaders
from mfc.runtime.data.pack import Packed, pack
from mfc.runtime.data.sources import builtin, image_files
from mfc.runtime.data.vocab import Target
from mfc.runtime.errors import RunError
from tests.runtime.data.sample_images import photo

RESIZE = [it.resize(16)]


class no_caches:
    """Loaders read no hashes."""

    def __init__(self, root):
        pass

    def digests(self, names):
        return [""] * len(names)


def as_floats(images, items, epoch):
    assert images.dtype == torch.uint8 and items.device.type == "cpu"
    return images / 255


def loaders(source, packed=None, transforms=RESIZE, split=None, target: Target = "category", **arguments):
    items = list_items(list_files(source, no_caches), split or splits.grandparent(), labels.parent(), target)
    images = pack(source, items.paths, transforms, packed) if packed else source
    arguments = {"batch_size": 4, "stage": "fit", "workers": 0} | arguments
    return DataLoaders(items, images, as_floats, as_floats, item_transforms=transforms, **arguments)


def batches(loader):
    return [tuple(map(torch.clone, batch)) for batch in loader]


def same(first, second):
    assert len(first) == len(second)
    return all(torch.equal(a, b) for x, y in zip(first, second) for a, b in zip(x, y))


# ── pack ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("workers", [1, 3])
def test_packed_images_are_those_of_the_transforms(folder, tmp_path, workers):
    source, seen = image_files(folder), []
    paths = source.scan() * 5  # several chunks
    packed = pack(source, paths, RESIZE, tmp_path, workers=workers, progress=lambda *at: seen.append(at))
    images = packed.images()
    assert images.shape == (90, 3, 16, 16) and images.dtype == np.uint8 and not packed.skipped
    for i, item in enumerate(paths):
        assert np.array_equal(images[i], pixels(RESIZE[0](source.open(item), Random(0))))
    assert seen == [(32, 90), (64, 90)]
    assert np.array_equal(Packed.load(tmp_path).images(), images)


def test_what_is_mapped_is_never_changed_on_disk(folder, tmp_path):
    packed = pack(image_files(folder), image_files(folder).scan(), RESIZE, tmp_path)
    before = packed.file.read_bytes()
    packed.images()[:] = 0
    assert packed.file.read_bytes() == before


def test_a_broken_image_stops_packing(folder, tmp_path):
    (folder / "train" / "cat" / "1.jpg").write_bytes(b"no image")
    source = image_files(folder)
    with pytest.raises(RunError) as caught:
        pack(source, source.scan(), RESIZE, tmp_path)
    assert str(caught.value) == (
        "error[R0104]: `train/cat/1.jpg` is a broken image: it is in no format that Pillow knows\n"
        "  = help: mend or remove the file, or leave broken images out with `on_error = skip`"
    )


def test_broken_images_are_left_out_and_said(folder, tmp_path, caplog):
    for name in ("train/cat/0.jpg", "train/cat/1.jpg", "valid/dog/2.jpg"):
        (folder / name).write_bytes((folder / name).read_bytes()[:300])
    source = image_files(folder)
    packed = pack(source, source.scan(), RESIZE, tmp_path, on_error="skip")
    assert [r.getMessage() for r in caplog.records] == [
        "3 of 18 images are broken and left out: `train/cat/0.jpg`, `train/cat/1.jpg`, `valid/dog/2.jpg`"
    ]
    assert list(packed.skipped) == ["train/cat/0.jpg", "train/cat/1.jpg", "valid/dog/2.jpg"]
    images = Packed.load(tmp_path).images()
    assert [i for i in range(18) if not images[i].any()] == [0, 1, 17]
    items = list_items(list_files(source, no_caches), splits.grandparent(), labels.parent())
    dls = DataLoaders(items, packed, as_floats, as_floats, batch_size=2)
    assert sorted(i for batch in dls.train for i in batch.items.tolist()) == list(range(2, 12))
    assert [i for batch in dls.valid for i in batch.items.tolist()] == list(range(12, 17))
    assert dls.skipped == packed.skipped


def test_all_images_broken(folder, tmp_path, caplog):
    for file in folder.rglob("*.jpg"):
        file.write_bytes(b"")
    source = image_files(folder)
    with pytest.raises(RunError, match=r"R0104.*none of 18 images can be read"):
        pack(source, source.scan(), RESIZE, tmp_path, on_error="skip")


def test_a_part_of_broken_images_only(folder, tmp_path):
    for file in (folder / "valid").rglob("*.jpg"):
        file.write_bytes(b"")
    source = image_files(folder)
    items = list_items(list_files(source, no_caches), splits.grandparent(), labels.parent())
    packed = pack(source, items.paths, RESIZE, tmp_path, on_error="skip")
    with pytest.raises(RunError) as caught:
        DataLoaders(items, packed, as_floats, as_floats)
    assert str(caught.value) == "error[R0106]: the valid part is empty: all of its images are broken"


def test_images_that_differ_in_size(folder, tmp_path):
    source = image_files(folder)
    with pytest.raises(RunError) as caught:
        pack(source, source.scan(), [], tmp_path)
    expected = (
        "error[R0105]: images differ in size: `train/cat/0.jpg` is 20 x 30, "
        "`train/cat/1.jpg` is 23 x 28\n"
        "  = help: end `item_transforms` with one that gives all images one size, such as `resize(128)`"
    )
    assert str(caught.value) == expected
    with pytest.raises(RunError, match=r"R0105.*images differ in size"):
        next(iter(loaders(source, transforms=[]).train))


def test_too_little_space(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 1000))
    source = image_files(folder)
    with pytest.raises(RunError) as caught:
        pack(source, source.scan() * 10**5, [it.resize(64)], tmp_path)
    assert str(caught.value) == (
        f"error[R0113]: packed images need 22.1 GB; the disk of `{tmp_path}` has 0.0 free\n"
        "  = help: free some space, keep the run folder on another disk, or do without with `pack = false`"
    )
    with pytest.raises(RunError) as caught:
        pack(source, source.scan(), RESIZE, tmp_path / "nowhere")
    assert caught.value.code == "R0303" and f"{tmp_path}/nowhere/images.npy" in caught.value.message


# ── loaders ─────────────────────────────────────────────────────────────────────────────────────────────


def test_batches_of_an_epoch(folder, tmp_path):
    dls = loaders(image_files(folder), tmp_path, batch_size=5)
    train, valid = batches(dls.train), batches(dls.valid)
    assert (len(dls.train), len(dls.valid)) == (len(train), len(valid)) == (2, 2)
    assert [len(x) for x, _, _ in train] == [5, 5] and [len(x) for x, _, _ in valid] == [5, 1]
    assert [i for _, _, items in valid for i in items.tolist()] == dls.items.valid
    assert max(Counter(i for _, _, items in train for i in items.tolist()).values()) == 1
    images, vocab = torch.from_numpy(Packed.load(tmp_path).images()), dls.vocab
    for x, y, items in train + valid:
        assert (x.dtype, y.dtype, items.dtype) == (torch.float32, torch.int64, torch.int64)
        assert torch.equal(x, images[items] / 255)
        assert [vocab[i] for i in y.tolist()] == [dls.items.paths[i].split("/")[1] for i in items.tolist()]


def test_a_training_part_smaller_than_a_batch_is_one_batch(folder, tmp_path):
    dls = loaders(image_files(folder), tmp_path, batch_size=100)
    assert [len(x) for x, _, _ in dls.train] == [12]


def test_values_are_floats(tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.5").mkdir()
        photo(8, 8, i).save(tmp_path / f"{i}.5" / "a.png")
    dls = loaders(image_files(tmp_path), split=splits.end(0.5), target="value")
    ((_, y, _),) = batches(dls.valid)
    assert dls.vocab == [] and y.dtype == torch.float32 and y.tolist() == [3.5, 4.5, 5.5]


def test_every_epoch_has_its_order(folder, tmp_path):
    dls = loaders(image_files(folder), tmp_path)
    first, second = batches(dls.train), batches(dls.train)
    assert not same(first, second)
    dls.train.set_epoch(0)
    assert same(batches(dls.train), first)
    dls.train.set_epoch(1)
    assert same(batches(dls.train), second)
    assert same(batches(dls.valid), batches(dls.valid))
    other = loaders(image_files(folder), tmp_path, seed=1)
    assert not same(batches(other.train), first)


def test_packed_equals_unpacked(folder, tmp_path):
    packed, unpacked = loaders(image_files(folder), tmp_path), loaders(image_files(folder))
    for _ in range(2):
        assert same(batches(packed.train), batches(unpacked.train))
    assert same(batches(packed.valid), batches(unpacked.valid))


@pytest.mark.parametrize("is_packed", [True, False])
def test_workers_change_nothing(folder, tmp_path, is_packed):
    random = [] if is_packed else [it.random_resized_crop(8), it.flip()]
    arguments = (image_files(folder), tmp_path if is_packed else None, RESIZE + random)
    alone, many = loaders(*arguments), loaders(*arguments, workers=2)
    before = torch.random.get_rng_state()
    for _ in range(2):
        assert same(batches(alone.train), batches(many.train))
    assert same(batches(alone.valid), batches(many.valid))
    assert torch.equal(torch.random.get_rng_state(), before)
    next(iter(many.train))  # given up half-way
    many.train.set_epoch(1)
    alone.train.set_epoch(1)
    assert same(batches(alone.train), batches(many.train))
    many.close()


def test_there_are_as_many_workers_as_cores_that_may_be_used(folder, monkeypatch):
    """On a machine with more of them too: torch warns of workers beyond those that it may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert loaders(image_files(folder), workers=None).workers == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == 64


def test_items_are_drawn_anew_each_epoch_whatever_batch_they_are_in(folder):
    def by_item(dls, epoch):
        dls.train.set_epoch(epoch)
        return {i: x for xs, _, items in dls.train for x, i in zip(xs, items.tolist())}

    transforms = [it.random_resized_crop(8)]
    small = loaders(image_files(folder), transforms=transforms, batch_size=2)
    large = loaders(image_files(folder), transforms=transforms, batch_size=12)
    first, again = by_item(small, 0), by_item(large, 0)
    assert len(first) == 12 and all(torch.equal(first[i], again[i]) for i in first)
    later = by_item(small, 1)
    assert not any(torch.equal(first[i], later[i]) for i in first)


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_in_the_middle_of_an_epoch(folder, tmp_path, workers):
    whole = loaders(image_files(folder), tmp_path, batch_size=2)
    whole.train.set_epoch(3)
    expected = batches(whole.train) + batches(whole.train)
    for stop in range(7):
        stopped = loaders(image_files(folder), tmp_path, batch_size=2, workers=workers)
        stopped.train.set_epoch(3)
        given = [batch for _, batch in zip(range(stop), stopped.train)]
        state = pickle.loads(pickle.dumps(stopped.train.state_dict()))
        assert state == {"epoch": 3, "batch": stop} and same(given, expected[:stop])
        stopped.close()
        resumed = loaders(image_files(folder), tmp_path, batch_size=2, workers=workers)
        resumed.train.load_state_dict(state)
        assert same(batches(resumed.train) + batches(resumed.train), expected[stop:])
        resumed.close()
    next(iter(whole.train))
    assert len(batches(whole.train)) == 6  # only a loaded state is resumed, not a loop that was left


def test_evaluation_form_of_the_training_part(folder):
    dls = loaders(image_files(folder), transforms=[it.resize(16), it.flip(1.0)])
    whole = {i: x for xs, _, items in dls.evaluation("all") for x, i in zip(xs, items.tolist())}
    assert list(whole) == list(range(18))
    assert [i for _, _, items in dls.evaluation("train") for i in items.tolist()] == dls.items.train
    for xs, _, items in dls.train:
        assert all(torch.equal(x.flip(-1), whole[i]) for x, i in zip(xs, items.tolist()))
    for xs, _, items in dls.valid:
        assert all(torch.equal(x, whole[i]) for x, i in zip(xs, items.tolist()))


def test_digits_like_any_other_source(tmp_path):
    dls = loaders(builtin("digits"), tmp_path, [it.to_rgb()], splits.stratified(), batch_size=256)
    x, y, items = next(iter(dls.valid))
    assert x.shape == (256, 3, 8, 8) and dls.vocab == list("0123456789")
    assert [dls.items.paths[i][0] for i in items] == [str(k) for k in y.tolist()]


# ── what goes wrong in a worker ─────────────────────────────────────────────────────────────────────────


@item_transform(shape="c h w -> c h w")
class Failing:
    def __call__(self, image, rng):
        raise ValueError("never")


@item_transform(shape="c h w -> c h w")
class Fatal:
    def __call__(self, image, rng):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_name_the_file(folder, workers):
    (folder / "train" / "dog" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(RunError) as caught:
        batches(loaders(image_files(folder), workers=workers).train)
    assert str(caught.value) == (
        "error[R0104]: `train/dog/3.jpg` is a broken image: it is in no format that Pillow knows\n"
        "  = help: mend or remove the file, or leave broken images out with `on_error = skip`"
    )
    failing = loaders(image_files(folder), transforms=[*RESIZE, it.train_only(Failing())], workers=workers)
    with pytest.raises(RunError, match=r"R0111.*`Failing` failed on `train/.*/.\.jpg`: ValueError: never"):
        batches(failing.train)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_are_skipped_in_their_batch(folder, workers, caplog):
    (folder / "train" / "dog" / "3.jpg").write_bytes(b"no image")
    (folder / "valid" / "dog" / "2.jpg").write_bytes(b"no image")
    dls = loaders(image_files(folder), workers=workers, on_error="skip")
    for _ in range(2):
        found = batches(dls.train)
        assert sorted(len(x) for x, _, _ in found) == [3, 4, 4]
        assert sorted(i for _, _, items in found for i in items.tolist()) == [
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            10,
            11,
        ]
    assert list(dls.skipped) == ["train/dog/3.jpg"]
    assert [r.getMessage() for r in caplog.records] == [
        "left out: `train/dog/3.jpg` is a broken image: it is in no format that Pillow knows"
    ]
    assert [len(x) for x, _, _ in dls.valid] == [4, 1]
    dls.close()
    with pytest.raises(RunError, match=r"R0104.*no image of a batch can be read"):
        batches(loaders(image_files(folder), on_error="skip", batch_size=1, workers=workers).valid)


def test_a_worker_that_is_killed(folder):
    dls = loaders(image_files(folder), transforms=[*RESIZE, it.train_only(Fatal())], workers=1)
    with pytest.raises(RunError) as caught:
        batches(dls.train)
    assert caught.value.code == "R0112" and "ended" in caught.value.message


def test_packed_images_go_to_another_process_as_a_path(folder, tmp_path):
    source = image_files(folder)
    images = PackedImages(pack(source, source.scan(), RESIZE, tmp_path))
    data = pickle.dumps(images)
    assert len(data) < 1000
    assert torch.equal(pickle.loads(data).rows, images.rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("is_packed", [True, False])
def test_on_a_gpu(folder, tmp_path, workers, is_packed):
    def pipeline(images, items, epoch):
        assert images.device.type == "cuda" and items.device.type == "cpu"
        return images / 255

    source = image_files(folder)
    expected = batches(loaders(source).train)
    items = list_items(list_files(source, no_caches), splits.grandparent(), labels.parent())
    images = pack(source, items.paths, RESIZE, tmp_path) if is_packed else source
    dls = DataLoaders(items, images, pipeline, pipeline, 4, RESIZE, 42, "fit", "cuda", workers)
    found = [(x.cpu(), y.cpu(), items) for x, y, items in dls.train]
    assert all(torch.allclose(a[0], b[0]) and same([a[1:]], [b[1:]]) for a, b in zip(found, expected))
    dls.close()
