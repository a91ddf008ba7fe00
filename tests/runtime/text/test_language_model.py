"""The language model: its decoder, its groups, and the cross entropy that keeps no scores."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from mfc.runtime.text import decoder
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.decoder import LinearCrossEntropy, Scores
from mfc.runtime.text.language_model import language_model
from mfc.runtime.training.losses import cross_entropy

VOCAB = 60


def model(**options) -> language_model:
    torch.manual_seed(0)
    return language_model(awd_lstm(12, 20, 3), VOCAB, **options)


def batch(rows: int = 4, steps: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(2, VOCAB, (rows, steps + 1), generator=torch.Generator().manual_seed(1))
    return ids[:, :-1], ids[:, 1:]


def gradients(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def test_scores_are_the_embeddings_products():
    net, (x, _) = model().eval(), batch()
    encoded = net.encoder(x)
    net.reset()
    scores = net(x)
    assert scores.shape == (4, VOCAB, 9) and scores.transpose(1, 2).is_contiguous()
    expected = encoded @ net.encoder.embedding.weight.t() + net.decoder.bias
    torch.testing.assert_close(scores.transpose(1, 2), expected)
    assert net.decoder.weight is net.encoder.embedding.weight
    assert not net.decoder.bias.any()


def test_parameter_groups_and_names():
    net = model()
    flags = {path: module.group for path, module in net.named_modules() if hasattr(module, "group")}
    assert flags == {f"encoder.rnn_{i}": True for i in range(3)} | {"encoder.embedding": False}
    names = [name for name, _ in net.named_parameters()]
    assert [n for n in names if "rnn" not in n] == names[-2:] == ["encoder.embedding.weight", "decoder.bias"]


def test_encoder_weights_go_to_a_classifier():
    from mfc.runtime.text.text_classifier import text_classifier

    classifier = text_classifier(awd_lstm(12, 20, 3), 2, VOCAB)
    classifier.encoder.load_state_dict(model().encoder.state_dict())


@pytest.mark.parametrize("loss", [cross_entropy(), cross_entropy(ignore_index=5)], ids=["all", "ignoring"])
def test_loss_and_gradients_are_those_of_kept_scores(loss):
    net, (x, y) = model(drop_mult=0.0), batch(rows=40)
    y[0, :3] = 5
    scores = net(x)
    assert isinstance(scores, Scores)
    ours = loss(scores, y)
    assert scores.computed is None  # no scores were kept
    (3 * ours).backward()
    found = gradients(net)
    net.zero_grad()
    net.reset()
    kept = F.linear(net.encoder(x), net.decoder.weight, net.decoder.bias).transpose(1, 2)
    theirs = loss(kept, y)
    (3 * theirs).backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found, gradients(net), atol=1e-6, rtol=1e-4)


def test_linear_cross_entropy_by_finite_differences():
    draw = torch.Generator().manual_seed(0)
    rows, weight = (torch.randn(n, 4, dtype=torch.float64, generator=draw) for n in (7, 5))
    bias, target = torch.randn(5, dtype=torch.float64, generator=draw), torch.tensor([0, 1, 2, 3, 4, 9, 0])
    inputs = tuple(t.requires_grad_() for t in (rows, weight, bias))
    assert torch.autograd.gradcheck(lambda *t: LinearCrossEntropy.apply(*t, target, 9), inputs)


def test_large_scores_overflow_nothing():
    rows, weight = torch.full((2, 3), 100.0, requires_grad=True), torch.eye(3) * 10
    loss = LinearCrossEntropy.apply(rows, weight, torch.tensor([0.0, 500.0, 0.0]), torch.tensor([0, 1]), -100)
    assert loss.item() == pytest.approx(250)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_at_a_time_make_no_difference(rows, monkeypatch):
    net, (x, y) = model(drop_mult=0.0), batch()
    expected = F.cross_entropy(net(x), y).item()
    net.reset()
    monkeypatch.setattr(decoder, "ROWS", rows)
    assert F.cross_entropy(net(x), y).item() == pytest.approx(expected)


def test_scores_are_a_tensor_to_everything_else():
    net, (x, y) = model(drop_mult=0.0), batch()
    scores = net(x)
    net.reset()
    expected = net.eval()(x)
    assert scores.shape == (4, VOCAB, 9) and scores.dtype is torch.float32
    torch.testing.assert_close(scores.detach(), expected)
    for value in (scores.argmax(1), 2 * scores, scores - 1, torch.stack([scores, scores]), scores[0, :, 1:]):
        assert type(value) is torch.Tensor
    smoothed = cross_entropy(label_smoothing=0.1)
    torch.testing.assert_close(smoothed(scores, y), smoothed(expected, y))
    smoothed(scores, y).backward()
    assert net.decoder.bias.grad is not None


def test_state_is_carried_and_reset():
    net, (x, _) = model().eval(), batch()
    first, second = net(x), net(x)
    net.reset()
    assert not torch.allclose(first, second)
    torch.testing.assert_close(net(x), first)


def test_output_dropout_is_recorded_for_regularisation():
    net, (x, _) = model(output_p=0.5), batch()
    net(x)
    assert net.recorded is None
    net.recorded = []
    net(x)
    ((raw, dropped),) = net.recorded
    kept = (dropped != 0).float()
    torch.testing.assert_close(dropped, raw * kept * 2)
    assert torch.equal(kept, kept[:, :1].expand_as(kept)) and 0 < kept.mean() < 1


def test_autocast_gives_bf16_scores():
    net, (x, y) = model(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        scores = [net(x), net(x)][1]
    assert type(scores) is torch.Tensor and scores.dtype is torch.bfloat16
    F.cross_entropy(scores.float(), y).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_model_can_be_copied_after_training_steps():
    net, (x, y) = model(drop_mult=0.0), batch()
    F.cross_entropy(net(x), y).backward()
    other = copy.deepcopy(net)
    assert other.decoder.weight is other.encoder.embedding.weight
    torch.testing.assert_close(other.eval()(x), net.eval()(x))
