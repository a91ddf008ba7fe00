"""What a tokenizer is, and what all have in common: texts are cut at white space, and chunks have their ids.

A chunk's ids depend on the chunk alone, so they are looked up in a table that fills as texts come: most of a text
is chunks that were seen before. Only rules that look beyond a chunk (`rules.Chunker`) see whole texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mfc.runtime.errors import RunError
from mfc.runtime.text.pool import Job, map_batches
from mfc.runtime.text.rules import BOS, BOS_ID, EOS, PAD, SPECIAL, Chunker
from mfc.runtime.text.vocab import VOCAB, read_vocab

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SPECIAL", "ChunkEncoder", "Encoder", "Table", "Tokenizer"]

KEPT = 200_000
"""Chunks that a table keeps at most, so that its memory stays bounded (about 60 MB)."""
LONG = 100
"""Chunks longer than this are not kept."""


class Encoder(Protocol):
    """A fitted tokenizer. Ids 0 to 8 are `SPECIAL`, and every text begins with xxbos."""

    vocab: list[str]

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, after the rules, xxbos first."""
        ...

    def encode(self, texts: Iterable[str], processes: int = 1) -> Iterator[np.ndarray]:
        """The ids of each text, int32, in order. Texts are read as they are needed: memory is bounded."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """A readable text with these ids; what the rules did is undone where that can be known."""
        ...


class Tokenizer(Protocol):
    """A component of the kind `tokenizer`."""

    def fit(self, texts: Iterable[str], folder: Path, processes: int, show: Callable[[int], None]) -> None:
        """Learns from texts in one pass and writes `vocab.json` and files of its own into `folder`.

        Args:
            show: called with the number of texts read so far.
        """
        ...

    def load(self, folder: Path) -> Encoder:
        """The encoder that `fit` wrote into a folder."""
        ...


class Table(dict[str, Any]):
    """What `find` gives for chunks, kept for as many as memory allows."""

    def __init__(self, find: Callable[[list[str]], Iterable[Any]]) -> None:
        self._find = find
        self._long: list[str] = []

    def fill(self, texts: Iterable[Iterable[str]]) -> None:
        """Finds what is missing for the chunks of some texts: all are there until the next call."""
        for chunk in self._long:
            self.pop(chunk, None)
        chunks = set[str]().union(*texts)
        if len(self) + len(chunks) > KEPT:
            self.clear()
        missing = list(chunks.difference(self))
        self.update(zip(missing, self._find(missing)))
        self._long = [chunk for chunk in missing if len(chunk) > LONG]


class ChunkEncoder:
    """An encoder by chunks.

    Args:
        vocab: tokens by their ids.
        chunks: cuts a text into chunks.
        cut: the tokens of a chunk.
        number: the ids of each of some chunks.
        join: a readable text from tokens without special ones that only mark places.
        job: builds the same encoder's `encode_batch` in another process.
    """

    def __init__(
        self,
        vocab: list[str],
        chunks: Chunker,
        cut: Callable[[str], list[str]],
        number: Callable[[list[str]], list[list[int]]],
        join: Callable[[list[str]], str],
        job: Job,
    ) -> None:
        self.vocab = vocab
        self._chunks = chunks
        self._cut = cut
        self._join = join
        self._job = job
        self._table = Table(lambda found: [array("i", ids).tobytes() for ids in number(found)])

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, after the rules, xxbos first."""
        return [BOS, *(token for chunk in self._chunks(text) for token in self._cut(chunk))]

    def encode(self, texts: Iterable[str], processes: int = 1) -> Iterator[np.ndarray]:
        """The ids of each text, int32, in order.

        Args:
            processes: how many work on it. Few texts are encoded in this one, which is faster.
        """
        import numpy as np

        for data, counts in map_batches(self.encode_batch, self._job, texts, processes):
            ids = np.frombuffer(data, np.int32)
            start = 0
            for count in np.frombuffer(counts, np.int32).tolist():
                yield ids[start : start + count].copy()
                start += count

    def encode_batch(self, texts: list[str]) -> tuple[bytes, bytes]:
        """The ids of texts one after another, and how many each has, as bytes of int32."""
        chunks = [self._chunks(text) for text in texts]
        self._table.fill(chunks)
        first, find = array("i", [BOS_ID]).tobytes(), self._table.__getitem__
        encoded = [first + b"".join(map(find, found)) for found in chunks]
        return b"".join(encoded), array("i", [len(data) // 4 for data in encoded]).tobytes()

    def decode(self, ids: Sequence[int]) -> str:
        """A readable text with these ids."""
        return self._join(readable(self.vocab, ids))


def readable(vocab: list[str], ids: Sequence[int]) -> list[str]:
    """The tokens of ids without those that only mark places."""
    tokens = (vocab[i] for i in ids)
    return [token for token in tokens if token not in (PAD, BOS, EOS)]


def fitted_vocab(folder: Path) -> list[str]:
    """The vocabulary of a fitted tokenizer. Raises RunError R0123 where its folder lacks it or holds another's."""
    try:
        vocab = read_vocab(folder)
        if vocab[: len(SPECIAL)] == list(SPECIAL):
            return vocab
    except (OSError, ValueError, TypeError):
        pass
    raise unfitted(folder / VOCAB)


def unfitted(file: Path) -> RunError:
    """The error for a file of a fitted tokenizer that is missing or damaged."""
    return RunError(
        "R0123",
        f"`{file}` is no file of a fitted tokenizer",
        help="remove its folder; the next run fits it again",
    )


def no_texts() -> RunError:
    """The error for a tokenizer that has nothing to learn from."""
    return RunError(
        "R0120",
        "a tokenizer has no texts to learn from",
        help="see that the training part has texts with something in them",
    )
