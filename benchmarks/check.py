"""How long `mfc check` takes as a process: of a small spec with and without caches, of a large one, of hostile ones.

    python benchmarks/check.py [--runs 7]

Prints the median seconds (wall, CPU) and the peak memory of each and, last, one JSON line. A bare `python -c pass`
is timed in turn with the others, for comparison.
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

SPECS = Path(__file__).parents[1] / "specs"

BLOCK = """
block conv_{i}(nf, ks = 3, stride = 1, act = true) {{
    conv2d(nf, ks, stride = stride, bias = false)
    batchnorm()
    if act {{ relu() }}
}}

model net_{i}(classes, widths = [32, 64, 128]) {{
    group body {{
        for nf in widths {{ conv_{i}(nf, stride = 2) }}
    }}
    group head {{
        adaptive_avg_pool(1)
        flatten()
        linear(classes)
    }}
}}

train fit_{i} {{
    data      = digits
    model     = net_{i}(digits.classes)
    loss      = cross_entropy(label_smoothing = 0.1)
    optimizer = adam(wd = 1e-2)
    schedule  = one_cycle(lr = 3e-3)
    metrics   = [accuracy(), top_k_accuracy(5)]
    epochs    = 5
}}
"""

DATA = """data digits: image -> category {
    source           = builtin("digits")
    split            = random(valid = 0.2, seed = 42)
    label            = parent()
    batch_transforms = [rotate(10), zoom(1.1), normalize(digits_stats)]
    batch_size       = 64
}
"""

TRAIN = """
train fit {
    data   = digits
    model  = net
    loss   = cross_entropy()
    epochs = 1
}
"""

HOSTILE = {
    "nested loops": DATA
    + "model net { for a in range(9999) { for b in range(9999) { for c in range(9999) { relu() } } } }\n"
    + TRAIN,
    "recursion": DATA + "block a(n) { a(n + 1) a(n + 2) a(n + 3) }\nmodel net { a(1) }\n" + TRAIN,
    "recursion of lists": "let a0 = [1, 2]\n"
    + "".join(f"let a{i + 1} = [a{i}, a{i}, a{i}]\n" for i in range(60)),
    "a million lines": "let a = 1\n" * 1_000_000,
    "deep brackets": "let a = " + "(" * 100_000 + "1" + ")" * 100_000 + "\n",
    "deep lists": "let a = " + "[" * 100_000 + "]" * 100_000 + "\n",
    "a long line": "let a = [" + "1, " * 300_000 + "1]\n",
    "wide dimensions": DATA
    + "model net { for i in range(400) { let s = x  conv2d(digits.classes * 3 + i)  concat(s) } }\n"
    + TRAIN,
    "many blocks that explode": DATA
    + "".join(
        f"model m{i} {{ for a in range(9999) {{ for b in range(9999) {{ relu() }} }} }}\n" for i in range(200)
    ),
}


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a process, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, _, used = os.wait4(process.pid, 0)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment |= {"MFC_CACHE": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        large = folder / "large.mfs"
        large.write_text(DATA + "".join(BLOCK.format(i=i) for i in range(37)))
        check = [sys.executable, "-m", "mfc", "check"]
        small = SPECS / "cifar10.mfs"
        imported = SPECS / "std" / "xresnet.mfs"
        lines = sum(len(file.read_text().splitlines()) for file in (small, imported))
        small_name = f"{small.name} and its import, {lines} lines"
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            small_name: [*check, str(small)],
            f"{len(large.read_text().splitlines())}-line spec": [*check, str(large)],
        }
        for number, (what, text) in enumerate(HOSTILE.items()):
            (folder / f"hostile{number}.mfs").write_text(text)
            commands[what] = [*check, str(folder / f"hostile{number}.mfs")]
        measure(commands[small_name], environment)
        runs: dict[str, list[tuple[float, float, float]]] = {}
        for turn in range(given.runs):
            first = environment | {"MFC_CACHE": str(folder / f"empty{turn}")}
            nothing_cached = measure([*check, str(small)], first)
            runs.setdefault(f"{small_name}, nothing cached", []).append(nothing_cached)
            for what, command in commands.items():
                runs.setdefault(what, []).append(measure(command, environment))
    medians = {what: [statistics.median(column) for column in zip(*times)] for what, times in runs.items()}
    for what, (wall, cpu, memory) in medians.items():
        print(f"{what:60} {wall:6.3f} s wall  {cpu:6.3f} s CPU  {memory:5.0f} MB")
    print(
        json.dumps(
            {what: dict(zip(("wall_s", "cpu_s", "peak_mb"), values)) for what, values in medians.items()}
        )
    )


if __name__ == "__main__":
    main()
