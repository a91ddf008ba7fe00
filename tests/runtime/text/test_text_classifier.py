"""The text classifier against a plain loop over each document by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfc.runtime.text.awd_lstm import Dropouts, awd_lstm
from mfc.runtime.text.rules import PAD_ID as PAD
from mfc.runtime.text.text_classifier import text_classifier, text_lengths

VOCAB, EMB, SEQ, MAX = 40, 8, 5, 20


def model(classes: int = 3, **options) -> text_classifier:
    torch.manual_seed(0)
    options = {"seq_len": SEQ, "max_len": MAX, "drop_mult": 0.0, **options}
    return text_classifier(awd_lstm(EMB, 12, 2), classes, VOCAB, **options)


def document(length: int) -> torch.Tensor:
    return torch.randint(2, VOCAB, (length,), generator=torch.Generator().manual_seed(length))


def padded(lengths: list[int], width: int | None = None) -> torch.Tensor:
    ids = torch.full((len(lengths), width or max(lengths)), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = document(length)
    return ids


def pooled_alone(net: text_classifier, ids: torch.Tensor) -> torch.Tensor:
    """What is pooled of one document without padding: `t` -> `3*emb_size`, by a loop over its pieces."""
    net.encoder.reset()
    kept = []
    for start in range(0, len(ids), SEQ):
        output = net.encoder(ids[None, start : start + SEQ])[0]
        if len(ids) - start <= MAX:
            kept.append(output)
    outputs = torch.cat(kept)
    return torch.cat([outputs[-1], outputs.max(0).values, outputs.mean(0)])


LENGTHS = [1, 4, 5, 6, 19, 20, 21, 23, 25, 26, 61]


@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
def test_it_is_a_plain_loop_over_each_document(grad):
    net = model().eval()
    lengths = LENGTHS[::-1] + LENGTHS[2:7]  # in no order
    with torch.set_grad_enabled(grad):
        found = net.pooled(padded(lengths))
        expected = torch.stack([pooled_alone(net, document(length)) for length in lengths])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(net(padded(lengths)), net.head(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_are_those_of_a_plain_loop(length):
    net = model()
    lengths = [7, length, 33]
    weights = torch.randn(3, 3 * EMB)
    (net.pooled(padded(lengths)) * weights).sum().backward()
    found = [p.grad.clone() for p in net.encoder.parameters() if p.grad is not None]
    net.zero_grad()
    for weight, size in zip(weights, lengths):
        (pooled_alone(net, document(size)) * weight).sum().backward()
    expected = [p.grad for p in net.encoder.parameters()]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("extra", [1, 4, 5, 40])
def test_padding_changes_nothing(extra):
    net, lengths = model().eval(), [3, 26, 11]
    torch.testing.assert_close(net(padded(lengths, 26 + extra)), net(padded(lengths)), atol=1e-6, rtol=0)


def test_no_piece_of_padding_is_read():
    net = model().eval()
    read = []
    run = net.encoder.run
    net.encoder.run = lambda ids, state: read.append(tuple(ids.shape)) or run(ids, state)
    with torch.no_grad():
        net(padded([3, 26, 11], 60))
    assert read == [(3, 5), (2, 5), (2, 5), (1, 5), (1, 5), (1, 1)]


def saved_bytes(net: text_classifier, length: int) -> int:
    """How much the backward pass keeps for two documents of a length."""
    total = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(padded([length, length]))
    return total


def test_memory_does_not_grow_with_length():
    net = model()
    assert saved_bytes(net, 10) < saved_bytes(net, 20)
    assert saved_bytes(net, 2000) == saved_bytes(net, 200) == saved_bytes(net, 20)


def test_no_gradient_comes_from_before_max_len():
    net = model()
    ids = padded([60])
    used = ids[0, 60 - MAX :].unique()
    net.pooled(ids).sum().backward()
    grad = net.encoder.embedding.weight.grad
    assert grad is not None
    assert set(grad.abs().sum(1).nonzero().flatten().tolist()) == set(used.tolist())


def test_the_head_is_fastais():
    net = model()
    assert [type(part) for part in net.head] == [
        *(type(net.head.batchnorm_0), nn.Dropout, nn.Linear, nn.ReLU),
        *(type(net.head.batchnorm_1), nn.Dropout, nn.Linear),
    ]
    shapes = {name: tuple(p.shape) for name, p in net.head.named_parameters()}
    assert shapes == {
        "batchnorm_0.weight": (24,), "batchnorm_0.bias": (24,), "linear_0.weight": (50, 24),
        "batchnorm_1.weight": (50,), "batchnorm_1.bias": (50,), "linear_1.weight": (3, 50),
    }  # fmt: skip
    net = model(drop_mult=0.5, output_p=0.4, hidden_p=0.2)
    dropouts = [m.p for m in net.head if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.2, 0.2]  # fastai multiplies the first one only
    assert net.encoder.dropouts == Dropouts(input_p=0.2, hidden_p=0.15, embed_p=0.025, weight_p=0.25)


def test_parameter_groups_are_fastais():
    groups = [path for path, module in model().named_modules() if getattr(module, "group", False) is True]
    assert groups == ["encoder.embedding", "encoder.rnn_0", "encoder.rnn_1", "head"]


def test_a_batch_of_one_text_trains():
    net = model()
    net(padded([7])).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_dropouts_act_in_training_only():
    net, ids = model(drop_mult=1.0), padded([12, 30, 7])
    assert not torch.allclose(net(ids), net(ids))
    net.eval()
    assert torch.equal(net(ids), net(ids))


def test_lengths():
    ids = torch.tensor([[5, 6, 1, 7, 1], [1, 1, 1, 1, 1], [5, 5, 5, 5, 5]])
    assert text_lengths(ids).tolist() == [4, 1, 5]  # a padding token within a text is one of its tokens
    assert model().eval()(ids).isfinite().all()


def test_outputs_are_recorded_for_regularisation():
    net = model()
    net.recorded = []
    net(padded([61, 7]))
    # two pieces of the short text, the last four of the long one
    assert [tuple(raw.shape) for raw, _ in net.recorded] == [*[(1, 5, EMB)] * 5, (1, 1, EMB)]


def test_too_small_a_max_len():
    with pytest.raises(ValueError, match="nothing would be pooled"):
        model(max_len=4)
