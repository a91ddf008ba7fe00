"""Checks what a data block's targets are made of, and that a model's output is an answer to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mfc.dsl import shapes
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import Size, equal
from mfc.dsl.rules import parse_rule
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import DataDecl
from mfc.dsl.typed import DataInfo, Fields
from mfc.dsl.values import ComponentValue, Shape
from mfc.dsl.wording import with_article

ONE_EACH = ("category", "multi_category")
"""Targets that are one answer for a whole item, so that predictions are `b classes`."""

NAMED = ("category", "multi_category", "mask")
"""Targets that are classes with names."""

OF_ITEM = ("stem", "name", "suffix", "parent")
"""The placeholders of a file's name that is made of an item's."""

MOST_CLASSES = 254
"""Classes of a mask at most: its pixels are bytes, and one value stands for no class."""


# ── data ────────────────────────────────────────────────────────────────────────────────────────────────


def check_target(diagnostics: Diagnostics, decl: DataDecl, fields: Fields, target: str) -> None:
    """Reports a labeler that gives another kind of target, classes that are named where there are none or not named
    where they must be, and names of files that can't be filled in."""
    label, source = fields["label"], fields["source"]
    if isinstance(label, ComponentValue):
        _check_label(diagnostics, decl, label, target)
        _check_classes(diagnostics, decl, fields, label, target)
        _check_templates(diagnostics, label, OF_ITEM)
    elif target and target not in NAMED and "vocab" in fields.written:
        _no_vocab(diagnostics, decl, fields, target)
    if isinstance(source, ComponentValue):
        _check_templates(diagnostics, source, ())
    if target == "mask" and isinstance(transforms := fields["item_transforms"], list):
        for position, transform in enumerate(transforms):
            span = fields.item_span("item_transforms", position, decl.name.span)
            _check_followed(diagnostics, transform, span)


def count_of_values(fields: Fields) -> int | None:
    """How many numbers an item has, where the spec lists their columns."""
    label = fields["label"]
    columns = label.args.get("name") if isinstance(label, ComponentValue) else None
    listed = isinstance(columns, list) and label.info.facts["reads_column"] and not _delimited(label)
    return len(columns) if listed and isinstance(columns, list) else None


def _check_label(diagnostics: Diagnostics, decl: DataDecl, label: ComponentValue, target: str) -> None:
    gives = label.info.facts["gives"]
    to = ((decl.target.span, "the target"),)
    if target and (gives == "mask") != (target == "mask"):
        what = "masks" if gives == "mask" else "labels of whole items"
        help = (
            'masks that lie in files are found by `mask_file("{stem}_P{suffix}", folder = ...)`'
            if target == "mask"
            else "write `-> mask` for a class for each pixel"
        )
        diagnostics.add(
            "E0540", label.span, f"`{label.info.name}` gives {what}, and the target of `{decl.name.text}` is {target}",
            f"gives {what}", labels=to, help=help,
        )  # fmt: skip
    elif target == "category" and (_delimited(label) or isinstance(label.args.get("name"), list)):
        diagnostics.add(
            "E0540", label.span, f"`{label.info.name}` gives several labels an item, and a category is one",
            "gives several", labels=to, help="write `-> multi_category` for several classes an item",
        )  # fmt: skip


def _check_followed(diagnostics: Diagnostics, transform: Any, span: Span) -> None:
    """Reports an item transform that gives images another size and leaves their masks as they are."""
    if not isinstance(transform, ComponentValue):
        return
    if transform.info.facts["part"]:
        _check_followed(diagnostics, transform.args.get("transform"), span)
        return
    if "mask" in transform.info.facts["on"]:
        return
    rule = parse_rule(transform.info.facts["shape"])
    before, after = (
        [getattr(size, "name", "") for size in sizes[-2:]] for sizes in (rule.takes or (), *rule.gives[:1])
    )
    if before != after:
        diagnostics.add(
            "E0543", span, f"`{transform.info.name}` gives images another size, and masks do not follow it",
            "for images alone", help='say that it acts on both: `@mfc.item_transform(..., on = ("image", "mask"))`',
        )  # fmt: skip


def _delimited(label: ComponentValue) -> bool:
    return label.info.target.startswith("mfc.") and label.args.get("delimiter") is not None


def _check_classes(
    diagnostics: Diagnostics, decl: DataDecl, fields: Fields, label: ComponentValue, target: str
) -> None:
    vocab = fields["vocab"]
    if "vocab" in fields.written and target and target not in NAMED:
        _no_vocab(diagnostics, decl, fields, target)
    if target != "mask" or label.info.facts["gives"] != "mask":
        return
    codes = label.args.get("codes")
    if vocab is None and codes is None:
        diagnostics.add(
            "E0541", decl.name.span, f"the classes of the masks of `{decl.name.text}` have no names", "no `vocab`",
            help='add `vocab = ["background", "car"]`: the names of the pixels 0, 1, ...'
            + ('; or `codes = "codes.txt"` to `mask_file`, a file with a name on each line' if label.info.parameter("codes") else ""),
        )  # fmt: skip
    elif "vocab" in fields.written and codes is not None:
        diagnostics.add(
            "E0541", fields.names["vocab"], f"the classes of the masks of `{decl.name.text}` are named twice",
            "named here", labels=((label.written.get("codes", label.span), "and in this file"),), help="remove one of the two",
        )  # fmt: skip
    elif isinstance(vocab, list) and len(vocab) > MOST_CLASSES:
        diagnostics.add(
            "E0541", fields.span("vocab", decl.name.span), f"a mask has {MOST_CLASSES} classes at most, here are {len(vocab)}",
            "too many", help="its pixels are bytes, and 255 stands for no class",
        )  # fmt: skip


def _no_vocab(diagnostics: Diagnostics, decl: DataDecl, fields: Fields, target: str) -> None:
    diagnostics.add(
        "E0541", fields.names["vocab"], f"the target of `{decl.name.text}` is {target}, which has no classes to name",
        "no classes", labels=((decl.target.span, "the target"),), help="remove `vocab`",
    )  # fmt: skip


def _check_templates(diagnostics: Diagnostics, value: ComponentValue, known: Sequence[str]) -> None:
    """Reports names of files whose braces can't be filled. Columns of a table are known to the run alone."""
    for name in value.info.facts["templates"]:
        text, span = value.args.get(name), value.written.get(name, value.span)
        if not isinstance(text, str):
            continue
        found = re.findall(r"\{([^{}]*)\}", text)
        if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", text)):
            diagnostics.add(
                "E0542", span, f"`{text}` has a brace without its other one", "not closed",
                help='names stand in braces: `"{name}.jpg"`',
            )  # fmt: skip
        elif not found:
            diagnostics.add(
                "E0542", span, f"`{text}` names the same file for each item", "nothing in braces",
                help=f"there are {', '.join(f'{{{each}}}' for each in known)}" if known
                else 'put a column of the table in braces: `"{name}.jpg"`',
            )  # fmt: skip
        elif unknown := [each for each in found if each not in known] if known else []:
            diagnostics.add(
                "E0542", span, f"an item's path has no `{unknown[0]}`", "unknown placeholder",
                help=did_you_mean(unknown[0], known) or f"there are {', '.join(f'{{{each}}}' for each in known)}",
            )  # fmt: skip


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────


class Misfit(NamedTuple):
    """Why a model's output is no answer to a target. `why` has `{}` for the name of the loss or metric."""

    message: str
    why: str
    help: str


def misfit(data: DataInfo, out: Shape) -> Misfit | None:
    """What is wrong with the rank or size of a model's output, whatever the number of classes; None if nothing is."""
    shown, name = shapes.show_shape(out), data.instance.name
    if data.target in ONE_EACH and len(out) != 2:
        return Misfit(
            f"the model gives {shown}, and {with_article(data.target)} is one answer an item",
            "`{}` takes (batch, classes)",
            "end the model with `flatten()` and `linear(classes)`",
        )
    if data.target == "next_token":
        length = data.batch[1] if data.batch is not None else None
        last = len(out) == 3 and length is not None and equal(out[1], length) is True
        if last or len(out) != 3 or _differ(out[2], length):
            return Misfit(
                f"the model gives {shown}, and next_token is one answer a token",
                "`{}` takes (batch, tokens known, length)",
                "end the model with `transpose()`" if last else "use `language_model(...)`",
            )
    if data.target == "value" and (len(out) != 2 or _differ(out[1], data.values)):
        count = data.values if isinstance(data.values, int) else "its"
        return Misfit(
            f"the model gives {shown}, and an item of `{name}` has {count} value{'' if count == 1 else 's'}",
            "`{}` takes (batch, values)",
            f"end the model with `flatten()` and `linear({name}.values)`",
        )
    if data.target == "mask" and data.batch is not None:
        size = data.batch[2:]
        if len(out) != 4 or any(map(_differ, out[2:], size)):
            return Misfit(
                f"the model gives {shown}, and the masks of `{name}` are {shapes.show_shape(size)}",
                "`{}` takes (batch, classes, height, width)",
                "a mask has an answer for each pixel: the model ends with the size that it began with, as a U-net does",
            )
    return None


def _differ(a: Size | None, b: Size | None) -> bool:
    """Whether two sizes are known to be different ones."""
    return a is not None and b is not None and equal(a, b) is False
