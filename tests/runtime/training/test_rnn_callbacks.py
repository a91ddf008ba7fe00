"""Regularisation of recurrent models, and gradient clipping, in a Learner."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F

from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.language_model import language_model
from mfc.runtime.text.text_classifier import text_classifier
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.rnn_regularizer import rnn_regularizer
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import Factory, Loader, Loaders, learner, weights

VOCAB = 20


def texts() -> Loaders:
    ids = torch.randint(2, VOCAB, (12, 8), generator=torch.Generator().manual_seed(1))
    train, valid = Loader(ids[:, :-1], ids[:, 1:], 4), Loader(ids[:4, :-1], ids[:4, 1:], 4)
    return Loaders(train, valid, [str(i) for i in range(VOCAB)])


def lm() -> language_model:
    torch.manual_seed(0)
    return language_model(awd_lstm(6, 8, 2), VOCAB)


def trained(*callbacks: Callback, model: torch.nn.Module | None = None) -> Learner:
    run = Learner(
        lm() if model is None else model, texts(), cross_entropy(), Factory(lr=0.5), stream=io.StringIO(),
        callbacks=[*callbacks, Recorder()],
    )  # fmt: skip
    run.fit(Phase(1))
    return run


def bare(alpha: float, beta: float, max_norm: float | None = None) -> language_model:
    """The same training by hand."""
    model, dls, steps = lm().train(), texts(), Stream(42, "fit", "step")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for number, (x, y, _) in enumerate(dls.train):
        torch.manual_seed(steps.torch_seed(0, number))
        model.recorded = []
        loss = F.cross_entropy(model(x), y)
        ((raw, dropped),) = model.recorded
        loss = loss + alpha * dropped.pow(2).mean() + beta * (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 1.0), (20.0, 0.0), (0.0, 300.0)])
def test_regularisation_is_what_merity_adds(alpha, beta):
    run = trained(rnn_regularizer(alpha, beta))
    torch.testing.assert_close(weights(run.model), weights(bare(alpha, beta)))
    assert weights(run.model) != weights(trained().model)


def test_the_history_shows_the_loss_itself():
    plain = trained(rnn_regularizer(0, 0)).history[0]
    assert trained().history[0]["train_loss"] == plain["train_loss"]
    seen = []

    class Look(Callback):
        def after_loss(self) -> None:
            seen.append(self.learner.loss.item())

    run = trained(Look(), rnn_regularizer(1e4, 0))
    assert seen[0] > 2 * run.history[0]["train_loss"]  # what is trained on is larger
    assert seen[-1] == pytest.approx(run.history[0]["valid_loss"])  # validation is not regularised


def test_nothing_is_left_behind():
    run = trained(rnn_regularizer())
    assert run.model.recorded is None

    class Broken(Callback):
        def after_loss(self) -> None:
            raise ValueError

    model = lm()
    with pytest.raises(RunError):
        trained(Broken(), rnn_regularizer(), model=model)
    assert model.recorded is None


def test_a_classifier_is_regularised():
    torch.manual_seed(0)
    model = text_classifier(awd_lstm(6, 8, 2), 3, VOCAB, seq_len=4, max_len=8)
    ids = torch.randint(2, VOCAB, (12, 20))
    dls = Loaders(Loader(ids, torch.arange(12) % 3, 4), Loader(ids, torch.arange(12) % 3, 4), ["a", "b", "c"])
    sizes = []

    class Look(rnn_regularizer):
        def penalty(self, pieces):
            sizes.append([tuple(raw.shape) for raw, _ in pieces])
            return super().penalty(pieces)

    run = Learner(
        model, dls, cross_entropy(), Factory(), callbacks=[Look(), Recorder()], stream=io.StringIO()
    )
    run.fit(Phase(1))
    assert sizes == [[(4, 4, 6)] * 2] * 3


def test_a_model_without_recurrence():
    run = learner(callbacks=[rnn_regularizer()], stream=io.StringIO())
    with pytest.raises(RunError, match="has nothing to regularise in the model Sequential") as error:
        run.fit(Phase(1))
    assert error.value.code == "R0212"


@pytest.mark.parametrize("max_norm", [0.05, 0.4, 1e3])
def test_clipping_is_torchs(max_norm):
    run = trained(rnn_regularizer(), gradient_clip(max_norm))
    torch.testing.assert_close(weights(run.model), weights(bare(2.0, 1.0, max_norm)))


def test_gradients_below_the_norm_stay_as_they_are():
    assert weights(trained(gradient_clip(1e6)).model) == weights(trained().model)


def test_with_mixed_precision():
    run = trained(mixed_precision(), rnn_regularizer(), gradient_clip(0.1))
    assert torch.tensor(weights(run.model)).isfinite().all()
