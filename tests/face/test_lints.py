"""What the data tells a run: copies in both parts, and how many items each class has."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from PIL import Image

import mfc
from mfc.runtime.training.losses import cross_entropy

SPEC = """
data pets: image -> category {
    source     = image_files("pets")
    split      = grandparent(train = "train", valid = "valid")
    label      = parent()
    batch_size = 4
    item_transforms = [resize(4)]
}
model net { flatten()  linear(pets.classes) }
train fit {
    data   = pets
    model  = net
    loss   = cross_entropy(WEIGHTS)
    epochs = 1
}
"""
COUNTS = "weights = [1 / n for n in pets.train.class_counts]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six cats and two dogs to train on, one of each to validate."""
    for part, label, count in (
        ("train", "cat", 6),
        ("train", "dog", 2),
        ("valid", "cat", 1),
        ("valid", "dog", 1),
    ):
        for number in range(count):
            add(tmp_path, f"{part}/{label}/{number}.png", (40 * number, ord(part[0]), ord(label[0])))
    return tmp_path


def add(folder: Path, name: str, color: tuple[int, int, int]) -> None:
    path = folder / "pets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), color).save(path)


def run(folder: Path, loss: str = "") -> tuple[Any, str]:
    """A run of the spec, and what it says."""
    spec, said = folder / "pets.mfs", io.StringIO()
    spec.write_text(SPEC.replace("WEIGHTS", loss))
    return mfc.compile(mfc.load(spec)).run(progress=False, stream=said), said.getvalue()


def test_copies_in_both_parts_are_told(folder: Path) -> None:
    copies = ((3, 1), (4, 2))
    for number, of in copies:
        (folder / f"pets/valid/dog/{number}.png").write_bytes(
            (folder / f"pets/train/cat/{of}.png").read_bytes()
        )
    _, said = run(folder)
    assert said == (
        "pets.items: warning[W0711]: 2 of 4 validation items train as well, under other names: "
        "`valid/dog/3.png` has the content of `train/cat/1.png`\n"
    )


def test_parts_that_share_nothing_are_not_warned_of(folder: Path) -> None:
    (folder / "pets/train/cat/copy.png").write_bytes((folder / "pets/train/cat/1.png").read_bytes())
    assert run(folder)[1] == ""


def test_counts_of_the_classes_are_what_the_training_part_has(folder: Path) -> None:
    trained = run(folder, COUNTS)[0]["fit"]
    assert trained.stage.recipe["loss"].args["weights"] == [1 / 6, 1 / 2]
    # and the validation loss, of one cat and one dog, is weighted by them
    (x, y, _), weights = next(iter(trained.learner.dls.valid)), cross_entropy(weights=[1 / 6, 1 / 2]).weights
    trained.learner.model.eval()
    expected = F.cross_entropy(trained.learner.model(x), y, weights.tensor)
    assert trained.history[-1]["valid_loss"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_another_count_trains_anew(folder: Path) -> None:
    run(folder, COUNTS)
    assert run(folder, COUNTS)[0].ran == []
    add(folder, "train/dog/9.png", (1, 2, 3))
    again = run(folder, COUNTS)[0]
    assert again["fit"].stage.recipe["loss"].args["weights"] == [1 / 6, 1 / 3]
    assert "fit" in again.ran


def test_weights_for_another_number_of_classes_are_found_before_training(folder: Path) -> None:
    with pytest.raises(mfc.SpecError, match="weights for 3 classes, and `pets` has 2"):
        run(folder, "weights = [1, 2, 3]")
    assert not list((folder / ".mfc").rglob("model.safetensors"))


STATISTICS = """
data pictures: image -> category {
    source           = builtin("digits")
    split            = subset(random(valid = 0.2), train = 256, valid = 32)
    label            = parent()
    batch_transforms = [rotate(20), NORMALIZE]
}
model net { group body { flatten()  linear(10) } }
train fit { data = pictures  model = net  loss = cross_entropy()  epochs = 1 }
train again { data = pictures  model = net  weights = fit.body  loss = cross_entropy()  epochs = 1 }
"""


def warnings(said: io.StringIO) -> list[str]:
    return [line for line in said.getvalue().splitlines() if "warning[" in line]


@pytest.mark.parametrize("stats", ["[[0.9], [0.2]]", "[[0.3], [0.1]]", "[[0.3], [2.0]]"])
def test_statistics_of_other_images_are_seen_in_the_first_batch(tmp_path: Path, stats: str) -> None:
    spec, said = tmp_path / "pictures.mfs", io.StringIO()
    spec.write_text(STATISTICS.replace("NORMALIZE", f"normalize({stats})"))
    mfc.compile(mfc.load(spec)).run(progress=False, stream=said)
    (line,) = warnings(said)  # not of `again`, whose weights know these statistics
    assert line.startswith("fit: warning[W0708]: after `normalize`, the channels of a batch have means ")


@pytest.mark.parametrize("transform", ["normalize(digits_stats)", "normalize([[0.5], [0.5]])", "none"])
def test_nothing_is_said_of_statistics_that_are_near_enough(tmp_path: Path, transform: str) -> None:
    spec, said = tmp_path / "pictures.mfs", io.StringIO()
    spec.write_text(STATISTICS.replace("NORMALIZE", transform))
    mfc.compile(mfc.load(spec)).run(progress=False, stream=said)
    assert warnings(said) == []


@pytest.mark.parametrize(("weights", "told"), [("[fit.body, lsuv()]", False), ("[kaiming(), lsuv()]", True)])
def test_first_weights_that_take_data_are_those_that_stand_before_them(
    tmp_path: Path, weights: str, told: bool
) -> None:
    """A stage of its own gives both, and only one of them knows the statistics of another training."""
    spec, said = tmp_path / "pictures.mfs", io.StringIO()
    text = STATISTICS.replace("NORMALIZE", "normalize([[0.9], [0.2]])")
    spec.write_text(text.replace("weights = fit.body", f"weights = {weights}"))
    mfc.compile(mfc.load(spec)).run(progress=False, stream=said)
    assert [line.partition(":")[0] for line in warnings(said)] == ["fit", *(["again"] if told else [])]
