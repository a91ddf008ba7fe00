"""What the check found out about things, in short words: values, shapes, data blocks, models, trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mfc.dsl.check_data import BATCH
from mfc.dsl.dims import Dim, Size
from mfc.dsl.editor.document import Document
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.ir import Fact
from mfc.dsl.recording import Passed
from mfc.dsl.resolve import Declared
from mfc.dsl.typed import DataInfo, TrainInfo
from mfc.dsl.types import Unknown
from mfc.dsl.values import Current, Instance, Kept, show

SHOWN = 4
"""How many values, shapes or instances are listed."""

LONGEST_VALUE = 60


def shape_in_words(shape: Any) -> str:
    """The shape of one item: `64 x 32 x 32`."""
    if any(isinstance(size, tuple) for size in shape):  # of a layer that gives several tensors
        return " and ".join(map(shape_in_words, shape))
    sizes = shape[1:] if shape[:1] == (BATCH,) else shape
    return " x ".join(_size(size) for size in sizes) or "a number"


def _size(size: int | Dim) -> str:
    shown = str(size)
    return f"({shown})" if " " in shown else shown


def changes(passed: Iterable[Passed]) -> list[str]:
    """What comes out for what goes in: `3 x 32 x 32 -> 64 x 32 x 32`."""
    return list(dict.fromkeys(f"{shape_in_words(p.into)} -> {shape_in_words(p.out)}" for p in passed))


def counts(passed: Sequence[Passed]) -> str:
    """How many numbers a statement's layers learn, and all up to it: `1,792, 2,064 with those before`."""
    found = list(dict.fromkeys(count_in_words(p.parameters) for p in passed if p.parameters is not None))
    if not found:
        return ""
    so_far = passed[0].so_far if len(passed) == 1 else None
    more = f"; {count_in_words(so_far)} up to here" if so_far not in (None, passed[0].parameters) else ""
    if found == ["0"] and not more:
        return ""
    return " or ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "") + more


def count_in_words(count: Size | None) -> str:
    """`1,792`"""
    return f"{count:,}" if isinstance(count, int) else str(count)


def listed(items: Sequence[str]) -> str:
    """The first of some texts as code."""
    shown = ", ".join(f"`{item}`" for item in items[:SHOWN])
    return f"{shown}, ..." if len(items) > SHOWN else shown


def plain_values(values: Iterable[Any]) -> list[str]:
    """The values that say something by themselves: numbers, texts, lists of them; of tensors their shapes."""
    found = []
    for value in values:
        if isinstance(value, Current | Kept):
            found += [shape_in_words(value.shape)] if value.shape is not None else []
        elif _is_plain(value):
            found.append(value_in_words(value))
    return list(dict.fromkeys(found))


def value_in_words(value: Any) -> str:
    """A plain value as a spec writes it, cut where it is long."""
    shown = show(value)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 3]}..."


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | Dim | Fact)


# ── declarations ────────────────────────────────────────────────────────────────────────────────────────


def data_of(document: Document, declared: Declared) -> list[DataInfo]:
    """What is known of a data block, for each of its arguments that are known."""
    return [info for i, info in document.compiled.checked.data.items() if i.declared is declared and i.known]


def trains_of(document: Document, declared: Declared) -> list[TrainInfo]:
    """What is known of a train, for each of its arguments that are known."""
    return [
        info for i, info in document.compiled.checked.trains.items() if i.declared is declared and i.known
    ]


def models_of(document: Document, declared: Declared) -> list[tuple[str, Elaborated]]:
    """What is known of a model for its arguments, or of those that a train trains, each with its name."""
    checked = document.compiled.checked
    if declared in checked.models:
        return [(declared.name, checked.models[declared])]
    found: dict[str, Elaborated] = {}
    for info in checked.trains.values():
        named = info.fields["model"]
        for instance in (info.instance, named):
            is_one = isinstance(instance, Instance) and instance.declared is declared and instance.known
            if is_one and info.model is not None:
                found.setdefault(instance.name, info.model)
    return [*found.items()]


def facts_of_data(data: DataInfo) -> Iterator[str]:
    """The shape of its items and batches, and its classes."""
    if data.item is not None:
        yield f"an item is `{shape_in_words(data.item)}`"
    if data.batch is not None:
        size = data.fields["batch_size"]
        count = "" if isinstance(size, Unknown) else f"{show(size)} of "
        yield f"a batch is {count}`{shape_in_words(data.batch)}`"
    if data.validated is not None:
        yield f"to validate on, an item is `{shape_in_words(data.validated)}`"
    if isinstance(data.classes, int):
        yield f"{data.classes} classes"
    elif data.classes is not None:
        yield f"`{data.classes}` is known once the data was read"


def facts_of_model(model: Elaborated) -> Iterator[str]:
    """What comes out of it, how large it is, and its groups."""
    if model.out is not None:
        yield f"`{shape_in_words(model.into)} -> {shape_in_words(model.out)}`"
    count = len(model.layers)
    learned = "" if model.parameters is None else f", {count_in_words(model.parameters)} parameters"
    yield f"{count:,} layer{'s' if count != 1 else ''}{learned}"
    if groups := [group for group in model.parameter_groups if group]:
        yield f"groups {listed(groups)}"
