"""The decoder of a language model, and its cross entropy without a score for each token of the vocabulary in memory.

For 32 rows of 72 tokens and 18,000 tokens in the vocabulary the scores are 166 MB; torch's cross entropy holds
them three times. Here they are made, turned into their own gradient and used up a thousand rows at a time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

ROWS = 1152
"""Rows of scores at a time: products of 256 take a quarter longer, more rows only take more memory."""


class TiedDecoder(nn.Linear):
    """Scores of all tokens by the weight of an embedding (Inan et al., 2017), and a bias of its own."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(embedding.embedding_dim, embedding.num_embeddings, device="meta")  # draws no weights
        self.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """`b t features` -> `b vocab t`, in memory as `b t vocab`. In training it is a `Scores`."""
        input = input.contiguous()
        if self.training and torch.is_grad_enabled() and not torch.is_autocast_enabled(input.device.type):
            return Scores.of(input, self.weight, self.bias)
        return F.linear(input, self.weight, self.bias).transpose(1, 2)


class Scores(torch.Tensor):
    """A tensor `b vocab t` that is computed when it is first looked at, which its mean cross entropy does not."""

    input: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    computed: torch.Tensor | None

    @classmethod
    def of(cls, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> Scores:
        """The scores of `input`, `b t features`."""
        scores = input.new_empty(0).as_subclass(cls)
        scores.input, scores.weight, scores.bias, scores.computed = input, weight, bias, None
        return scores

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What torch calls for every function with such a tensor among its arguments."""
        kwargs = kwargs or {}
        if func is F.cross_entropy and isinstance(args[0], Scores) and _is_plain(**kwargs):
            scores, target = args
            ignored = kwargs.get("ignore_index", -100)
            rows = scores.input.flatten(0, 1)
            return LinearCrossEntropy.apply(rows, scores.weight, scores.bias, target.flatten(), ignored)
        return func(*map(_computed, args), **{name: _computed(value) for name, value in kwargs.items()})


def _is_plain(
    weight: torch.Tensor | None = None, reduction: str = "mean", label_smoothing: float = 0.0, **others: Any
) -> bool:
    return weight is None and reduction == "mean" and not label_smoothing


def _computed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_computed(part) for part in value)
    if not isinstance(value, Scores):
        return value
    if value.computed is None:
        value.computed = F.linear(value.input, value.weight, value.bias).transpose(1, 2)
    return value.computed


class LinearCrossEntropy(torch.autograd.Function):
    """Mean cross entropy of `rows @ weight.T + bias`; gradients are computed on the way, as scores are not kept."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        target: torch.Tensor,
        ignored: int,
    ) -> torch.Tensor:
        """Rows `n features`, weight `vocab features`, bias `vocab`, int64 target `n` -> scalar."""
        counted = target != ignored
        target = target.where(counted, 0)[:, None]
        share = (counted.to(rows.dtype) / counted.sum())[:, None]
        loss = rows.new_zeros(())
        grads = torch.empty_like(rows), torch.zeros_like(weight), torch.zeros_like(bias)
        buffer = rows.new_empty(min(ROWS, len(rows)), len(weight))
        for part in torch.arange(len(rows)).split(ROWS):
            at = slice(int(part[0]), int(part[-1]) + 1)
            scores = torch.addmm(bias, rows[at], weight.t(), out=buffer[: len(part)])
            wanted, most = scores.gather(1, target[at]), scores.amax(1, keepdim=True)
            probability = torch.softmax(scores, 1, out=scores)
            # by the likeliest token's probability: the target's own may have become 0
            loss += ((most - wanted - probability.amax(1, keepdim=True).log()) * share[at]).sum()
            # the scores' gradient, but for each row's share in the mean, which takes a pass less on the other side
            grad = probability.scatter_add_(1, target[at], -torch.ones_like(share[at]))
            torch.mm(grad, weight, out=grads[0][at]).mul_(share[at])
            grads[1].addmm_(grad.t(), rows[at] * share[at])
            grads[2].addmv_(grad.t(), share[at, 0])
        ctx.save_for_backward(*grads)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return *(part * grad for part in ctx.saved_tensors), None, None
