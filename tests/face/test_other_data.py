"""Models that are asked about other data than they were trained on: its items by their own vocabulary, transforms and
tokenizer."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mfc
from mfc.cli import main
from mfc.runtime.data.files import Listing
from mfc.runtime.data.items import Items, items_of_part
from mfc.runtime.data.targets import encoded
from mfc.runtime.errors import RunError

SPEC = """
param root: path = "images"

data known: image -> category {
    source           = image_files("images")
    split            = grandparent(train = "train", valid = "valid")
    label            = parent()
    item_transforms  = [resize(8)]
    batch_transforms = [rotate(20), normalize([[0.4, 0.4, 0.4], [0.2, 0.2, 0.2]])]
    batch_size       = 4
}

data other: image -> category {
    source           = image_files(root)
    split            = grandparent(train = "old", valid = "new")
    label            = parent()
    batch_transforms = [zoom(1.2)]
    batch_size       = 3
}

model net { flatten()  linear(known.classes) }
train fit { data = known  model = net  loss = cross_entropy()  optimizer = adam(lr = 1e-2)  epochs = 3 }

evaluate rest { model = fit  data = known.test   metrics = [accuracy()] }
evaluate new  { model = fit  data = other.valid  metrics = [accuracy()] }
evaluate both { model = fit  data = other.all    metrics = [accuracy()] }
"""

PARTS = {
    "images": {"train": ("cat", "dog", "cow"), "valid": ("cat",), "kept": ("dog", "cow")},
    "others": {"old": ("dog",), "new": ("cow", "dog"), "last": ("cat",)},
}
BRIGHTNESS = {"cat": 20, "cow": 120, "dog": 220, "emu": 160}


def write_images(folder: Path) -> None:
    for root, parts in PARTS.items():
        for part, labels in parts.items():
            for label in labels:
                (folder / root / part / label).mkdir(parents=True)
                for i in range(5):
                    colour = (BRIGHTNESS[label] + i, 90, 40 * i)
                    Image.new("RGB", (9 + i, 12), colour).save(folder / root / part / label / f"{i}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    write_images(folder)
    (folder / "spec.mfs").write_text(SPEC)
    mfc.run(folder / "spec.mfs", root=str(folder / "others"))
    return folder


def by_hand(run: Any, folder: Path, names: list[str], vocab: list[str]) -> float:
    """The accuracy on images, prepared one by one as the validation items were."""
    fit = run["fit"]
    right = [fit.predict(folder / name).label == name.split("/")[-2] for name in names]
    assert fit.learner.dls.vocab == vocab
    return sum(right) / len(right)


def test_other_items_are_prepared_as_the_models_own(folder: Path) -> None:
    run = mfc.run(folder / "spec.mfs", root=str(folder / "others"))
    assert run.ran == []
    for name, root, parts in (
        ("rest", "images", ("kept",)),
        ("new", "others", ("new",)),
        ("both", "others", ("old", "new")),
    ):
        files = [
            str(path.relative_to(folder)) for part in parts for path in (folder / root / part).rglob("*.png")
        ]
        assert len(files) == 5 * sum(len(PARTS[root][part]) for part in parts)
        expected = by_hand(run, folder, files, ["cat", "cow", "dog"])
        assert run.evaluations[name].result["accuracy"] == pytest.approx(expected)


def test_the_plan_has_the_edges(folder: Path) -> None:
    plan = mfc.Job(mfc.load(folder / "spec.mfs", root=str(folder / "others"))).plan()
    assert plan["other.valid.known.items"].inputs == ("other.files", "known.items")
    assert set(plan["new"].inputs) == {"fit", "other.valid.known.items"}
    assert "other.items" not in {stage.name for stage in plan}, (
        "the other block's own vocabulary is not asked for"
    )


def test_what_is_measured_again(folder: Path, tmp_path: Path) -> None:
    def stale(*changes: tuple[str, str]) -> list[str]:
        text = SPEC
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / "changed.mfs").write_text(text)
        job = mfc.Job(mfc.load(folder / "changed.mfs", root=str(folder / "others")), folder / ".mfc")
        return [s.stage.name for s in job.status() if s.state != "up to date"]

    assert stale(("zoom(1.2)", "zoom(1.3)")) == [], "the model's own transforms count"
    items = ["other.valid.known.items", "other.all.known.items"]
    assert stale(('valid = "new"', 'valid = "last"')) == [items[0], "new", items[1], "both"]
    extra = folder / "others" / "new" / "cow" / "more.png"
    Image.new("RGB", (8, 8)).save(extra)
    try:
        assert set(stale()) == {"other.files", *items, "new", "both"}
    finally:
        extra.unlink()
    assert stale() == []


def test_a_label_that_the_model_does_not_know_is_named(folder: Path) -> None:
    image = folder / "others" / "new" / "emu" / "1.png"
    image.parent.mkdir()
    Image.new("RGB", (8, 8)).save(image)
    try:
        with pytest.raises(mfc.RunError, match="a label that the model was not taught: `emu`") as caught:
            mfc.run(folder / "spec.mfs", root=str(folder / "others"))
    finally:
        image.unlink()
        image.parent.rmdir()
    assert caught.value.code == "R0107"
    assert caught.value.notes == ["`emu`: 1 item, such as `new/emu/1.png`"]


def test_a_part_without_items(folder: Path) -> None:
    (folder / "empty.mfs").write_text(SPEC.replace("data = known.test", "data = other.test"))
    (folder / "others" / "last").rename(folder / "last")
    try:
        with pytest.raises(mfc.RunError, match="the test part is empty") as caught:
            mfc.run(folder / "empty.mfs", root=str(folder / "others"))
    finally:
        (folder / "last").rename(folder / "others" / "last")
    assert caught.value.code == "R0106"


TEXTS = """
data known: text -> category {
    source    = text_files("known")
    split     = random(valid = 0.3)
    label     = parent()
    tokenizer = words(min_freq = 1)
}
data other: text -> category {
    source = text_files("other")
    split  = random(valid = 0.3)
    label  = parent()
}
model clf = text_classifier(awd_lstm(emb_size = 6, hidden_size = 8, layers = 1), classes = known.classes)
train fit { data = known  model = clf  loss = cross_entropy()  epochs = 2 }
evaluate new { model = fit  data = other.all  metrics = [accuracy()] }
"""


def test_texts_by_the_tokenizer_of_the_model(tmp_path: Path) -> None:
    draw = random.Random(1)
    for root, labels in (("known", ("good", "bad")), ("other", ("bad", "good"))):
        for label in labels:
            (tmp_path / root / label).mkdir(parents=True)
            for i in range(6):
                words = draw.choices([label, "film", "rain", root, "is", f"w{i}"], k=9)
                (tmp_path / root / label / f"{i}.txt").write_text(" ".join(words))
    (tmp_path / "spec.mfs").write_text(TEXTS)
    run = mfc.run(tmp_path / "spec.mfs")
    names = [status.stage.name for status in run.statuses]
    assert "other.all.known.tokens" in names and "other.tokens" not in names
    files = sorted((tmp_path / "other").rglob("*.txt"))
    right = [run["fit"].predict(file.read_text()).label == file.parent.name for file in files]
    assert run.evaluations["new"].result["accuracy"] == pytest.approx(sum(right) / len(files))


def test_masks_of_other_images(tmp_path: Path) -> None:
    for name in ("known", "other"):
        for i in range(6):
            image = Image.effect_noise((8, 8), 60 + 10 * i)
            for part, content in (("images", image), ("masks", image.point(lambda v: int(v > 128)))):  # type: ignore[operator]
                (tmp_path / name / part).mkdir(parents=True, exist_ok=True)
                content.save(tmp_path / name / part / f"{i}.png")

    def spec(classes: str) -> mfc.Job:
        blocks = "".join(
            f"""
data {name}: image -> mask {{
    source = image_files("{name}/images", channels = 1)
    split  = random(valid = 0.3)
    label  = mask_file("{{stem}}.png", folder = "{name}/masks")
    vocab  = {vocab}
    item_transforms = [resize(8)]
}}"""
            for name, vocab in (("known", '["dark", "bright"]'), ("other", classes))
        )
        rest = """
model net { conv2d(4)  relu()  conv2d(known.classes) }
train fit { data = known  model = net  loss = cross_entropy()  epochs = 2 }
evaluate new { model = fit  data = other.all  metrics = [accuracy()] }
"""
        (tmp_path / "spec.mfs").write_text(blocks + rest)
        return mfc.compile(tmp_path / "spec.mfs")

    run = spec('["dark", "bright"]').run()
    right = []
    for i in range(6):
        said = run["fit"].predict(tmp_path / "other" / "images" / f"{i}.png").label
        with Image.open(tmp_path / "other" / "masks" / f"{i}.png") as mask:
            right.append(float((said.numpy() == np.asarray(mask)).mean()))
    assert run.evaluations["new"].result["accuracy"] == pytest.approx(np.mean(right))
    with pytest.raises(mfc.SpecError, match="E0550"):
        spec('["bright", "dark"]')


@pytest.mark.parametrize("target", ["category", "multi_category", "value", "mask"])
def test_items_of_a_part(target: str) -> None:
    known = Items(
        ["a"],
        ["0"],
        [0],
        [0],
        [[1.0, 2.0]] if target == "value" else [1],
        [] if target == "value" else ["x", "y"],
    )
    listing = Listing([f"{i}.png" for i in range(6)], [str(i) for i in range(6)])
    split = SimpleNamespace(split=lambda items: ([4, 0], [2]))
    for part, expected in {"train": [0, 4], "valid": [2], "all": [0, 2, 4], "test": [1, 3, 5]}.items():
        items = items_of_part(listing, part, split, None, known, target)  # type: ignore[arg-type]
        assert items.paths == [listing.paths[i] for i in expected]
        assert items.targets == [] and items.vocab == known.vocab
        assert items.part("valid") == items.part("train") == list(range(len(expected)))
        assert encoded(items) is None
    labels = {"category": "y", "multi_category": ["y", "x"], "value": [3, 4.5], "mask": ""}
    label = SimpleNamespace(label=lambda item: labels[target], names=lambda: ["x", "y"])
    items = items_of_part(listing, "test", split, label, known, target)  # type: ignore[arg-type]
    found = {"category": [1, 1, 1], "multi_category": [[0, 1]] * 3, "value": [[3.0, 4.5]] * 3, "mask": []}
    assert items.targets == found[target]


def test_masks_of_other_classes() -> None:
    known = Items(["a"], ["0"], [0], [0], [], ["x", "y"])
    split, label = SimpleNamespace(split=lambda items: ([0], [1])), SimpleNamespace(names=lambda: ["y", "x"])
    with pytest.raises(
        RunError, match="of the classes `y`, `x`, and the model was taught `x`, `y`"
    ) as caught:
        items_of_part(Listing(["a", "b"], ["0", "1"]), "all", split, label, known, "mask")
    assert caught.value.code == "R0107"


def test_values_of_another_count() -> None:
    known = Items(["a"], ["0"], [0], [0], [[1.0, 2.0]], [])
    split, label = SimpleNamespace(split=lambda items: ([0], [1])), SimpleNamespace(label=lambda item: 3)
    with pytest.raises(RunError, match="`a` has 1 value, and the model was taught items with 2"):
        items_of_part(Listing(["a", "b"], ["0", "1"]), "all", split, label, known, "value")


OWN = '''
from pathlib import Path

import mfc


@mfc.item_transform(shape="c h w -> c h w")
class darker:
    """Multiplies by the number in a file."""

    def __init__(self, file: Path):
        self.factor = float(Path(file).read_text())

    def __call__(self, image, rng):
        return image.point(lambda value: value * self.factor)
'''


def test_where_the_files_of_transforms_lie_decides_nothing(tmp_path: Path) -> None:
    here = tmp_path / "here"
    write_images(here)
    (here / "own.py").write_text(OWN)
    (here / "factor.txt").write_text("0.5")
    text = SPEC.replace("[resize(8)]", '[resize(8), darker("factor.txt")]').replace(
        "epochs = 3", "epochs = 1"
    )
    (here / "spec.mfs").write_text(f'use "own.py" (darker)\n{text}')
    mfc.run(here / "spec.mfs", root="others")
    there = here.rename(tmp_path / "there")
    statuses = mfc.compile(there / "spec.mfs", root="others").status()
    assert {status.state for status in statuses} == {"up to date"}
    (there / "factor.txt").write_text("0.6")
    statuses = mfc.compile(there / "spec.mfs", root="others").status()
    assert "known.packed" in {status.stage.name for status in statuses if status.state == "to run"}


def test_a_size_that_only_a_run_tells_may_be_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SPEC.replace("[resize(8)]", "[resize(size)]")
    (tmp_path / "spec.mfs").write_text(f"param size: int\n{text}")
    assert main(["check", str(tmp_path / "spec.mfs")]) == 0, capsys.readouterr()
