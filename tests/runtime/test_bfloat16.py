"""Which devices compute in bfloat16 by themselves."""

from __future__ import annotations

import torch

from mfc.runtime.bfloat16 import cpu_has_bf16, has_bf16


def test_bf16_instructions_of_the_cpu(monkeypatch):
    assert isinstance(cpu_has_bf16(), bool)
    for known, expected in (
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "aarch64"}, True),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert cpu_has_bf16() is expected


def test_devices():
    assert has_bf16(torch.device("cpu")) is cpu_has_bf16()
    assert not has_bf16(torch.device("meta"))
