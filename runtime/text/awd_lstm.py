"""AWD-LSTM: an LSTM language model's encoder with dropout at every place that has weights or activations.

After S. Merity, N. Keskar and R. Socher, "Regularizing and Optimizing LSTM Language Models" (2017), with the
sizes and rates of J. Howard and S. Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018).
"""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.component import In, Range, encoder
from mfc.runtime.text.rules import PAD_ID

State = list[tuple[torch.Tensor, torch.Tensor]]
"""For each LSTM what it carries on: hidden and cell state, both `1 b features`."""


@dataclass(frozen=True)
class Dropouts:
    """Probabilities of the dropouts in an encoder.

    Attributes:
        input_p: of the features that enter the first LSTM.
        hidden_p: of the features between two LSTMs.
        embed_p: of whole words.
        weight_p: of the recurrent weights.
    """

    input_p: float = 0.0
    hidden_p: float = 0.0
    embed_p: float = 0.0
    weight_p: float = 0.0


LANGUAGE_MODEL_DROPOUTS = Dropouts(input_p=0.25, hidden_p=0.15, embed_p=0.02, weight_p=0.2)
CLASSIFIER_DROPOUTS = Dropouts(input_p=0.4, hidden_p=0.3, embed_p=0.05, weight_p=0.5)


@encoder(
    parameters="vocab*emb_size + 4*emb_size*(emb_size + (hidden_size - emb_size)*min(layers - 1, 1) + emb_size + 2) "
    "+ min(layers - 1, 1)*4*hidden_size*(emb_size + hidden_size + 2) "
    "+ max(layers - 2, 0)*4*hidden_size*(hidden_size + hidden_size + 2)"
)
class awd_lstm:
    """An AWD-LSTM for `language_model` and `text_classifier` (Merity et al., 2017).

    Embeddings, then a stack of LSTMs of which the last has the size of the embeddings again. Dropouts that are
    not given are fastai's: 0.25, 0.15, 0.02 and 0.2 in a language model, 0.4, 0.3, 0.05 and 0.5 in a classifier.

    Args:
        emb_size: length of a word's vector.
        hidden_size: features between the LSTMs.
        layers: how many LSTMs.
        input_p: dropout of what enters the first LSTM, the same for all tokens of a text.
        hidden_p: dropout between two LSTMs, the same for all tokens of a text.
        embed_p: dropout of whole words, the same words in all of a batch.
        weight_p: dropout of the recurrent weights.
    """

    def __init__(
        self,
        emb_size: Annotated[int, Range(1)] = 400,
        hidden_size: Annotated[int, Range(1)] = 1152,
        layers: Annotated[int, Range(1)] = 3,
        input_p: Annotated[float, Range(0, below=1)] | None = None,
        hidden_p: Annotated[float, Range(0, below=1)] | None = None,
        embed_p: Annotated[float, Range(0, below=1)] | None = None,
        weight_p: Annotated[float, Range(0, below=1)] | None = None,
    ) -> None:
        self.emb_size, self.hidden_size, self.layers = emb_size, hidden_size, layers
        self.given = input_p, hidden_p, embed_p, weight_p

    def build(self, vocab: int, usual: Dropouts = LANGUAGE_MODEL_DROPOUTS, drop_mult: float = 1.0) -> AWDLSTM:
        """The encoder for a vocabulary of `vocab` tokens, with first weights from torch's generator.

        `usual` are the dropouts where none is given; all are multiplied by `drop_mult`. Raises ValueError where
        that makes one of them 1 or more.
        """
        ps = (own if own is not None else p for own, p in zip(self.given, astuple(usual)))
        dropouts = Dropouts(*(scaled(p, drop_mult) for p in ps))
        return AWDLSTM(vocab, self.emb_size, self.hidden_size, self.layers, dropouts)


def scaled(p: float, drop_mult: float) -> float:
    """A dropout's probability times `drop_mult`. Raises ValueError where it leaves no number."""
    if p * drop_mult >= 1:
        raise ValueError(
            f"drop_mult = {drop_mult:g} makes a dropout of {p:g} one of {p * drop_mult:g}, not below 1"
        )
    return p * drop_mult


class AWDLSTM(nn.Module):
    """Texts `b t` of int64 ids to `b t emb_size`, the last LSTM's output for each token.

    `forward` goes on where the batch before ended, row by row, without gradients into it; `reset` forgets that.
    """

    def __init__(self, vocab: int, emb_size: int, hidden_size: int, layers: int, dropouts: Dropouts) -> None:
        super().__init__()
        self.emb_size, self.dropouts = emb_size, dropouts
        self.embedding = nn.Embedding(vocab, emb_size, padding_idx=PAD_ID if vocab > PAD_ID else None)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.embedding.group = True  # type: ignore[assignment]
        sizes = [emb_size, *[hidden_size] * (layers - 1), emb_size]
        for number, (features, size) in enumerate(pairwise(sizes)):
            self.add_module(f"rnn_{number}", WeightDropLSTM(features, size, dropouts.weight_p))
        self.state: State | None = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The next tokens of each row: int64 `b t` -> `b t emb_size`.

        With more rows than before the new ones begin, with fewer the last ones end.
        """
        state = None if self.state is None else fitted(self.state, len(ids))
        output, state = self.run(ids, state)
        self.state = [(hidden.detach(), cell.detach()) for hidden, cell in state]
        return output

    def run(self, ids: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Tokens `b t` after those that led to `state`: the output `b t emb_size` and the state after them."""
        x = self.embed(ids.t())
        after: State = []
        rnns = (part for part in self.children() if isinstance(part, WeightDropLSTM))
        for number, rnn in enumerate(rnns):
            if number:
                x = locked_dropout(x, self.dropouts.hidden_p, self.training)
            x, carried = rnn(x, None if state is None else state[number])
            after.append(carried)
        return x.transpose(0, 1), after

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """The words' vectors after both dropouts: `t b` -> `t b emb_size`."""
        x, p = self.embedding(ids), self.dropouts.embed_p
        if self.training and p:
            words = (
                self.embedding.weight.new_empty(self.embedding.num_embeddings).bernoulli_(1 - p).div_(1 - p)
            )
            x = x * words[ids].unsqueeze(-1)
        return locked_dropout(x, self.dropouts.input_p, self.training)

    def reset(self) -> None:
        """Begins all texts anew."""
        self.state = None


class WeightDropLSTM(nn.Module):
    """One LSTM, `t b features` to `t b size`, with dropout of its recurrent weights (Wan et al., 2013).

    A weight that is dropped is so for all steps of a batch. Weights are named, ordered and begun as torch's.
    """

    group = True

    def __init__(self, features: In, size: int, weight_p: float = 0.0) -> None:
        super().__init__()
        self.size, self.weight_p = size, weight_p
        self.weight_ih = nn.Parameter(torch.empty(4 * size, features))
        self.weight_hh = nn.Parameter(torch.empty(4 * size, size))
        self.bias_ih = nn.Parameter(torch.empty(4 * size))
        self.bias_hh = nn.Parameter(torch.empty(4 * size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(size), 1 / math.sqrt(size))

    def forward(
        self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """`t b features` and the state before, zeros if None -> `t b size` and the state after."""
        if state is None:
            zeros = x.new_zeros(1, x.shape[1], self.size)
            state = zeros, zeros
        recurrent = weight_dropout(self.weight_hh, self.weight_p, self.training)
        weights = [self.weight_ih, recurrent, self.bias_ih, self.bias_hh]
        learns = x.requires_grad or any(weight.requires_grad for weight in weights)
        keeps = torch.is_grad_enabled() and learns  # what a backward pass needs; there is no dropout in here
        with warnings.catch_warnings(), _precision(x.device):
            if x.is_cuda:  # cuDNN copies the weights into one piece: that can't be kept while they change
                warnings.filterwarnings(
                    "ignore", "RNN module weights are not part of single contiguous chunk"
                )
            hidden = [part.to(x.dtype) for part in state]
            output, hidden_after, cell = torch.lstm(x, hidden, weights, True, 1, 0.0, keeps, False, False)
        return output, (hidden_after, cell)


def _precision(device: torch.device) -> AbstractContextManager[object]:
    """Leaves bfloat16 where the CPU has no such LSTM: torch would fail."""
    onednn = device.type == "cpu" and torch.backends.mkldnn.is_available()
    if onednn and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def locked_dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Drops features of `t b features`, for each row the same at all steps (Gal and Ghahramani, 2016)."""
    if not training or not p:
        return x
    return x * x.new_empty(1, *x.shape[1:]).bernoulli_(1 - p).div_(1 - p)


def weight_dropout(weight: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Drops single weights with probability `p`, rounded to a 256th, and scales the others up to the same mean.

    The mask is drawn from random bytes, which takes a tenth of the time of a float for each weight.
    """
    if not training or not p:
        return weight
    return DropWeights.apply(weight, min(max(round(p * 256), 1), 255))


def kept_weights(weight: torch.Tensor, dropped: int) -> torch.Tensor:
    """A random bool mask like `weight`, false with probability `dropped / 256`."""
    draws = torch.empty(-(-weight.numel() // 8), dtype=torch.int64, device=weight.device)
    draws.random_(torch.iinfo(torch.int64).min, None)
    return (draws.view(torch.uint8)[: weight.numel()] >= dropped).view(weight.shape)


class DropWeights(torch.autograd.Function):
    """Weights times a random mask, which is kept in a byte for each."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, dropped: int) -> torch.Tensor:
        keep = kept_weights(weight, dropped)
        ctx.save_for_backward(keep)
        ctx.scale = 256 / (256 - dropped)
        return torch.where(keep, weight, 0.0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return torch.where(keep, grads[0], 0.0).mul_(ctx.scale), None


def fitted(state: State, rows: int) -> State:
    """A state for another number of rows: the first ones go on, those that come in addition begin with zeros."""

    def fit(part: torch.Tensor) -> torch.Tensor:
        have = part.shape[1]
        return part[:, :rows].contiguous() if rows <= have else F.pad(part, (0, 0, 0, rows - have))

    return [(fit(hidden), fit(cell)) for hidden, cell in state]
