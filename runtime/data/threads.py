"""Work on tensors that is shared out among threads in pieces, not operation by operation.

Torch divides each operation among its threads and waits for the slowest. For a chain of short operations that
is a wait at each of them, which takes long wherever something else (loading the next batch) wants the
processors too. Here each thread does the whole chain for its piece: one wait for all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")


def run_each(function: Callable[[T], object], pieces: Sequence[T]) -> None:
    """Calls `function` with each piece, on as many threads as torch uses; no gradients are recorded."""
    threads = min(torch.get_num_threads(), len(pieces))
    inference = torch.is_inference_mode_enabled()

    def work(piece: T) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # both are a thread's own
            function(piece)

    if threads <= 1:
        for piece in pieces:
            work(piece)
        return
    for _ in _pool(torch.get_num_threads(), os.getpid()).map(work, pieces):
        pass  # raises what a piece raised


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads in which an operation of torch's stays. A forked process has none of its parent's: it gets its own."""
    ready = threading.Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first question sets its number to the process's
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "batch_transforms", initializer=start)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)  # of later threads, and of libraries that know one number only
    return pool
