"""Declarations that were called go by names, which people need not spell as the stages do."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc
from mfc.cli import main

SPEC = """
param share: float = 0.2

data digits(size: int, share: float = share): image -> category {
    source          = builtin("digits")
    split           = subset(random(valid = share), train = 64, valid = 32)
    label           = parent()
    item_transforms = [resize(size)]
    batch_size      = 32
}

model net { flatten()  linear(digits(8).classes) }

train fit(seed: int, names: list(string) = ["a"], lr: float = 1e-3) {
    data     = digits(8)
    model    = net
    loss     = cross_entropy()
    seed     = seed
    schedule = param_scheduler(lr = const(lr))
    phase head { epochs = 1 }
    phase all  { epochs = 1 }
}

evaluate each(seed: int = 1) { model = fit(seed)  metrics = [accuracy()] }
evaluate both { model = [fit(s) for s in [1, 2]]  metrics = [accuracy()] }
"""

FIT = 'fit(seed=1, names=["a"], lr=0.001)'

SPELLINGS = [
    "fit(1)",
    " fit( seed = 1 ) ",
    "fit(lr = 1e-3, seed = 1)",
    'fit(2 - 1, names = ["a"])',
    FIT,
]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.mfs"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize("written", SPELLINGS)
def test_a_call_is_read_as_in_a_spec(spec: Path, written: str) -> None:
    named = mfc.load(spec).compiled.named
    assert named(written) == FIT
    assert named(f"{written.strip()}.head") == f"{FIT}.head"


@pytest.mark.parametrize(
    "written",
    ["fit", "fit.head", "fitt(1)", "fit(sed = 1)", "fit(1", "fit(1)\nlet a = 2", "fit(1) let a = 2", "resize(8)", "",
     "1", 'fit("x")', "fit([i for i in range(1000000)])"],
)  # fmt: skip
def test_what_is_no_call_of_a_declaration_stays_as_it_is(spec: Path, written: str) -> None:
    assert mfc.load(spec).compiled.named(written) == written


def test_arguments_are_read_with_the_params_of_the_run(spec: Path) -> None:
    assert mfc.load(spec, share=0.5).compiled.named("digits(8)") == "digits(size=8, share=0.5)"


def test_names_are_read_wherever_they_are_asked_for(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(spec), "--target", "fit(seed = 2)"]) == 0
    assert 'fit(seed=2, names=["a"], lr=0.001).all: ' in capsys.readouterr().out
    assert main(["plan", str(spec), "--target", "fit( 2 )"]) == 0
    assert "everything is up to date" in capsys.readouterr().out
    for name in ("digits( 8 )", "fit(seed = 2)"):
        assert main(["show", str(spec), name]) == 0
    job = mfc.compile(mfc.load(spec))
    run = job.run(["both", "each(1)"], progress=False)
    assert run.evaluations["each( 1 )"] is run.evaluations["each(seed=1)"]
    assert run["fit(1)"] is run[FIT] and run["fit( 1 ).all"] is run[f"{FIT}.all"]
    with pytest.raises(KeyError, match="nothing was trained under the name"):
        run["fit(3)"]
    assert job.trained("fit(1)").folder == run[FIT].folder
    job.build("digits(size = 8)")
    with pytest.raises(mfc.RunError, match="R0245"):
        job.activations("fit( 1 ).head")
    job.lr_find("fit(1).head", steps=30, progress=False)


def test_a_phase_is_a_target(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = mfc.compile(mfc.load(spec))
    run = job.run(["fit( 1 ).head"], progress=False)
    assert list(run) == [f"{FIT}.head"] and "fit(1)" not in run
    assert [stage.name for stage in job.plan(["fit.head"]) if stage.kind == "train"] == [
        f"{FIT}.head",
        f"{FIT.replace('1', '2', 1)}.head",
    ]
    assert main(["run", str(spec), "--target", "fit(1).all"]) == 0
    out, err = capsys.readouterr()
    assert "head: never run" not in err and f"\n{FIT}.all: " in out
    assert [s.state for s in job.status(["fit(1)"])] == ["up to date"] * 5
    assert main(["run", str(spec), "--target", "fit(1).heads"]) == 1
    assert f"the spec declares no `{FIT}.heads`" in capsys.readouterr().err
