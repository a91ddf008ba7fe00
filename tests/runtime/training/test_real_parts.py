"""The Learner with the project's own loaders, transforms, optimizers and schedules on real digits."""

from __future__ import annotations

import io
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mfc.runtime.data import item_transforms as it
from mfc.runtime.data import labels, splits
from mfc.runtime.data.batch_pipeline import BatchPipeline
from mfc.runtime.data.batch_transforms import normalize, rotate
from mfc.runtime.data.files import list_files
from mfc.runtime.data.items import list_items
from mfc.runtime.data.loaders import DataLoaders
from mfc.runtime.data.sources import builtin
from mfc.runtime.data.stats import digits_stats
from mfc.runtime.errors import RunInterrupted
from mfc.runtime.optim.optimizers import adam, momentum, sgd
from mfc.runtime.optim.rates import spread
from mfc.runtime.optim.schedules import one_cycle
from mfc.runtime.training.callbacks.precision import channels_last, mixed_precision
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.metrics import accuracy, top_k_accuracy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import weights

CPU = torch.device("cpu")
EPOCHS, BATCHES = 3, 5


class NoCaches:
    """The source of the digits reads no files whose digests could be kept."""

    def __init__(self, root: object) -> None: ...

    def digests(self, names: Sequence[str]) -> list[str]:
        return [""] * len(names)


@pytest.fixture(scope="module")
def items():
    source = builtin("digits")
    split = splits.subset(splits.random(0.2), train=80, valid=40)
    return source, list_items(list_files(source, NoCaches), split, labels.parent(), "category")


def digits(items, workers: int = 0) -> DataLoaders:
    source, listed = items
    random, steady = (
        BatchPipeline([rotate(10), normalize(digits_stats)], 7, "fit", 1, training=training)
        for training in (True, False)
    )
    transforms = [it.random_resized_crop(8)]
    return DataLoaders(listed, source, random, steady, 16, transforms, 7, "fit", CPU, workers)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    body = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))


class Kill(Callback):
    """Ends the training after so many batches, validation ones too, as a crash would."""

    def __init__(self, after: int) -> None:
        self.count = itertools.count()
        self.after = after

    def before_pred(self) -> None:
        if next(self.count) == self.after:
            raise KeyboardInterrupt


def train(items, folder: Path, optimizer, *extra, workers: int = 0, previous=None, only=None) -> Learner:
    model = network()
    phases = [
        Phase(1, one_cycle(1e-2), freeze_to=-1, name="head"),
        Phase(EPOCHS - 1, one_cycle(spread(1e-2)), name="all", callbacks=extra),
    ]
    loaders = digits(items, workers)
    try:
        return train_stage(
            model,
            loaders,
            cross_entropy(label_smoothing=0.1),
            optimizer,
            phases=phases if only is None else [phases[only]],
            metrics=[accuracy(), top_k_accuracy(3)],
            groups=[list(model[:2].parameters()), list(model[2:].parameters())],
            seed=7,
            stage="fit",
            folder=folder,
            device=CPU,
            previous=previous,
            progress=False,
            stream=io.StringIO(),
        )
    finally:
        loaders.close()


def outcome(learner: Learner) -> tuple:
    rows = [{key: value for key, value in row.items() if key != "time"} for row in learner.history]
    return weights(learner.model), rows, learner.optimizer.hypers


OPTIMIZERS = {
    "adam": adam,
    "momentum": momentum,
    "composed": lambda: sgd(mom=0.9, wd=0.01),
}


@pytest.fixture(scope="module", params=OPTIMIZERS)
def uninterrupted(request, items, tmp_path_factory):
    make = OPTIMIZERS[request.param]
    return make, outcome(train(items, tmp_path_factory.mktemp("whole"), make()))


@settings(max_examples=8)
@given(after=st.integers(0, (EPOCHS - 1) * 8 - 1))
def test_resumed_equals_uninterrupted(items, uninterrupted, after):
    make, expected = uninterrupted
    with tempfile.TemporaryDirectory() as name:
        with pytest.raises(RunInterrupted):
            train(items, Path(name), make(), Kill(after))
        assert outcome(train(items, Path(name), make())) == expected


def test_workers_change_nothing(items, tmp_path):
    expected = outcome(train(items, tmp_path / "whole", adam()))
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        with pytest.raises(RunInterrupted):
            train(items, folder, adam(), Kill(10), workers=workers)
        assert outcome(train(items, folder, adam(), workers=2 - workers)) == expected


def test_phases_as_stages_of_their_own(items, uninterrupted, tmp_path):
    make, expected = uninterrupted
    train(items, tmp_path / "head", make(), only=0)
    assert outcome(train(items, tmp_path / "all", make(), only=1, previous=tmp_path / "head")) == expected


def test_mixed_precision_with_channels_last(items, tmp_path):
    runs = []
    for extra in ([], [mixed_precision(), channels_last()]):
        folder = tmp_path / str(len(extra))
        run = train(items, folder, adam(), *extra)
        runs.append(run.history[-1]["train_loss"])
        with pytest.raises(RunInterrupted):
            train(items, tmp_path / f"{len(extra)} killed", adam(), *extra, Kill(9))
        again = train(items, tmp_path / f"{len(extra)} killed", adam(), *extra)
        assert weights(again.model) == weights(run.model)
    assert runs[0] != runs[1]
    assert runs[0] == pytest.approx(runs[1], abs=0.05)


def test_what_a_stage_leaves(items, tmp_path):
    run = train(items, tmp_path, adam())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-3", "goes_on.json", "history.jsonl", "meta.json", "model.safetensors"
    ]  # fmt: skip
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["result"] == run.history[-1]
    assert (meta["stage"], meta["seed"], meta["epochs"], meta["device"]) == ("fit", 7, 3, "cpu")
    assert meta["threads"] == torch.get_num_threads()
    assert set(meta["versions"]) == {"python", "torch", "mfc"}
