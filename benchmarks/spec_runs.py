"""Runs a spec in a process of its own with a store of its own, so that decoding is part of its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def trained(spec: Path, train: str, settings: Iterable[str]) -> tuple[list[dict[str, Any]], float]:
    """The history of a train, or of a phase of one, and the seconds of the whole process.

    Args:
        settings: `NAME=VALUE` for params of the spec.
    """
    with tempfile.TemporaryDirectory() as store:
        command = [
            sys.executable,
            "-m",
            "mfc",
            "run",
            str(spec),
            "--store",
            store,
            "--device",
            "cpu",
            "--json",
        ]
        for setting in settings:
            command += ["--set", setting]
        seconds, _ = timed(command)
        (folder,) = Path(store, "artifacts", train).iterdir()
        return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()], seconds


def timed(command: list[str]) -> tuple[float, str]:
    """The seconds that a command takes, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    return time.perf_counter() - start, done.stdout
