"""The list of all that the reference tells of: nothing twice, nothing left out, found by all of its names."""

from __future__ import annotations

from collections import Counter

import pytest

from mfc.dsl import words
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.docstrings import parse_docstring
from mfc.dsl.entries import entries, hint, look_up, search
from mfc.dsl.explain import codes, explain
from mfc.dsl.fields import BY_KIND
from mfc.dsl.shipped import declared, shipped, uses

CATALOG = builtin_catalog()
ALL = entries(CATALOG)


def found(name: str) -> list[tuple[str, str]]:
    return [(entry.name, entry.kind) for entry in look_up(name, ALL)]


def test_everything_is_there_once() -> None:
    listed = Counter((entry.name, entry.group) for entry in ALL)
    assert set(listed.values()) == {1}
    kinds = Counter(entry.kind for entry in ALL)
    assert kinds["code"] == len(codes()) and kinds["declaration"] == len(words.DECLARATIONS)
    assert sum(count for kind, count in kinds.items() if kind.startswith("field of")) == sum(
        map(len, BY_KIND.values())
    )
    assert sum(entry.of in CATALOG for entry in ALL if entry.of is not None) == len(CATALOG)
    assert kinds["spec"] + kinds["models for import"] == len(shipped()) >= 20
    assert kinds["constant"] == len(CATALOG.constants) and kinds["kind of components"] == len(
        {c.kind for c in CATALOG}
    )


def test_each_has_a_summary_and_a_text() -> None:
    for entry in ALL:
        text = entry.text()
        assert text.endswith("\n") and not text.startswith("\n") and "\n\n\n" not in text, entry.name
        assert entry.summary or entry.kind.startswith(("block of", "model of")), entry.name
        assert entry.kind == "code" or entry.summary.split("`")[0][:40] in " ".join(text.split()), entry.name


def test_a_code_reads_as_its_page() -> None:
    for code in codes():
        (entry,) = look_up(code.lower(), ALL)
        assert f"# {entry.title}\n\n{entry.text()}" == explain(code)


@pytest.mark.parametrize(
    "name, meant",
    [
        ("conv2d", [("conv2d", "layer")]),
        ("conv2d()", [("conv2d", "layer")]),
        ("Conv2d", [("conv2d", "layer")]),
        ("flip", [("flip", "item transform"), ("flip", "batch transform")]),
        ("dice", [("dice", "loss"), ("dice", "metric")]),
        ("train", [("train", "declaration")]),
        ("optimizer", [("optimizer", "declaration"), ("optimizer", "kind of components")]),
        ("train.epochs", [("train.epochs", "field of a train")]),
        ("epochs", [("train.epochs", "field of a train"), ("phase.epochs", "field of a phase")]),
        ("channels", [("x.channels", "attribute of a tensor")]),
        ("losses", [("loss", "kind of components")]),
        ("batch transforms", [("batch_transform", "kind of components")]),
        ("cifar10", [("cifar10", "spec")]),
        ("specs/cifar10.mfs", [("cifar10", "spec")]),
        ("std/unet", [("std/unet", "models for import")]),
        ("unet", [("std/unet", "models for import")]),
        ("xresnet34", [("xresnet34", "model of std/xresnet")]),
        ("imagenet_stats", [("imagenet_stats", "constant")]),
        ("e0204", [("E0204", "code")]),
        ("nothing", []),
        ("", []),
    ],
)
def test_names_are_found(name: str, meant: list[tuple[str, str]]) -> None:
    assert found(name) == meant


def test_what_is_near_or_has_another_name_elsewhere_is_hinted_at() -> None:
    assert hint("conv2", ALL) == "did you mean `conv2d`?"
    assert hint("SaveModelCallback", ALL) == "here it is `save_best`"
    assert hint("max_epochs", ALL) == "here it is `epochs`"
    assert hint("epoch", ALL) == "did you mean `epochs`?"
    assert hint("E9204", ALL) == "did you mean `E0204`?"
    assert hint("zzzzzzzz", ALL) == ""
    assert hint("pretrained", ALL) == "it is an argument of `timm_body`, `torchvision_body`"
    assert hint("ks", ALL).startswith("it is an argument of `") and hint("ks", ALL).endswith(" more")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vision_learner", "torchvision_body("),
        ("ImageDataLoaders", "data NAME: image -> category"),
        ("DataBlock", "data NAME: image -> category"),
        ("ImageBlock", "data NAME: image -> category"),
        ("CategoryBlock", "data NAME: image -> category"),
        ("MaskBlock", "image -> mask"),
        ("nn.Sequential", "model NAME { ... }"),
        ("nn.Linear", "here it is `linear`"),
        ("torch.optim.Adam", "here it is `adam`"),
        ("SentencePieceTokenizer", "here it is `sentencepiece`"),
        ("wandb", "`tensorboard`"),
        ("fit", "`train NAME { ... }`"),
        ("lr", "see `adam` and `one_cycle`"),
        ("device", "--device cuda"),
    ],
)
def test_what_fastai_and_pytorch_have_is_told(name: str, said: str) -> None:
    assert found(name) == [] and said in hint(name, ALL)


def test_words_are_searched_for_in_names_then_in_texts() -> None:
    names = [entry.name for entry in search("mixed precision", ALL)]
    assert names[0] == "mixed_precision" and "R0403" in names
    assert [entry.name for entry in search("lsuv Mishkin", ALL)] == ["lsuv", "initializer"]
    assert all("pool" in e.name + e.summary.lower() + e.text().lower() for e in search("POOL", ALL))
    assert search("", ALL) == [] and search("zzzz", ALL) == []


def test_calls_in_specs_are_those_that_a_reader_finds_there() -> None:
    calls = uses(CATALOG)
    assert len(calls) > 60
    for (_, name), shown in calls.items():
        for spec, call in shown.items():
            text = " ".join(shipped()[spec].source.text.split())
            assert call.startswith(f"{name}(") and call in text
    assert calls["metric", "dice"] == {"digit_masks": "dice(of = 1)"}
    assert ("loss", "dice") not in calls and ("item_transform", "flip") not in calls
    assert "flip()" in calls["batch_transform", "flip"].values()
    own = {decl.name.text for decl in declared(shipped()["std/xresnet"])}
    assert "conv_layer" in own and not any(name == "conv_layer" for _, name in calls)


def test_every_component_begins_with_a_sentence() -> None:
    for component in CATALOG:
        assert parse_docstring(component.doc).summary.endswith((".", ")", "`")), component.name
