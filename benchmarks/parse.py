"""What reading a spec costs, and what a mistake in one costs the rest of it.

    python benchmarks/parse.py [--rounds 7] [--variants 1500]

Cold: new processes, in turn, that import lark alone, that import the parser with its tables, and that parse a
spec as well. Warm: 1,000 lines parsed afresh, and again after one line was put before them, as an editor does.
Mistakes: single characters are removed, put in or cut out of the two specs of the parser's golden cases; counted
is how many declarations of the file are lost (the broken one among them) and how many errors are reported. Times
are of the processor, not of the clock. Prints a table and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mfc.dsl.chunks import read_chunk
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.parse import parse
from mfc.dsl.source import Source
from mfc.dsl.syntax import BrokenDecl, File

CASES = Path(__file__).parents[1] / "tests" / "cases" / "parse" / "valid"
COLD = {
    "lark alone": "import lark",
    "parser and tables": "from mfc.dsl.parse import parse; from mfc.dsl.grammar import parser; parser()",
    "and a spec of 66 lines": "from mfc.dsl.parse import parse; from mfc.dsl.source import Source; "
    "from mfc.dsl.diagnostics import Diagnostics; "
    f"parse(Source('a', open({str(CASES / 'vision.mfs')!r}).read()), Diagnostics())",
}


def cold(code: str) -> float:
    """Milliseconds of processor time that a new process takes for some code."""
    timed = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
    return 1e3 * float(subprocess.run([sys.executable, "-c", timed], capture_output=True, check=True).stdout)


def read(text: str) -> tuple[File, int]:
    diagnostics = Diagnostics()
    return parse(Source("spec.mfs", text), diagnostics), len(diagnostics.found)


def warm(rounds: int) -> tuple[float, float]:
    """Milliseconds for 1,000 lines: afresh, and after an edit."""
    spec = (CASES / "vision.mfs").read_text()
    count = 1000 // (spec.count("\n") + 1)
    text = "".join(spec.replace("cifar", f"cifar{i}").replace("res_block", f"block{i}") for i in range(count))
    fresh, again = [], []
    for round_ in range(rounds):
        read_chunk.clear()
        for times, edited in ((fresh, text), (again, f"# {round_}\n{text}")):
            start = time.process_time()
            read(edited)
            times.append(1e3 * (time.process_time() - start) * 1000 / text.count("\n"))
    return statistics.median(fresh), statistics.median(again)


def named(file: File) -> set[str]:
    whole = [declaration for declaration in file.declarations if not isinstance(declaration, BrokenDecl)]
    return {name.text for name in (getattr(declaration, "name", None) for declaration in whole) if name}


def mistakes(variants: int) -> tuple[int, float, float]:
    """How many variants were broken; declarations lost and errors reported, on average over these."""
    draw = random.Random(0)
    specs = [(CASES / name).read_text() for name in ("vision.mfs", "ulmfit.mfs")]
    lost, reported = [], []
    for _ in range(variants):
        text = draw.choice(specs)
        at, kind = draw.randrange(len(text)), draw.random()
        put_in = draw.choice("(){}[]=:,\"'.+x ") if kind < 0.5 else ""
        cut_out = 0 if put_in else draw.choice([1, 1, 1, 2, 4, 8])
        file, errors = read(text[:at] + put_in + text[at + cut_out :])
        if errors:
            lost.append(len(named(read(text)[0]) - named(file)))
            reported.append(errors)
    return len(lost), statistics.mean(lost), statistics.mean(reported)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--variants", type=int, default=1500)
    options = arguments.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COLD}
    for _ in range(options.rounds):
        for name, code in COLD.items():
            times[name].append(cold(code))
    found: dict[str, float] = {f"cold, {name} (ms)": statistics.median(t) for name, t in times.items()}
    found["1,000 lines afresh (ms)"], found["1,000 lines after an edit (ms)"] = warm(options.rounds)
    broken, found["declarations lost by a mistake"], found["errors reported for it"] = mistakes(
        options.variants
    )
    for name, value in found.items():
        print(f"{name:40} {value:8.2f}")
    print(json.dumps({"broken variants": broken, **{name: round(value, 3) for name, value in found.items()}}))


if __name__ == "__main__":
    main()
