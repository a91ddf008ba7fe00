"""Work that threads do ahead of who takes its results, in order and with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """`work(thing)` for each thing, in order. At most twice as many as there are threads are ahead.

    To be closed where it is used up, not where it is collected: that may be in any thread, and to wait for the pool
    in one of its own is a deadlock.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for thing in things:
            waiting.append(pool.submit(work, thing))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_lists(things: Iterable[T], size: int) -> Generator[list[T], None, None]:
    """The things in lists of `size`; the last one has what is left."""
    left = iter(things)
    while some := [*islice(left, size)]:
        yield some
