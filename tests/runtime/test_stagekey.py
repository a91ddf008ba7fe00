"""Stage keys: what changes one, what does not, and how the change is told."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.dsl.ir import Branch, Call, Fact, Join, Keep, Layer, Run, Stack, Stage, Trained
from mfc.runtime.stagekey import Record, explain, extras, record, show, versions

BASE: dict[str, Any] = {
    "optimizer": Call("optimizer", "adam", "mfc.runtime.optim:adam", {"lr": 3e-3, "wd": 0.01}),
    "transforms": [
        Call("batch_transform", "flip", "m:flip", {"p": 0.5}),
        Call("batch_transform", "rotate", "m:rotate", {"max_deg": 10}),
        Call("batch_transform", "flip", "m:flip", {"p": 0.1}),
    ],
    "epochs": 5,
    "loss": None,
    "weights": [Trained("pretrain", "encoder")],
}


def layer(name: str, **args: Any) -> Run:
    return Run(Layer(name, Call("layer", name.partition("_")[0], "m:l", args)))


def model(*steps: Any, **options: Any) -> Stack:
    return Stack("net", (Run(Stack("body", steps, **options)),))


def stage(recipe: dict[str, Any], **others: Any) -> Stage:
    return Stage(**{"name": "fit", "kind": "train", "recipe": recipe, "code": "c"} | others)


def key(of: Stage, inputs: dict[str, str], libraries: dict[str, str]) -> str:
    return record(of, inputs, libraries).key


def calls(*names: str) -> dict[str, Any]:
    return {"transforms": [Call("batch_transform", name, name, {}) for name in names]}


def changed(new: dict[str, Any], old: dict[str, Any] = BASE) -> list[str]:
    return explain(record(stage(old), {}, {}), record(stage(new), {}, {}))


def test_equal_stages_have_equal_keys() -> None:
    one = key(stage(BASE), {"a": "1", "b": "2"}, {"torch": "2.6"})
    assert one == key(stage(dict(reversed(BASE.items()))), {"b": "2", "a": "1"}, {"torch": "2.6"})
    assert len(one) == 32


def test_where_a_definition_or_a_file_lies_is_not_in_the_key() -> None:
    moved = BASE | {
        "optimizer": Call("optimizer", "adam", "/elsewhere/mine.py:adam", {"lr": 3e-3, "wd": 0.01})
    }
    assert key(stage(moved), {}, {}) == key(stage(BASE), {}, {})
    assert key(stage(BASE, placing={"root": "/data", "workers": 3}), {}, {}) == key(stage(BASE), {}, {})


@pytest.mark.parametrize(
    "other",
    [
        stage(BASE | {"epochs": 6}),
        stage(BASE | {"epochs": 5.0}),
        stage(BASE | {"epochs": True}),
        stage(BASE | {"more": None}),
        stage(BASE, code="d"),
        stage(BASE, name="fit2"),
        stage(BASE, kind="evaluate"),
    ],
)
def test_what_a_stage_does_is_in_the_key(other: Stage) -> None:
    assert key(other, {}, {}) != key(stage(BASE), {}, {})


def test_inputs_and_versions_are_in_the_key() -> None:
    keys = [
        key(stage(BASE), inputs, libraries)
        for inputs in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"})
        for libraries in ({}, {"torch": "2.6"}, {"torch": "2.7"})
    ]
    assert len(set(keys)) == len(keys)


# ── reasons ─────────────────────────────────────────────────────────────────────────────────────────────

ADAM, TRANSFORMS = BASE["optimizer"], BASE["transforms"]
REASONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"optimizer": Call("optimizer", "adam", "", {"lr": 1e-3, "wd": 0.01})}, ["optimizer.lr: 3e-3 -> 1e-3"]),
    (
        {"optimizer": Call("optimizer", "adam", "", {"lr": 3e-3, "eps": 1e-5})},
        ["optimizer.wd: 0.01 removed", "optimizer.eps: 1e-5 added"],
    ),
    (
        {"optimizer": Call("optimizer", "sgd", "", {"lr": 0.1})},
        ["optimizer: adam(lr = 3e-3, wd = 0.01) -> sgd(lr = 0.1)"],
    ),
    ({"epochs": 5.0}, ["epochs: 5 -> 5.0"]),
    ({"epochs": Fact("cifar.classes")}, ["epochs: 5 -> cifar.classes"]),
    ({"loss": Call("loss", "mse", "")}, ["loss: none -> mse()"]),
    ({"transforms": TRANSFORMS[:2]}, ["transforms: flip(p = 0.1) removed"]),
    (
        {"transforms": [*TRANSFORMS, Call("batch_transform", "zoom", "")]},
        ["transforms: zoom() added"],
    ),
    (
        {
            "transforms": [
                TRANSFORMS[0],
                Call("batch_transform", "rotate", "", {"max_deg": 15}),
                TRANSFORMS[2],
            ]
        },
        ["transforms.rotate.max_deg: 10 -> 15"],
    ),
    (
        {"transforms": [*TRANSFORMS[:2], Call("batch_transform", "flip", "", {"p": 0.2})]},
        ["transforms.flip[1].p: 0.1 -> 0.2"],
    ),
    ({"transforms": [TRANSFORMS[1], TRANSFORMS[0], TRANSFORMS[2]]}, ["transforms: order changed"]),
    (
        {"weights": [Trained("pretrain", None)]},
        ["weights: pretrain.encoder removed", "weights: pretrain added"],
    ),
    ({"seed": [1, "a", True]}, ['seed: [1, "a", true] added']),
]


@pytest.mark.parametrize(("new", "reasons"), REASONS, ids=[str(reasons) for _, reasons in REASONS])
def test_changes_of_a_recipe(new: dict[str, Any], reasons: list[str]) -> None:
    assert changed(BASE | new) == reasons


def test_changes_of_a_model() -> None:
    old = model(
        layer("conv2d", nf=64, ks=3), Keep("s"), layer("conv2d_1", nf=64), Join("add", ("s",)), layer("relu")
    )
    new = model(
        layer("conv2d", nf=32, ks=3), Keep("s"), layer("conv2d_1", nf=64), layer("relu"), layer("gelu")
    )
    assert changed({"model": new}, {"model": old}) == [
        "model.body.conv2d.nf: 64 -> 32",
        "model.body: add(s) removed",
        "model.body: gelu() added",
    ]
    inner = old.steps[0].child  # type: ignore[union-attr]
    grouped = model(*inner.steps, group=True)  # type: ignore[union-attr]
    assert changed({"model": grouped}, {"model": old}) == ["model.body.group: false -> true"]
    aside = Branch("s", Stack("s", (layer("linear", nf=3),)))
    wider = Branch("s", Stack("s", (layer("linear", nf=4),)))
    assert changed({"model": model(wider)}, {"model": model(aside)}) == ["model.body.s.linear.nf: 3 -> 4"]


def test_changes_of_inputs_code_and_versions() -> None:
    before = stage(calls("rotate", "flip"))
    old = record(before, {"cifar.items": "1", "a": "1"}, {"torch": "2.12"}, {"rotate": "1", "flip": "1"})
    new = record(
        stage(calls("rotate", "flip"), code="d"), {"cifar.items": "2", "b": "1"}, {"torch": "2.13", "pillow": "12"},
        {"rotate": "2", "flip": "1"},
    )  # fmt: skip
    assert explain(old, new) == [
        "input cifar.items changed",
        "input a removed",
        "input b added",
        "code of rotate changed",
        "torch: 2.12 -> 2.13",
        "pillow: not installed -> 12",
    ]


def test_code_that_no_component_names() -> None:
    old, new = (record(stage(calls("adam"), code=code), {}, {}, {"adam": "1"}) for code in "ab")
    assert explain(old, new) == ["code of the train stage changed"]


def test_components_of_one_name_that_change_places() -> None:
    """Two files may define a `block` each: what they hold together is the same, and what each place does is not."""
    codes = {"a.py:block": "1", "b.py:block": "2"}
    first, second = (
        stage({"layers": [Call("layer", "block", target) for target in order]})
        for order in (codes, [*codes][::-1])
    )
    assert record(first, {}, {}, codes).key != record(second, {}, {}, codes).key
    assert explain(record(first, {}, {}, codes), record(second, {}, {}, codes)) == ["code of block changed"]


def test_the_first_run_and_many_reasons() -> None:
    assert explain(None, record(stage({}), {}, {})) == ["never run"]
    old, new = ({f"a{i:02}": i + j for i in range(15)} for j in (0, 1))
    reasons = changed(new, old)
    assert len(reasons) == 11
    assert reasons[0] == "a00: 0 -> 1" and reasons[-1] == "and 5 more"


def test_values_as_a_spec_writes_them() -> None:
    assert [show(x) for x in (3e-3, 0.1, 1.0, 1e-10, 2.5e-4, 123456.0, float("inf"), -0.5)] == [
        "3e-3", "0.1", "1.0", "1e-10", "2.5e-4", "123456.0", "inf", "-0.5",
    ]  # fmt: skip
    assert [show(x) for x in (None, True, 1, "é", [1, [2]], {"a": 1})] == [
        "none", "true", "1", '"é"', "[1, [2]]", "{...}",
    ]  # fmt: skip


names = st.sampled_from("pq")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5]) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(
            Call,
            st.just("loss"),
            st.sampled_from("ab"),
            st.just("m:a"),
            st.dictionaries(st.sampled_from("pq"), inner),
        )
    ),
    max_leaves=6,
)
recipes = st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2)


@given(recipes, recipes)
def test_a_reason_is_given_exactly_where_the_key_changed(a: dict[str, Any], b: dict[str, Any]) -> None:
    old, new = record(stage(a), {}, {}), record(stage(b), {}, {})
    reasons = explain(old, new)
    assert bool(reasons) == (old.key != new.key)
    assert "made by another version of mfc" not in reasons


@given(recipes)
def test_a_record_survives_json(recipe: dict[str, Any]) -> None:
    one = record(stage(recipe), {"a": "1"}, {"torch": "2.6"}, {"m:a": "1"})
    again = Record(**json.loads(json.dumps(asdict(one))))
    assert again == one and again.key == one.key


def test_versions_are_read_without_importing() -> None:
    torch = metadata.version("torch").split(".")
    assert versions(["torch", "pillow", "no-such-library"]) == {
        "torch": f"{torch[0]}.{torch[1]}",
        "pillow": metadata.version("pillow"),
    }


def test_optional_libraries_count_where_a_component_uses_them() -> None:
    pytest.importorskip("onnxscript")
    form = Call("export_format", "onnx", "mfc.runtime.export.formats:onnx")
    assert extras(stage({"format": form})).keys() == {"onnx", "onnx-ir", "onnxscript"}
    assert (
        extras(stage({"format": Call("export_format", "bundle", "mfc.runtime.export.bundle:bundle")})) == {}
    )
