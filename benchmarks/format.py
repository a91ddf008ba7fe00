"""How long formatting takes: of 1,000 lines that are untidy or formatted, as a whole and after an edit.

    python benchmarks/format.py [--rounds 7]

The text is the package's specs, one behind the other; untidy is it without indentation and aligned `=`. Told apart are
what tokens and comments cost, which a check needs as well, and the layout with its edits on top. Times are of the
processor, not of the clock. Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from mfc.dsl.format import format, format_edits, format_range
from mfc.dsl.scan import scan

LINES = 1_000
SPECS = Path(__file__).parents[1] / "specs"


def specs() -> str:
    """1,000 lines of the package's specs."""
    text = "\n".join(spec.read_text() for spec in sorted(SPECS.rglob("*.mfs")))
    assert text.count("\n") >= LINES
    return "\n".join(text.split("\n")[:LINES]) + "\n"


def measure(task: Callable[[], object], rounds: int) -> float:
    """Milliseconds of processor time, the median of rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        task()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=7)
    rounds = arguments.parse_args().rounds
    text = specs()
    untidy = re.sub(r"(?m)^ +", " ", re.sub(r" +=", "=", text))
    assert (
        format(text) == text and format(untidy) == format(format(untidy)) != untidy
    )  # and chunks are read now
    middle = text.index("\n", len(text) // 2)
    found = {
        "tokens and comments (ms)": measure(lambda: scan(text), rounds),
        "1,000 formatted lines (ms)": measure(lambda: format_edits(text), rounds),
        "1,000 untidy lines (ms)": measure(lambda: format_edits(untidy), rounds),
        "20 lines of them (ms)": measure(lambda: format_range(untidy, middle, middle + 600), rounds),
    }
    for name, value in found.items():
        print(f"{name:32} {value:8.2f}")
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
