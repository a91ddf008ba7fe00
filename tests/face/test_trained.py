"""A trained model out of the store, without a run: when it is there, and what is said where it is not."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

import mfc
from mfc.cli import main
from tests.conftest import Golden
from tests.face.test_bad_input import OUTPUTS, SPEC, change, pets

__all__ = ["pets"]


def job(**values: object) -> mfc.Job:
    return mfc.compile("pets.mfs", **values)


def weights(trained: mfc.Trained) -> list[torch.Tensor]:
    return [*trained.learner.model.state_dict().values()]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one, two)) and len(one) == len(two)


def test_a_trained_model_is_there_without_its_data(
    pets: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    trained = job().run(device="cpu", progress=False)["fit"]
    expected = weights(trained)
    with caplog.at_level(logging.WARNING):
        assert same(weights(job().trained("fit", device="cpu")), expected)
        assert not caplog.records
        shutil.rmtree(pets)
        found = job().trained("fit", device="cpu")
    assert found.folder == trained.folder and same(weights(found), expected)
    (said,) = caplog.messages
    assert said == f"pets.files is taken as the last run found it: there is no folder `{pets}`"
    with pytest.raises(mfc.RunError, match="R0101"):
        job().status()

    # a copy elsewhere: the spec beside its store, and the spec where the store does not know it
    moved = tmp_path_factory.mktemp("moved")
    shutil.copytree(".mfc", moved / ".mfc")
    for place in (moved, moved / "specs"):
        place.mkdir(exist_ok=True)
        shutil.copy("pets.mfs", place)
        copy = mfc.Job(mfc.load(place / "pets.mfs"), moved / ".mfc")
        assert same(weights(copy.trained("fit", device="cpu")), expected)


def test_a_file_that_a_recipe_reads_may_be_gone_too(pets: Path) -> None:
    names = sorted(str(path.relative_to(pets)) for path in (pets / "valid").rglob("*.jpg"))
    Path("valid.txt").write_text("\n".join(names))
    change('grandparent(train = "train", valid = "valid")', 'file_list("valid.txt")')
    expected = weights(job().run(device="cpu", progress=False)["fit"])
    Path("valid.txt").unlink()
    assert same(weights(job().trained("fit", device="cpu")), expected)
    with pytest.raises(mfc.RunError, match="R0304"):
        job().status()


def test_data_that_changed_is_noticed(pets: Path) -> None:
    job().run(device="cpu", progress=False)
    (pets / "train" / "cat" / "0.jpg").unlink()
    with pytest.raises(mfc.RunError, match="R0504") as raised:
        job().trained("fit")
    assert raised.value.notes[0].startswith("pets.files: input content changed")


def test_what_is_said_where_it_is_not_trained(
    pets: Path, golden: Golden, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC.replace("epochs  = 2", "epochs  = epochs").replace(
        "train fit {", "train fit(seed: int = 42) {\n    seed    = seed"
    )
    Path("pets.mfs").write_text(f"param epochs: int = 1\nparam size: int = 8\n{text}")
    change("resize(8)", "resize(size)")
    said: list[str] = []

    def ask(train: str, store: Path = Path("results"), **values: object) -> None:
        with pytest.raises(mfc.RunError) as raised:
            mfc.Job(mfc.load("pets.mfs", **values), store).trained(train)
        said.append(str(raised.value).replace(os.getcwd(), "DIR"))

    ask("fit()")
    assert main(["run", "pets.mfs", "--store", "results", "--device", "cpu", "--target", "fit(seed=42)"]) == 0
    capsys.readouterr()
    ask("fit(seed=42)", epochs=2, size=6)
    ask("fit", epochs=2)
    ask("pets")
    ask("fitt")
    Path("pets.mfs").write_text(
        Path("pets.mfs").read_text() + "evaluate all { model = [fit(1), fit(2)]  metrics = [] }\n"
    )
    ask("fit")
    ask("fit(seed=1)")
    ask("all")
    ask("fit(1)", Path("results").absolute())
    ask("fit(1)", Path(".mfc"))
    golden(OUTPUTS / "not_trained.out", "\n\n".join(said) + "\n")
