"""Documents as token files, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfc.runtime.data.items import Items
from mfc.runtime.text.token_file import Tokens, write_tokens


def documents(lengths: Sequence[int]) -> list[list[int]]:
    """Documents of these lengths in which no token comes twice; each begins with a number divisible by 1,000."""
    return [list(range(1000 * (i + 1), 1000 * (i + 1) + length)) for i, length in enumerate(lengths)]


def token_file(
    folder: Path, texts: Sequence[Sequence[int] | np.ndarray], vocab_size: int = 1 << 20
) -> Tokens:
    """A token file of these documents."""
    write_tokens((np.array(ids, np.int32) for ids in texts), vocab_size, folder)
    return Tokens.load(folder)


def items(count: int, valid: Sequence[int] = (), targets: Sequence[int] | None = None) -> Items:
    """So many items, those of `valid` for validation, with the labels `0`, `1` and `2` in turn."""
    paths = [f"{i:04}.txt" for i in range(count)]
    train = [i for i in range(count) if i not in set(valid)]
    found = list(targets) if targets is not None else [i % 3 for i in range(count)]
    return Items(paths, [""] * count, train, sorted(valid), found, ["0", "1", "2"])
