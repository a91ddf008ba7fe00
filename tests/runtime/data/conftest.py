"""Small folders of images that the tests of the data block share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mfc.runtime.data.sources import Caches
from mfc.runtime.hashcache import HashCache
from tests.runtime.data.sample_images import photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train/{cat,dog}/0..5.jpg and valid/{cat,dog}/0..2.jpg, of differing sizes."""
    root = tmp_path / "pets"
    number = 0
    for part, count in (("train", 6), ("valid", 3)):
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            for i in range(count):
                photo(20 + 3 * i, 30 - 2 * i, number).save(root / part / label / f"{i}.jpg", quality=95)
                number += 1
    return root


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Path]:
    """Makes empty files in a folder and gives the folder."""

    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / "files" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "files"

    return make


@pytest.fixture
def caches(tmp_path: Path) -> Caches:
    """What is known of files' contents: nothing yet."""
    return lambda root: HashCache(tmp_path / "store", root)
