"""Running batch norm: the notebook's numbers, its form in evaluation, its state, and two items in a batch."""

from __future__ import annotations

import copy
import io
import math
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from mfc.runtime.errors import RunInterrupted
from mfc.runtime.layers.norm import batchnorm, running_batchnorm
from mfc.runtime.streams import Stream
from mfc.runtime.training import checkpoint
from mfc.runtime.training.events import Callback
from mfc.runtime.training.freezing import freeze, norm_parameters
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.plans import layer, stack
from tests.runtime.training.standins import Factory, loaders, network


class Reference:
    """The notebook's rules in numpy, with the debiasing written out: each running sum divided by the weight that
    batches have in it by now."""

    def __init__(self, channels: int, momentum: float) -> None:
        self.sums, self.squares = np.zeros(channels), np.zeros(channels)
        self.count = self.debias = 0.0
        self.items, self.momentum = 0, momentum

    def __call__(self, x: np.ndarray) -> np.ndarray:
        axes = tuple(i for i in range(x.ndim) if i != 1)
        share = 1 - (1 - self.momentum) / math.sqrt(len(x) - 1)
        self.sums += share * (x.sum(axes) - self.sums)
        self.squares += share * ((x**2).sum(axes) - self.squares)
        self.count += share * (x.size / x.shape[1] - self.count)
        self.debias += share * (1 - self.debias)
        self.items += len(x)
        return self.normalised(x)

    def normalised(self, x: np.ndarray) -> np.ndarray:
        sums, squares, count = self.sums / self.debias, self.squares / self.debias, self.count / self.debias
        mean = sums / count
        variance = squares / count - mean**2
        if self.items < 20:
            variance = np.maximum(variance, 0.01)
        like = [1, -1] + [1] * (x.ndim - 2)
        return (x - mean.reshape(like)) / np.sqrt(variance + 1e-5).reshape(like)


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 5, 3), (7, 4, 6), (64, 4, 2, 2)])
def test_it_is_the_notebooks(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    module, reference = running_batchnorm(4, momentum=0.2), Reference(4, 0.2)
    for step in range(12):
        x = torch.randn(shape, generator=generator) * (1 + step) * 0.05 + step
        np.testing.assert_allclose(module(x).detach(), reference(x.numpy().astype(float)), rtol=0, atol=5e-3)
    module.eval()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    np.testing.assert_allclose(module(x).detach(), reference.normalised(x.numpy()), rtol=0, atol=5e-3)
    assert all(torch.equal(before[name], buffer) for name, buffer in module.named_buffers())


def test_gradients_go_through_the_batchs_part() -> None:
    """Against numbers of differences: the statistics of a batch depend on it."""
    module = running_batchnorm(3).double()
    module(torch.randn(6, 3, dtype=torch.float64))
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def of(x: torch.Tensor) -> torch.Tensor:
        return copy.deepcopy(module)(x)

    assert torch.autograd.gradcheck(of, (x,))


def test_scale_and_shift_are_learned_and_act_in_evaluation_at_once() -> None:
    module = running_batchnorm(3)
    module(torch.randn(50, 3))
    module.eval()
    x = torch.randn(5, 3)
    before = module(x).detach()
    with torch.no_grad():
        module.weight.fill_(3)
        module.bias.fill_(1)
    torch.testing.assert_close(module(x), 3 * before + 1)


def test_before_any_batch_it_passes_on_what_comes_in() -> None:
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(running_batchnorm(3).eval()(x), x / math.sqrt(1 + 1e-5))


def test_a_single_item_is_taken() -> None:
    out = running_batchnorm(3)(torch.randn(1, 3, 8, 8))
    assert out.isfinite().all() and out.std() > 0.5


def test_half_precision_keeps_its_type_and_full_sums() -> None:
    module = running_batchnorm(2)
    with torch.autocast("cpu", torch.bfloat16):
        out = module((torch.randn(4, 2, 64, 64) + 3).bfloat16())
    assert out.dtype == torch.bfloat16 and module.sums.dtype == torch.float32
    assert module.count == pytest.approx(4 * 64 * 64 * (1 - 0.9 / math.sqrt(3)))


def test_all_of_its_state_is_in_the_state_dict() -> None:
    one, other = running_batchnorm(3), running_batchnorm(3)
    one(torch.randn(6, 3))
    other.load_state_dict(one.state_dict())
    x = torch.randn(6, 3)
    assert torch.equal(one(x), other(x))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_it_trains_while_its_group_is_frozen() -> None:
    model = nn.Sequential(nn.Linear(3, 3), running_batchnorm(3), nn.Linear(3, 2))
    groups = [list(model[:2].parameters()), list(model[2].parameters())]
    freeze(model, groups, {id(p) for p in model.parameters()}, freeze_to=-1)
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, True, True]
    assert len(list(norm_parameters(model))) == 2


class Crash(Callback):
    """Ends the process after one step, as a crash would."""

    def after_step(self) -> None:
        if (self.learner.epoch, self.learner.batch) == (1, 2):
            raise KeyboardInterrupt


def train(folder: Path, *callbacks: Callback) -> dict[str, torch.Tensor]:
    model = network()
    model[1] = running_batchnorm(16)
    learner = train_stage(
        model, loaders(), cross_entropy(), Factory(), phases=[Phase(3)], callbacks=callbacks, seed=7, stage="fit",
        folder=folder, device=torch.device("cpu"), progress=False, stream=io.StringIO(),
    )  # fmt: skip
    return learner.model.state_dict()


@pytest.mark.parametrize("within", [True, False])
def test_resumed_equals_uninterrupted(tmp_path: Path, within: bool) -> None:
    with patch.multiple(checkpoint, EVERY=0.0 if within else checkpoint.EVERY, SHARE=0):
        with pytest.raises(RunInterrupted, match="batch 2 of epoch 2" if within else "after epoch 1"):
            train(tmp_path / "a", Crash())
        resumed, whole = train(tmp_path / "a"), train(tmp_path / "b")
    assert {"1.sums", "1.squares", "1.count", "1.items"} <= whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


# ── two items in a batch ────────────────────────────────────────────────────────────────────────────────


def accuracy_with(norm: str, batch_size: int) -> float:
    """Validation accuracy of a small net on the digits that ship with the package, after one epoch."""
    from mfc.runtime.data.sources import builtin
    from mfc.runtime.models import build_model

    source = builtin("digits")
    items = source.scan()
    x = torch.stack([torch.tensor(np.asarray(source.open(i)), dtype=torch.float32) for i in items])
    y = torch.tensor([int(i.split("/")[0]) for i in items])
    x = (x.flatten(1) / 255 - 0.3) / 0.35
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, valid = order[:1200], order[1200:]
    steps = [layer("linear", features=64, nf=48), layer(norm, c=48), layer("relu")]
    steps += [layer("linear", features=48, nf=48), layer(norm, c=48), layer("relu")]
    model = build_model(stack("", *steps, layer("linear", features=48, nf=10)), Stream(0, "fit", "init"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for batch in train.split(batch_size):
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return (model.eval()(x[valid]).argmax(1) == y[valid]).float().mean().item()


def test_it_learns_from_two_items_at_a_time_where_batchnorm_does_not() -> None:
    """Batch norm makes of each number of two items plus or minus one: how large they were is lost."""
    assert batchnorm(1)(torch.tensor([[0.1], [7.0]])).flatten().tolist() == pytest.approx([-1, 1], abs=1e-3)
    with_batchnorm, with_running = accuracy_with("batchnorm", 2), accuracy_with("running_batchnorm", 2)
    assert with_running > 0.85 > 0.7 > with_batchnorm
