"""The file that says which tokens ids stand for: a fitted tokenizer has one, and so has a model that was trained on
its tokens."""

from __future__ import annotations

import json
from pathlib import Path

VOCAB = "vocab.json"


def read_vocab(folder: Path) -> list[str]:
    """The tokens by their ids."""
    return json.loads((folder / VOCAB).read_bytes())
