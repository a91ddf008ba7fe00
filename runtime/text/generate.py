"""Texts that a language model makes up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch

from mfc.runtime.component import Range
from mfc.runtime.modes import evaluating
from mfc.runtime.streams import Stream
from mfc.runtime.text.language_model import language_model
from mfc.runtime.text.rules import BOS_ID, EOS_ID, PAD_ID, UNK_ID

ENDS = (BOS_ID, EOS_ID)
"""Ids that end a text: `xxbos`, with which the next one begins, and `xxeos`."""

NEVER = (UNK_ID, PAD_ID)
"""Ids that are no text: `xxunk` and `xxpad`."""


def generate(
    model: language_model,
    prompt: Sequence[int],
    count: Annotated[int, Range(0)] = 100,
    temperature: Annotated[float, Range(above=0)] = 1.0,
    top_k: Annotated[int, Range(1)] | None = None,
    seed: int = 42,
    ends: Sequence[int] = ENDS,
    never: Sequence[int] = NEVER,
) -> list[int]:
    """Goes on with a text: up to `count` ids after those of `prompt`, without the id that ended it.

    Each token is drawn from the model's probabilities given all before it; the same seed draws the same text.

    Args:
        prompt: ids to begin with, at least one; a text begins with `xxbos` (2).
        temperature: divides the scores; below 1 likely tokens come more often.
        top_k: draws only from the most likely ones (Fan et al., 2018), from all if None.
        ends: ids that end the text.
        never: ids that are not drawn.
    """
    if not prompt:
        raise ValueError("a prompt needs at least one token: xxbos begins a text")
    draws = torch.Generator().manual_seed(Stream(seed, "generate", "token").torch_seed())
    device = next(model.parameters()).device
    found: list[int] = []
    following = torch.tensor([list(prompt)], device=device)
    with evaluating(model):
        while len(found) < count:
            scores = model(following)[0, :, -1].float().cpu() / temperature
            scores[list(never)] = -torch.inf
            if top_k is not None and top_k < len(scores):
                scores[scores < scores.topk(top_k).values[-1]] = -torch.inf
            token = int(torch.multinomial(scores.softmax(0), 1, generator=draws))
            if token in ends:
                break
            found.append(token)
            following = torch.tensor([[token]], device=device)
    return found
