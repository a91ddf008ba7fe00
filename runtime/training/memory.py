"""Memory that a training gives back and takes again in every step."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them, from glibc's malloc.h
KEEP, USUAL = (2**31 - 1, 2**30), (2**26, 2**25)  # bytes; the usual ones are where glibc's own adjusting ends


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Lets the process keep freed memory for its next use, and gives it back at the end.

    glibc hands tensors of more than 32 MiB back to the system at once, which clears their pages before they are used
    again: in a step of a language model an eighth of the time. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, KEEP)
    try:
        yield
    finally:
        _set(libc, USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, thresholds: tuple[int, int]) -> None:
    for name, value in zip((TRIM_THRESHOLD, MMAP_THRESHOLD), thresholds):
        libc.mallopt(name, value)
