"""Digests of files' contents, remembered: a file is read again only if its size or modification time changed.

For each root folder there is one file in the store, of arrays rather than records, so that tens of thousands
of entries load in some milliseconds:

    magic, count | root and names joined by zero bytes | sizes int64 | times int64 | digests 16 bytes each
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash

from mfc.runtime.disk import replacing
from mfc.runtime.errors import RunError

FRESH = 2_000_000_000
"""Nanoseconds within which two changes of a file may bear the same time."""

KEEP_ROOTS = 8
"""Root folders that are remembered; beyond, those unused for longest are forgotten."""

SPARE = 1000
"""Entries of files not asked for that are kept beside as many as are asked for."""

_HEADER = struct.Struct("<16sQQ")
_MAGIC = b"mfc digests 1\n"
_BLOCK = 1 << 20
_CHUNK = 256
_THREADS = 8  # what counts is the waiting for a cold disk; for files in memory one would do


def digest_file(path: str | os.PathLike[str]) -> bytes:
    """The xxh3_128 of a file's content: 16 bytes. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= _BLOCK:
            return xxhash.xxh3_128_digest(file.read())
        state = xxhash.xxh3_128()
        while block := file.read(_BLOCK):
            state.update(block)
        return state.digest()


class HashCache:
    """Digests of the files below one root folder, kept in `folder`."""

    def __init__(self, folder: Path, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        self.path = folder / f"{xxhash.xxh3_64_hexdigest(os.fsencode(self.root))}.bin"
        self._entries: dict[str, tuple[int, int, bytes]] = {}
        with contextlib.suppress(OSError, ValueError, struct.error):  # absent or damaged: made anew
            self._entries = dict(_unpack(self.path.read_bytes(), self.root))

    def digests(self, names: Sequence[str]) -> list[str]:
        """The digest of each file, 32 hexadecimal digits. `names` are paths relative to the root.

        Files that are new or changed are read, several at once.

        Raises:
            RunError: R0304, a file can't be read.
        """
        return [digest.hex() for digest in self._all(names)]

    def fingerprint(self, names: Sequence[str]) -> str:
        """One digest of names and contents together. Neither the root nor the order of `names` counts."""
        state = xxhash.xxh3_128()
        for name, digest in sorted(zip(names, self._all(names))):
            state.update(os.fsencode(name) + b"\0" + digest)
        return state.hexdigest()

    def _all(self, names: Sequence[str]) -> list[bytes]:
        now = time.time_ns()
        entries = self._entries
        missing: list[tuple[int, int, int]] = []
        digests: list[bytes] = []
        for name, (size, changed) in zip(names, _stat_all(self.root, names)):
            entry = entries.get(name)
            if entry is not None and entry[0] == size and entry[1] == changed:
                digests.append(entry[2])
            else:
                trusted = changed if now - changed > FRESH else -1  # else it is read again next time
                missing.append((len(digests), size, trusted))
                digests.append(b"")
        read = _read_all(self.root, [names[i] for i, _, _ in missing])
        for (i, size, changed), digest in zip(missing, read):
            digests[i] = digest
            entries[names[i]] = (size, changed, digest)
        if missing:
            self._save(names)
        return digests

    def _save(self, names: Sequence[str]) -> None:
        if len(self._entries) > 2 * len(names) + SPARE:  # mostly files that are gone
            self._entries = {name: self._entries[name] for name in names}
        with contextlib.suppress(RunError, OSError):  # a store that can't be written to does without
            with replacing(self.path) as temporary:
                temporary.write_bytes(_pack(self._entries, self.root))
            tables = self.path.parent.glob("*.bin")
            for path in sorted(tables, key=lambda path: -path.stat().st_mtime_ns)[KEEP_ROOTS:]:
                path.unlink()


def _pack(entries: dict[str, tuple[int, int, bytes]], root: str) -> bytes:
    names = os.fsencode("\0".join([root, *entries]))
    sizes = array("q", [size for size, _, _ in entries.values()])
    times = array("q", [changed for _, changed, _ in entries.values()])
    if sys.byteorder == "big":
        sizes.byteswap()
        times.byteswap()
    digests = b"".join(entry[2] for entry in entries.values())
    header = _HEADER.pack(_MAGIC, len(entries), len(names))
    return b"".join([header, names, sizes.tobytes(), times.tobytes(), digests])


def _unpack(data: bytes, root: str) -> Iterator[tuple[str, tuple[int, int, bytes]]]:
    """Names with their entries. Raises ValueError or struct.error for data of another root or form."""
    magic, count, length = _HEADER.unpack_from(data)
    start = _HEADER.size + length
    if magic.rstrip(b"\0") != _MAGIC or len(data) != start + 32 * count:
        raise ValueError("of another form, or cut off")
    first, *names = os.fsdecode(data[_HEADER.size : start]).split("\0")
    if first != root or len(names) != count:
        raise ValueError("of another root")
    sizes = array("q", data[start : start + 8 * count])
    times = array("q", data[start + 8 * count : start + 16 * count])
    if sys.byteorder == "big":
        sizes.byteswap()
        times.byteswap()
    start += 16 * count
    digests = [data[i : i + 16] for i in range(start, start + 16 * count, 16)]
    return zip(names, zip(sizes, times, digests))


def _stat_all(root: str, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The size and modification time of each file."""
    start = root + os.sep
    try:
        for name in names:
            stat = os.stat(start + name)
            yield stat.st_size, stat.st_mtime_ns
    except OSError as error:
        raise _unreadable(error) from error


def _read_all(root: str, names: Sequence[str]) -> list[bytes]:
    chunks = [names[i : i + _CHUNK] for i in range(0, len(names), _CHUNK)]
    if len(chunks) <= 1:
        return _read(root, names)
    with ThreadPoolExecutor(_THREADS) as pool:
        read = pool.map(lambda chunk: _read(root, chunk), chunks)
        return [digest for digests in read for digest in digests]


def _read(root: str, names: Sequence[str]) -> list[bytes]:
    try:
        return [digest_file(os.path.join(root, name)) for name in names]
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> RunError:
    reason = (error.strerror or str(error)).lower()
    help = "see that the file is there and may be read, then run again"
    return RunError("R0304", f"can't read `{error.filename}`: {reason}", help)
