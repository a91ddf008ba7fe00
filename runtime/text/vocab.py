"""The file that says which tokens ids stand for: a fitted tokenizer has one, and so has a model that was trained on
its tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mfc.runtime.disk import write_file

VOCAB = "vocab.json"


def write_vocab(folder: Path, vocab: Sequence[str]) -> None:
    """Keeps the tokens by their ids, also those that are no valid Unicode."""
    text = json.dumps(vocab, ensure_ascii=False, indent=0)
    write_file(folder / VOCAB, text.encode("utf-8", "surrogatepass"))


def read_vocab(folder: Path) -> list[str]:
    """The tokens by their ids."""
    return json.loads((folder / VOCAB).read_bytes())
