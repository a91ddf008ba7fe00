"""A loss that is no number: which batch, which items, and what is kept of them; numbers that JSON does not have."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from mfc.runtime.errors import RunError
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks import recorder
from mfc.runtime.training.callbacks.recorder import Losses, Recorder
from mfc.runtime.training.events import Callback
from mfc.runtime.training.history import as_lines, read_history
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import META
from tests.runtime.training.standins import learner, loaders
from tests.runtime.training.test_monitors import train

PATHS = [f"points/{i}.txt" for i in range(40)]


def spoilt(item: int):
    """Loaders of which one item is NaN."""
    dls = loaders()
    dls.items = SimpleNamespace(paths=PATHS)  # type: ignore[attr-defined]
    dls.train.x = dls.train.x.clone()
    dls.train.x[item, 2] = math.nan
    return dls


class Change(Callback):
    """What mixup would do: the batch that goes in is another one than the loader gave."""

    def before_batch(self) -> None:
        self.learner.x = self.learner.x + 1


def failing(tmp_path, **changes) -> tuple[RunError, dict, dict]:
    made = learner(callbacks=[Change(), Recorder()], folder=tmp_path, **changes)
    with pytest.raises(RunError) as caught:
        made.fit(Phase(2))
    folder = tmp_path / "bad_batch"
    about = json.loads((folder / "batch.json").read_text())
    return caught.value, about, checkpoint.read_tensors(folder / "batch.safetensors")


def test_the_batch_is_kept_as_it_went_in(tmp_path):
    dls = spoilt(17)
    error, about, kept = failing(tmp_path, dls=dls)
    assert error.code == "R0201"
    names = [item["name"] for item in about["items"]]
    assert about["part"] == "train" and about["as_callbacks_made_it"] and "points/17.txt" in names
    assert error.message == f"the loss is NaN in epoch 1, batch {about['batch']}"
    assert error.notes[0] == f"its items are {', '.join(names[:3])} and 5 more"
    assert error.notes[1] == "what goes into the model is no finite number for points/17.txt"
    assert str(tmp_path / "bad_batch") in error.notes[2]
    ids = kept["items"]
    assert [PATHS[i] for i in ids] == names
    assert torch.equal(kept["x"].nan_to_num(), (dls.train.x[ids] + 1).nan_to_num())
    assert torch.equal(kept["y"], dls.train.y[ids])


def test_the_weights_that_gave_the_loss_are_kept(tmp_path):
    """A loss from the kept batch and weights is NaN where its item is bad, and a number for the others."""
    made = learner(callbacks=[Recorder()], dls=spoilt(17), folder=tmp_path)
    with pytest.raises(RunError):
        made.fit(Phase(1))
    kept = checkpoint.read_tensors(tmp_path / "bad_batch" / "batch.safetensors")
    model = made.model
    before = checkpoint.read_tensors(tmp_path / "bad_batch" / "model.safetensors")
    assert all(torch.equal(before[k], v) or v.isnan().any() for k, v in model.state_dict().items())
    assert all(p.isfinite().all() for p in model.parameters())
    assert kept["x"].isnan().any(1).sum() == 1


def test_a_loss_that_is_looked_at_later_has_its_batch_drawn_again(tmp_path, monkeypatch):
    """As on a GPU: the losses are fetched at the end of the epoch."""
    create = Losses.__init__

    def on_device(self: Losses, device: torch.device, batches: int) -> None:
        create(self, device, batches)
        self._on_device = torch.empty(batches)

    monkeypatch.setattr(Losses, "__init__", on_device)
    dls = spoilt(17)
    _, about, kept = failing(tmp_path, dls=dls)
    assert "points/17.txt" in [item["name"] for item in about["items"]]
    assert not about["as_callbacks_made_it"] and not (tmp_path / "bad_batch" / "model.safetensors").exists()
    assert torch.equal(kept["x"].nan_to_num(), dls.train.x[kept["items"]].nan_to_num())


def test_a_bad_batch_of_the_validation_data(tmp_path):
    dls = loaders()
    dls.valid.x = dls.valid.x.clone()
    dls.valid.x[13] = math.nan
    error, about, kept = failing(tmp_path, dls=dls)
    assert error.message == "the loss is NaN on the validation data after epoch 1, batch 2"
    assert (about["part"], about["batch"], about["loss"]) == ("valid", 2, "nan")
    assert kept["items"].tolist() == list(range(8, 16))
    assert error.notes[0] == "its items are item 8, item 9, item 10 and 5 more"


def test_what_an_earlier_run_kept_is_removed(tmp_path):
    failing(tmp_path, dls=spoilt(3))
    learner(callbacks=[Recorder()], folder=tmp_path).fit(Phase(1))
    assert not (tmp_path / "bad_batch").exists()


def test_a_batch_that_cannot_be_kept_hides_no_error(monkeypatch):
    def refuse(*_):
        raise OSError("no such disk")

    monkeypatch.setattr(recorder, "keep_bad_batch", refuse)
    with pytest.raises(RunError) as caught:
        learner(callbacks=[Recorder()], dls=spoilt(3)).fit(Phase(1))
    assert caught.value.code == "R0201"
    assert caught.value.notes == ["the batch could not be kept: no such disk"]


# ── numbers that JSON does not have ─────────────────────────────────────────────────────────────────────


class Undefined:
    """A metric that is NaN, as a correlation of one class."""

    def reset(self) -> None: ...
    def update(self, pred, target) -> None: ...
    def compute(self) -> float:
        return math.nan


def strict(text: str):
    """As JSON is defined, which has no NaN."""

    def refuse(word: str):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_history_is_json_also_where_a_metric_is_no_number(tmp_path):
    made = learner(callbacks=[Recorder()], metrics=[Undefined()], folder=tmp_path)
    made.fit(Phase(2))
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [strict(line)["Undefined"] for line in lines] == [None, None]
    back = read_history(tmp_path)
    assert all(math.isnan(row["Undefined"]) for row in (*back, *made.history))
    assert as_lines(back) == as_lines(made.history)


def test_checkpoints_and_what_a_training_says_of_itself_are_json(tmp_path):
    made = train(tmp_path, values=[0.5, math.inf, 0.4, math.nan, 0.3, -math.inf])
    path = checkpoint.latest(tmp_path)
    assert path is not None
    strict((path / "state.json").read_text())
    assert strict((tmp_path / META).read_text())["epoch"] == 5
    back = checkpoint.load(path)["history"]
    assert str([row["valid_loss"] for row in back]) == str([row["valid_loss"] for row in made.history])
