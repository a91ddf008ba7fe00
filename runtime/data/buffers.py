"""Output memory that is used again.

On the CPU the first touch of fresh memory costs more than the work of a batch: every page is mapped and
cleared by the kernel. So a batch's memory goes back to a pool, but only once the last tensor on it is gone.
"""

from __future__ import annotations

import weakref

import torch


class BufferPool:
    """Float32 memory on the CPU for batches that come and go.

    Every tensor handed out stands on an array of its own over a pooled block. Whatever shares the tensor's
    storage (a view, a batch that was kept, what autograd saved for the backward pass, another thread) keeps
    that array alive, and the block returns to the pool when the array dies. At most `keep` idle blocks stay.
    """

    def __init__(self, keep: int = 4) -> None:
        self.keep = keep
        self._idle: list[torch.Tensor] = []

    def empty(self, count: int) -> torch.Tensor:
        """A tensor of `count` numbers with any content, which nobody else sees."""
        block = self._take(count)
        array = block.numpy()
        weakref.finalize(array, self._give_back, block).atexit = False
        return torch.from_numpy(array)[:count]

    def _take(self, count: int) -> torch.Tensor:
        """An idle block that is large enough, else a new one. Blocks that are too small are let go."""
        while self._idle:
            try:
                block = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if block.numel() >= count:
                return block
        return torch.empty(count)

    def _give_back(self, block: torch.Tensor) -> None:
        if len(self._idle) < self.keep:
            self._idle.append(block)
