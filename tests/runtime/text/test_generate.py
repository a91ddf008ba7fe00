"""Generation: the same seed the same text, the right probabilities, an end."""

from __future__ import annotations

import pytest
import torch

from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.generate import generate
from mfc.runtime.text.language_model import language_model

VOCAB = 12


def model(scale: float = 30) -> language_model:
    torch.manual_seed(0)
    net = language_model(awd_lstm(8, 10, 2), VOCAB)
    with torch.no_grad():
        net.encoder.embedding.weight.mul_(scale)
    return net


def test_a_seed_fixes_the_text():
    net = model()
    first = generate(net, [2], 40, seed=1)
    torch.rand(3)  # other draws make no difference
    assert generate(net, [2], 40, seed=1) == first
    assert generate(net, [2], 40, seed=2) != first


def test_the_likeliest_is_what_a_plain_loop_finds():
    net = model().eval()
    found = generate(net, [2, 5, 7], 10, top_k=1, ends=())
    ids = [2, 5, 7]
    for _ in range(10):
        net.reset()
        scores = net(torch.tensor([ids]))[0, :, -1]
        scores[:2] = -torch.inf
        ids.append(int(scores.argmax()))
    assert found == ids[3:]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_they_are_likely(temperature):
    net = model(scale=5).eval()
    scores = net(torch.tensor([[2]]))[0, :, -1] / temperature
    scores[:2] = -torch.inf
    kept = scores.topk(4).indices
    expected = torch.zeros(VOCAB)
    expected[kept] = scores[kept].softmax(0).detach()
    draws = 1500
    drawn = [generate(net, [2], 1, temperature, top_k=4, seed=seed, ends=())[0] for seed in range(draws)]
    found = torch.bincount(torch.tensor(drawn), minlength=VOCAB) / draws
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def test_it_stops_at_the_end_of_the_text():
    net = model()
    whole = generate(net, [2], 60, seed=3, ends=())
    assert len(whole) == 60 and not {0, 1} & set(whole)
    end = whole[10]
    assert generate(net, [2], 60, seed=3, ends=(end,)) == whole[: whole.index(end)]
    assert generate(net, [2], 0) == []


def test_it_leaves_the_model_as_it_was():
    net = model().train()
    generate(net, [2], 5)
    assert net.training and net.encoder.state is None


def test_an_empty_prompt():
    with pytest.raises(ValueError, match="at least one token"):
        generate(model(), [], 5)
