"""The stage `tokens`: the ids of all documents, one after another, in a file that is mapped into memory.

`ids.npy` holds the ids, uint16 where the vocabulary fits into it and int32 otherwise; `starts.npy` holds where each
document begins and, last, where the file ends, int64. Document i is the item with id i.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mfc.runtime.disk import writes
from mfc.runtime.errors import RunError

SHOW_EVERY = 64  # documents
BUFFER = 1 << 20  # bytes gathered before they are written
WINDOW, WINDOWS = 1 << 16, 1024
"""The kernel maps up to 64 KB around each place that is read. After so many their memory is given back, so that a
file takes about 64 MB of memory, however large it is."""


class Tokens:
    """The documents that `write_tokens` wrote. Pages of the file are read when they are used.

    Attributes:
        ids: of all documents, uint16 or int32; read only.
        starts: where each document begins in `ids`, and where the last one ends, int64.
        lengths: of the documents, int64, at least 1.
    """

    def __init__(self, ids: np.ndarray, starts: np.ndarray, memory: mmap.mmap) -> None:
        self.ids, self.starts, self.lengths = ids, starts, np.diff(starts)
        self._memory, self._windows = memory, 0

    @classmethod
    def load(cls, folder: Path) -> Tokens:
        """What `write_tokens` wrote into a folder. Raises RunError R0131 where that is missing or damaged."""
        try:
            starts = np.load(folder / "starts.npy", allow_pickle=False)
            with open(folder / "ids.npy", "rb") as file:
                np.lib.format.read_magic(file)
                (count,), _, dtype = np.lib.format.read_array_header_1_0(file)
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                ids = np.frombuffer(memory, dtype, count, file.tell())
            if starts[-1] != count:
                raise ValueError(f"its documents have {starts[-1]:,} ids, and it holds {count:,}")
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise RunError(
                "R0131",
                f"the token file in `{folder}` can't be read: {getattr(error, 'strerror', None) or error}",
                help="remove the folder; the next run makes it anew",
            ) from error
        return cls(ids, starts, memory)

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.lengths)

    def document(self, i: int) -> np.ndarray:
        """The ids of document i, where they lie in the file."""
        ids = self.ids[self.starts[i] : self.starts[i + 1]]
        self._note(1 + ids.nbytes // WINDOW)
        return ids

    def take(self, places: np.ndarray) -> np.ndarray:
        """The ids at places of the file: int64, `b t`, next to each other for the most part."""
        jumps = int(np.count_nonzero(np.abs(np.diff(places)) > 1))
        self._note(len(places) + jumps)
        return self.ids[places]

    def release(self) -> None:
        """Gives back the memory of what was read; the system keeps it in its cache as long as there is room."""
        self._windows = 0
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)

    def _note(self, windows: int) -> None:
        self._windows += windows
        if self._windows > WINDOWS:
            self.release()


def write_tokens(
    encoded: Iterable[np.ndarray],
    vocab_size: int,
    folder: Path,
    show: Callable[[int], None] | None = None,
) -> None:
    """Writes the ids of documents as they come; no more than one document and a buffer are held in memory.

    Args:
        encoded: the ids of each document, integers, at least one.
        show: called with the number of documents done.

    Raises RunError R0111 for ids outside of the vocabulary, R0301 to R0303 where the disk refuses.
    """
    dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<i4")
    file, starts = folder / "ids.npy", array("q", [0])
    with writes(file), open(file, "wb", BUFFER) as out:
        _write_header(out, dtype, 0)
        for number, ids in enumerate(encoded):
            if not len(ids) or ids.min() < 0 or ids.max() >= vocab_size:
                found = f"ids from {ids.min():,} to {ids.max():,}" if len(ids) else "no ids"
                known = f"the vocabulary's are 0 to {vocab_size - 1:,}"
                raise RunError("R0111", f"the tokenizer gave {found} for text {number:,}; {known}")
            out.write(np.ascontiguousarray(ids, dtype).data)
            starts.append(starts[-1] + len(ids))
            if show and (number + 1) % SHOW_EVERY == 0:
                show(number + 1)
        out.seek(0)
        _write_header(out, dtype, starts[-1])
    with writes(folder / "starts.npy"):
        np.save(folder / "starts.npy", np.frombuffer(starts, "<i8"), allow_pickle=False)


def _write_header(out: BinaryIO, dtype: np.dtype, count: int) -> None:
    """The header of a `.npy` file, which numpy makes equally long for any count."""
    np.lib.format.write_array_header_1_0(out, {"descr": dtype.str, "fortran_order": False, "shape": (count,)})
