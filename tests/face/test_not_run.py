"""What checks and can't be run is said before anything is run; what a run is asked for is what it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mfc

DATA = """
data digits: image -> category {
    source     = builtin("digits")
    split      = random(valid = 0.2, seed = 42)
    label      = parent()
    batch_size = 512
}
"""

MODEL = """
model net {
    group body { conv2d(4, stride = 4) }
    group head { adaptive_avg_pool(1)  flatten()  linear(digits.classes) }
}
"""

FIT = """
train fit {
    data   = digits
    model  = net
    loss   = cross_entropy()
    epochs = 1
}
"""

PARTS = '''
"""Components of our own."""

from pathlib import Path
from typing import Annotated

from torch import nn

import mfc
from mfc.runtime.component import Data
from mfc.runtime.data.sources import builtin
from mfc.runtime.training.events import Callback


@mfc.source()
class shapeless(builtin):
    """Images of a shape that is not said."""

    def __init__(self, name: str):
        super().__init__(name)


@mfc.source(shape="-> 7", items="table")
class rows(builtin):
    """Rows of a table."""

    def __init__(self, name: str):
        super().__init__(name)


@mfc.loss(shape="b classes", targets=("category",))
def beside(data: Data):
    """A loss that looks at a data block."""
    return nn.functional.cross_entropy


@mfc.loss(shape="b classes", targets=("category",))
def scaled(path: Path):
    """Cross entropy times the number in a file."""
    by = float(Path(path).read_text())
    return lambda pred, target: by * nn.functional.cross_entropy(pred, target)


@mfc.layer(shape="b ... -> b ...")
class shifted(nn.Module):
    """Adds the numbers in files."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        self.by = sum(float(Path(path).read_text()) for path in paths)

    def forward(self, x):
        return x + self.by


@mfc.callback()
class stop_at(Callback):
    """Acts on what is measured."""
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with components."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def job(folder: Path, text: str, **settings: Any) -> mfc.Job:
    """The job of a spec that has no errors."""
    (folder / "spec.mfs").write_text(text)
    spec = mfc.load(folder / "spec.mfs", **settings)
    assert [d.message for d in spec.errors] == []
    return mfc.compile(spec)


def fails_to_plan(folder: Path, text: str) -> str:
    """What is said of a spec that can't be run."""
    with pytest.raises(mfc.RunError) as caught:
        job(folder, text).plan()
    assert caught.value.code == "R0502"
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            DATA.replace("label  ", "input = parent()\n    label  ") + MODEL + FIT,
            "the field `input` of data `digits`",
        ),
        (
            'use "parts.py" (beside)\n' + DATA + MODEL + FIT.replace("cross_entropy()", "beside(digits)"),
            "`beside` with the declaration `digits` as its `data`",
        ),
        (
            'use "parts.py" (shapeless)\n' + DATA.replace("builtin", "shapeless") + MODEL + FIT,
            "data `digits`, whose source does not say what shape its items have",
        ),
        (
            'use "parts.py" (rows)\n'
            + DATA.replace("builtin", "rows").replace("image", "table")
            + "model net { linear(2) }"
            + FIT,
            "data `digits`: table -> category",
        ),
        (
            DATA
            + DATA.replace("data digits", "data other")
            + MODEL
            + FIT.replace("= digits", "= if other.classes > 2 then digits else other"),
            "train `fit`, whose data only other data decides",
        ),
    ],
    ids=[
        "input",
        "a declaration as an argument",
        "a source without shape",
        "table",
        "data that data decides",
    ],
)
def test_what_no_stage_can_do(folder: Path, text: str, said: str) -> None:
    assert fails_to_plan(folder, text) == f"this version of mfc checks {said}, but can't run it"


OTHER = (DATA + MODEL + FIT).replace("train fit", "train pretrain").replace("0.2", "0.5")


def test_data_blocks_of_one_name_in_two_files(folder: Path) -> None:
    (folder / "other.mfs").write_text(OTHER)
    text = (
        'import "other.mfs" (pretrain)\n'
        + DATA
        + MODEL
        + FIT.replace("epochs", "weights = pretrain.body\n    epochs")
    )
    assert "`digits` beside one of that name in another file" in fails_to_plan(folder, text)


def test_classes_of_the_data_of_one_name_in_another_file(folder: Path) -> None:
    (folder / "other.mfs").write_text(OTHER)
    text = 'import "other.mfs" (net)\n' + DATA + FIT.replace("= 1", "= if digits.classes > 2 then 1 else 2")
    assert "`digits` beside one of that name in another file" in fails_to_plan(folder, text)


def test_an_imported_file_brings_only_what_is_named(folder: Path) -> None:
    (folder / "other.mfs").write_text(OTHER)
    plan = job(
        folder,
        'import "other.mfs" (net)\n' + DATA.replace("digits:", "mine:") + FIT.replace("digits", "mine"),
    ).plan()
    mine, asked = ["mine.files", "mine.items", "mine.packed"], ["digits.files", "digits.items"]
    assert [stage.name for stage in plan] == [*mine, *asked, "fit"]


def test_a_param_of_an_imported_file_is_its_own(folder: Path) -> None:
    (folder / "other.mfs").write_text("param width: int = 4\nblock wide { conv2d(width) }\n")
    text = (
        'import "other.mfs" (wide)\nparam width: int = 1\n'
        + DATA
        + MODEL.replace("conv2d(4, stride = 4)", "wide()")
    )
    layers = job(folder, text + FIT, width=9).layers("net")
    assert layers[0].out is not None and layers[0].out[1] == 4


def test_instances_are_told_apart_to_the_last_digit(folder: Path) -> None:
    text = DATA + MODEL + FIT.replace("fit {", "fit(lr: float = 0.1) {\n    optimizer = sgd(lr = lr)")
    text += "train last { data = digits  model = net  loss = cross_entropy()  epochs = 1\n"
    text += "    weights = [fit(0.1234567).body, fit(0.1234568).body] }"
    plan = job(folder, text).plan()
    assert {s.name for s in plan if s.kind == "train"} == {
        "fit(lr=0.1)", "fit(lr=0.1234567)", "fit(lr=0.1234568)", "last",
    }  # fmt: skip
    assert len(job(folder, text).plan(["fit"]).stages) == 6


def test_a_model_that_the_data_decides(folder: Path) -> None:
    text = DATA + MODEL + MODEL.replace("net", "small").replace("conv2d(4", "conv2d(2")
    text += FIT.replace("= net", "= if digits.classes > 2 then net else small")
    run = job(folder, text).run(device="cpu", progress=False)
    assert run["fit"].learner.model.state_dict()["body.conv2d.weight"].shape[0] == 4


def test_callbacks_that_the_data_decides(folder: Path) -> None:
    some = "callbacks = [if digits.classes > 2 then channels_last() else none]"
    plan = job(folder, DATA + MODEL + FIT.replace("epochs", f"{some}\n    epochs"))
    plan.build("digits")
    assert [s.state for s in plan.status()][-1] == "to run"


def test_paths_are_those_of_the_spec_and_their_content_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'use "parts.py" (scaled)\n' + DATA + MODEL + FIT.replace("cross_entropy()", 'scaled("by.txt")')
    (folder / "by.txt").write_text("0.5")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert job(folder, text).run(device="cpu", progress=False).ran[-1] == "fit"
    assert job(folder, text).run(device="cpu", progress=False).ran == []
    (folder / "by.txt").write_text("0.25")
    (status,) = [s for s in job(folder, text).status() if s.state == "to run"]
    assert status.stage.name == "fit" and status.reasons == ["input file by.txt changed"]


def test_the_files_that_a_layer_reads_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'use "parts.py" (shifted)\n' + DATA
    text += MODEL.replace("conv2d(4, stride = 4)", 'conv2d(4, stride = 4)  shifted(["a.txt", "b.txt"])') + FIT
    (folder / "elsewhere").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("1")
    monkeypatch.chdir(folder / "elsewhere")
    run = job(folder, text).run(device="cpu", progress=False)
    assert run.ran[-1] == "fit" and run["fit"].learner.model.state_dict()
    assert len(job(folder, text).layers("net")) > 2
    (folder / "b.txt").write_text("2")
    (status,) = [s for s in job(folder, text).status() if s.state == "to run"]
    assert status.reasons == ["input file b.txt changed"]


def test_metrics_count_where_a_callback_may_act_on_them(folder: Path) -> None:
    text = 'use "parts.py" (stop_at)\n' + DATA + MODEL
    text += FIT.replace("epochs", "metrics = [accuracy()]\n    callbacks = [mixed_precision()]\n    epochs")
    assert job(folder, text).plan()["fit"].recipe["metrics"] == []
    text = text.replace("mixed_precision", "stop_at")
    (metric,) = job(folder, text).plan()["fit"].recipe["metrics"]
    assert metric.name == "accuracy"


def test_paths_and_tuples_are_settings(folder: Path) -> None:
    text = "param root: path\nparam sizes: list(int) = [1]\nlet a = root / str(sizes[1])\n"
    (folder / "spec.mfs").write_text(text)
    spec = mfc.load("spec.mfs", root=folder, sizes=(3, 4))
    assert spec.diagnostics == ()


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "secret.mfs").write_text("let a = 1\n")
    (inside / "link.mfs").symlink_to(folder / "secret.mfs")
    (inside / "spec.mfs").write_text('import "link.mfs" (a)\n')
    (found,) = mfc.load(inside / "spec.mfs").diagnostics
    assert found.code == "E0212" and "it is a link that leaves the spec's folder" in found.message


def test_a_name_that_no_file_can_have(folder: Path) -> None:
    (folder / "spec.mfs").write_text('import "a\0b.mfs" (a)\n')
    (found,) = mfc.load(folder / "spec.mfs").diagnostics
    assert found.code == "E0212" and "no file can have such a name" in found.message
