"""Labels as numbers: a vocabulary for categories, one or several an item, and floats for values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Any, Literal, TypeAlias

from mfc.runtime.data.paths import shown
from mfc.runtime.errors import RunError

Whose: TypeAlias = Literal["train", "given", "model"]
"""Where a vocabulary is from: the training part, the spec, or a model that was trained on other items."""

Target: TypeAlias = Literal["category", "multi_category", "mask", "value", "next_token"]


def build_vocab(labels: Sequence[str], given: Sequence[str] | None = None) -> list[str]:
    """The sorted labels of the training part, or `given` as it is, if its entries differ from each other."""
    if given is None:
        return sorted(set(labels))
    if twice := sorted({label for label in given if list(given).count(label) > 1}):
        raise RunError("R0110", f"`vocab` names {shown(twice)} more than once")
    return list(given)


def encode_categories(
    labels: Sequence[str], items: Sequence[str], vocab: Sequence[str], whose: Whose = "train"
) -> list[int]:
    """Each label's place in the vocabulary; RunError for labels that it lacks."""
    place = {label: i for i, label in enumerate(vocab)}
    try:
        return [place[label] for label in labels]
    except KeyError:
        raise _unknown(labels, items, place, whose) from None


def as_lists(labels: Sequence[str | Sequence[str]]) -> list[list[str]]:
    """Several labels an item: a text stands for itself alone."""
    return [[label] if isinstance(label, str) else list(label) for label in labels]


def encode_several(
    labels: Sequence[Sequence[str]], items: Sequence[str], vocab: Sequence[str], whose: Whose = "train"
) -> list[list[int]]:
    """The places of each item's labels in the vocabulary, in ascending order; RunError as for categories."""
    place = {label: i for i, label in enumerate(vocab)}
    try:
        return [sorted({place[label] for label in several}) for several in labels]
    except KeyError:
        flat = [(label, item) for several, item in zip(labels, items) for label in several]
        raise _unknown([label for label, _ in flat], [item for _, item in flat], place, whose) from None


def encode_values(labels: Sequence[Any], items: Sequence[str]) -> list[float] | list[list[float]]:
    """Each label as a finite number; where the first is a list, each as a list of as many numbers.

    Raises RunError R0109 for what is no number, and for another count of numbers than the first item's.
    """
    if not any(isinstance(label, list | tuple) for label in labels):
        return [_number(label, item) for label, item in zip(labels, items)]
    rows = [
        [_number(one, item) for one in (label if isinstance(label, list | tuple) else [label])]
        for label, item in zip(labels, items)
    ]
    for row, item in zip(rows, items):
        if len(row) != len(rows[0]) or not row:
            raise RunError(
                "R0109",
                f"`{item}` has {_numbers(len(row))}, and `{items[0]}` has {_numbers(len(rows[0]))}",
                help="give every item as many numbers",
                item=item,
            )
    return rows


def _numbers(count: int) -> str:
    return f"{count} number{'' if count == 1 else 's'}"


def _number(label: Any, item: str) -> float:
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RunError(
            "R0109",
            f"the label `{label}` of `{item}` is no number",
            help="`-> value` takes numbers; for names write `-> category`",
            item=item,
        )
    return number


def _unknown(labels: Sequence[str], items: Sequence[str], known: Container[str], whose: Whose) -> RunError:
    examples = defaultdict(list)
    for label, item in zip(labels, items):
        if label not in known:
            examples[label].append(item)
    names = sorted(examples)
    counts = [(name, len(examples[name])) for name in names[:5]]
    notes = [f"`{n}`: {c:,} item{'s' if c > 1 else ''}, such as `{examples[n][0]}`" for n, c in counts]
    if len(names) > 5:
        notes.append(f"and {len(names) - 5:,} labels more")
    label = "labels" if len(names) > 1 else "a label"
    if whose == "model":
        message = f"items have {label} that the model was not taught: {shown(names)}"
        help = "leave these items out of the split, or train with such items"
    elif whose == "given":
        message = f"items have {label} that the vocabulary lacks: {shown(names)}"
        help = "add to `vocab` what is missing, or leave these items out of the split"
    else:
        message = f"the validation part has {label} that the training part lacks: {shown(names)}"
        help = (
            "split so that each label has training items (`stratified()` does), or list all labels in `vocab`"
        )
    return RunError("R0107", message, help=help, notes=notes, item=examples[names[0]][0])
