"""What the loaders of texts have in common: where they stand, and the order of an epoch.

Which tokens make a batch depends on the seed, the stage and the epoch alone; so a run that stopped between two
batches goes on with the very next one. Batches are put together where they are asked for, out of a mapped file:
that takes less than a thousandth of a second, so there are no worker processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mfc.runtime.data.items import Items
from mfc.runtime.data.loaders import Batch
from mfc.runtime.streams import Stream
from mfc.runtime.text.token_file import Tokens


class TokenLoader:
    """The batches of one part. Iterating over it gives one epoch and sets the next.

    Args:
        ids: of the part's documents, int64.
        shuffle: where the order of an epoch comes from, None for an order that stays.
        backwards: whether each document is read from its end.
    """

    def __init__(
        self, tokens: Tokens, ids: np.ndarray, shuffle: Stream | None, backwards: bool, device: torch.device
    ) -> None:
        self.tokens, self.ids, self.shuffle, self.backwards = tokens, ids, shuffle, backwards
        self.device, self.pin = device, device.type == "cuda"
        self.epoch = 0
        self._resume_at = self._position = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on."""
        raise NotImplementedError

    def over(self, ids: Sequence[int], part: str) -> TokenLoader:
        """A loader of other documents, those of a part, that draws nothing at random."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self.epoch, self._resume_at
        self._position, self._resume_at = start, 0
        for batch in self.batches(epoch, start):
            self._position += 1
            yield batch
        self.set_epoch(epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration gives this epoch, from its first batch on."""
        self.epoch = epoch
        self._resume_at = self._position = 0

    def state_dict(self) -> dict[str, int]:
        """Where it stands: the epoch, and how many of its batches were given out."""
        return {"epoch": self.epoch, "batch": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iteration goes on where `state_dict` was taken."""
        self.set_epoch(state["epoch"])
        self._resume_at = self._position = state["batch"]

    def close(self) -> None:
        """Gives back the memory that the mapped file takes."""
        self.tokens.release()

    def permutation(self, count: int, *place: int) -> np.ndarray:
        """The numbers 0 to `count - 1` in an order that is drawn at a place of the stream; as they are without one."""
        if self.shuffle is None:
            return np.arange(count)
        generator = torch.Generator().manual_seed(self.shuffle.torch_seed(*place))
        return torch.randperm(count, generator=generator).numpy()

    def filled(self, rows: int, columns: int, value: int) -> Tensor:
        """An int64 tensor on the CPU, in page-locked memory where a GPU copies from it."""
        return torch.full((rows, columns), value, dtype=torch.int64, pin_memory=self.pin)


@dataclass
class TextLoaders:
    """The loaders of a data block of texts, made by `lm_loaders` or `text_loaders`.

    Attributes:
        items: what the stage `items` found.
        train, valid: the two parts.
        vocab: what targets stand for: labels, or tokens where the next token is the target.
        tokens_vocab: the tokens by id.
        skipped: texts that were left out, and why: none.
    """

    items: Items
    train: TokenLoader
    valid: TokenLoader
    vocab: list[str]
    tokens_vocab: list[str]
    device: torch.device
    skipped: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<TextLoaders: {self.items.summary}, {len(self.tokens_vocab):,} tokens>"

    def evaluation(self, part: Literal["train", "valid", "all"]) -> TokenLoader:
        """A new loader of a part in evaluation form: nothing drawn at random, with all of its texts."""
        return self.valid.over(self.items.part(part), part)

    def close(self) -> None:
        """Gives back the memory that the mapped files take."""
        self.train.close()
        self.valid.close()
