"""Checkpoints on the disk: what goes in comes out, and what the disk refuses loses nothing."""

from __future__ import annotations

import errno
import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks import checkpoints
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import learner

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.builds(lambda n: torch.arange(n) * 0.5, st.integers(0, 3))
)
states = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.just("$tensor"), inner, max_size=3)
    ),
    max_leaves=12,
)


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    return a == b


@given(states)
def test_packing_is_undone_by_unpacking(state):
    packed, tensors = checkpoint._pack({"callbacks": state})
    assert not any(isinstance(part, torch.Tensor) for part in str(packed))
    assert equal(checkpoint._unpack(packed, tensors), {"callbacks": state})


def test_what_was_saved_is_loaded(tmp_path):
    conv = nn.Conv2d(3, 4, 3)
    conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    model = nn.Sequential(conv, nn.BatchNorm2d(4))
    state = {
        "model": model.state_dict(),
        "optimizer": {"average": {0: torch.ones(3)}},
        "history": [{"a": 1.5}],
    }
    path = checkpoint.save(tmp_path, state, 3)
    assert sorted(p.name for p in path.iterdir()) == ["model.safetensors", "state.json", "state.safetensors"]
    loaded = checkpoint.load(path)
    assert all(torch.equal(loaded["model"][name], tensor) for name, tensor in model.state_dict().items())
    assert equal(loaded, {"optimizer": state["optimizer"], "history": [{"a": 1.5}], "model": loaded["model"]})


def test_only_the_newest_is_kept_and_leavings_are_removed(tmp_path):
    for epochs in (8, 9, 10):
        checkpoint.save(tmp_path, {"model": {}}, epochs)
    (tmp_path / ".checkpoint-11.tmp").mkdir()
    assert checkpoint.latest(tmp_path) == tmp_path / "checkpoint-10"
    checkpoint.save(tmp_path, {"model": {}}, 11)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-11"]


def test_tied_weights_and_views_of_one_buffer(tmp_path):
    flat = torch.arange(10.0)
    tensors = {"a": flat[:4], "b": flat[4:], "c": flat[:4], "d": flat[2:6], "e": torch.empty(0)}
    checkpoint.write_tensors(tmp_path / "t.safetensors", tensors)
    found = checkpoint.read_tensors(tmp_path / "t.safetensors")
    assert equal(dict(sorted(found.items())), tensors)
    assert (tmp_path / "t.safetensors").stat().st_size < 400


def test_a_state_that_is_no_plain_data_is_refused(tmp_path):
    with pytest.raises(RunError) as caught:
        checkpoint.save(tmp_path, {"model": {}, "callbacks": {"a": {"b": {1, 2}}}}, 1)
    assert caught.value.code == "R0209"
    assert caught.value.message == "the state of `callbacks.a.b` holds a set, which a checkpoint can't keep"


@pytest.mark.parametrize("file", ["model.safetensors", "state.json", "state.safetensors"])
def test_a_damaged_checkpoint_is_named(tmp_path, file):
    path = checkpoint.save(tmp_path, {"model": {"a": torch.ones(3)}}, 1)
    (path / file).write_bytes((path / file).read_bytes()[:-3])
    with pytest.raises(RunError) as caught:
        checkpoint.load(path)
    assert caught.value.code == "R0310"
    assert caught.value.message.startswith(f"the checkpoint {path} can't be read: ")


@contextmanager
def file_size_limit(size: int):
    """The kernel stops a file that grows past the limit as it does on a full disk, but for the number."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_fails_half_way_leaves_the_last_good_checkpoint(tmp_path):
    good = checkpoint.save(tmp_path, {"model": {"a": torch.ones(3)}}, 1)
    with file_size_limit(100_000), pytest.raises(RunError) as caught:
        checkpoint.save(tmp_path, {"model": {"a": torch.ones(50_000)}}, 2)
    assert caught.value.code == "R0303"
    assert caught.value.message == f"can't write {tmp_path / 'checkpoint-2'}: File too large"
    assert list(tmp_path.iterdir()) == [good]
    assert checkpoint.latest(tmp_path) == good


def test_a_full_disk_says_what_is_needed(tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = learner(folder=tmp_path, callbacks=[checkpoint.Checkpoint({})])
    run.fit(Phase(1))
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert caught.value.code == "R0301"
    assert caught.value.message == f"no space left to write {tmp_path / 'checkpoint-2'}"
    needed, _, rest = caught.value.notes[0].partition(" bytes are needed, ")
    assert int(needed.replace(",", "")) > 1000
    assert rest.endswith(" are free")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_no_permission(tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere, so that a mode would not do
    with pytest.raises(RunError) as caught:
        checkpoint.save(tmp_path, {"model": {}}, 1)
    assert caught.value.code == "R0302"
    assert caught.value.message == f"no permission to write {tmp_path / 'checkpoint-1'}"


def kept(folder: Path, *callbacks: Any, epochs: int = 2) -> list[str]:
    """The names of the states that stay after a training of 5 batches an epoch."""
    run = learner(folder=folder, callbacks=[checkpoint.Checkpoint({}), *callbacks])
    run.fit(Phase(epochs))
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_states_within_an_epoch_by_batches(tmp_path):
    names = kept(tmp_path, checkpoints.checkpoint(batches=2, keep=9))
    assert names == [
        "checkpoint-0-2",
        "checkpoint-0-4",
        "checkpoint-1",
        "checkpoint-1-2",
        "checkpoint-1-4",
        "checkpoint-2",
    ]
    assert checkpoint.latest(tmp_path) == tmp_path / "checkpoint-2"
    state = checkpoint.load(tmp_path / "checkpoint-1-2")
    assert (state["done"]["epochs"], state["done"]["batches"]) == (1, 2)


@pytest.mark.parametrize(
    ("keep", "names"), [(1, ["checkpoint-4"]), (3, ["checkpoint-2", "checkpoint-3", "checkpoint-4"])]
)
def test_the_last_states_stay(tmp_path, keep, names):
    assert kept(tmp_path, checkpoints.checkpoint(keep=keep), epochs=4) == names


def test_states_wait_for_the_step_of_gathered_gradients(tmp_path):
    names = kept(tmp_path, checkpoints.checkpoint(batches=3, keep=9), gradient_accumulation(2), epochs=1)
    assert names == ["checkpoint-0-4", "checkpoint-1"]


def test_states_go_on_being_counted_where_a_training_goes_on(tmp_path):
    kept(tmp_path, checkpoints.checkpoint(batches=3, keep=9), epochs=1)
    run = learner(
        folder=tmp_path, callbacks=[checkpoint.Checkpoint({}), checkpoints.checkpoint(batches=3, keep=9)]
    )
    run.load_state_dict(checkpoint.load(tmp_path / "checkpoint-0-3"))
    run.fit(Phase(2))
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert names == ["checkpoint-0-3", "checkpoint-1", "checkpoint-1-3", "checkpoint-2"]
