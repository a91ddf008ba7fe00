"""Callbacks that keep things, in specs: what they decide is in the key, what they only look at is not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mfc
from mfc.cli import main
from mfc.dsl import ir
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.check_callbacks import follows
from mfc.dsl.codehash import CodeIndex
from mfc.dsl.plan_code import CODE, MEASURING, WATCHING
from mfc.dsl.source import Source, Span
from mfc.dsl.values import ComponentValue

SPEC = """
data digits: image -> category {
    source     = builtin("digits")
    split      = subset(random(valid = 0.2), train = 400, valid = 100)
    label      = parent()
    batch_size = 80
}
model net {
    group body { conv2d(4, stride = 2)  relu() }
    group head { flatten()  linear(digits.classes) }
}
train fit {
    data      = digits
    model     = net
    loss      = cross_entropy()
    optimizer = adam()
    metrics   = [accuracy(), error_rate()]
    callbacks = [CALLBACKS]
    epochs    = 3
}
"""


def write(folder: Path, callbacks: str, **changes: str) -> Path:
    text = SPEC.replace("CALLBACKS", callbacks)
    for old, new in changes.items():
        text = text.replace(old, new)
    spec = folder / "spec.mfs"
    spec.write_text(text)
    return spec


def recipe(folder: Path, callbacks: str, **changes: str) -> Any:
    return mfc.compile(write(folder, callbacks, **changes)).plan()["fit"]


def test_what_a_callback_follows_is_in_the_key(tmp_path: Path) -> None:
    stage = recipe(tmp_path, 'save_best("error_rate")')
    assert [call.name for call in stage.recipe["metrics"]] == ["error_rate"]
    (call,) = stage.recipe["callbacks"]
    assert call.args["mode"] == "min"  # as the metric says
    assert recipe(tmp_path, "save_best()").recipe["metrics"] == []
    (call,) = recipe(tmp_path, 'save_best("accuracy")').recipe["callbacks"]
    assert call.args["mode"] == "max"


def reached(stage: ir.Stage) -> set[str]:
    """The names of the definitions in the key of a training."""
    index = CodeIndex(WATCHING if stage.measures else (*WATCHING, *MEASURING))
    targets = [CODE["train"], *(n.target for n in ir.walk(stage.recipe) if isinstance(n, ir.Call))]
    assert index.hash(targets) == stage.code
    return {name for path, name in index.reached(targets)}


OWN = """
import mfc

class Base:
    def reset(self): ...
    def update(self, pred, target): ...
    def compute(self): return 1.0

@mfc.metric(shape="b classes", targets=("category",))
class score(Base):
    "A metric."

@mfc.callback()
class stops:
    "Ends the training when it likes to."
    def after_epoch(self):
        assert self.learner.history[-1]["score"] == 1.0

@mfc.callback(observes=True)
class looks:
    "Only looks on."
"""


def test_the_code_that_measures_is_in_the_key_of_what_follows_it(tmp_path: Path) -> None:
    """And in no other training's: there it only watches."""
    assert {"Recorder", "_TopK"} <= reached(recipe(tmp_path, 'early_stopping("accuracy")'))
    assert not {"Recorder", "_TopK"} & reached(recipe(tmp_path, "gradient_clip(1.0)"))


def test_what_measures_is_in_the_key_of_a_callback_of_ones_own(tmp_path: Path) -> None:
    """It may act on all that the history has, unless it only looks on."""
    (tmp_path / "own.py").write_text(OWN)
    use = 'use "own.py" (score, stops, looks)\n\ndata digits'
    changes = {"data digits": use, "error_rate()": "score()"}
    stage = recipe(tmp_path, "stops()", **changes)
    assert [call.name for call in stage.recipe["metrics"]] == ["accuracy", "score"]
    assert {"Recorder", "Metric", "_TopK", "score", "Base"} <= reached(stage)
    assert not {"Recorder", "Metric", "score"} & reached(recipe(tmp_path, "looks()", **changes))


def test_an_argument_called_monitor_follows_nothing_by_itself() -> None:
    """What a callback is declared as says it, in the key as in the check."""
    info = builtin_catalog().lookup("callback", "early_stopping")
    assert info is not None
    undeclared = replace(info, facts={**info.facts, "monitors": False})
    nowhere = Span(Source("", ""), 0, 0)
    for component, expected in ((info, True), (undeclared, False)):
        value = ComponentValue(component, {"monitor": "accuracy"}, nowhere, {})
        assert follows(value) is expected


def test_the_order_of_callbacks_that_changes_nothing_is_in_no_key(tmp_path: Path) -> None:
    one, other = "gradient_clip(1.0)", 'early_stopping("accuracy"), save_best("error_rate"), ema()'
    stage = recipe(tmp_path, f"{one}, {other}")
    assert recipe(tmp_path, f"{other}, {one}") == stage
    assert recipe(tmp_path, f"early_stopping(), {other}") == recipe(tmp_path, f"{other}, early_stopping()")
    metrics = {"[accuracy(), error_rate()]": "[error_rate(), accuracy()]"}
    assert recipe(tmp_path, f"{one}, {other}", **metrics).recipe == stage.recipe


def test_a_callback_of_ones_own_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    changes = {"data digits": 'use "own.py" (stops)\n\ndata digits'}
    names = [
        [call.name for call in recipe(tmp_path, callbacks, **changes).recipe["callbacks"]]
        for callbacks in ("ema(), channels_last(), stops()", "ema(), stops(), channels_last()")
    ]
    assert names == [["channels_last", "ema", "stops"], ["ema", "stops", "channels_last"]]


def test_the_best_epoch_is_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At this rate the first epochs are better than the last."""
    callbacks = 'save_best("accuracy"), early_stopping("accuracy", patience = 2)'
    changes = {
        "adam()": "sgd(mom = 0.9)\n    schedule = param_scheduler(lr = lin(0.1, 30))",
        "epochs    = 3": "epochs = 8",
    }
    spec = write(tmp_path, callbacks, **changes)
    run = mfc.run(spec)["fit"]
    accuracies = [row["accuracy"] for row in run.history]
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    assert run.epoch == best + 1 < len(accuracies) < 8
    assert run.result["accuracy"] == accuracies[best] > accuracies[-1]
    assert (run.folder / f"best-{best + 1}.safetensors").exists()
    # the model that is built again from the folder gives what the best epoch gave
    again = mfc.compile(spec).run()
    assert again.ran == []
    preds = again["fit"].learner.get_preds()
    assert preds.targets is not None
    assert (preds.decoded == preds.targets).float().mean().item() == pytest.approx(accuracies[best])
    capsys.readouterr()
    assert main(["run", str(spec)]) == 0
    assert f"after epoch {best + 1} of {len(accuracies)}, the best" in capsys.readouterr().out


WATCHING_ALL = 'csv_logger(), tensorboard(), activation_stats(["relu", "linear"], every = 2)'


def test_what_only_looks_on_trains_nothing_anew(tmp_path: Path) -> None:
    write(tmp_path, "")
    mfc.run(tmp_path / "spec.mfs")
    spec = write(tmp_path, WATCHING_ALL)
    assert {status.state for status in mfc.compile(spec).status()} == {"up to date"}
    run = mfc.compile(spec).run()
    assert run.ran == []
    with pytest.raises(mfc.RunError) as caught:
        _ = run["fit"].activations
    assert caught.value.code == "R0245" and caught.value.help is not None
    assert "remove that folder" in caught.value.help and str(run["fit"].folder) in str(caught.value)
    shutil.rmtree(run["fit"].folder)
    again = mfc.compile(spec).run()
    assert again.ran == ["fit"] and again["fit"].activations.layers == ["body.relu", "head.linear"]


def test_what_was_seen_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = write(tmp_path, WATCHING_ALL)
    with pytest.raises(mfc.RunError, match="was not trained as the spec describes it now"):
        mfc.compile(spec).activations("fit")
    run = mfc.run(spec)["fit"]
    names = {path.name for path in run.folder.iterdir()}
    assert {"history.csv", "tensorboard", "activations.json", "activations.safetensors"} <= names
    found = run.activations
    assert found.layers == ["body.relu", "head.linear"] and set(found.epoch) == {1, 2, 3}
    capsys.readouterr()
    picture = tmp_path / "picture.png"
    assert main(["activations", str(spec), "fit", "--plot", str(picture)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:4] == ["layer", "mean", "std", "near"]
    assert [line.split()[0] for line in table[1:3]] == ["body.relu", "head.linear"]
    assert f"{found.forward.std[-1, 1]:.3g}" in table[2]
    assert table[-1].startswith(f"fit: {len(found)} samples, the last in epoch 3, batch ")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["activations", str(spec), "fit", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["layers"]["body.relu"]["forward"]["mean"] == pytest.approx(found.forward.mean[:, 0])
    assert main(["activations", str(spec), "fitt"]) == 1
    assert "did you mean `fit`?" in capsys.readouterr().err


def test_a_training_that_broke_shows_what_it_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What to look at first when a loss is NaN, also of a phase."""
    phase = "phase one { epochs = 1  schedule = param_scheduler(lr = const(1e30)) }"
    changes = {"adam()": "sgd()", "epochs    = 3": phase}
    spec = write(tmp_path, 'activation_stats("relu", every = 1)', **changes)
    assert main(["run", str(spec)]) == 1
    assert "the loss is" in capsys.readouterr().err
    for name in ("fit", "fit.one"):
        assert main(["activations", str(spec), name]) == 0
        assert "body.relu" in capsys.readouterr().out


def test_a_phase_goes_on_from_more_than_the_model(tmp_path: Path) -> None:
    """The best weights may be the same after more epochs; the optimizer's state and the number of epochs are not."""
    phases = """
    phase first  { epochs = EPOCHS  callbacks = [save_best(min_delta = 100)] }
    phase second { epochs = 1 }
"""
    ran = []
    for epochs in (2, 3):
        changes = {"    epochs    = 3\n": phases.replace("EPOCHS", str(epochs))}
        ran.append(mfc.compile(write(tmp_path, "", **changes)).run(device="cpu", progress=False))
    assert ran[0]["fit.first"].weights.read_bytes() == ran[1]["fit.first"].weights.read_bytes()
    assert "fit.second" in ran[1].ran and len(ran[1]["fit.second"].history) == 4


def test_a_training_that_a_callback_ends_within_its_first_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import mfc\n"
        "from mfc.runtime.training.events import Callback, CancelFit\n"
        "@mfc.callback()\n"
        "class stops(Callback):\n"
        '    "Ends the training after a batch."\n'
        "    def after_step(self): raise CancelFit\n"
    )
    spec = write(tmp_path, "stops()")
    spec.write_text('use "mine.py" (stops)\n' + spec.read_text())
    for _ in range(2):
        assert main(["run", "spec.mfs", "--device", "cpu"]) == 0
        assert "ended within its first epoch" in capsys.readouterr().out
    done = mfc.compile("spec.mfs").run(device="cpu", progress=False)["fit"]
    assert done.epoch is None and set(done.result) == {"accuracy", "error_rate"}
    assert main(["run", "spec.mfs", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trained"]["fit"]["last"] is None
