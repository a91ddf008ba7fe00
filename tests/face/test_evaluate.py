"""Evaluations: what they measure, and when they are done again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import mfc

SPEC = """
data digits: image -> category {
    source          = builtin("digits")
    split           = subset(stratified(valid = 0.2), train = 120, valid = 60)
    label           = parent()
    item_transforms = [random_resized_crop(8, val_xtra = 0.14)]
    batch_size      = 60
}

model net { flatten()  linear(digits.classes) }

train fit(seed: int) {
    data      = digits
    model     = net
    loss      = cross_entropy()
    optimizer = adam(lr = 1e-2)
    epochs    = 5
    seed      = seed
}

evaluate one   { model = fit(1)  metrics = [accuracy(), f_beta(1)] }
evaluate seeds { model = [fit(s) for s in [1, 2]]  metrics = [accuracy()]  data = digits.train }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "spec.mfs").write_text(SPEC)
    mfc.run(folder / "spec.mfs")
    return folder


def stale(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """The stages that would run after changes of the spec."""
    text = SPEC
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "other.mfs").write_text(text)
    job = mfc.Job(mfc.load(folder / "other.mfs"), folder / ".mfc")
    return [s.stage.name for s in job.status() if s.state != "up to date"]


def test_what_is_measured(folder: Path) -> None:
    run = mfc.run(folder / "spec.mfs")
    assert run.ran == []
    learner = run["fit(seed=1)"].learner
    found = learner.get_preds()
    assert found.targets is not None
    right = (found.decoded == found.targets).float().mean().item()
    assert run.evaluations["one"].result["accuracy"] == pytest.approx(right)
    seeds = run.evaluations["seeds"]
    alone = [measured["accuracy"] for measured in seeds.each.values()]
    assert seeds.result["accuracy"] == pytest.approx(sum(alone) / 2)
    assert seeds.spread["accuracy"] == pytest.approx(abs(alone[0] - alone[1]) / 2**0.5)
    preds = learner.get_preds(learner.dls.evaluation("train"))
    assert preds.targets is not None and len(preds) == 120
    assert alone[0] == pytest.approx((preds.decoded == preds.targets).float().mean().item())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("f_beta(1)", "f_beta(2)"), ["one"]),
        (("data = digits.train", "data = digits.valid"), ["seeds"]),
        (("batch_size      = 60", "batch_size      = 60\n    workers = 1"), []),
    ],
)
def test_what_is_measured_again(folder: Path, change: tuple[str, str], expected: list[str]) -> None:
    assert stale(folder, change) == expected


def test_the_evaluation_form_counts_though_it_decides_no_weights(folder: Path) -> None:
    """The trainings run again and give the same weights; their evaluations differ."""
    before = mfc.run(folder / "spec.mfs")
    (folder / "form.mfs").write_text(SPEC.replace("val_xtra = 0.14", "val_xtra = 0"))
    job = mfc.Job(mfc.load(folder / "form.mfs"), folder / ".mfc")
    after = job.run()
    assert after["fit(seed=1)"].weights.read_bytes() == before["fit(seed=1)"].weights.read_bytes()
    assert {"one", "seeds"} < set(after.ran)
    assert after.evaluations["one"].result != before.evaluations["one"].result


def test_what_has_no_stages(folder: Path) -> None:
    more = SPEC[: SPEC.index("model net")].replace("data digits", "data more")
    unlabelled = more.replace("label           = parent()", "")
    for text, target in (
        (
            "evaluate other { model = ensemble([fit(s) for s in range(digits.classes)])  metrics = [accuracy()] }",
            "other",
        ),
        (f"{unlabelled}evaluate other {{ model = fit(1)  data = more.all  metrics = [] }}", "more"),
    ):
        (folder / "more.mfs").write_text(f"{SPEC}{text}\n")
        with pytest.raises(mfc.RunError) as caught:
            mfc.compile(folder / "more.mfs").run([target])
        assert caught.value.code == "R0502", text


NOTHING = """
import mfc

@mfc.metric(shape="b classes", targets=("category",))
class nothing:
    "Divides by what it never counts."
    def reset(self): ...
    def update(self, pred, target): ...
    def compute(self): return float("nan")
"""


def test_what_is_no_number_is_null_in_files_and_nan_in_python(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NOTHING)
    text = SPEC.replace("[accuracy(), f_beta(1)]", "[accuracy(), nothing()]").replace(
        "optimizer =", "metrics   = [nothing()]\n    optimizer ="
    )
    (tmp_path / "spec.mfs").write_text(f'use "own.py" (nothing)\n{text}')
    run = mfc.compile(tmp_path / "spec.mfs").run(["one"], progress=False)
    one, fit = run.evaluations["one"], run["fit(1)"]
    for measured in (one.result, one.each["fit(seed=1)"], fit.history[-1], fit.result):
        assert math.isnan(measured["nothing"])

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for file in (one.folder / "evaluation.json", fit.folder / "history.jsonl", fit.folder / "meta.json"):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        read = [json.loads(line, parse_constant=refuse) for line in lines]
        assert '"nothing": null' in json.dumps(read)
