"""AWD-LSTM against torch's LSTM and against masks made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mfc.runtime.text import awd_lstm as module
from mfc.runtime.text.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    Dropouts,
    WeightDropLSTM,
    awd_lstm,
    kept_weights,
    locked_dropout,
    weight_dropout,
)
from mfc.runtime.text.rules import PAD_ID

VOCAB, EMB, HIDDEN = 50, 12, 20


def encoder(layers: int = 3, **dropouts: float) -> AWDLSTM:
    torch.manual_seed(0)
    return AWDLSTM(VOCAB, EMB, HIDDEN, layers, Dropouts(**dropouts))


def rnns(net: AWDLSTM) -> list[WeightDropLSTM]:
    return [part for part in net.children() if isinstance(part, WeightDropLSTM)]


def torchs(rnn: WeightDropLSTM) -> nn.LSTM:
    """torch's LSTM with the same weights."""
    lstm = nn.LSTM(rnn.weight_ih.shape[1], rnn.size, batch_first=True)
    lstm.load_state_dict({f"{name}_l0": value for name, value in rnn.state_dict().items()})
    return lstm


def tokens(rows: int = 4, steps: int = 9, seed: int = 1) -> torch.Tensor:
    return torch.randint(2, VOCAB, (rows, steps), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_without_dropout_it_is_torchs_lstm(layers, training):
    net = encoder(layers).train(training)
    if not training:  # dropouts are off in evaluation
        net.dropouts = Dropouts(0.5, 0.5, 0.5, 0.5)
        for rnn in rnns(net):
            rnn.weight_p = 0.5
    lstms = [torchs(rnn) for rnn in rnns(net)]
    states: list = [None] * layers
    for batch in range(3):
        ids = tokens(seed=batch)
        x = net.embedding.weight[ids].detach()
        for number, lstm in enumerate(lstms):
            x, states[number] = lstm(x, states[number])
        torch.testing.assert_close(net(ids), x, atol=1e-5, rtol=0)
    assert net(ids).shape == (4, 9, EMB)


def test_gradients_without_dropout_are_torchs():
    net, ids = encoder(1), tokens()
    lstm = torchs(rnns(net)[0])
    weights = torch.randn(4, 9, EMB)
    (net(ids) * weights).sum().backward()
    (lstm(net.embedding.weight[ids].detach())[0] * weights).sum().backward()
    for name, parameter in rnns(net)[0].named_parameters():
        torch.testing.assert_close(parameter.grad, getattr(lstm, f"{name}_l0").grad, atol=1e-5, rtol=1e-5)


def test_dropped_weights_are_those_of_a_mask_made_by_hand(monkeypatch):
    rnn = WeightDropLSTM(EMB, HIDDEN, weight_p=0.25)
    mask = torch.rand(4 * HIDDEN, HIDDEN) < 0.75
    monkeypatch.setattr(module, "kept_weights", lambda weight, dropped: mask)
    lstm = torchs(rnn)
    dropped = (rnn.weight_hh * mask / 0.75).detach().requires_grad_()
    lstm.weight_hh_l0.data = dropped.data
    x = torch.randn(5, 3, EMB)
    ours, theirs = rnn(x)[0], lstm(x.transpose(0, 1))[0].transpose(0, 1)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    assert rnn.weight_hh.grad is not None
    theirs_grad = lstm.weight_hh_l0.grad
    assert isinstance(theirs_grad, torch.Tensor)
    torch.testing.assert_close(rnn.weight_hh.grad, theirs_grad * mask / 0.75)
    torch.testing.assert_close(rnn.weight_ih.grad, lstm.weight_ih_l0.grad)
    plain = torchs(rnn)
    torch.testing.assert_close(rnn.eval()(x)[0], plain(x.transpose(0, 1))[0].transpose(0, 1))


@given(p=st.sampled_from([0.01, 0.1, 0.2, 0.5, 0.75, 0.99]), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_weight_dropout_keeps_the_mean(p, seed):
    torch.manual_seed(seed)
    weight = torch.ones(400, 301)
    found = weight_dropout(weight, p, True)
    share = (found == 0).double().mean().item()
    rounded = max(round(p * 256), 1) / 256
    assert abs(share - rounded) < 5 * math.sqrt(p * (1 - p) / weight.numel())
    torch.testing.assert_close(found[found != 0], torch.full_like(found[found != 0], 1 / (1 - rounded)))
    assert weight_dropout(weight, p, False) is weight and weight_dropout(weight, 0.0, True) is weight


def test_masks_follow_torchs_generator_and_differ():
    weight = torch.ones(30, 7)
    torch.manual_seed(3)
    first, second = kept_weights(weight, 128), kept_weights(weight, 128)
    torch.manual_seed(3)
    assert torch.equal(kept_weights(weight, 128), first)
    assert not torch.equal(first, second)


def test_locked_dropout_is_one_mask_for_all_steps():
    torch.manual_seed(0)
    found = locked_dropout(torch.ones(7, 5, 40), 0.25, True)
    assert torch.equal(found, found[:1].expand_as(found))
    assert not torch.equal(found[:, 0], found[:, 1])
    assert found.unique().tolist() == pytest.approx([0, 1 / 0.75])


def test_embedding_dropout_drops_whole_words():
    net = encoder(embed_p=0.4)
    torch.manual_seed(2)
    ids = tokens(rows=6, steps=30)
    found = net.embed(ids.t()).transpose(0, 1)
    plain = net.embedding(ids)
    dropped = set()
    for word in ids.unique().tolist():
        factors = (found / plain)[ids == word]
        assert len(factors.unique().round(decimals=3).unique()) == 1
        if factors[0, 0] == 0:
            dropped.add(word)
        else:
            torch.testing.assert_close(factors, torch.full_like(factors, 1 / 0.6))
    assert 0 < len(dropped) < len(ids.unique())
    assert torch.equal(net.eval().embed(ids.t()).transpose(0, 1), plain)


def test_state_goes_on_until_reset():
    net, ids = encoder().eval(), tokens(steps=12)
    whole = net(ids)
    net.reset()
    pieces = torch.cat([net(piece) for piece in ids.split(5, 1)], 1)
    torch.testing.assert_close(pieces, whole, atol=1e-6, rtol=0)
    assert not torch.allclose(net(ids), whole, atol=1e-4)
    net.reset()
    torch.testing.assert_close(net(ids), whole)


def test_no_gradient_reaches_the_batch_before():
    net = encoder()
    net(tokens())
    assert net.state is not None and not any(part.requires_grad for pair in net.state for part in pair)
    net(tokens()).sum().backward()
    net(tokens()).sum().backward()  # would raise if it reached back into the graph that is gone


def test_a_batch_of_another_size_goes_on():
    net = encoder().eval()
    ids, more = tokens(6), tokens(6, seed=2)
    fewer_alone = [net(ids[:3]), net(more[:3])][1]
    net.reset()
    net(ids)
    torch.testing.assert_close(net(more[:3]), fewer_alone, atol=1e-6, rtol=0)
    grown = net(more)
    net.reset()
    torch.testing.assert_close(grown[3:], net(more[3:]), atol=1e-6, rtol=0)


def test_first_weights_are_fastais():
    net = encoder()
    embedding = net.embedding.weight
    assert embedding.abs().max() <= 0.1 and embedding.std().item() == pytest.approx(
        0.2 / math.sqrt(12), rel=0.1
    )
    for rnn in rnns(net):
        for weight in rnn.parameters():
            assert weight.abs().max() <= 1 / math.sqrt(rnn.size)
    assert [tuple(rnn.weight_ih.shape) for rnn in rnns(net)] == [(80, 12), (80, 20), (48, 20)]
    assert torch.equal(embedding, encoder().embedding.weight)


def test_dropouts_are_the_models_unless_given():
    net = awd_lstm(EMB, HIDDEN, hidden_p=0.25).build(VOCAB, CLASSIFIER_DROPOUTS, drop_mult=0.5)
    assert net.dropouts == Dropouts(input_p=0.2, hidden_p=0.125, embed_p=0.025, weight_p=0.25)
    assert {rnn.weight_p for rnn in rnns(net)} == {0.25}
    with pytest.raises(ValueError, match=r"drop_mult = 4 makes a dropout of 0\.25 one of 1, not below 1"):
        awd_lstm().build(VOCAB, drop_mult=4)


def test_a_padding_tokens_vector_does_not_train():
    net, ids = encoder(), tokens()
    ids[:, -2:] = PAD_ID
    net(ids).sum().backward()
    assert net.embedding.weight.grad is not None
    assert not net.embedding.weight.grad[PAD_ID].any() and net.embedding.weight.grad[ids[0, 0]].any()


def test_names_of_weights():
    assert list(encoder(1).state_dict()) == [
        "embedding.weight", "rnn_0.weight_ih", "rnn_0.weight_hh", "rnn_0.bias_ih", "rnn_0.bias_hh",
    ]  # fmt: skip
