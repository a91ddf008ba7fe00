"""What features of editors cost on a spec of 1,000 lines, each once the spec was compiled.

    python benchmarks/editor.py [--rounds 15]

The spec is that of `check.py`. Names are looked at in its middle; renamed are one that stands in one declaration, and
one that stands in all of them. They are timed in turn, in milliseconds of the processor, not of the clock. Prints the
median and the most of each and, last, one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from check import BLOCK, DATA

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.compiler import compile
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.folding import folds, selections
from mfc.dsl.editor.links import links
from mfc.dsl.editor.navigation import definition, highlights, references, symbol_at, type_definition
from mfc.dsl.editor.outline import outline, workspace_symbols
from mfc.dsl.editor.rename import rename
from mfc.dsl.editor.semantic_tokens import semantic_tokens
from mfc.dsl.recording import Recording
from mfc.dsl.source import Source
from mfc.spec import DiskFiles

LINES = 1000


def compiled(text: str) -> Document:
    recording = Recording()
    source, files = Source("spec.mfs", text), DiskFiles([Path("/spec")])
    found = compile(source, "/spec/spec.mfs", files, builtin_catalog(), opening=True, recording=recording)
    return Document(found, found.program.entry, recording)


def features(document: Document) -> dict[str, Callable[[], Any]]:
    """Each feature as a call, by name."""
    text, documents = document.text, [document]
    block, data = text.index("conv_17("), text.index("digits:")
    symbol = symbol_at(document, data)
    assert symbol is not None
    return {
        "bindings": lambda: Document(document.compiled, document.module, document.recording).bindings,
        "definition": lambda: definition(document, block),
        "type definition": lambda: type_definition(document, block),
        "references": lambda: references(documents, symbol, True),
        "highlights": lambda: highlights(document, data),
        "outline": lambda: outline(document.file),
        "workspace symbols": lambda: workspace_symbols([(d.path, d.file) for d in documents], "conv"),
        "semantic tokens": lambda: semantic_tokens(document),
        "folds": lambda: folds(document),
        "selections": lambda: selections(document, block),
        "links": lambda: links(document),
        "rename of one block": lambda: rename(documents, document, block, "fresh"),
        "rename of the data": lambda: rename(documents, document, data, "fresh"),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    text = DATA + "".join(BLOCK.format(i=i) for i in range(LINES // BLOCK.count("\n")))
    calls = features(compiled(text))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(1e3 * (time.process_time() - start))
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"{text.count(chr(10)):,} lines")
    for name, median in medians.items():
        print(f"  {name:20} {median:6.1f} ms   at most {max(times[name]):6.1f}")
    print(json.dumps({name: round(median, 2) for name, median in medians.items()}))


if __name__ == "__main__":
    main()
