"""Digests of files: right after any change, read only where needed, kept over runs."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfc.runtime import hashcache
from mfc.runtime.errors import RunError
from mfc.runtime.hashcache import HashCache, digest_file
from mfc.runtime.store import Store

FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
LONG_AGO = 10**18


def expected(root: Path, names: list[str]) -> list[str]:
    return [xxhash.xxh3_128_hexdigest((root / name).read_bytes()) for name in names]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = random.Random(1)
    for i in range(300):
        path = tmp_path / "data" / f"class {i % 3}" / f"é{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(50)))
        os.utime(path, ns=(LONG_AGO, LONG_AGO + i))
    return tmp_path / "data"


def names_in(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg"))


def test_digests_are_those_of_the_contents(root: Path, tmp_path: Path) -> None:
    names = names_in(root)
    for _ in range(2):
        assert HashCache(tmp_path, root).digests(names) == expected(root, names)


def test_large_files_are_read_in_pieces(tmp_path: Path) -> None:
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        content = random.Random(size).randbytes(size)
        (tmp_path / "file").write_bytes(content)
        assert digest_file(tmp_path / "file") == xxhash.xxh3_128_digest(content)


def test_only_changed_files_are_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_in(root)
    HashCache(tmp_path, root).digests(names)
    read: list[str] = []
    monkeypatch.setattr(hashcache, "digest_file", lambda path: read.append(str(path)) or digest_file(path))
    HashCache(tmp_path, root).digests(names)
    assert read == []
    (root / names[5]).write_bytes(b"new")
    os.utime(root / names[5], ns=(LONG_AGO, LONG_AGO - 1))
    (root / names[6]).touch()
    assert HashCache(tmp_path, root).digests(names) == expected(root, names)
    assert sorted(read) == sorted(str(root / name) for name in names[5:7])


def test_a_file_changed_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a")
    now = time.time_ns()
    os.utime(tmp_path / "file", ns=(now, now))
    first = HashCache(tmp_path / "cache", tmp_path).digests(["file"])
    (tmp_path / "file").write_bytes(b"b")
    os.utime(tmp_path / "file", ns=(now, now))  # of the same size, and by a coarse clock of the same time
    assert HashCache(tmp_path / "cache", tmp_path).digests(["file"]) != first


def test_the_fingerprint_is_of_names_and_contents(root: Path, tmp_path: Path) -> None:
    names = names_in(root)[:20]
    cache = HashCache(tmp_path, root)
    print_ = cache.fingerprint(names)
    assert cache.fingerprint(names[::-1]) == print_ != cache.fingerprint(names[1:])
    moved = tmp_path / "moved"
    root.rename(moved)
    assert HashCache(tmp_path, moved).fingerprint(names) == print_
    (moved / names[0]).rename(moved / "other.jpg")
    assert HashCache(tmp_path, moved).fingerprint(["other.jpg", *names[1:]]) != print_


def test_a_file_that_is_gone(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        HashCache(tmp_path, root).digests(["no.jpg"])
    assert str(caught.value) == (
        f"error[R0304]: can't read `{root}/no.jpg`: no such file or directory\n"
        "  = help: see that the file is there and may be read, then run again"
    )


def test_a_damaged_table_is_made_anew(root: Path, tmp_path: Path) -> None:
    names = names_in(root)
    cache = HashCache(tmp_path, root)
    cache.digests(names)
    good = cache.path.read_bytes()
    for bad in (b"", b"x" * 100, good[:-1], good + b"x", good.replace(b"digests 1", b"digests 2")):
        cache.path.write_bytes(bad)
        assert HashCache(tmp_path, root).digests(names) == expected(root, names)
        assert cache.path.read_bytes() == good


def test_tables_do_not_grow_without_end(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "a").write_bytes(b"a")
        HashCache(tmp_path / "cache", tmp_path / str(i)).digests(["a"])
    assert len(list((tmp_path / "cache").iterdir())) == hashcache.KEEP_ROOTS
    monkeypatch.setattr(hashcache, "SPARE", 20)
    cache = HashCache(tmp_path / "cache", root)
    cache.digests(names_in(root)[10:])
    cache.digests(names_in(root)[:10])
    assert HashCache(tmp_path / "cache", root)._entries.keys() == set(names_in(root)[:10])


def test_a_store_that_can_not_be_written_to_does_without(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    names = names_in(root)[:3]
    assert Store(tmp_path / "file").digests(root).digests(names) == expected(root, names)


@FIXED
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "sub/c", "d\n"]), st.binary(max_size=2), st.integers(0, 2)),
        max_size=8,
    )
)
def test_cached_is_what_a_fresh_read_gives(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, bytes, int]]
) -> None:
    folder, root = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("data")
    (root / "sub").mkdir()
    present: set[str] = set()
    for i, (name, content, age) in enumerate(edits):
        (root / name).write_bytes(content)
        if age:
            os.utime(root / name, ns=(LONG_AGO, LONG_AGO + i))
        present.add(name)
        names = sorted(present)
        assert HashCache(folder, root).digests(names) == expected(root, names)
