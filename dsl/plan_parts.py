"""What stages of data blocks have in common: what of a component decides a result, and what only places it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mfc.dsl.typed import DataInfo
from mfc.dsl.values import ComponentValue, reads_column


def labelling(data: DataInfo) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the items of a data block get their parts and targets: what decides that, and what only places it."""
    fields, where = data.fields, {}
    recipe = {k: fields[k] for k in ("split", "label", "vocab")} | {"target": data.target}
    if data.target == "mask":
        recipe["label"], where["label"] = unplaced(fields["label"]), fields["label"]
    if any(reads_column(fields[k]) for k in ("split", "label")):
        # the digests of the items cover how the columns are read; the source counts by its code
        recipe["columns"], where["source"] = replace(fields["source"], args={}), fields["source"]
    return recipe, where


def masked(data: DataInfo) -> tuple[str, ...]:
    """The fields that say what items' masks are."""
    return ("label", "vocab") if data.target == "mask" else ()


def unplaced(value: Any) -> Any:
    """A source without the arguments that only say where its items lie."""
    if not isinstance(value, ComponentValue):
        return value
    return replace(value, args={k: v for k, v in value.args.items() if k not in value.info.paths})


def unfitted(tokenizer: ComponentValue) -> ComponentValue:
    """A tokenizer without the texts that it is fitted to: the plan has them as stages."""
    return replace(tokenizer, args={k: v for k, v in tokenizer.args.items() if k != "fit_on"})


def draws(value: Any) -> bool:
    """Whether a transform, or one that it wraps, draws at random or differs between training and validation."""
    if not isinstance(value, ComponentValue):
        return isinstance(value, list) and any(draws(v) for v in value)
    return bool(value.info.facts.get("random")) or any(draws(v) for v in value.args.values())
