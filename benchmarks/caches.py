"""What a check and a plan spend on the catalog, the code hash, and the digests of the data's files.

    python benchmarks/caches.py [--files 60000] [--rounds 5]

The catalog and the code hash of all components, each without and with a cache, in fresh processes; the digests
of `--files` small files, when they are new and when they are known. Prints a table and, last, one JSON line:
medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mfc.runtime.hashcache import HashCache

CATALOG = """
import time
from mfc.dsl.catalog import builtin_catalog
start = time.perf_counter()
builtin_catalog()
print(time.perf_counter() - start)
"""
CODE = """
import time
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.codehash import CodeIndex
targets = [component.target for component in builtin_catalog()]
start = time.perf_counter()
CodeIndex().hash(targets)
print(time.perf_counter() - start)
"""


def in_fresh_processes(code: str, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds without and with a cache."""
    first, cached = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for times in (first, cached):
                environment = os.environ | {"MFC_CACHE": folder}
                run = [sys.executable, "-c", code]
                times.append(
                    float(subprocess.run(run, env=environment, capture_output=True, check=True).stdout)
                )
    return first, cached


def digests(files: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds for files that are new, that are known, and to load the table of known ones alone."""
    new, known, load = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        names = [f"{i % 100:02}/{i}.jpg" for i in range(files)]
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(name.encode() * 100)
            os.utime(root / name, (10**9, 10**9))
        for i in range(rounds):
            for times in (new, known):
                start = time.perf_counter()
                cache = HashCache(Path(folder, f"cache {i}"), root)
                if times is known:
                    load.append(time.perf_counter() - start)
                cache.digests(names)
                times.append(time.perf_counter() - start)
    return new, known, load


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    catalog, cached_catalog = in_fresh_processes(CATALOG, options.rounds)
    code, cached_code = in_fresh_processes(CODE, options.rounds)
    new, known, load = digests(options.files, options.rounds)
    times = {
        "catalog, first read": catalog,
        "catalog, cached": cached_catalog,
        "code hash of all components, first": code,
        "code hash of all components, cached": cached_code,
        f"digests of {options.files} files, new": new,
        f"digests of {options.files} files, known": known,
        "of which loading the table": load,
    }
    medians = {name: round(statistics.median(seconds) * 1000, 1) for name, seconds in times.items()}
    for name, milliseconds in medians.items():
        print(f"{name:45} {milliseconds:9.1f} ms")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
