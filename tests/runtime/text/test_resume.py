"""A language model that was stopped within an epoch goes on with the next batch, bit for bit, and with what its rows
carry from batch to batch."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfc.runtime.errors import RunInterrupted
from mfc.runtime.optim.optimizers import adam
from mfc.runtime.optim.schedules import one_cycle
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.language_model import language_model
from mfc.runtime.text.lm_batches import lm_loaders
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.rnn_regularizer import rnn_regularizer
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.text.token_files import items, token_file
from tests.runtime.training.standins import weights

VOCAB = 30
CPU = torch.device("cpu")


class Kill(Callback):
    """Ends the training in one batch, as a crash would."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.place = epoch, batch

    def after_loss(self) -> None:
        if self.learner.training and (self.learner.epoch, self.learner.batch) == self.place:
            raise KeyboardInterrupt


def train(folder: Path, *extra: Callback) -> Learner:
    draw = np.random.default_rng(0)
    texts = [draw.integers(9, VOCAB, length) for length in (60, 90, 20, 71, 40, 55)]
    folder.joinpath("tokens").mkdir(exist_ok=True)
    tokens = token_file(folder / "tokens", texts, VOCAB)
    words = [str(i) for i in range(VOCAB)]
    torch.manual_seed(1)
    return train_stage(
        language_model(awd_lstm(8, 12, 2), VOCAB),
        lm_loaders(items(6, valid=[2]), tokens, words, 4, 10, seed=7, stage="fit"),
        cross_entropy(),
        adam(),
        phases=[Phase(2, one_cycle(1e-2))],
        metrics=[accuracy()],
        callbacks=[rnn_regularizer(), *extra],
        seed=7,
        stage="fit",
        folder=folder / "fit",
        device=CPU,
        progress=False,
        stream=io.StringIO(),
    )


def outcome(learner: Learner) -> tuple[object, ...]:
    rows = [{key: value for key, value in row.items() if key != "time"} for row in learner.history]
    return weights(learner.model), rows, learner.optimizer.hypers


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    return outcome(train(tmp_path_factory.mktemp("whole")))


@settings(max_examples=8)
@given(epoch=st.integers(0, 1), batch=st.integers(1, 7))
def test_resumed_within_an_epoch_equals_uninterrupted(whole, epoch, batch):
    every_batch = patch.multiple(checkpoint, EVERY=0, SHARE=0)
    with tempfile.TemporaryDirectory() as name, every_batch:
        with pytest.raises(RunInterrupted, match=f"after batch {batch} of epoch {epoch + 1}"):
            train(Path(name), Kill(epoch, batch))
        assert outcome(train(Path(name))) == whole
