"""Time of `words` and `sentencepiece` beside fastai's tokenizers, on the same texts and as many cores.

    python benchmarks/tokenization.py --data DIR [--rounds 3] [--processes 2] [--peer PYTHON]

`DIR` holds text files, in folders or not. `PYTHON` is an interpreter that has fastai: this script starts itself with
it, and the two take turns in every round. Measured in seconds of wall time, processes included: fitting (counting
words; training a sentencepiece model of 8,000 pieces, which fastai does not do for words), encoding to ids (fastai's
words and pieces: to strings) with all rules, and of sentencepiece without rules too, where fastai has one process.
Prints one JSON line last: medians, and the medians of the peer's time over ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 8_000


def read(folder: Path) -> list[str]:
    return [file.read_text(errors="replace") for file in sorted(folder.rglob("*.txt"))]


def ours(texts: list[str], processes: int, folder: Path) -> dict[str, Callable[[], Any]]:
    from mfc.runtime.text.pieces import sentencepiece
    from mfc.runtime.text.words import words

    folders = {name: folder / name for name in ("words", "pieces", "plain")}
    for path in folders.values():
        path.mkdir()
    word, piece, plain = words(), sentencepiece(SIZE), sentencepiece(SIZE, rules=False)
    return {
        "words fit": lambda: word.fit(texts, folders["words"], processes),
        "words encode": lambda: list(word.load(folders["words"]).encode(texts, processes)),
        "sentencepiece fit": lambda: piece.fit(texts, folders["pieces"], processes),
        "sentencepiece encode": lambda: list(piece.load(folders["pieces"]).encode(texts, processes)),
        "sentencepiece fit, no rules": lambda: plain.fit(texts, folders["plain"], processes),
        "sentencepiece encode, no rules": lambda: list(plain.load(folders["plain"]).encode(texts, processes)),
    }


def fastais(texts: list[str], processes: int, folder: Path) -> dict[str, Callable[[], Any]]:
    from fastai.text import core  # pyright: ignore[reportMissingImports]

    pieces = [
        core.SentencePieceTokenizer(vocab_sz=SIZE, cache_dir=folder / name) for name in ("ruled", "plain")
    ]

    def fit(which: int, rules: list[Any]) -> None:
        pieces[which].tok = None
        pieces[which].setup(texts, rules)

    def tokenize(tokenizer: Any) -> None:
        sorted(core.parallel_tokenize(texts, tokenizer, n_workers=processes), key=lambda pair: pair[0])

    return {
        "words encode": lambda: tokenize(core.WordTokenizer()),
        "sentencepiece fit": lambda: fit(0, core.defaults.text_proc_rules),
        "sentencepiece encode": lambda: tokenize(pieces[0]),
        "sentencepiece fit, no rules": lambda: fit(1, []),
        "sentencepiece encode, no rules": lambda: list(pieces[1](texts)),
    }


def serve(data: Path, processes: int) -> None:
    """The peer: runs what it is told by name, a line each, and answers with the seconds."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        tasks = fastais(read(data), processes, Path(folder))
        for line in sys.stdin:
            print(timed(tasks.get(line.strip())), file=answers, flush=True)


def timed(task: Callable[[], Any] | None) -> float | None:
    if task is None:
        return None
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peer", default="", help="an interpreter that has fastai")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.data, given.processes)
        return
    texts = read(given.data)
    print(f"{len(texts):,} texts, {sum(map(len, texts)):,} characters, {given.processes} processes")
    peer = None
    if given.peer:
        command = [
            given.peer,
            __file__,
            "--serve",
            "--data",
            str(given.data),
            "--processes",
            str(given.processes),
        ]
        peer = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    times: dict[str, list[tuple[float, float | None]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        tasks = ours(texts, given.processes, Path(folder))
        for _ in range(given.rounds):
            for name, task in tasks.items():
                other = None
                if peer is not None and peer.stdin and peer.stdout:
                    print(name, file=peer.stdin, flush=True)
                    answer = peer.stdout.readline().strip()
                    other = None if answer == "None" else float(answer)
                own = timed(task)
                assert own is not None
                times.setdefault(name, []).append((own, other))
                print(f"{name:32} {own:7.2f} s" + (f"   fastai {other:7.2f} s" if other else ""), flush=True)
    if peer is not None and peer.stdin:
        peer.stdin.close()
        peer.wait()
    print(json.dumps({name: summary(pairs) for name, pairs in times.items()}))


def summary(pairs: list[tuple[float, float | None]]) -> dict[str, float]:
    out = {"s": statistics.median(own for own, _ in pairs)}
    others = [(own, other) for own, other in pairs if other is not None]
    if others:
        out["fastai_s"] = statistics.median(other for _, other in others)
        out["ratio"] = statistics.median(other / own for own, other in others)
    return out


if __name__ == "__main__":
    main()
