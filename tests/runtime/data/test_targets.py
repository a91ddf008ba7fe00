"""Several labels and several numbers an item, as tensors; compared with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.preprocessing import MultiLabelBinarizer

from mfc.runtime.data import labels, splits
from mfc.runtime.data.files import Listing
from mfc.runtime.data.image_table import image_table
from mfc.runtime.data.items import list_items
from mfc.runtime.data.targets import encoded
from mfc.runtime.errors import RunError

LABELS = st.lists(st.sampled_from(["cloudy", "haze", "primary", "road", "water"]), max_size=5)


class given_labels:
    """A labeler that knows the labels by the items' names."""

    def __init__(self, found: list) -> None:
        self.found = found

    def label(self, item: str):
        return self.found[int(item)]


def listed(found: list, target: str, **options):
    """The items of a listing with these labels, all of which train but the last."""
    paths = [f"{i:04}" for i in range(len(found))]
    split = splits.index([len(found) - 1])
    return list_items(Listing(paths, paths), split, given_labels(found), target, **options)  # type: ignore[arg-type]


def tensor_of(items):
    """The targets of items that have some."""
    targets = encoded(items)
    assert targets is not None
    return targets


@given(st.lists(LABELS, min_size=2, max_size=20))
def test_several_labels_are_scikit_learns_indicators(found):
    found[0] = ["primary", *found[0]]
    found[-1] = [label for label in found[-1] if any(label in others for others in found[:-1])]
    items = listed(found, "multi_category")
    binarizer = MultiLabelBinarizer()
    expected = binarizer.fit_transform([*found[:-1], []])
    assert items.vocab == list(binarizer.classes_)
    targets = tensor_of(items)
    assert targets.dtype == torch.float32
    assert np.array_equal(targets[:-1], expected[:-1])
    assert items.facts()["train.class_counts"] == expected.sum(0).tolist()
    assert items.facts()["classes"] == len(items.vocab)


def test_labels_that_training_lacks_are_named():
    with pytest.raises(
        RunError, match="the validation part has a label that the training part lacks: `mine`"
    ):
        listed([["road"], ["water", "road"], ["road", "mine"]], "multi_category")
    items = listed([["road"], [], ["mine"]], "multi_category", vocab=["mine", "road"])
    assert tensor_of(items).tolist() == [[0, 1], [0, 0], [1, 0]]
    with pytest.raises(RunError, match="no item of the training part has a label"):
        listed([[], [], []], "multi_category")


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=9))
def test_several_numbers_an_item(rows):
    items = listed([[str(x), y] for x, y in rows], "value")
    assert torch.equal(tensor_of(items), torch.tensor(rows, dtype=torch.float32))
    assert items.facts()["values"] == 2 and not items.vocab
    alone = listed([x for x, _ in rows], "value")
    assert tensor_of(alone).shape == (len(rows),) and alone.facts()["values"] == 1


def test_numbers_that_do_not_fit_are_named():
    with pytest.raises(RunError, match="`0001` has 1 number, and `0000` has 2 numbers"):
        listed([[1, 2], [3], [4, 5]], "value")
    with pytest.raises(RunError, match="the label `left` of `0001` is no number"):
        listed([[1, 2], [3, "left"], [4, 5]], "value")
    for wrong, target, said in (
        (3, "category", "which is no text"),
        (["a"], "category", "which is no text"),
        ([["a"]], "multi_category", "which is no list of texts"),
        (None, "value", "which is no number"),
    ):
        with pytest.raises(RunError, match=said):
            listed(["1", wrong, "1"], target)


def test_fields_are_cut_at_their_delimiter():
    column = labels.column("tags", delimiter=";")
    assert column.labels(["a", "b"], ["road; water;", ""]) == [["road", "water"], []]
    assert labels.regex(r"_([^_]*)\.jpg", delimiter="+").label("x/1_road+water.jpg") == ["road", "water"]
    assert labels.column(["x", "y"]).labels(["a"], [["1", "2"]]) == [["1", "2"]]
    with pytest.raises(RunError, match="its `y` is empty"):
        labels.column(["x", "y"]).labels(["a"], [["1", " "]])
    with pytest.raises(RunError, match="`delimiter` is empty"):
        labels.column("tags", delimiter="")


def test_stratified_splits_keep_each_set_of_labels(tmp_path: Path):
    found = [["road"], ["road", "water"]] * 10
    paths = [f"{i:04}" for i in range(20)]
    items = list_items(Listing(paths, paths), splits.stratified(0.2), given_labels(found), "multi_category")
    both = [i for i in items.valid if len(items.targets[i]) == 2]
    assert (len(items.valid), len(both)) == (4, 2)


@pytest.mark.parametrize("name", ["../secret/1", "a/../../secret/1"])
def test_a_row_that_leaves_the_folder(tmp_path: Path, name: str) -> None:
    for folder in ("photos", "secret"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / folder / "1.png")
    (tmp_path / "table.csv").write_text(f"name\n1\n{name}\n")
    with pytest.raises(RunError, match="in line 3, which is not in") as error:
        image_table(tmp_path / "table.csv", tmp_path / "photos", "{name}.png").scan()
    assert error.value.code == "R0139"
