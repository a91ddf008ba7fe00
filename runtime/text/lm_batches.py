"""Batches for language models: rows of text that go on from batch to batch, and what comes next at each place.

The documents of an epoch, one after another, are a stream of tokens. It is cut into `batch_size` rows of equal
length; batch k has columns `k * seq_len` and on of every row, the last one what is left of them. Targets are the
same tokens one place on. So each token of the stream is a target once, but for the first one and fewer than
`batch_size` at the end. The stream is never put together: a batch looks up which documents its places lie in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mfc.runtime.data.items import Items
from mfc.runtime.data.loaders import Batch
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.text.loaders import TextLoaders, TokenLoader
from mfc.runtime.text.token_file import Tokens


class LMLoader(TokenLoader):
    """The batches of one part: `x` and `y` int64 `b t`; `items` int64 `b`, the document that each row begins in.

    Args:
        part: its name, for messages.
        batch_size: rows.
        seq_len: tokens of a row in a batch.

    Raises RunError R0132 for fewer tokens than rows.
    """

    def __init__(
        self,
        tokens: Tokens,
        ids: Sequence[int],
        part: str,
        batch_size: int,
        seq_len: int,
        shuffle: Stream | None = None,
        backwards: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(tokens, np.asarray(ids, np.int64), shuffle, backwards, torch.device(device))
        self.batch_size, self.seq_len = batch_size, seq_len
        total = int(tokens.lengths[self.ids].sum())
        self.row_length = (total - 1) // batch_size
        if not self.row_length:
            raise _too_short(part, len(self.ids), total, batch_size)

    def over(self, ids: Sequence[int], part: str) -> LMLoader:
        return LMLoader(
            self.tokens, ids, part, self.batch_size, self.seq_len, None, self.backwards, self.device
        )

    def __len__(self) -> int:
        return -(-self.row_length // self.seq_len)

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        order = self.ids[self.permutation(len(self.ids), epoch)]
        lengths = self.tokens.lengths[order]
        ends = np.cumsum(lengths)  # of the documents in the stream
        # what leads from a place in the stream to the place in the file, for each document
        if self.backwards:
            shift, step = self.tokens.starts[order + 1] - 1 + ends - lengths, -1
        else:
            shift, step = self.tokens.starts[order] - ends + lengths, 1
        rows = np.arange(self.batch_size)[:, None] * self.row_length
        for first in range(start * self.seq_len, self.row_length, self.seq_len):
            last = min(first + self.seq_len, self.row_length)
            places = rows + np.arange(first, last + 1)
            documents = np.searchsorted(ends, places, side="right")
            found = self.filled(self.batch_size, last + 1 - first, 0)
            found.numpy()[:] = self.tokens.take(shift[documents] + step * places)
            found = found.to(self.device, non_blocking=True)
            items = torch.from_numpy(order[documents[:, 0]])
            yield Batch(found[:, :-1].contiguous(), found[:, 1:].contiguous(), items)


def lm_loaders(
    items: Items,
    tokens: Tokens,
    tokens_vocab: list[str],
    batch_size: int = 64,
    seq_len: int = 72,
    backwards: bool = False,
    seed: int = 42,
    stage: str = "",
    device: torch.device | str = "cpu",
) -> TextLoaders:
    """The loaders of a data block whose targets are the next tokens.

    Documents of the training part have a new order in each epoch, those of the validation part stay in order.

    Args:
        tokens: of all items, by id.
        tokens_vocab: the tokens by their ids.
        batch_size: rows.
        seq_len: tokens of a row in a batch.
        backwards: whether each document is read from its end, so that the token before is the target.
        seed, stage: where the order comes from.

    Raises RunError R0132 where a part has too few tokens.
    """
    shuffle = Stream(seed, stage, "shuffle")
    train = LMLoader(tokens, items.train, "train", batch_size, seq_len, shuffle, backwards, device)
    valid = LMLoader(tokens, items.valid, "valid", batch_size, seq_len, None, backwards, device)
    return TextLoaders(items, train, valid, tokens_vocab, tokens_vocab, torch.device(device))


def _too_short(part: str, documents: int, total: int, batch_size: int) -> RunError:
    texts = "1 text" if documents == 1 else f"{documents:,} texts"
    found = "1 token" if total == 1 else f"{total:,} tokens"
    least = f"a batch of {batch_size} rows needs {batch_size + 1:,}"
    lower = f"set `batch_size` to at most {total - 1:,}, or " if total > 1 else ""
    return RunError(
        "R0132", f"the {part} part is {texts} with {found}; {least}", help=f"{lower}add texts to this part"
    )
