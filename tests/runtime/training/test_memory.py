"""Freed memory is kept for the next step of a training, and given back after it."""

from pathlib import Path

import pytest
import torch

from mfc.runtime.training import memory

SIZE = 2**26  # bytes, more than glibc keeps by itself


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(memory.platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_is_kept_within_and_given_back_after():
    before = resident()
    with memory.freed_memory_kept():
        torch.ones(SIZE // 4)
        kept = resident()
        torch.ones(SIZE // 4)
        assert resident() < kept + SIZE / 2
    after = resident()
    assert kept > before + SIZE / 2
    assert after < before + SIZE / 2


def test_other_libraries_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # loading it would fail
    with memory.freed_memory_kept():
        pass
