"""Freed memory is kept for the next step of a training, and given back after it."""

import resource
from pathlib import Path

import pytest
import torch

from mfc.runtime.training import memory

SIZE = 2**26  # bytes, more than glibc keeps by itself
PAGE = resource.getpagesize()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def cleared(count: int) -> int:
    """How many pages the system clears for `count` tensors, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(SIZE // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(memory.platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_kept_within_and_given_back_after():
    before = resident()
    with memory.freed_memory_kept():
        cleared(24)  # until a hole is left that all of them fit into
        assert cleared(8) < SIZE / PAGE
        assert resident() > before + SIZE / 2
    assert resident() < before + SIZE / 2


def test_other_libraries_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # loading it would fail
    with memory.freed_memory_kept():
        pass
