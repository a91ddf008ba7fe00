"""The fields of declarations: their names, types, which are needed and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfc.dsl.ranges import Range
from mfc.dsl.types import BOOL, INT, STRING, Choice, Kind, ListOf, Number, Type, union

COUNT = Number(integer=True, range=Range(lo=1))


@dataclass(frozen=True)
class Field:
    """One field of a declaration. `default` is what a plan says where it is not written.

    `doc` says what it is, as a part of a sentence; `more` what else there is to know, in sentences of its own.
    `example` is a value as a spec would write it.
    """

    type: Type
    doc: str
    required: bool = False
    default: Any = None
    more: str = ""
    example: str = ""


DATA = {
    "source": Field(
        Kind("source"), "where the items come from", required=True, example='image_files("photos")'
    ),
    "input": Field(
        Kind("labeler"),
        "where an item's input is, if it is not the item itself",
        more="It is checked; this version does not run it: `image_table` finds images that a table names.",
        example='regex("(.*)")',
    ),
    "split": Field(
        Kind("splitter"),
        "which items are for training and which for validation",
        required=True,
        example="random(valid = 0.2, seed = 42)",
    ),
    "label": Field(
        Kind("labeler"),
        "how an item's label is found",
        more="A training on categories, masks or values needs it.",
        example="parent()",
    ),
    "vocab": Field(
        ListOf(STRING),
        "the classes, where they are not to be taken from the training labels",
        more="Those are taken in sorted order. Of masks it names the pixels 0, 1, and so on.",
        example='["cat", "dog"]',
    ),
    "processors": Field(
        ListOf(Kind("processor")),
        "fitted on the training part only",
        default=[],
        more="They are checked; this version does not run them.",
        example="[]",
    ),
    "item_transforms": Field(
        ListOf(Kind("item_transform")),
        "act on one item before batching",
        default=[],
        more="They act while it is loaded. The items of a batch have one size, so that a source of files needs one such "
        "as `resize`.",
        example="[resize(224)]",
    ),
    "batch_transforms": Field(
        ListOf(Kind("batch_transform")),
        "act on a batch, on the device",
        default=[],
        more="Random ones draw anew for each item in training, and act in their evaluation form in validation.",
        example="[flip(), normalize(imagenet_stats)]",
    ),
    "tokenizer": Field(
        Kind("tokenizer"), "cuts texts into tokens", more="Texts need one.", example="words()"
    ),
    "batch_size": Field(
        COUNT,
        "items in a batch, over all devices",
        default=64,
        more="What is left of an epoch's images after the last full batch waits for another epoch.",
        example="128",
    ),
    "workers": Field(
        Number(integer=True, range=Range(lo=0)),
        "processes that load items; by default one a core",
        more="Where items are packed there are none by default.",
        example="4",
    ),
    "on_error": Field(
        Choice(("stop", "skip")),
        "what to do with an item that can't be read",
        default="stop",
        example="skip",
    ),
    "pack": Field(
        BOOL,
        "keep items decoded on disk, where their transforms draw nothing at random",
        default=True,
        example="false",
    ),
}

TRAIN = {
    "data": Field(
        Kind("data"), "what to train on", required=True, more="The name of a data block.", example="digits"
    ),
    "model": Field(
        Kind("model"),
        "what to train",
        required=True,
        more="A model of the spec, an architecture, or a train: the layers that it trains, with new weights.",
        example="net",
    ),
    "loss": Field(
        Kind("loss"),
        "what to make small",
        required=True,
        more="It fits the target of the data and the shape of predictions; both are checked.",
        example="cross_entropy()",
    ),
    "optimizer": Field(
        Kind("optimizer"), "how weights are changed; adam() if left out", example="adam(wd = 1e-2)"
    ),
    "schedule": Field(
        union([Kind("schedule"), ListOf(Kind("schedule"))]),
        "the course of the hyperparameters",
        default=[],
        more="One, or a list of several that drive different ones. Without, they stay as the optimizer has them.",
        example="one_cycle(lr = 3e-3)",
    ),
    "callbacks": Field(
        ListOf(Kind("callback")),
        "what else happens during training",
        default=[],
        example="[mixup(0.4), gradient_clip(1.0)]",
    ),
    "metrics": Field(
        ListOf(Kind("metric")), "what is measured on the validation part", default=[], example="[accuracy()]"
    ),
    "epochs": Field(
        COUNT,
        "passes over the training part",
        more="Needed, unless there are phases, each with its own.",
        example="5",
    ),
    "seed": Field(
        INT,
        "where all random draws come from",
        default=42,
        more="Together with the name of the train: two trains of one seed draw differently.",
        example="7",
    ),
    "weights": Field(
        union([Kind("initializer"), ListOf(Kind("initializer"))]),
        "the first weights, applied in order",
        default=[],
        more="`other.GROUP` copies those of a group that another train trained, which then runs first. Without, weights "
        "are drawn as each layer draws its own.",
        example="[kaiming()]",
    ),
}

PHASE = {
    "data": Field(
        Kind("data"),
        "what this phase trains on",
        more="Its items may be of another size where the model stays the same for it.",
        example="digits",
    ),
    "epochs": Field(COUNT, "passes over the training part", required=True, example="1"),
    "schedule": TRAIN["schedule"],
    "freeze_to": Field(
        INT,
        "the first group that is trained; -1 is the last group alone",
        default=0,
        more="Groups are counted from 0, negative numbers from the end.",
        example="-1",
    ),
    "loss": Field(Kind("loss"), "the loss of this phase", example="cross_entropy()"),
    "callbacks": Field(
        ListOf(Kind("callback")), "added to those of the train", default=[], example="[mixup(0.2)]"
    ),
}

EVALUATE = {
    "model": Field(
        union([Kind("train"), Kind("tta"), ListOf(union([Kind("train"), Kind("tta")])), Kind("ensemble")]),
        "what was trained: one, a list of several, or an `ensemble` of them; each plainly or by `tta`",
        required=True,
        more="A list gives the mean of each metric and its standard deviation over the models.",
        example="[fit, tta(fit)]",
    ),
    "data": Field(
        Kind("part"),
        "such as `pets.train`, what to evaluate on; each model's validation part if left out",
        more="A part of other data is prepared as that of the training was.",
        example="digits.train",
    ),
    "metrics": Field(ListOf(Kind("metric")), "what is measured", default=[], example="[accuracy()]"),
    "predictions": Field(
        Kind("table_format"), 'a table of them: `csv("predictions.csv")`', example='csv("predictions.csv")'
    ),
    "top_losses": Field(COUNT, "how many of the items with the greatest loss to show", example="9"),
}

EXPORT = {
    "model": Field(Kind("train"), "what was trained", required=True, example="fit"),
    "format": Field(Kind("export_format"), "the form of the file", required=True, example="bundle()"),
}

MODEL = {
    "input": Field(
        Kind("shape"),
        "the shape of what goes in, of a model that no train uses",
        more="A train gives a model the shape of its data.",
        example="image(3, 224, 224)",
    ),
}

BY_KIND = {
    "data": DATA, "model": MODEL, "train": TRAIN, "phase": PHASE, "evaluate": EVALUATE, "export": EXPORT,
}  # fmt: skip

RUN = ("train", "evaluate", "export")
"""The kinds of declarations that can be run."""

INPUTS = ("image", "text", "table", "audio")
TARGETS = ("category", "multi_category", "mask", "value", "next_token")
LABELLED = ("category", "multi_category", "mask", "value")
