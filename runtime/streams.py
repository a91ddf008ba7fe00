"""Randomness that is derived, not shared.

Every draw comes from a stream of (seed, stage, purpose) and from the place where it is used: an epoch and
an item, or a step, or a parameter. So a result does not depend on the number of workers, on what was drawn
before, or on whether the run was interrupted. The mixing function is SplitMix64's finaliser (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014), which is the same in Python integers and
in int64 tensors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    import torch

_MASK = (1 << 64) - 1
_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(x: int) -> int:
    """A 64-bit integer well mixed."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * _MIX1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX2) & _MASK
    return x ^ (x >> 31)


class Stream:
    """The draws of one purpose (`"shuffle"`, `"flip"`, `"init"`) in one stage of a run with one seed."""

    def __init__(self, seed: int, stage: str, purpose: str) -> None:
        self.key = xxhash.xxh3_64_intdigest(f"{seed}\0{stage}\0{purpose}".encode())

    def at(self, *place: int) -> int:
        """A 64-bit number for one place, such as `(epoch, item)`."""
        x = self.key
        for number in place:
            x = mix(x ^ (number & _MASK))
        return x

    def generator(self, *place: int) -> random.Random:
        """A generator for the draws at one place, such as the transforms of one item in one epoch."""
        return random.Random(self.at(*place))

    def torch_seed(self, *place: int) -> int:
        """A seed for `torch.manual_seed` at one place."""
        return self.at(*place) >> 1

    def uniform(self, epoch: int, items: torch.Tensor, count: int) -> torch.Tensor:
        """`count` numbers in [0, 1) for each of `items` (int64, `b`) in one epoch: float32, `b count`, on the CPU."""
        import torch

        base = torch.tensor(_signed(self.at(epoch)), dtype=torch.int64)
        x = _mix_tensor(base ^ items.to(torch.int64).cpu())
        x = _mix_tensor(x[:, None] ^ torch.arange(count, dtype=torch.int64))
        return _shift_right(x, 40).to(torch.float32) / (1 << 24)


def uniforms(
    streams: Sequence[Stream], epoch: int, items: torch.Tensor, counts: Sequence[int]
) -> list[torch.Tensor]:
    """`stream.uniform(epoch, items, count)` for each of `streams` and `counts`, mixed in one pass."""
    import torch

    starts = [_signed(stream.at(epoch)) for stream in streams]
    bases = [start for start, count in zip(starts, counts) for _ in range(count)]
    numbers = [number for count in counts for number in range(count)]
    x = _mix_tensor(torch.tensor(bases, dtype=torch.int64) ^ items.to(torch.int64).cpu()[:, None])
    x = _mix_tensor(x ^ torch.tensor(numbers, dtype=torch.int64))
    return list((_shift_right(x, 40).to(torch.float32) / (1 << 24)).split(list(counts), 1))


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def _shift_right(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix_tensor(x: torch.Tensor) -> torch.Tensor:
    x = x + _signed(_GOLDEN)
    x = (x ^ _shift_right(x, 30)) * _signed(_MIX1)
    x = (x ^ _shift_right(x, 27)) * _signed(_MIX2)
    return x ^ _shift_right(x, 31)
