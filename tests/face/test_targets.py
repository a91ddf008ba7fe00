"""Images with several labels or with numbers, out of a table: from the file to predictions."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mfc
from mfc.cli import main

SPEC = """
param file: path = "train.csv"

data tags: image -> multi_category {
    source     = image_table(file, folder = "photos", image = "{name}.png")
    split      = by_column("is_valid")
    label      = column("tags", delimiter = " ")
    batch_size = 16
    item_transforms = [resize(8)]
}

data places: image -> value {
    source     = image_table(file, folder = "photos", image = "{name}.png")
    split      = by_column("is_valid")
    label      = column(["x", "y"])
    batch_size = 16
    item_transforms = [resize(8)]
}

train tag {
    data     = tags
    model    = to_tags
    loss     = bce()
    metrics  = [accuracy_multi(), f_beta(2, average = "micro"), roc_auc()]
    schedule = one_cycle(lr = 3e-2)
    epochs   = 25
}

train place {
    data     = places
    model    = to_places
    loss     = mse()
    metrics  = [mse(), mae(), r2()]
    schedule = one_cycle(lr = 3e-2)
    epochs   = 40
}

model to_tags   { flatten()  linear(tags.classes) }
model to_places { flatten()  linear(places.values) }
"""

COLORS = ("red", "green", "blue")


def picture(tags: list[str], x: int, y: int) -> Image.Image:
    """On the left each tag lights a channel up; on the right the upper half is as bright as `x`, the lower as `y`."""
    pixels = np.full((8, 8, 3), 40, np.uint8)
    pixels[:, :4, [COLORS.index(tag) for tag in tags]] = 200
    pixels[:4, 4:], pixels[4:, 4:] = 30 * x, 30 * y
    return Image.fromarray(pixels)


def write(folder: Path, file: str = "train.csv", count: int = 64) -> Path:
    """Photos and their table: an image has none, one, two or all three of the tags."""
    draw = random.Random(0)
    (folder / "photos").mkdir(exist_ok=True)
    with (folder / file).open("w", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(["name", "tags", "x", "y", "is_valid"])
        for i in range(count):
            tags = [color for bit, color in enumerate(COLORS) if i >> bit & 1]
            draw.shuffle(tags)
            x, y = draw.randrange(8), draw.randrange(8)
            picture(tags, x, y).save(folder / "photos" / f"{i:03}.png")
            table.writerow([f"{i:03}", " ".join(tags), x, y, i // 8 % 4 == 3])
    return folder / file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planet")
    write(folder)
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.run(folder / "spec.mfs")


def test_several_labels_an_item(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    result = run["tag"].result
    assert result["accuracy_multi"] == result["f_beta"] == result["roc_auc"] == 1
    for tags in ([], ["blue"], ["blue", "red"], ["blue", "green", "red"]):
        picture(tags, 3, 3).save(tmp_path / "new.png")
        said = run["tag"].predict(tmp_path / "new.png")
        assert said.label == tags
        assert {name for name, p in said.probabilities.items() if p >= 0.5} == set(tags)
    loader = run["tag"].learner.dls.valid
    y = next(iter(loader)).y
    assert y.shape == (16, 3) and y.sum(0).tolist() == [8, 8, 8]  # blue, green, red


def test_several_numbers_an_item(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    result = run["place"].result
    assert result["mae"] < 0.5 and result["r2"] > 0.9, result  # a guess of the mean is 2 off
    assert result["mse"] == pytest.approx(result["valid_loss"], rel=1e-5)
    picture(["red"], 1, 6).save(tmp_path / "new.png")
    x, y = run["place"].predict(tmp_path / "new.png").label
    assert abs(x - 1) < 1 and abs(y - 6) < 1


def test_show_tells_of_the_targets(run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder / "spec.mfs"), "tags"]) == 0
    out = capsys.readouterr().out
    assert "3 classes, with their items in train: blue (24), green (24), red (24)" in out, out
    assert "0 to 3 of them an item, 1.50 in the mean" in out and "its targets: (16, 3) float32" in out
    assert main(["show", str(folder / "spec.mfs"), "places"]) == 0
    assert "2 values an item, in train from 0 to 7" in capsys.readouterr().out


def stale(folder: Path, **values: object) -> list[str]:
    job = mfc.Job(mfc.load(folder / "spec.mfs", **values), folder / ".mfc")
    return [s.stage.name for s in job.status(["tag"]) if s.state != "up to date"]


def test_what_a_change_of_the_table_makes_stale(run: mfc.Run, folder: Path) -> None:
    assert stale(folder) == []
    rows = (folder / "train.csv").read_text()
    (folder / "same.csv").write_text(rows)
    assert stale(folder, file="same.csv") == []
    (folder / "other.csv").write_text(rows.replace("\n001,red,", "\n001,blue,"))
    assert stale(folder, file="other.csv") == ["tags.files", "tags.items", "tags.packed", "tag"]


def test_the_count_of_values_is_checked_once_it_is_known(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    text = SPEC.replace('column(["x", "y"])', 'column("x")').replace("places.values", "2")
    write(tmp_path)
    (tmp_path / "spec.mfs").write_text(text)
    spec = mfc.load(tmp_path / "spec.mfs")
    assert spec.ok
    with pytest.raises(mfc.SpecError) as caught:
        mfc.compile(spec).run(["place"])
    assert "an item of `places` has 1 value" in str(caught.value)


PARTS = """
import mfc


@mfc.labeler
class kinds:
    "What can be said of a digit."

    def label(self, item: str) -> list[str]:
        digit = int(item[0])
        return ["even"] * (digit % 2 == 0) + ["loop"] * (digit in (0, 6, 8, 9))


@mfc.labeler
class size:
    "The digit as a number."

    def label(self, item: str) -> float:
        return int(item[0])
"""


@pytest.mark.parametrize("labeler, target, classes", [("kinds", "multi_category", 2), ("size", "value", 0)])
def test_labelers_of_ones_own(tmp_path: Path, labeler: str, target: str, classes: int) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    text = f"""use "parts.py" ({labeler})
data digits: image -> {target} {{
    source = builtin("digits")
    split  = random(0.2)
    label  = {labeler}()
}}
"""
    (tmp_path / "spec.mfs").write_text(text)
    dls: Any = mfc.compile(tmp_path / "spec.mfs").build("digits")
    _, y, ids = next(iter(dls.valid))
    digits = [int(dls.items.paths[i][0]) for i in ids.tolist()]
    if classes:
        assert dls.vocab == ["even", "loop"]
        assert y.tolist() == [[float(d % 2 == 0), float(d in (0, 6, 8, 9))] for d in digits]
    else:
        assert y.tolist() == digits and y.is_floating_point()


@pytest.mark.parametrize(
    "change, said",
    [
        (("003,", "1003,"), "names an image that is not there: `1003.png`"),
        (("003,", "002,"), "more than one row for `002.png`: lines 4 and 5"),
        (("name,", "naem,"), "did you mean `naem`?"),
        (("\n024,", "\n024,teal"), "the validation part has a label that the training part lacks: `teal`"),
    ],
)
def test_mistakes_in_a_table_of_images(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    table = write(tmp_path)
    rows = table.read_text()
    changed = rows.replace(*change, 1)
    assert changed != rows
    table.write_text(changed)
    (tmp_path / "spec.mfs").write_text(SPEC)
    with pytest.raises(mfc.RunError) as caught:
        mfc.compile(tmp_path / "spec.mfs").run(["tag"])
    assert said in str(caught.value)


def test_a_number_that_is_none_names_its_item(tmp_path: Path) -> None:
    table = write(tmp_path)
    rows = table.read_text().split("\n")
    cells = rows[5].split(",")
    rows[5] = ",".join([*cells[:2], "left", *cells[3:]])
    table.write_text("\n".join(rows))
    (tmp_path / "spec.mfs").write_text(SPEC)
    with pytest.raises(mfc.RunError, match=r"the label `left` of `004\.png` is no number"):
        mfc.compile(tmp_path / "spec.mfs").run(["place"])


def test_new_tables_of_images_are_predicted(
    run: mfc.Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.mfs").write_text(SPEC)
    every = [[], ["blue"], ["blue", "red"], ["blue", "green", "red"]]
    for number, tags in enumerate(every):
        picture(tags, 3, 3).save(tmp_path / f"{number}.png")
    (tmp_path / "new.csv").write_text("id,name\n1,2\n2,missing\n3,0\n")
    paths = [str(tmp_path / "new.csv"), str(tmp_path / "3.png")]

    def ask(*arguments: str) -> list[str]:
        assert main(["predict", str(folder / "spec.mfs"), *arguments, "--device", "cpu"]) == 1
        out, err = capsys.readouterr()
        assert f"`{tmp_path}/missing.png` is a broken image: no such file or directory" in err
        assert err.endswith("\n1 could not be predicted\n")
        return out.splitlines()

    two, none, three = ask("tag", *paths)
    assert re.fullmatch(rf"{tmp_path}/2\.png: blue \d+\.\d%, red \d+\.\d%", two)
    assert none == f"{tmp_path}/0.png: no label" and three.count("%") == 3
    two, none, three = ask("tag", *paths, "--top", "2")
    assert two.count("%") == 2 and re.search(r"no label \([a-z]+ \d+\.\d%, [a-z]+ \d+\.\d%\)$", none)
    two, none, three = map(json.loads, ask("tag", *paths, "--json"))
    assert two["labels"] == ["blue", "red"] and set(two["probabilities"]) == set(COLORS)
    head, two, none, three = csv.reader(ask("tag", *paths, "--csv"))
    assert head == ["file", "labels", "blue", "green", "red"]
    assert two[1] == "blue;red" and float(two[2]) > 0.5 > float(two[3])

    said = run["place"].predict(tmp_path / "2.png").label
    two, *_ = map(json.loads, ask("place", *paths, "--json"))
    assert two["values"] == pytest.approx(said, abs=1e-6)
    assert next(csv.reader(ask("place", *paths, "--csv"))) == ["file", "value_1", "value_2"]
    assert ask("place", *paths)[0] == f"{tmp_path}/2.png: {two['values'][0]:.6g} {two['values'][1]:.6g}"

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "new.csv").rename(tmp_path / "elsewhere" / "new.csv")
    moved = ask("place", str(tmp_path / "elsewhere" / "new.csv"), "--images", str(tmp_path), "--json")
    assert json.loads(moved[0])["values"] == pytest.approx(said, abs=1e-6)
