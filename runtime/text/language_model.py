"""A language model: an encoder, and a decoder that scores every token of the vocabulary as the next one."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from mfc.runtime.component import Encoder, In, Range, architecture
from mfc.runtime.text.awd_lstm import LANGUAGE_MODEL_DROPOUTS, locked_dropout, scaled
from mfc.runtime.text.decoder import TiedDecoder


@architecture(shape="b t -> b vocab t", groups=("encoder", "decoder"), parameters="encoder + vocab")
class language_model(nn.Module):
    """Predicts each next token of texts: ids `b t` to scores `b vocab t` (Merity et al., 2017).

    The decoder shares its weight with the embedding (Inan et al., 2017). Parameter groups are fastai's: one for
    each LSTM, then the embedding together with the decoder.

    Args:
        encoder: such as `awd_lstm()`.
        vocab: how many tokens there are.
        output_p: dropout of what enters the decoder, the same for all tokens of a text.
        drop_mult: multiplies the probabilities of all dropouts, the encoder's too.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocab: In,
        output_p: Annotated[float, Range(0, below=1)] = 0.1,
        drop_mult: Annotated[float, Range(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.output_p = scaled(output_p, drop_mult)
        self.encoder = encoder.build(vocab, LANGUAGE_MODEL_DROPOUTS, drop_mult)
        embedding = self.encoder.embedding
        self.decoder = TiedDecoder(embedding)
        # The embedding trains with the decoder: it is in no group of its own, and comes after the LSTMs.
        embedding.group = False
        self.encoder.add_module("embedding", self.encoder._modules.pop("embedding"))
        self.recorded: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The next tokens of each row, int64 `b t`, after those of the batch before -> scores `b vocab t`."""
        raw = self.encoder(ids)
        dropped = locked_dropout(raw.transpose(0, 1), self.output_p, self.training).transpose(0, 1)
        if self.recorded is not None and self.training:
            self.recorded = [(raw, dropped)]
        return self.decoder(dropped)

    def reset(self) -> None:
        """Begins all texts anew."""
        self.encoder.reset()
