"""Names of fastai and PyTorch lead to those of the language."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import mfc
from mfc.dsl import other_names
from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.entries import entries, look_up
from mfc.dsl.fields import BY_KIND
from mfc.dsl.suggest import plain

WRITTEN = [(kind, name) for kind, names in other_names.OTHERS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), WRITTEN)
def test_what_is_hinted_at_is_there(kind: str, name: str) -> None:
    called = name.partition("(")[0]
    assert builtin_catalog().lookup(kind, called) is not None


def test_a_name_that_is_there_is_not_explained_away() -> None:
    catalog = builtin_catalog()
    for kind, names in other_names.OTHERS.items():
        for others in names.values():
            assert not {plain(n) for n in catalog.names(kind)} & {plain(other) for other in others.split()}


def test_things_of_others_are_not_in_the_reference() -> None:
    every = entries(builtin_catalog())
    for names in (other_names.THINGS, other_names.ASKED):
        for others in names:
            assert [other for other in others.split() if look_up(other, every)] == []


def test_one_thing_is_said_of_a_name_of_what_is_no_component() -> None:
    tables = other_names.THINGS, other_names.ASKED, other_names.NEEDLESS
    names = [plain(name) for table in tables for others in table for name in others.split()]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    said = Counter(sentence for table in tables for sentence in table.values())
    assert [sentence for sentence, count in said.items() if count > 1] == []


def test_fields_are_those_of_declarations() -> None:
    assert set(other_names.FIELDS) <= {name for table in BY_KIND.values() for name in table}


def test_arguments_are_those_of_components() -> None:
    taken = {parameter.name for info in builtin_catalog() for parameter in info.parameters}
    assert set(other_names.ARGUMENTS) <= taken
    for others in other_names.ARGUMENTS.values():
        assert others.split()


SPEC = """
data digits: image -> category {{
    source = builtin("digits")
    split  = {split}
    label  = {label}
}}
model net {{ {layer}  flatten()  linear(digits.classes) }}
train fit {{
    data      = digits
    model     = net
    loss      = {loss}
    optimizer = {optimizer}
    schedule  = {schedule}
    callbacks = [{callback}]
    epochs    = 1
}}
"""
RIGHT = {
    "split": "random(valid = 0.2)",
    "label": "parent()",
    "layer": "relu()",
    "loss": "cross_entropy()",
    "optimizer": "adam()",
    "schedule": "flat(lr = 1e-3)",
    "callback": "ema()",
}


@pytest.mark.parametrize(
    ("field", "written", "hint"),
    [
        ("split", "RandomSplitter(0.2)", "here it is `random`"),
        ("split", "GrandparentSplitter()", "here it is `grandparent`"),
        ("label", "parent_label", "here it is `parent`"),
        ("label", "RegexLabeller()", "here it is `regex`"),
        ("layer", "nn.Conv2d(8)", "write `conv2d`"),
        ("layer", "nn.BatchNorm2d(8)", "write `batchnorm`"),
        ("layer", "nn.LeakyReLU()", "here it is `relu(leak = 0.1)`"),
        ("layer", "F.relu()", "write `relu`"),
        ("layer", "MaxPool2d(2)", "here it is `max_pool`"),
        ("layer", "LeakyReLU(0.1)", "here it is `relu(leak = 0.1)`"),
        ("layer", "Softmax()", "leave it out: losses and metrics take what comes before a softmax"),
        ("layer", "conv2d(8, kernel_size = 3)", "here it is `ks`"),
        ("loss", "CrossEntropyLossFlat()", "here it is `cross_entropy`"),
        ("loss", "mae()", "here it is `l1`"),
        ("loss", "cross_entropy(weight = [1])", "here it is `weights`"),
        ("optimizer", "optim.SGD(0.1)", "write `sgd`"),
        ("optimizer", "adam(betas = [0.9, 0.99])", "here they are `mom` and `sqr_mom`"),
        ("optimizer", "sgd(momentum = 0.9)", "here it is `mom`"),
        ("optimizer", "sgd(alpha = 0.9)", "its arguments are lr, mom, wd, decouple_wd, wd_bn_bias"),
        ("schedule", "lin(1e-3, 1e-2)", "here it is `param_scheduler(lr = lin(..., ...))`"),
        ("schedule", "one_cycle(lr = slice(1e-5, 1e-3))", "here it is `spread`"),
        ("callback", "SaveModelCallback()", "here it is `save_best`"),
        (
            "callback",
            "TerminateOnNaNCallback()",
            "leave it out: a loss that is no number always ends the training",
        ),
        (
            "loss",
            "cross_entropy()\n    freeze_to = -1",
            "it stands in a phase: `phase head { freeze_to = ...  epochs = ... }`",
        ),
        (
            "loss",
            "cross_entropy()\n    lr = 1e-3",
            "it is an argument: `adam(lr = ...)` or, in a schedule, `one_cycle(lr = ...)`",
        ),
        ("loss", "cross_entropy()\n    cbs = [EarlyStoppingCallback()]", "here it is `early_stopping`"),
        ("loss", "cross_entropy()\n    cbs = [ema()]", "here it is `callbacks`"),
        (
            "loss",
            "cross_entropy()\n    phase all { epochs = 1  optimizer = sgd() }",
            "it stands in the train, for all of its phases",
        ),
        (
            "loss",
            "cross_entropy()\n    phase head { epochs = 1  freeze() }",
            "a phase trains its last group alone with `freeze_to = -1`",
        ),
        (
            "loss",
            "cross_entropy()\n    phase all { epochs = 1  unfreeze() }",
            "leave it out: a phase trains all groups unless it has `freeze_to = ...`",
        ),
        ("loss", "cross_entropy()\n    phase all { epochs(1) }", "write `epochs = ...`"),
        (
            "loss",
            "cross_entropy()\n    freeze_to(-1)",
            "it stands in a phase: `phase head { freeze_to = ...  epochs = ... }`",
        ),
        (
            "loss",
            "cross_entropy()\n    fit_one_cycle(3)",
            "write `epochs = ...` and `schedule = ...`, such as `one_cycle(lr = 1e-3)`",
        ),
        ("loss", "cross_entropy()\n    fit(3)", other_names.ASKED["fit"]),
        ("callback", "lr_find()", other_names.THINGS["lr_find lr_finder"]),
        ("layer", "nn.Sequential()", other_names.THINGS["sequential"]),
        ("callback", "WandbCallback()", other_names.THINGS["wandb wandb_callback"]),
        ("callback", "gradiant_clip(1)", "did you mean `gradient_clip`?"),
    ],
)
def test_the_hint_in_its_place(tmp_path: Path, field: str, written: str, hint: str) -> None:
    spec = tmp_path / "spec.mfs"
    spec.write_text(SPEC.format(**RIGHT | {field: written}))
    assert hint in [diagnostic.help for diagnostic in mfc.load(spec).diagnostics]


@pytest.mark.parametrize(
    ("written", "hint"),
    [("str", "string"), ("boolean", "bool"), ("Integer", "int"), ("double", "float"), ("Literal", "choice")],
)
def test_a_type_by_another_name(tmp_path: Path, written: str, hint: str) -> None:
    spec = tmp_path / "spec.mfs"
    spec.write_text(f"param n: {written}\n")
    [diagnostic] = mfc.load(spec, n=1).diagnostics
    assert diagnostic.help == f"here it is `{hint}`"
    assert diagnostic.fix is not None and diagnostic.fix.text == hint
