"""Work on a stream of texts in several processes, in order and with bounded memory.

The processes are fresh interpreters that import only what the work needs: nothing is forked, so threads and locks of
this process do no harm, and a script that starts a run needs no `if __name__ == "__main__"`. Messages are marshalled:
strings, bytes, numbers and containers of them.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, Any, NamedTuple

from mfc.runtime.errors import RunError

BATCH = 500_000
"""Characters in a batch, about."""
SMALL = 2_000_000
"""Streams with fewer characters are not worth starting processes for."""
_START = "import sys; sys.path[:] = {path!r}; from mfc.runtime.text.pool import serve; serve()"


class Job(NamedTuple):
    """How another process builds what works on a batch: `target` is `"module:function"`, called with `arguments`."""

    target: str
    arguments: tuple[Any, ...]


def map_batches(
    work: Callable[[list[str]], Any], job: Job, texts: Iterable[str], processes: int
) -> Generator[Any, None, None]:
    """What `work` gives for each batch of the texts, in order.

    Args:
        work: works on a batch in this process, where there is one process or little to do.
        job: builds the same for other processes.

    Raises RunError R0124 where a process ends before its work is done.
    """
    batches = in_batches(texts)
    if processes > 1:
        ahead: list[list[str]] = []
        size = 0
        for batch in batches:
            ahead.append(batch)
            size += sum(map(len, batch))
            if size >= SMALL:
                yield from _in_processes(job, _chain(ahead, batches), processes)
                return
        batches = iter(ahead)
    yield from map(work, batches)


def _chain(ahead: list[list[str]], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    while ahead:
        yield ahead.pop(0)
    yield from rest


def in_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of texts that have about `BATCH` characters together."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + 100  # a text costs something even when it is empty
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_processes(job: Job, batches: Iterator[list[str]], processes: int) -> Iterator[Any]:
    idle: SimpleQueue[_Process] = SimpleQueue()
    started: list[_Process] = []

    def work(batch: list[str]) -> Any:
        process = idle.get()
        try:
            return process(batch)
        finally:
            idle.put(process)

    waiting: deque[Future[Any]] = deque()
    threads = ThreadPoolExecutor(processes)  # each waits for one process
    try:
        for _ in range(processes):
            started.append(_Process(job))
            idle.put(started[-1])
        for batch in batches:
            waiting.append(threads.submit(work, batch))
            if len(waiting) > 2 * processes:  # bounds the memory of what is finished
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.end()
        threads.shutdown()


class _Process:
    """A process that works on one batch at a time."""

    def __init__(self, job: Job) -> None:
        code = _START.format(path=sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with contextlib.suppress(OSError):  # one that has ended is noticed where its answer is read
            _send(self.process.stdin, tuple(job))

    def __call__(self, batch: list[str]) -> Any:
        try:
            _send(self.process.stdin, batch)
            failure, result = _receive(self.process.stdout)
        except (OSError, EOFError):
            status = self.process.wait()
            raise RunError(
                "R0124",
                f"a process that tokenizes ended with status {status}",
                help="status -9: the system had no memory left; use fewer processes",
            ) from None
        if failure:
            raise RuntimeError(f"tokenizing failed in another process:\n{failure}")
        return result

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()  # type: ignore[union-attr]


def serve() -> None:
    """The other process: builds its job, then answers batches until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to deal with
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    work, failure = None, ""
    try:
        target, arguments = _receive(sys.stdin.buffer)
        module, _, name = target.partition(":")
        work = getattr(importlib.import_module(module), name)(*arguments)
    except Exception:
        failure = traceback.format_exc()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            batch, result = _receive(sys.stdin.buffer), None
            if work is not None:
                try:
                    failure, result = "", work(batch)
                except Exception:
                    failure = traceback.format_exc()
            _send(answers, (failure, result))


def _send(pipe: IO[bytes] | None, message: Any) -> None:
    assert pipe is not None
    data = marshal.dumps(message)
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Any:
    assert pipe is not None
    size = int.from_bytes(_read(pipe, 8), "little")
    return marshal.loads(_read(pipe, size))


def _read(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
