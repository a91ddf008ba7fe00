"""What mattered to a text classifier."""

from __future__ import annotations

import pytest
import torch

from mfc.runtime.text.attention import token_importance
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.text_classifier import text_classifier

VOCAB = 30


def model() -> text_classifier:
    torch.manual_seed(0)
    return text_classifier(awd_lstm(6, 9, 2), 2, VOCAB, seq_len=5, max_len=20).eval()


def text(length: int) -> torch.Tensor:
    return torch.randint(2, VOCAB, (length,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("target", [None, 0, 1])
def test_it_is_gradient_times_embedding(target):
    net, ids = model(), text(13)
    found = token_importance(net, ids, target)
    # by differences: the score when a token's vector shrinks a little, with the pieces read as one
    whole = text_classifier(awd_lstm(6, 9, 2), 2, VOCAB, seq_len=20, max_len=20).eval()
    whole.load_state_dict(net.state_dict())
    whole.double()
    weight = whole.encoder.embedding.weight.detach()
    vectors = weight[ids].requires_grad_()
    whole.encoder.embedding.register_forward_hook(lambda module, args, output: vectors[:, None])
    scores = whole(ids[None])[0]
    score = scores.max() if target is None else scores[target]
    (grad,) = torch.autograd.grad(score, vectors)
    expected = (grad * vectors).sum(1).abs()
    torch.testing.assert_close(found, (expected / expected.max()).float().detach(), atol=1e-4, rtol=1e-3)


def test_tokens_before_max_len_have_none():
    found = token_importance(model(), text(33))
    assert found.shape == (33,) and found.max() == 1
    assert not found[:15].any() and found[15:].all()


def test_padding_has_none():
    net, ids = model(), text(12)
    alone = token_importance(net, ids)
    found = token_importance(net, torch.cat([ids, torch.ones(9, dtype=torch.int64)]))
    torch.testing.assert_close(found[:12], alone)
    assert not found[12:].any()


def test_it_leaves_the_model_as_it_was():
    net, ids = model().train(), text(12)
    with torch.no_grad():
        token_importance(net, ids)
    assert net.training and all(p.grad is None for p in net.parameters())
    assert not net.encoder.embedding._forward_hooks
