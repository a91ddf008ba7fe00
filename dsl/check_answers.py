"""Checks what an evaluation asks for beside metrics: predictions in a table, greatest losses, test-time augmentation."""

from __future__ import annotations

from typing import Any

from mfc.dsl.check_targets import ONE_EACH
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.fields import LABELLED
from mfc.dsl.plan_parts import draws
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import Augmented, ComponentValue

AVERAGED = (*ONE_EACH, "value")
"""Targets of which several models' predictions can be averaged item by item."""

COLUMNS = ("model", "true", "loss")
"""The columns of a table of predictions whose names are fixed."""


def check_answers(
    diagnostics: Diagnostics, fields: Fields, datas: list[DataInfo], owner: Span, name: str
) -> None:
    """What is asked for, each for itself and against the targets of the models' data."""
    if not {"metrics", "predictions", "top_losses"} & {*fields.names}:
        diagnostics.add(
            "E0207", owner, f"the evaluate `{name}` has no `metrics`", "`metrics` is missing",
            help="add `metrics = ...`: what is measured; or `predictions = csv(...)`, or `top_losses = 9`",
        )  # fmt: skip
    _check_table(diagnostics, fields["predictions"])
    for field, what, targets in (
        ("predictions", "a table has predictions for whole items", AVERAGED),
        ("top_losses", "losses are those of whole items", LABELLED),
    ):
        data = next((data for data in datas if data.target and data.target not in targets), None)
        if field in fields.written and data is not None:
            diagnostics.add(
                "E0551", fields.names[field], f"{what}, and the target of `{data.instance.name}` is {data.target}",
                f"for {', '.join(targets)}",
                help='one image is asked about by `run["fit"].predict("photo.jpg")`' if data.target == "mask" else "",
            )  # fmt: skip


def _check_table(diagnostics: Diagnostics, table: Any) -> None:
    """A table lies in the folder of the results, its columns have names of their own, and several labels are told
    apart. What a format of the user's own takes is its own matter."""
    if not isinstance(table, ComponentValue) or not table.info.target.startswith("mfc."):
        return
    name = table.args.get("name")
    if isinstance(name, str) and (
        not name.lower().endswith(".csv") or name[0] == "." or set(name) & set("/\\:")
    ):
        diagnostics.add(
            "E0552", table.written.get("name", table.span), f"`{name}` is no name of a table's file",
            "not a plain `NAME.csv`", help="the table lies in the folder of the evaluation's results",
        )  # fmt: skip
    columns = [table.args.get(column) for column in ("id", "label")]
    for column, others in (("id", COLUMNS), ("label", (*COLUMNS, columns[0]))):
        if (heading := table.args.get(column)) in others:
            diagnostics.add(
                "E0552", table.written.get(column, table.span), f"two columns of the table are called `{heading}`",
                "has this name already", help=f"there are {', '.join(COLUMNS)} in any case",
            )  # fmt: skip
    if table.args.get("delimiter") == "":
        diagnostics.add(
            "E0552", table.written.get("delimiter", table.span), "nothing would stand between several labels of an item",
            "an empty text", help='choose one that no label has in it: `delimiter = "|"`',
        )  # fmt: skip


def check_augmented(diagnostics: Diagnostics, model: Augmented, data: DataInfo, at: Span) -> None:
    """Test-time augmentation is for images with one answer each, and for transforms that draw something."""
    name, what = model.train.name, ""
    if data.input != "image" or data.target not in AVERAGED:
        what = f"is {data.input} -> {data.target}"
        help = "it is for images with an answer for the whole of each"
    elif not any(draws(data.fields[which]) for which in ("item_transforms", "batch_transforms")):
        what, help = (
            "has no transform that draws at random",
            "add some to its `batch_transforms`, or ask plainly",
        )
    if what and data.input and data.target:
        message = f"`tta` asks `{name}` about augmented items, and `{data.instance.name}` has none"
        diagnostics.add("E0553", at, message, f"`{data.instance.name}` {what}", help=help)
