"""Sources: which files are found, in which order, and what the pixels are."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfc.runtime.data.files import Listing, list_files
from mfc.runtime.data.sources import builtin, image_files
from mfc.runtime.errors import RunError
from mfc.runtime.hashcache import HashCache
from tests.runtime.data.sample_images import photo


def test_finds_images_below_in_sorted_order(touch):
    root = touch(
        "b/2.jpg", "b/10.JPG", "a-b/x.png", "a/y.Jpeg", "a/c/z.webp", "top.gif", "a/notes.txt", "jpg"
    )
    items = image_files(root).scan()
    assert items == ["a-b/x.png", "a/c/z.webp", "a/y.Jpeg", "b/10.JPG", "b/2.jpg", "top.gif"]
    assert items == sorted(items)


def test_hidden_names_are_skipped_unless_asked_for(touch):
    root = touch("a.jpg", ".b.jpg", ".git/c.jpg", "d/.e/f.jpg")
    assert image_files(root).scan() == ["a.jpg"]
    assert image_files(root, hidden=True).scan() == [".b.jpg", ".git/c.jpg", "a.jpg", "d/.e/f.jpg"]


def test_extensions_folders_and_recurse(touch):
    root = touch("a.jpg", "train/b.jpg", "train/c.PNG", "test/d.jpg")
    assert image_files(root, extensions=[".png"]).scan() == ["train/c.PNG"]
    assert image_files(root, folders=["train"]).scan() == ["train/b.jpg", "train/c.PNG"]
    assert image_files(root, recurse=False).scan() == ["a.jpg"]


def test_home_folder(touch, monkeypatch):
    root = touch("a.jpg")
    monkeypatch.setenv("HOME", str(root.parent))
    assert image_files(Path("~/files")).scan() == ["a.jpg"]


def test_links_are_followed_but_not_in_circles(touch):
    root = touch("a/1.jpg", "b/2.jpg")
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "3.jpg").touch()
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "a" / "above").symlink_to(root.parent)
    (root / "c").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root / "b")
    (root / "b" / "forth").symlink_to(elsewhere)
    (root / "broken").symlink_to(root / "nowhere")
    # what a link leads to is found once on each way there
    assert image_files(root).scan() == [
        "a/1.jpg", "b/2.jpg", "b/forth/3.jpg", "c/3.jpg", "c/back/2.jpg",
    ]  # fmt: skip


def test_a_linked_root_and_a_folder_named_like_an_image(touch):
    root = touch("x.jpg/1.png")
    link = root.parent / "link"
    link.symlink_to(root)
    assert image_files(link).scan() == ["x.jpg/1.png"]


def test_file_names_that_are_no_text(touch, caches):
    root = touch("a.jpg")
    (root / os.fsdecode(b"\xff.jpg")).touch()
    items = image_files(root).scan()
    assert len(items) == 2
    listing = list_files(image_files(root), caches)
    listing.save(root)
    assert Listing.load(root) == listing and listing.fingerprint() == Listing.load(root).fingerprint()


def test_missing_folder_names_the_nearest(touch):
    root = touch("train/a.jpg", "test/b.jpg")
    with pytest.raises(RunError) as caught:
        image_files(root / "tran" / "cat").scan()
    assert str(caught.value) == (
        f"error[R0101]: there is no folder `{root}/tran/cat`\n  = help: did you mean `{root}/train`?"
    )
    with pytest.raises(RunError) as caught:
        image_files(root / "quite_different").scan()
    assert caught.value.help == f"`{root}` is there and holds the folders `test`, `train`"
    with pytest.raises(RunError) as caught:
        image_files(root, folders=["trian"]).scan()
    assert caught.value.code == "R0101" and caught.value.help == f"did you mean `{root}/train`?"


def test_a_file_is_no_folder(touch):
    root = touch("a.jpg")
    with pytest.raises(RunError) as caught:
        image_files(root / "a.jpg").scan()
    assert str(caught.value) == (
        f"error[R0101]: `{root}/a.jpg` is a file, not a folder\n"
        "  = help: name the folder that holds the images"
    )


def test_no_images_says_what_was_seen(touch):
    root = touch("a.txt", "b/c.txt", "b/d.CSV", "b/README", ".hidden.txt")
    with pytest.raises(RunError) as caught:
        image_files(root, extensions=["jpg", "png"]).scan()
    assert str(caught.value) == (
        f"error[R0102]: no images found in `{root}`: 5 files seen, with the extensions "
        ".txt (2), .csv (1), hidden (1), none (1)\n"
        "  = help: taken are the extensions jpg png; `extensions = [...]` names others"
    )


def test_an_empty_folder(tmp_path):
    with pytest.raises(RunError) as caught:
        image_files(tmp_path).scan()
    assert caught.value.message == f"no images found in `{tmp_path}`: 0 files seen"


def test_digests_follow_content_and_read_only_what_changed(touch, tmp_path, monkeypatch):
    def caches(root):
        return HashCache(tmp_path / "store", root)

    root = touch("a.jpg", "b.jpg")
    (root / "a.jpg").write_bytes(b"one")
    (root / "b.jpg").write_bytes(b"one")
    for name in "ab":
        os.utime(root / f"{name}.jpg", ns=(1, 1))
    source = image_files(root)
    first = list_files(source, caches)
    assert first.digests[0] == first.digests[1]
    os.utime(root / "b.jpg", ns=(2, 2))  # touched, but equal
    assert list_files(source, caches) == first
    (root / "b.jpg").write_bytes(b"two")
    os.utime(root / "b.jpg", ns=(3, 3))
    second = list_files(source, caches)
    assert second.digests[0] == first.digests[0] != second.digests[1]
    assert second.fingerprint() != first.fingerprint()
    monkeypatch.setattr("mfc.runtime.hashcache.digest_file", None)  # nothing is read any more
    assert list_files(source, caches) == second


def test_a_moved_folder_has_the_same_fingerprint(touch, caches):
    root = touch("a.jpg")
    before = list_files(image_files(root), caches).fingerprint()
    root.rename(root.parent / "moved")
    assert list_files(image_files(root.parent / "moved"), caches).fingerprint() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(touch):
    root = touch("a/b.jpg")
    (root / "a").chmod(0)
    try:
        with pytest.raises(RunError) as caught:
            image_files(root).scan()
    finally:
        (root / "a").chmod(0o700)
    assert caught.value.message == f"can't read `{root}/a`: permission denied"


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_rgb_or_grey(tmp_path, mode, channels):
    image = photo(6, 5).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image.save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"))
    source = image_files(tmp_path, channels=channels)
    opened = source.open(source.scan()[0])
    assert opened.mode == ("RGB" if channels == 3 else "L") and opened.size == (5, 6)
    assert np.asarray(opened).std() > 0


def test_a_transparent_palette_is_read_without_a_warning(tmp_path):
    photo(6, 5).convert("P").save(tmp_path / "a.png", transparency=b"\x00\x80\xff")
    assert image_files(tmp_path).open("a.png").mode == "RGB"


def test_grey_from_a_colour_jpeg_is_its_luma(tmp_path):
    photo(32, 32).save(tmp_path / "a.jpg", quality=95)
    grey = np.asarray(image_files(tmp_path, channels=1).open("a.jpg")).astype(int)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("L")).astype(int)
    assert abs(grey - expected).max() <= 3


def test_digits_are_those_of_scikit_learn():
    package = importlib.util.find_spec(
        "sklearn"
    )  # importing it takes seconds; load_digits reads this very file
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs scikit-learn")
    table = np.loadtxt(
        Path(package.submodule_search_locations[0]) / "datasets/data/digits.csv.gz", delimiter=","
    )
    images, targets = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    source = builtin("digits")
    items = source.scan()
    assert len(items) == 1797 and items == sorted(items)
    for label in range(10):
        expected = np.round(images[targets == label] * 255 / 16).astype(np.uint8)
        own = [item for item in items if item.startswith(f"{label}/")]
        assert len(own) == len(expected)
        assert np.array_equal(np.stack([np.asarray(source.open(item)) for item in own]), expected)


def test_digits_have_digests(caches):
    listing = list_files(builtin("digits"), caches)
    assert len(set(listing.digests)) == 1797 and listing == list_files(builtin("digits"), caches)


def test_planning_needs_no_torch():
    code = (
        "import sys\n"
        "from mfc.runtime.data import files, items, labels, sources, splits, vocab\n"
        "listing = files.list_files(sources.builtin('digits'), None)\n"
        "items.list_items(listing, splits.random(), labels.parent())\n"
        "print([m for m in ('torch', 'PIL.Image') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
