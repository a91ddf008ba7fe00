"""Labels as numbers: a vocabulary for categories, floats for values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Literal, TypeAlias

from mfc.runtime.data.paths import shown
from mfc.runtime.errors import RunError

Target: TypeAlias = Literal["category", "value", "next_token"]


def build_vocab(labels: Sequence[str], given: Sequence[str] | None = None) -> list[str]:
    """The sorted labels of the training part, or `given` as it is, if its entries differ from each other."""
    if given is None:
        return sorted(set(labels))
    if twice := sorted({label for label in given if list(given).count(label) > 1}):
        raise RunError("R0110", f"`vocab` names {shown(twice)} more than once")
    return list(given)


def encode_categories(
    labels: Sequence[str], items: Sequence[str], vocab: Sequence[str], given: bool = False
) -> list[int]:
    """Each label's place in the vocabulary; RunError for labels that it lacks.

    Args:
        given: whether the vocabulary was given, and not taken from the training part.
    """
    place = {label: i for i, label in enumerate(vocab)}
    try:
        return [place[label] for label in labels]
    except KeyError:
        raise _unknown(labels, items, place, given) from None


def encode_values(labels: Sequence[str], items: Sequence[str]) -> list[float]:
    """Each label as a finite number."""
    found = []
    for label, item in zip(labels, items):
        try:
            found.append(float(label))
        except ValueError:
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise RunError(
                "R0109",
                f"the label `{label}` of `{item}` is no number",
                help="`-> value` takes numbers; for names write `-> category`",
            )
    return found


def _unknown(labels: Sequence[str], items: Sequence[str], known: Container[str], given: bool) -> RunError:
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
    if given:
        message = f"items have {label} that the vocabulary lacks: {shown(names)}"
        help = "add to `vocab` what is missing, or leave these items out of the split"
    else:
        message = f"the validation part has {label} that the training part lacks: {shown(names)}"
        help = (
            "split so that each label has training items (`stratified()` does), or list all labels in `vocab`"
        )
    return RunError("R0107", message, help=help, notes=notes)
