"""The fields of declarations: their names, types, which are needed and what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfc.dsl.types import BOOL, INT, STRING, Choice, Kind, ListOf, Number, Range, Type, union

COUNT = Number(integer=True, range=Range(lo=1))


@dataclass(frozen=True)
class Field:
    """One field of a declaration. `default` is what a plan says where it is not written."""

    type: Type
    doc: str
    required: bool = False
    default: Any = None


DATA = {
    "source": Field(Kind("source"), "where the items come from", required=True),
    "input": Field(Kind("labeler"), "where an item's input is, if it is not the item itself"),
    "split": Field(Kind("splitter"), "which items are for training and which for validation", required=True),
    "label": Field(Kind("labeler"), "how an item's label is found"),
    "vocab": Field(ListOf(STRING), "the classes, where they are not to be taken from the training labels"),
    "processors": Field(ListOf(Kind("processor")), "fitted on the training part only", default=[]),
    "item_transforms": Field(ListOf(Kind("item_transform")), "act on one item before batching", default=[]),
    "batch_transforms": Field(ListOf(Kind("batch_transform")), "act on a batch, on the device", default=[]),
    "tokenizer": Field(Kind("tokenizer"), "cuts texts into tokens"),
    "batch_size": Field(COUNT, "items in a batch, over all devices", default=64),
    "workers": Field(
        Number(integer=True, range=Range(lo=0)), "processes that load items; by default one a core"
    ),
    "on_error": Field(Choice(("stop", "skip")), "what to do with an item that can't be read", default="stop"),
    "pack": Field(
        BOOL, "keep items decoded on disk, where their transforms draw nothing at random", default=True
    ),
}

TRAIN = {
    "data": Field(Kind("data"), "what to train on", required=True),
    "model": Field(Kind("model"), "what to train", required=True),
    "loss": Field(Kind("loss"), "what to make small", required=True),
    "optimizer": Field(Kind("optimizer"), "how weights are changed; adam() if left out"),
    "schedule": Field(
        union([Kind("schedule"), ListOf(Kind("schedule"))]), "the course of the hyperparameters", default=[]
    ),
    "callbacks": Field(ListOf(Kind("callback")), "what else happens during training", default=[]),
    "metrics": Field(ListOf(Kind("metric")), "what is measured on the validation part", default=[]),
    "epochs": Field(COUNT, "passes over the training part"),
    "seed": Field(INT, "where all random draws come from", default=42),
    "weights": Field(
        union([Kind("initializer"), ListOf(Kind("initializer"))]),
        "the first weights, applied in order",
        default=[],
    ),
}

PHASE = {
    "data": Field(Kind("data"), "what this phase trains on"),
    "epochs": Field(COUNT, "passes over the training part", required=True),
    "schedule": TRAIN["schedule"],
    "freeze_to": Field(INT, "the first group that is trained; -1 is the last group alone", default=0),
    "loss": Field(Kind("loss"), "the loss of this phase"),
    "callbacks": Field(ListOf(Kind("callback")), "added to those of the train", default=[]),
}

EVALUATE = {
    "model": Field(
        union([Kind("train"), Kind("tta"), ListOf(union([Kind("train"), Kind("tta")])), Kind("ensemble")]),
        "what was trained: one, a list of several, or an `ensemble` of them; each plainly or by `tta`",
        required=True,
    ),
    "data": Field(
        Kind("part"), "such as `pets.train`, what to evaluate on; each model's validation part if left out"
    ),
    "metrics": Field(ListOf(Kind("metric")), "what is measured", default=[]),
    "predictions": Field(Kind("table_format"), 'a table of them: `csv("predictions.csv")`'),
    "top_losses": Field(COUNT, "how many of the items with the greatest loss to show"),
}

EXPORT = {
    "model": Field(Kind("train"), "what was trained", required=True),
    "format": Field(Kind("export_format"), "the form of the file", required=True),
}

BY_KIND = {"data": DATA, "train": TRAIN, "phase": PHASE, "evaluate": EVALUATE, "export": EXPORT}

INPUTS = ("image", "text", "table", "audio")
TARGETS = ("category", "multi_category", "mask", "value", "next_token")
LABELLED = ("category", "multi_category", "mask", "value")
