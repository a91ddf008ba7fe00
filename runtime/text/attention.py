"""Which tokens mattered for what a text classifier says."""

from __future__ import annotations

import torch

from mfc.runtime.modes import evaluating
from mfc.runtime.text.text_classifier import text_classifier


def token_importance(model: text_classifier, ids: torch.Tensor, target: int | None = None) -> torch.Tensor:
    """How much each token of one text counts for the score of a class: int64 ids `t` -> float32 `t`, 0 to 1.

    It is the size of gradient times embedding: how far the score would move, to first order, without the token's
    vector (Li et al., "Visualizing and Understanding Neural Models in NLP", 2016). The largest is 1. Tokens
    further from the end than the model's `max_len` have none: they lead to no gradient.

    Args:
        target: index of the class, the most likely one if None.
    """
    vectors: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        vectors.append(output.detach().requires_grad_(torch.is_grad_enabled()))
        return vectors[-1]

    hook = model.encoder.embedding.register_forward_hook(keep)
    try:
        with evaluating(model), torch.enable_grad():
            scores = model.head(model.pooled(ids[None], through=True))[0]
            score = scores[scores.argmax() if target is None else target]
            reached = [vector for vector in vectors if vector.requires_grad]
            grads = torch.autograd.grad(score, reached)
    finally:
        hook.remove()
    sizes = torch.cat(
        [(vector * grad).sum(-1).abs().flatten() for vector, grad in zip(reached, grads)]
    ).detach()
    found = torch.zeros(len(ids), dtype=torch.float32, device=ids.device)
    end = sum(vector.numel() for vector in vectors) // vectors[0].shape[-1]
    found[end - len(sizes) : end] = sizes / sizes.max().clamp(min=torch.finfo(sizes.dtype).tiny)
    return found
