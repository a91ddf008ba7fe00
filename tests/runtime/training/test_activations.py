"""Statistics of layers, against hooks and arithmetic written out by hand; and that looking changes nothing."""

from __future__ import annotations

import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.activations import Activations, arrays_of, read_activations
from mfc.runtime.training.callbacks import activation_stats as module
from mfc.runtime.training.callbacks.activation_stats import activation_stats, histogram_of
from mfc.runtime.training.callbacks.compilation import compile
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.events import Callback, CancelFit, CancelTrain
from mfc.runtime.training.hooks import Hooks, first_tensor, layers_matching
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import Factory, Triangle, learner, loaders, network, weights
from tests.runtime.training.test_resume import Kill

BATCHES = 5


class Twice(nn.Module):
    """One module that is called twice in a pass, relus in place, an output of several tensors, a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.shared, self.relu = nn.Linear(6, 6), nn.ReLU(inplace=True)
        self.gru, self.last = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        x = self.frozen(x)
        for _ in range(2):
            x = self.relu(self.shared(x))
        return self.last(self.gru(x[:, None])[0][:, 0])


class ByHand(Callback):
    """What is expected: numpy's statistics of all outputs and gradients of each batch, by plain torch hooks."""

    def __init__(self, names: list[str], every: int) -> None:
        self.names, self.every = names, every
        self.rows: list[dict[str, dict[str, list[np.ndarray]]]] = []

    def before_batch(self) -> None:
        self.handles: list[Any] = []
        if not self.learner.training or self.learner.batch % self.every:
            return
        row: dict = {"forward": {}, "backward": {}}
        self.rows.append(row)
        for name in self.names:

            def hook(_, __, output, name=name):
                tensor = output[0] if isinstance(output, tuple) else output
                row["forward"].setdefault(name, []).append(tensor.detach().float().numpy().copy().ravel())
                if tensor.requires_grad:
                    keep = row["backward"].setdefault(name, [])
                    self.handles.append(
                        tensor.register_hook(lambda g: keep.append(g.float().numpy().copy().ravel()))
                    )

            self.handles.append(self.learner.model.get_submodule(name).register_forward_hook(hook))

    def after_batch(self) -> None:
        for handle in self.handles:
            handle.remove()


def compare(found: Activations, rows: list, names: list[str], tolerance: float = 1e-5) -> None:
    assert found.layers == names and len(found) == len(rows) > 0
    for direction, zero, edges in (("forward", 0.05, found.edges), ("backward", 1e-8, found.gradient_edges)):
        statistics = getattr(found, direction)
        for row, expected in enumerate(rows):
            for column, name in enumerate(names):
                ours = [getattr(statistics, kind)[row, column] for kind in ("mean", "std", "near_zero")]
                if name not in expected[direction]:
                    assert np.isnan(ours).all() and not statistics.histogram[row, column].any()
                    continue
                numbers = np.concatenate(expected[direction][name])
                theirs = [
                    numbers.mean(dtype=np.float64),
                    numbers.std(dtype=np.float64),
                    (abs(numbers) <= zero).mean(),
                ]
                assert ours == pytest.approx(theirs, rel=tolerance, abs=1e-7)
                counts, _ = np.histogram(abs(numbers), edges)
                assert abs(statistics.histogram[row, column] - counts).sum() <= 2  # at an edge, by rounding


@pytest.mark.parametrize("extra", [[], [mixed_precision()]], ids=["fp32", "bf16"])
def test_against_hooks_by_hand(tmp_path, extra):
    model = Twice()
    names = ["frozen", "shared", "relu", "gru", "last"]
    by_hand, ours = ByHand(names, 2), activation_stats("*", every=2)
    learner(model=model, callbacks=[ours, by_hand, *extra], folder=tmp_path).fit(Phase(2))
    found = read_activations(tmp_path)
    compare(found, by_hand.rows, names)
    assert found.epoch.tolist() == [1, 1, 1, 2, 2, 2]
    assert found.batch.tolist() == [1, 3, 5] * 2
    assert found.place[1] == pytest.approx(0.4)
    assert found.backward is not None
    # the frozen layer has activations and no gradients; the shared one counts both calls
    assert np.isnan(found.backward.mean[:, 0]).all() and not np.isnan(found.forward.mean).any()
    assert found.forward.histogram[0, 1].sum() == 2 * 8 * 6


def test_only_activations(tmp_path):
    ours = activation_stats("2", every=1, backward=False, bins=4, limit=2, near_zero=0.5)
    learner(callbacks=[ours], folder=tmp_path).fit(Phase(1))
    found = read_activations(tmp_path)
    assert found.backward is None and found.layers == ["2"]
    assert found.edges.tolist() == [0, 0.5, 1, 1.5, 2]
    below = found.forward.histogram[:, 0, 0] / (8 * 16)
    assert found.forward.near_zero[:, 0] == pytest.approx(below, abs=1e-6)


def test_looking_changes_nothing(tmp_path):
    """Not one bit, though dropout draws at random and a relu works in place."""
    plain, watched = learner(), learner(callbacks=[activation_stats("**", every=1)], folder=tmp_path)
    for made in (plain, watched):
        made.fit(Phase(2))
    assert weights(plain.model) == weights(watched.model)
    assert not any(module._forward_hooks for module in watched.model.modules())


def test_gradients_are_those_of_the_loss_whatever_it_was_multiplied_by(tmp_path):
    """As a dynamic scale does for the backward pass."""

    class Scaled(Callback):
        def before_backward(self) -> None:
            self.learner.loss_weight = 1024.0

        def before_step(self) -> None:
            for parameter in self.learner.model.parameters():
                assert parameter.grad is not None
                parameter.grad /= 1024

    found = []
    for extra in ([], [Scaled()]):
        folder = tmp_path / str(len(extra))
        folder.mkdir()
        made = learner(callbacks=[activation_stats("*"), *extra], folder=folder)
        made.fit(Phase(1))
        found.append(read_activations(folder).backward)
    assert found[1].std == pytest.approx(found[0].std, rel=1e-3)


def test_a_cancel_within_a_batch_leaves_no_hook(tmp_path):
    class Enough(Callback):
        def __init__(self, cancel) -> None:
            self.cancel = cancel

        def after_loss(self) -> None:
            if self.learner.training:
                raise self.cancel

    for cancel in (CancelTrain, CancelFit):
        made = learner(callbacks=[activation_stats("*", every=1), Enough(cancel)], folder=tmp_path)
        made.fit(Phase(1))
        assert not any(module._forward_hooks for module in made.model.modules())
        found = read_activations(tmp_path)
        assert len(found) == 1 and np.isnan(found.backward.mean).all()  # type: ignore[union-attr]


def test_a_training_that_fails_keeps_what_was_seen(tmp_path):
    class Break(Callback):
        def after_step(self) -> None:
            if self.learner.batch == 3:
                raise RunError("R0299", "broken")

    with pytest.raises(RunError, match="broken"):
        learner(callbacks=[activation_stats("*", every=1), Break()], folder=tmp_path).fit(Phase(1))
    assert read_activations(tmp_path).batch.tolist() == [1, 2, 3, 4]


def test_a_histogram_is_torchs():
    """With both ends, without what lies outside or is no number."""
    numbers = torch.cat([12 * torch.rand(2000) - 1, torch.tensor([0.0, 6.0, 6.0, -0.1, 6.1])])
    odd = torch.tensor([math.inf, -math.inf, math.nan])
    expected = torch.histc(numbers, 7, 0.0, 6.0).long()
    assert abs(histogram_of(torch.cat([numbers, odd]), 7, 0.0, 6.0) - expected).sum() <= 2
    assert histogram_of(torch.full((5,), 6.0), 7, 0.0, 6.0).tolist() == [0] * 6 + [5]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_histogram_on_a_gpu_counts_in_pieces(monkeypatch):
    numbers = torch.rand(1000)
    whole = histogram_of(numbers, 7, 0.1, 0.9)
    monkeypatch.setattr(module, "LONGEST", 64)
    assert abs(histogram_of(numbers.cuda(), 7, 0.1, 0.9).cpu() - whole).sum() <= 2


def test_samples_are_fetched_together(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(module, "FETCH_EVERY", 3)
    fetch = activation_stats._fetch
    monkeypatch.setattr(
        activation_stats, "_fetch", lambda self: sizes.append(len(self.waiting)) or fetch(self)
    )
    learner(callbacks=[activation_stats("0", every=1)], folder=tmp_path).fit(Phase(1))
    assert sizes == [3, 2]


# ── hooks of one's own ──────────────────────────────────────────────────────────────────────────────────


def test_hooks_end_with_their_block():
    model, seen = Twice(), []
    layers = layers_matching(model, ["relu", "la*"])
    assert list(layers) == ["relu", "last"]
    with Hooks(layers, lambda name, _: seen.append(name), lambda name, g: seen.append(f"back {name}")):
        model(torch.randn(2, 6)).sum().backward()
    model(torch.randn(2, 6)).sum().backward()
    assert seen[:3] == ["relu", "relu", "last"] and seen[3:] == ["back last", "back relu", "back relu"]


def test_hooks_see_what_goes_in_before_a_layer_works():
    """The very tensor where there is no graph, so that what one layer hands to another can be followed."""
    model, into, out = Twice(), [], []
    x = torch.randn(2, 6)
    layers = layers_matching(model, ["shared", "relu"])
    with torch.no_grad(), Hooks(layers, lambda _, t: out.append(t), inputs=lambda *it: into.append(it)):
        model(x)
    assert [name for name, _ in into] == ["shared", "relu"] * 2
    assert into[1][1] is out[0] and into[3][1] is out[2]
    with Hooks(layers, inputs=lambda *it: into.append(it)):
        model(x.requires_grad_())
    assert len(into) == 8 and not any(t.requires_grad for _, t in into)


def test_the_first_tensor_of_fractions():
    tensor = torch.zeros(2)
    assert first_tensor((torch.zeros(2, dtype=torch.int64), {"a": [tensor]})) is tensor
    assert first_tensor("nothing") is None and first_tensor([]) is None


def uncompiled() -> Callback:
    """A `compile()` that leaves out what takes long."""
    callback = compile()
    callback.before_fit = lambda: None
    return callback


# ── mistakes ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("callbacks", "folder", "code"),
    [
        ([activation_stats("relu")], True, "R0243"),
        ([activation_stats("*"), uncompiled()], True, "R0244"),
        ([activation_stats("*")], False, "R0241"),
    ],
)
def test_what_cannot_be_looked_into(tmp_path, callbacks, folder, code):
    with pytest.raises(RunError) as caught:
        learner(callbacks=callbacks, folder=tmp_path if folder else None).fit(Phase(1))
    assert caught.value.code == code


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match="there are no statistics"):
        read_activations(tmp_path)
    learner(callbacks=[activation_stats("0")], folder=tmp_path).fit(Phase(1))
    (tmp_path / "activations.safetensors").write_bytes(b"broken")
    with pytest.raises(RunError, match="can't be read"):
        read_activations(tmp_path)


# ── resumed equals uninterrupted ────────────────────────────────────────────────────────────────────────

PLAN = [Phase(1, Triangle(0.1), freeze_to=-1, name="head"), Phase(2, Triangle(0.2), name="all")]


def train(folder: Path, *extra: Callback, every: int = 2, plan=PLAN, previous=None) -> Learner:
    model = network()
    return train_stage(
        model, loaders(), cross_entropy(), Factory(momentum=0.9), phases=plan,
        callbacks=[activation_stats("*", every=every), activation_stats(["0", "4"], every=1), *extra],
        groups=[list(model[:4].parameters()), list(model[4:].parameters())], folder=folder, seed=7, stage="fit",
        device=torch.device("cpu"), progress=False, stream=io.StringIO(), previous=previous,
    )  # fmt: skip


def outcome(folder: Path) -> list[dict[str, list]]:
    both = [read_activations(folder, number) for number in (1, 2)]
    return [{name: array.tolist() for name, array in arrays_of(found).items()} for found in both]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return outcome(folder)


def test_all_phases_are_there(uninterrupted):
    assert uninterrupted[0]["epoch"] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert uninterrupted[1]["batch"] == [1, 2, 3, 4, 5] * 3


@settings(max_examples=5)
@given(
    event=st.sampled_from(["before_batch", "after_step", "before_validate", "after_epoch"]),
    epoch=st.integers(0, 2),
    batch=st.integers(0, BATCHES - 1),
    every=st.sampled_from([0.0, checkpoint.EVERY]),
)
def test_resumed_equals_uninterrupted(uninterrupted, event, epoch, batch, every):
    within = patch.multiple(checkpoint, EVERY=every, SHARE=0)
    with tempfile.TemporaryDirectory() as name, within:
        with pytest.raises(RunInterrupted):
            train(Path(name), Kill(event, epoch, batch))
        train(Path(name))
        assert str(outcome(Path(name))) == str(uninterrupted)  # text, as NaN is not itself


def test_other_settings_begin_a_record_anew(tmp_path):
    with pytest.raises(RunInterrupted):
        train(tmp_path, Kill("before_batch", 2, 0))
    train(tmp_path, every=1)
    assert read_activations(tmp_path).epoch.tolist() == [3] * 5
    assert read_activations(tmp_path, 2).epoch.tolist() == [1] * 5 + [2] * 5 + [3] * 5


def test_what_lies_about_from_a_run_without_a_checkpoint_does_not_count(tmp_path):
    learner(callbacks=[activation_stats("*", every=1)], folder=tmp_path).fit(Phase(1))
    learner(callbacks=[activation_stats("*", every=1)], folder=tmp_path).fit(Phase(1))
    assert len(read_activations(tmp_path)) == BATCHES


# ── pictures ────────────────────────────────────────────────────────────────────────────────────────────


def test_pictures(tmp_path):
    """A layer without gradients, and more layers than a legend names, can be drawn too."""
    model = nn.Sequential(Twice(), *(nn.Linear(3, 3) for _ in range(7)))
    learner(model=model, callbacks=[activation_stats("*", every=4)], folder=tmp_path).fit(Phase(1))
    found = read_activations(tmp_path)
    assert len(found.layers) == 13
    found.plot(tmp_path / "picture.png")
    content = (tmp_path / "picture.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 20_000


def test_one_sample_can_be_drawn(tmp_path):
    learner(callbacks=[activation_stats("0", every=99, backward=False)], folder=tmp_path).fit(Phase(1))
    read_activations(tmp_path).plot(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_bytes().startswith(b"<?xml")
    assert json.loads((tmp_path / "activations.json").read_text())["layers"] == ["0"]
