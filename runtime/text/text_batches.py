"""Batches of whole documents, for classification: padded at the end to the longest of the batch.

Training batches are sortish, as in fastai: documents are shuffled, sorted by length within pools of 50 batches, cut
into batches, and these are shuffled. So little of a batch is padding, and its order still differs in each epoch. The
batch with the longest document of all comes first, so that memory that does not suffice is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mfc.runtime.data.items import Items
from mfc.runtime.data.loaders import Batch
from mfc.runtime.data.targets import encoded
from mfc.runtime.streams import Stream
from mfc.runtime.text.loaders import TextLoaders, TokenLoader
from mfc.runtime.text.rules import PAD_ID
from mfc.runtime.text.token_file import Tokens

POOL = 50  # batches


class DocumentLoader(TokenLoader):
    """The batches of one part, each document once: `x` int64 `b t`, `y` and `items` `b`.

    With `shuffle` they are sortish; the last one has what is left, at least two documents where batches have more
    than two: batch norm needs them. Without, they are sorted by length, the longest first.

    Args:
        targets: of all items, by id; None where they have none.
    """

    def __init__(
        self,
        tokens: Tokens,
        ids: Sequence[int],
        targets: Tensor | None,
        batch_size: int,
        shuffle: Stream | None = None,
        backwards: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(tokens, np.asarray(ids, np.int64), shuffle, backwards, torch.device(device))
        self.targets = None if targets is None else targets.to(self.device)
        self.batch_size = batch_size
        self.cuts = np.arange(batch_size, len(self.ids), batch_size)
        if shuffle is not None and len(self.ids) % batch_size == 1 and len(self.cuts) and batch_size > 2:
            self.cuts[-1] -= 1

    def over(self, ids: Sequence[int], part: str) -> DocumentLoader:
        return DocumentLoader(
            self.tokens, ids, self.targets, self.batch_size, None, self.backwards, self.device
        )

    def __len__(self) -> int:
        return len(self.cuts) + 1

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        for ids in self._plan(epoch)[start:]:
            lengths = self.tokens.lengths[ids]
            x = self.filled(len(ids), int(lengths.max()), PAD_ID)
            rows = x.numpy()
            for row, (i, length) in enumerate(zip(ids.tolist(), lengths.tolist())):
                document = self.tokens.document(i)
                rows[row, :length] = document[::-1] if self.backwards else document
            items = torch.from_numpy(ids)
            y = None if self.targets is None else self.targets[items.to(self.device, non_blocking=True)]
            yield Batch(x.to(self.device, non_blocking=True), y, items)

    def _plan(self, epoch: int) -> list[np.ndarray]:
        """The ids of each batch of an epoch."""
        order = self.ids[self.permutation(len(self.ids), epoch)]
        if self.shuffle is None:
            return np.split(self._sorted(order), self.cuts)
        longest = int(self.tokens.lengths[order].argmax())
        order[[0, longest]] = order[[longest, 0]]  # into the first pool, where it comes first
        size = POOL * self.batch_size
        pools = [self._sorted(order[i : i + size]) for i in range(0, len(order), size)]
        first, *others = np.split(np.concatenate(pools), self.cuts)
        last = others[-1:]  # the one that may not be full stays last
        return [first, *(others[i] for i in self.permutation(max(len(others) - 1, 0), epoch, 1)), *last]

    def _sorted(self, ids: np.ndarray) -> np.ndarray:
        return ids[np.argsort(-self.tokens.lengths[ids], kind="stable")]


def text_loaders(
    items: Items,
    tokens: Tokens,
    tokens_vocab: list[str],
    batch_size: int = 64,
    backwards: bool = False,
    seed: int = 42,
    stage: str = "",
    device: torch.device | str = "cpu",
) -> TextLoaders:
    """The loaders of a data block whose targets are labels or values of whole documents.

    Args:
        tokens: of all items, by id.
        tokens_vocab: the tokens by their ids.
        batch_size: documents in a training batch; validation batches have twice as many.
        backwards: whether each document is read from its end.
        seed, stage: where the order comes from.
    """
    targets = encoded(items)
    shuffle = Stream(seed, stage, "shuffle")
    train = DocumentLoader(tokens, items.train, targets, batch_size, shuffle, backwards, device)
    # without gradients twice as many texts take less memory, and their products are quicker
    valid = DocumentLoader(tokens, items.valid, targets, 2 * batch_size, None, backwards, device)
    return TextLoaders(items, train, valid, items.vocab, tokens_vocab, torch.device(device))
