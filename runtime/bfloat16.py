"""Where products of matrices in bfloat16 are fast."""

from __future__ import annotations

from functools import cache

import torch


def cpu_has_bf16() -> bool:
    """Whether the CPU computes in bfloat16 by itself; taken to be so where torch can't tell."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    known = tell() if tell is not None else {}
    return known.get("architecture") != "x86_64" or known["avx512_bf16"] or known["amx_bf16"]


@cache
def has_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself: some CPUs, and CUDA devices since Ampere."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_has_bf16()
