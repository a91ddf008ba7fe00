from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfc.runtime.errors import RunError
from mfc.runtime.text import pool
from mfc.runtime.text.pool import Job, in_batches, map_batches


def counting() -> Callable[[list[str]], int]:
    return len


def failing() -> Callable[[list[str]], int]:
    def fail(batch: list[str]) -> int:
        print("what a library prints")
        raise ValueError("no")

    return fail


def dying() -> Callable[[list[str]], int]:
    return lambda batch: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "BATCH", 1_000)
    monkeypatch.setattr(pool, "SMALL", 1_000)
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])


def job(name: str) -> Job:
    return Job(f"{Path(__file__).stem}:{name}", ())


@pytest.mark.parametrize("processes", [1, 2])
def test_batches_come_in_order(processes: int) -> None:
    texts = ["x" * (i % 300) for i in range(200)]
    assert list(map_batches(len, job("counting"), texts, processes)) == list(map(len, in_batches(texts)))


def test_little_work_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert list(map_batches(len, job("counting"), ["a"], 8)) == [1]
    assert list(map_batches(len, job("counting"), [], 8)) == []


def test_an_error_says_where_it_was() -> None:
    with pytest.raises(RuntimeError, match="ValueError: no"):
        list(map_batches(len, job("failing"), ["x" * 500] * 20, 2))
    with pytest.raises(RuntimeError, match="AttributeError"):
        list(map_batches(len, job("missing"), ["x" * 500] * 20, 2))


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(RunError, match=r"R0124.*-9"):
        list(map_batches(len, job("dying"), ["x" * 500] * 20, 2))


def test_processes_end_with_the_stream() -> None:
    stream = map_batches(len, job("counting"), iter(lambda: "x" * 500, ""), 2)
    assert next(stream) == 2
    stream.close()
    assert not [thread for thread in __import__("threading").enumerate() if "ThreadPool" in thread.name]
