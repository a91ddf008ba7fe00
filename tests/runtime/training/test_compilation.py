"""Models that are compiled: with torch's real compiler once, else with its tracing alone, which is quick."""

from __future__ import annotations

import copy
import io
import shutil
from typing import Any

import pytest
import torch
from torch import nn

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks import compilation
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.compilation import compile
from mfc.runtime.training.callbacks.precision import mixed_precision
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import (
    Loader,
    Loaders,
    Triangle,
    learner,
    loaders,
    network,
    weights,
)
from tests.runtime.training.test_resume import Kill, outcome, train

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))),
    reason="torch.compile needs a C++ compiler, which is not here",
)


@pytest.fixture
def traced(monkeypatch):
    """The model is traced, for what it needs to be, and what was traced runs as it is."""
    monkeypatch.setattr(compilation, "BACKEND", "eager")


def trained(*callbacks: Callback, phases=(), items: int = 44, **changes) -> Learner:
    model = network(dropout=0)
    parts: dict[str, Any] = {"groups": [list(model[:2].parameters()), list(model[4:].parameters())]}
    parts |= {"model": model, "dls": loaders(items, size=8), "callbacks": [*callbacks, Recorder()]}
    run = learner(stream=io.StringIO(), **(parts | changes))
    run.fit(*(phases or [Phase(2)]))
    return run


def losses(run: Learner) -> list[float]:
    return [row[name] for row in run.history for name in ("train_loss", "valid_loss")]


quiet = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # of torch about itself


@quiet
@needs_compiler
def test_compiled_code_gives_the_same(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    small = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    plain, compiled = (
        trained(*callbacks, model=copy.deepcopy(small), groups=None, items=16)
        for callbacks in ([], [compile()])
    )
    assert weights(compiled.model) == pytest.approx(weights(plain.model), rel=1e-4, abs=1e-5)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)


class Count(Callback):
    """How often the model was traced, and whether it ran compiled."""

    def before_fit(self) -> None:
        from torch._dynamo.utils import counters

        counters.clear()

    def after_fit(self) -> None:
        from torch._dynamo.utils import counters

        self.graphs = counters["stats"]["unique_graphs"]
        self.breaks = sum(counters["graph_break"].values())


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_smaller_last_batches_phases_and_freezing(traced, dynamic):
    phases = Phase(1, freeze_to=-1), Phase(1)
    plain, count = trained(phases=phases, items=20), Count()
    compiled = trained(compile(dynamic=dynamic), count, phases=phases, items=20)
    assert weights(compiled.model) == pytest.approx(weights(plain.model), rel=1e-4, abs=1e-6)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-5)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    assert compiled.forward is compiled.model  # as it was
    # of the last phase: for training and validation, without `dynamic` for a smaller last batch of each too
    assert (count.graphs, count.breaks) == (2 if dynamic else 4, 0)


def test_with_all_that_makes_a_step(traced):
    def others() -> list[Callback]:
        return [mixed_precision(), gradient_accumulation(2), ema(0.9)]

    plain, compiled = trained(*others()), trained(*others(), compile())
    assert weights(compiled.model) == pytest.approx(weights(plain.model), rel=1e-3, abs=1e-3)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-2)


def test_hooks_on_layers_are_called(traced):
    shapes = []

    class Look(Callback):
        def before_fit(self) -> None:
            layer = self.learner.model.get_submodule("0")
            self.handle = layer.register_forward_hook(lambda module, given, out: shapes.append(out.shape))

        def after_fit(self) -> None:
            self.handle.remove()

    trained(Look(), compile(), phases=(Phase(1),), items=16)
    assert shapes == 3 * [(8, 16)]
    trained(compile(), phases=(Phase(1),), items=16)
    assert len(shapes) == 3


def test_resumed_equals_uninterrupted(traced, tmp_path, monkeypatch):
    plan = [Phase(2, Triangle())]
    whole = train(tmp_path / "whole", compile(), plan=plan)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    with pytest.raises(RunInterrupted):
        train(tmp_path / "stopped", compile(), Kill("after_step", 1, 3), plan=plan)
    assert outcome(train(tmp_path / "stopped", compile(), plan=plan)) == outcome(whole)


class Sizes(Loader):
    """Batches of ever other sizes."""

    def __len__(self) -> int:
        return 10

    def __iter__(self):
        for size in range(2, 12):
            yield self.x[:size], self.y[:size], torch.arange(size)


def test_too_many_shapes(traced):
    whole = loaders().train
    dls = Loaders(Sizes(whole.x, whole.y, 8), Loader(whole.x, whole.y, 8), [])
    made: dict[str, Any] = {"model": nn.Linear(6, 3), "dls": dls}
    run = learner(**made, callbacks=[compile()])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert (caught.value.code, caught.value.help) == ("R0216", "use `compile(dynamic = true)`")
    assert run.forward is run.model
    learner(**made, callbacks=[compile(dynamic=True)]).fit(Phase(1))


@quiet
def test_no_compiler(monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    run = learner(callbacks=[compile()])
    with pytest.raises(RunError) as caught:
        run.fit(Phase(1))
    assert caught.value.code == "R0215"
    assert caught.value.message == "compile() needs a C++ compiler, and there is none"
    assert run.forward is run.model


def test_what_torch_says_is_handed_on(monkeypatch):
    def broken(graph, given):
        raise ValueError("no such kernel\nand more")

    monkeypatch.setattr(compilation, "BACKEND", broken)
    with pytest.raises(RunError) as caught:
        learner(callbacks=[compile()]).fit(Phase(1))
    assert caught.value.code == "R0215"
    assert caught.value.message == "torch.compile failed: ValueError: no such kernel"
