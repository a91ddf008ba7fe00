"""Splits, labels, vocabularies and the stage that puts them together."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.runtime.data import labels, splits
from mfc.runtime.data.files import Listing
from mfc.runtime.data.items import Items, list_items
from mfc.runtime.data.paths import runs
from mfc.runtime.data.vocab import build_vocab, encode_categories, encode_values
from mfc.runtime.errors import RunError

NAMES = st.text("ab-. 0é", min_size=1, max_size=3)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), unique=True, max_size=30).map(sorted)


def listing(*paths: str) -> Listing:
    return Listing(sorted(paths), [f"digest of {p}" for p in sorted(paths)])


def many(count: int, label: str = "cat") -> list[str]:
    return [f"{label}/{i:05}.jpg" for i in range(count)]


# ── laws ────────────────────────────────────────────────────────────────────────────────────────────────


@given(PATHS)
def test_runs_are_the_folders_in_order(items):
    found = list(runs(items))
    assert [i for _, start, stop in found for i in range(start, stop)] == list(range(len(items)))
    for folder, start, stop in found:
        assert {item.rpartition("/")[0] for item in items[start:stop]} == {folder}


@given(
    PATHS,
    st.sampled_from([splits.random(0.3), splits.end(0.3), splits.stratified(0.3), splits.matching("a")]),
)
def test_parts_are_disjoint_and_cover_everything(items, split):
    extra = [[item[0] for item in items]] if getattr(split, "by_label", False) else []
    train, valid = split.split(items, *extra)
    assert sorted(train + valid) == list(range(len(items)))
    assert train == sorted(train) and valid == sorted(valid)


@given(st.sets(st.integers(0, 2000), min_size=20), st.sets(st.integers(0, 2000)), st.integers(0, 5))
def test_new_files_move_no_other_across_a_random_split(before, new, seed):
    def parts(numbers):
        items = [f"{i:04}.jpg" for i in sorted(numbers)]
        train, valid = splits.random(0.5, seed).split(items)
        return {items[i] for i in train}, {items[i] for i in valid}

    (train, valid), (later_train, later_valid) = parts(before), parts(before | new)
    assert train <= later_train and valid <= later_valid


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_a_random_share_is_close_and_a_stratified_one_exact(share):
    items = many(5000) + many(5000, "dog")
    _, valid = splits.random(share).split(items)
    assert abs(len(valid) / 10_000 - share) < 0.01
    _, valid = splits.stratified(share).split(items, [item[:3] for item in items])
    assert [len(valid), sum(i < 5000 for i in valid)] == [round(10_000 * share), round(5000 * share)]


def test_random_splits_nest_and_differ_by_seed():
    items = many(1000)
    small, large = (set(splits.random(share).split(items)[1]) for share in (0.1, 0.3))
    assert small < large
    other = set(splits.random(0.3, seed=1).split(items)[1])
    assert 0.15 < len(large & other) / len(large) < 0.45  # as by chance


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_random_split_leaves_no_part_empty(count):
    for seed in range(50):
        train, valid = splits.random(0.02, seed).split(many(count))
        assert train and valid


def test_stratified_gives_each_label_both_parts():
    items = [*many(100), *many(2, "rare"), *many(1, "single")]
    train, valid = splits.stratified(0.1).split(items, [item.split("/")[0] for item in items])
    assert [items[i] for i in valid if i >= 100] == [items[valid[-1]]] and len(valid) == 11
    assert 102 in train


# ── splits ──────────────────────────────────────────────────────────────────────────────────────────────


def test_grandparent():
    items = sorted(
        ["a/train/cat/1", "test/cat/4", "top", "train/2", "train/cat/1", "train/cat/deep/1", "valid/dog/3"]
    )
    assert splits.grandparent().split(items) == ([0, 4], [6])
    assert splits.grandparent(train="valid", valid="test").split(items) == ([6], [1])


def test_grandparent_says_which_folders_there_are():
    with pytest.raises(RunError) as caught:
        splits.grandparent().split(["test/cat/1.jpg", "train/cat/1.jpg"])
    assert str(caught.value) == (
        "error[R0106]: the valid part is empty: no item lies two levels below a folder `valid`\n"
        "  = note: the items' grandparent folders are `test`\n"
        '  = help: `grandparent(valid = "...")` names another folder'
    )


def test_file_list(tmp_path):
    items = ["a/1.jpg", "a/2.jpg", "b/2.jpg", "b/3.jpg"]
    (tmp_path / "valid.txt").write_text("2.jpg\n\n b/3.jpg \n")
    assert splits.file_list(tmp_path / "valid.txt").split(items) == ([0], [1, 2, 3])
    (tmp_path / "valid.txt").write_text("2.jpg\n9.jpg\nc/3.jpg")
    with pytest.raises(RunError) as caught:
        splits.file_list(tmp_path / "valid.txt").split(items)
    assert (
        caught.value.message
        == f"`{tmp_path}/valid.txt` lists 2 files that the source lacks: `9.jpg`, `c/3.jpg`"
    )
    with pytest.raises(RunError, match=r"R0103.*no such file"):
        splits.file_list(tmp_path / "none.txt").split(items)
    (tmp_path / "valid.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(RunError, match="R0103"):
        splits.file_list(tmp_path / "valid.txt").split(items)


def test_index_end_and_matching():
    items = many(5)
    assert splits.index([3, 0]).split(items) == ([1, 2, 4], [0, 3])
    assert splits.end(0.4).split(items) == ([0, 1, 2], [3, 4])
    assert splits.matching(r"[12]\.jpg$").split(items) == ([0, 3, 4], [1, 2])
    with pytest.raises(RunError) as caught:
        splits.index([7]).split(items)
    assert str(caught.value) == "error[R0110]: `index` names the item 7, but there are only 5 items"
    with pytest.raises(RunError) as caught:
        splits.matching("[").split(items)
    assert caught.value.code == "R0110" and caught.value.message.startswith("`[` is no regular expression: ")


def test_among():
    items = [f"{digit}/{i}.png" for digit in range(10) for i in range(20)]
    train, valid = splits.among("^[0-4]/", splits.random(0.3)).split(items)
    whole = splits.random(0.3).split(items)
    assert [train, valid] == [[i for i in part if i < 100] for part in whole]
    by_label = splits.among("^[89]/", splits.stratified(0.5))
    assert by_label.by_label and [len(part) for part in by_label.split(items, [i[0] for i in items])] == [
        20,
        20,
    ]
    with pytest.raises(RunError) as caught:
        splits.among("^a", splits.random()).split(items)
    assert caught.value.code == "R0106"


def test_subset():
    items = sorted(f"{part}/cat/{i:03}.jpg" for part in ("train", "valid") for i in range(200))
    train, valid = splits.subset(splits.grandparent(), train=50).split(items)
    assert len(train) == 50 and valid == list(range(200, 400))
    larger, few = splits.subset(splits.grandparent(), train=80, valid=7).split(items)
    assert set(train) < set(larger) < set(range(200)) and len(few) == 7
    assert splits.subset(splits.grandparent(), train=50, seed=1).split(items)[0] != train
    with pytest.raises(RunError) as caught:
        splits.subset(splits.grandparent(), train=201).split(items)
    assert caught.value.message == "`subset` asks for 201 train items, but there are only 200"
    by_label = splits.subset(splits.stratified(0.5), valid=10)
    assert len(by_label.split(items, [item[0] for item in items])[1]) == 10


# ── labels ──────────────────────────────────────────────────────────────────────────────────────────────


def test_parent():
    items = ["a/cat/1", "a/cat/deep/2", "a/cat/z", "dog/1"]
    assert labels.parent().labels(items) == ["cat", "deep", "cat", "dog"]
    assert [labels.parent().label(item) for item in items] == ["cat", "deep", "cat", "dog"]
    with pytest.raises(RunError) as caught:
        labels.parent().labels(["1.jpg"])
    assert str(caught.value) == "error[R0108]: `1.jpg` has no label: it lies in no folder below the source's"


def test_regex_and_stem():
    pets = labels.regex(r"([^/]+)_\d+\.jpg$")
    assert pets.label("images/great_pyrenees_12.jpg") == "great_pyrenees"
    assert labels.stem().label("faces/23.5.jpg") == "23.5" and labels.stem().label("x/plain") == "plain"
    with pytest.raises(RunError) as caught:
        pets.label("images/nothing.jpg")
    assert caught.value.message == (
        r"`images/nothing.jpg` has no label: `([^/]+)_\d+\.jpg$` is not found in its path"
    )
    with pytest.raises(RunError) as caught:
        labels.regex(r"\d+")
    assert str(caught.value) == (
        "error[R0110]: the regular expression `\\d+` has no group\n"
        "  = help: put parentheses around the part that is the label"
    )


def test_a_labeler_of_the_users_own():
    class first_letter:
        def label(self, item: str) -> str:
            return item[0] if item != "bad" else item[9]

    assert labels.label_all(first_letter(), ["ab", "cd"]) == ["a", "c"]
    with pytest.raises(RunError) as caught:
        labels.label_all(first_letter(), ["ab", "bad"])
    assert caught.value.code == "R0111"
    assert caught.value.message == "`first_letter` failed on `bad`: IndexError: string index out of range"
    assert caught.value.notes[0].startswith(f"raised at {__file__}:")

    class number:
        def label(self, item: str) -> int:
            return 1

    with pytest.raises(RunError, match=r"R0108.*`number` gave 1, which is no text"):
        labels.label_all(number(), ["a"])


# ── vocabularies and values ─────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text(max_size=3), min_size=1))
def test_a_vocabulary_is_sorted_and_decodes(names):
    vocab = build_vocab(names)
    assert vocab == sorted(set(names))
    assert [vocab[i] for i in encode_categories(names, names, vocab)] == names


def test_a_given_vocabulary_keeps_its_order():
    assert build_vocab(["a"], ["b", "a"]) == ["b", "a"]
    with pytest.raises(RunError) as caught:
        build_vocab(["a"], ["b", "a", "b"])
    assert str(caught.value) == "error[R0110]: `vocab` names `b` more than once"


def test_values():
    assert encode_values(["1", "-2.5e1", " 3 "], ["a", "b", "c"]) == [1.0, -25.0, 3.0]
    for label in ("old", "nan", "inf", ""):
        with pytest.raises(RunError) as caught:
            encode_values(["1", label], ["a.jpg", "b.jpg"])
        assert str(caught.value) == (
            f"error[R0109]: the label `{label}` of `b.jpg` is no number\n"
            "  = help: `-> value` takes numbers; for names write `-> category`"
        )


# ── the stage ───────────────────────────────────────────────────────────────────────────────────────────


def test_items_of_a_split(tmp_path):
    files = listing("other/x/0", "train/cat/1", "train/dog/2", "valid/cat/4", "valid/dog/3")
    items = list_items(files, splits.grandparent(), labels.parent())
    assert items.paths == files.paths[1:] and items.digests == files.digests[1:]
    assert (items.train, items.valid, items.targets, items.vocab) == (
        [0, 1],
        [2, 3],
        [0, 1, 0, 1],
        ["cat", "dog"],
    )
    assert items.facts() == {
        "classes": 2,
        "train.count": 2,
        "train.class_counts": [1, 1],
        "valid.count": 2,
        "valid.class_counts": [1, 1],
    }
    items.save(tmp_path)
    assert Items.load(tmp_path) == items
    json.dumps(items.facts())


def test_what_decoding_depends_on_ignores_split_and_labels():
    files = listing(*many(50), *many(50, "dog"))
    first = list_items(files, splits.random(0.2), labels.parent())
    second = list_items(files, splits.stratified(0.5), labels.regex(r"(\d)"))
    assert first != second and first.listing() == second.listing()


def test_values_have_no_vocabulary():
    items = list_items(listing("1.5.jpg", "2.5.jpg"), splits.index([1]), labels.stem(), "value")
    assert (items.targets, items.vocab) == ([1.5, 2.5], [])
    assert items.facts() == {"train.count": 1, "valid.count": 1, "values": 1}


def test_a_label_that_training_lacks():
    files = listing("train/cat/1", "valid/bird/2", "valid/bird/3", "valid/cat/5", "valid/emu/4")
    with pytest.raises(RunError) as caught:
        list_items(files, splits.grandparent(), labels.parent())
    assert str(caught.value) == (
        "error[R0107]: the validation part has labels that the training part lacks: `bird`, `emu`\n"
        "  = note: `bird`: 2 items, such as `valid/bird/2`\n"
        "  = note: `emu`: 1 item, such as `valid/emu/4`\n"
        "  = help: split so that each label has training items (`stratified()` does), or list all labels in "
        "`vocab`"
    )
    items = list_items(files, splits.grandparent(), labels.parent(), vocab=["bird", "cat", "dog", "emu"])
    assert items.facts()["train.class_counts"] == [0, 1, 0, 0]
    with pytest.raises(RunError) as caught:
        list_items(files, splits.grandparent(), labels.parent(), vocab=["cat", "emu"])
    assert str(caught.value) == (
        "error[R0107]: items have a label that the vocabulary lacks: `bird`\n"
        "  = note: `bird`: 2 items, such as `valid/bird/2`\n"
        "  = help: add to `vocab` what is missing, or leave these items out of the split"
    )


@pytest.mark.parametrize(("pattern", "part"), [("cat", "train"), ("dog", "valid")])
def test_an_empty_part(pattern, part):
    with pytest.raises(RunError) as caught:
        list_items(listing(*many(3)), splits.matching(pattern), labels.parent())
    assert (
        str(caught.value)
        == f"error[R0106]: the {part} part is empty: `matching` puts none of 3 items into it"
    )


def test_a_splitter_of_the_users_own():
    class own:
        def __init__(self, *parts):
            self.parts = parts

        def split(self, items):
            return self.parts

    files = listing(*many(3))
    items = list_items(files, own(np.array([2, 0]), np.array([1])), labels.parent())
    assert (items.train, items.valid) == ([0, 2], [1]) and json.dumps(items.train) == "[0, 2]"
    messages = {
        ((0, 1), (1, 2)): "`own` puts items into both parts: `cat/00001.jpg`",
        ((0, 1), (3,)): "`own` gives places of items outside of 0..2",
        ((0, 1), 7): "`own` failed on 3 items: TypeError: 'int' object is not iterable",
    }
    for parts, message in messages.items():
        with pytest.raises(RunError) as caught:
            list_items(files, own(*parts), labels.parent())
        assert caught.value.message == message
