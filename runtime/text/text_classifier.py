"""A classifier of texts of any length: an encoder that reads them piece by piece, pooling and a small head."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import Encoder, In, Range, architecture
from mfc.runtime.text.awd_lstm import CLASSIFIER_DROPOUTS, State, scaled
from mfc.runtime.text.rules import PAD_ID


@architecture(
    shape="b t -> b classes",
    groups=("encoder", "head"),
    parameters="encoder + 3*encoder.emb_size*(2 + hidden_size) + hidden_size*(2 + classes)",
)
class text_classifier(nn.Module):
    """Classifies texts: ids `b t`, padded at the end, to scores `b classes` (Howard and Ruder, 2018).

    The encoder reads `seq_len` tokens at a time and carries its state on. What it says of a text's last pieces,
    at most `max_len` tokens, is pooled: at the last token, the maximum and the mean over all tokens. The pieces
    before only lead to the state, without gradients, so memory does not grow with the length of a text.
    Parameter groups are fastai's: embedding, one for each LSTM, head.

    Args:
        encoder: such as `awd_lstm()`.
        classes: how many classes there are.
        vocab: how many tokens there are.
        output_p: dropout of the pooled features.
        hidden_size: features in the head.
        hidden_p: dropout of the features in the head.
        drop_mult: multiplies the probabilities of the encoder's dropouts and of `output_p`.
        seq_len: tokens that are read at a time; gradients reach no further back.
        max_len: tokens at a text's end that are pooled.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Annotated[int, Range(1)],
        vocab: In,
        output_p: Annotated[float, Range(0, below=1)] = 0.4,
        hidden_size: Annotated[int, Range(1)] = 50,
        hidden_p: Annotated[float, Range(0, below=1)] = 0.1,
        drop_mult: Annotated[float, Range(0)] = 1.0,
        seq_len: Annotated[int, Range(1)] = 72,
        max_len: Annotated[int, Range(1)] = 72 * 20,
    ) -> None:
        super().__init__()
        if max_len < seq_len:
            raise ValueError(f"max_len = {max_len} is less than seq_len = {seq_len}: nothing would be pooled")
        self.seq_len, self.max_len = seq_len, max_len
        self.encoder = encoder.build(vocab, CLASSIFIER_DROPOUTS, drop_mult)
        self.head = pooling_head(
            3 * self.encoder.emb_size, hidden_size, classes, scaled(output_p, drop_mult), hidden_p
        )
        self.recorded: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Texts, int64 `b t` with `xxpad` after their ends -> scores `b classes`."""
        return self.head(self.pooled(ids))

    def pooled(self, ids: torch.Tensor, through: bool = False) -> torch.Tensor:
        """Last, maximum and mean of the encoder's output for each text: `b t` -> `b 3*emb_size`.

        `through` lets gradients pass from one piece to those before it, as far as `max_len` reaches.
        """
        lengths = text_lengths(ids)
        order = lengths.argsort(descending=True, stable=True)  # texts that end leave at the end of the rows
        pool = Pool(lengths[order], self.max_len, self.encoder.emb_size)
        ids, sizes = ids[order], lengths[order].tolist()
        state: State | None = None
        if self.recorded is not None:
            self.recorded = []
        for start in range(0, sizes[0], self.seq_len):
            rows = sum(size > start for size in sizes)
            early = sum(size - start > self.max_len for size in sizes) if torch.is_grad_enabled() else 0
            piece = ids[:rows, start : min(start + self.seq_len, sizes[0])]
            state = None if state is None else _rows(state, 0, rows)
            with torch.no_grad():
                before = self.encoder.run(piece[:early], state and _rows(state, 0, early)) if early else None
            if early == rows:
                assert before is not None
                state = before[1]
                continue
            output, after = self.encoder.run(piece[early:], state and _rows(state, early, rows))
            if self.recorded is not None and self.training:
                self.recorded.append((output, output))
            pool.add(output, start, early)
            after = after if through else [(hidden.detach(), cell.detach()) for hidden, cell in after]
            state = after if before is None else _joined(before[1], after)
        return pool.features()[order.argsort()]


class Pool:
    """Pools the outputs for texts of known lengths while they come, so that they need not be kept."""

    def __init__(self, lengths: torch.Tensor, max_len: int, features: int) -> None:
        self.lengths, self.max_len = lengths, max_len
        zeros = torch.zeros(len(lengths), features, device=lengths.device)
        self.last, self.total, self.most = zeros, zeros, torch.full_like(zeros, -math.inf)
        self.count = torch.zeros_like(lengths)

    def add(self, output: torch.Tensor, start: int, first: int) -> None:
        """Outputs `rows t features` for the texts from `first` on, at the tokens from `start` on."""
        rows, steps, _ = output.shape
        left = self.lengths[first : first + rows] - start
        left = left.where(left <= self.max_len, 0)  # of texts that are far from their end nothing is pooled
        there = (torch.arange(steps, device=output.device) < left[:, None])[..., None]
        ending = ((left > 0) & (left <= steps))[:, None]
        at_last = output.gather(
            1, (left - 1).clamp(0, steps - 1)[:, None, None].expand(-1, 1, output.shape[2])
        )
        around = (0, 0, first, len(self.lengths) - first - rows)
        self.last = self.last + F.pad(at_last[:, 0].where(ending, 0.0), around)
        self.total = self.total + F.pad(output.where(there, 0.0).sum(1), around)
        most = output.where(there, -math.inf).amax(1)
        self.most = torch.maximum(self.most, F.pad(most, around, value=-math.inf))
        self.count = self.count + F.pad(left.clamp(0, steps), around[2:])

    def features(self) -> torch.Tensor:
        """Last, maximum and mean of each text, side by side."""
        return torch.cat([self.last, self.most, self.total / self.count[:, None]], 1)


def pooling_head(features: int, hidden: int, classes: int, output_p: float, hidden_p: float) -> nn.Sequential:
    """fastai's head: `b features` to scores `b classes`, each linear layer after batch norm and dropout."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (entering, leaving, p) in enumerate(
        ((features, hidden, output_p), (hidden, classes, hidden_p))
    ):
        parts[f"batchnorm_{number}"] = HeadBatchNorm(entering)
        parts[f"dropout_{number}"] = nn.Dropout(p)
        parts[f"linear_{number}"] = nn.Linear(entering, leaving, bias=False)
        if not number:
            parts["relu_0"] = nn.ReLU(inplace=True)
    head = nn.Sequential(parts)
    head.group = True  # type: ignore[assignment]
    return head


class HeadBatchNorm(nn.BatchNorm1d):
    """Batch norm that takes a batch of one text too: it has no variance, so the running one serves."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.bias, 1e-3)  # as fastai begins it

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if len(input) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def text_lengths(ids: torch.Tensor) -> torch.Tensor:
    """Tokens in each row up to the last that is no padding, at least 1: `b t` -> int64 `b`."""
    padding = (
        (ids == PAD_ID).flip(1).to(torch.uint8)
    )  # bytes: one text may be a million times as long as others
    return ids.shape[1] - padding.argmin(1).where(padding.amin(1) == 0, ids.shape[1] - 1)


def _rows(state: State, start: int, end: int) -> State:
    return [(hidden[:, start:end].contiguous(), cell[:, start:end].contiguous()) for hidden, cell in state]


def _joined(first: State, second: State) -> State:
    return [(torch.cat([h, k], 1), torch.cat([c, d], 1)) for (h, c), (k, d) in zip(first, second)]
