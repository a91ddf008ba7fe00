"""The facts of a component, what its decorator says of it, in sentences for the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mfc.dsl.component import Component
from mfc.dsl.wording import either, listed


def facts_in_words(component: Component) -> list[str]:
    """What a reader should know of a component's facts, a sentence or two for each; those that go without saying are
    left out, and so is the shape rule."""
    facts = component.facts
    sentences = [say(facts[name]) for name, say in _SAYINGS.items() if facts.get(name)]
    if component.kind in ("item_transform", "batch_transform"):
        sentences.append(_transform(facts["on"], facts["random"]))
    return [sentence for sentence in sentences if sentence]


def _transform(on: Sequence[str], random: bool) -> str:
    acts = f"Acts on {listed([f'{name}s' for name in on])}"
    return (
        f"{acts}, and draws anew for each item and epoch." if random else f"{acts}; draws nothing at random."
    )


def _drives(names: Sequence[str]) -> str:
    if "*" in names:
        return "Drives the hyperparameters that its arguments name."
    told = [
        f"`{name}` unless `{argument}` is none" if argument else f"`{name}`"
        for name, _, argument in (name.partition(" of ") for name in names)
    ]
    return f"Drives {listed(told)}."


def _code(names: Sequence[str]) -> list[str]:
    return [f"`{name}`" for name in names]


_SAYINGS: dict[str, Callable[[Any], str]] = {
    "targets": lambda names: f"For the targets {listed(_code(names))}.",
    "inputs": lambda names: f"For data blocks of {listed([f'{name}s' for name in names])}.",
    "items": lambda name: f"Its items are {name}s.",
    "columns": lambda _: (
        "Its items are rows of a table: `column(...)` and `by_column(...)` read what a row says."
    ),
    "reads_column": lambda _: "Reads a column of a table.",
    "gives": lambda what: {
        "mask": "Gives a mask.",
        "table": "Gives a table, a number for each pair of classes: it is for evaluations.",
    }.get(what, ""),
    "templates": lambda names: f"Braces in {listed(_code(names))} stand for what is known of an item.",
    "ids": lambda _: "Takes integers, such as the tokens of texts.",
    "groups": lambda names: f"The weights of its parts {listed(_code(names))} can be handed over.",
    "fills": lambda _: "Draws all weights anew, whatever they were.",
    "reads_data": lambda _: "Takes batches of the data, and so is a stage of its own.",
    "residual": lambda _: "Needs branches that end in `add(...)`.",
    "unless_zero": lambda names: f"A schedule may drive {either(_code(names))} only where it is not 0.",
    "keeps": lambda names: f"Keeps {listed(_code(names))} for each parameter.",
    "reads": lambda names: f"Needs stats before it that keep {listed(_code(names))}.",
    "changes_grad": lambda _: "Changes the gradient, and acts before the stats.",
    "drives": _drives,
    "lasts": lambda _: "Lasts some epochs by itself, whatever the run does.",
    "per_item": lambda _: "Gives the loss of each item, as `mixup` and `cutmix` need it.",
    "better": lambda which: f"Better is {which}.",
    "observes": lambda _: "Only observes: results do not depend on it.",
    "once": lambda _: "A training takes one of it.",
    "mixes": lambda _: "Needs a loss that gives the loss of each item.",
    "monitors": lambda _: "`monitor` names a loss or metric that it follows.",
    "hooks": lambda _: "`layers` is a pattern, or a list of them, of layers of the model.",
    "excludes": lambda names: f"Can't act beside {listed(_code(names))}.",
    "graph": lambda _: "Keeps the graph of a model, which has to take the same steps for any item.",
    "sources": lambda _: "Keeps the files of the spec, too.",
    "needs": lambda names: (
        f"Needs the {'package' if len(names) == 1 else 'packages'} {listed(_code(names))}."
    ),
    "part": lambda which: f"Acts on items of the part `{which}` only.",
    "parameters": lambda rule: (
        "Learns nothing." if rule == "0" else f"Has `{rule.replace(';', ' +')}` parameters."
    ),
}
"""What to say of a fact, where it is neither empty nor false; `splits`, `step`, `table` and `whole` go without saying."""
