"""The stage `items`: which items there are for training and validation, and what their targets are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mfc.runtime.data.files import Listing
from mfc.runtime.data.labels import failed, label_all
from mfc.runtime.data.masks import VOID
from mfc.runtime.data.paths import shown
from mfc.runtime.data.vocab import (
    Target,
    as_lists,
    build_vocab,
    encode_categories,
    encode_several,
    encode_values,
)
from mfc.runtime.errors import RunError


@dataclass(frozen=True)
class Items:
    """The items of a split. An item's id is its place in `paths`.

    Args:
        paths, digests: of the items in either part, in sorted order of paths.
        train, valid: ids, in ascending order.
        targets: for each item its label's place in `vocab`, or its value; a list of them where it has several; none
            for masks, which are read with the images.
        vocab: the labels, empty for values.
    """

    paths: list[str]
    digests: list[str]
    train: list[int]
    valid: list[int]
    targets: list[Any]
    vocab: list[str]

    def __repr__(self) -> str:
        return f"<Items: {self.summary}>"

    @property
    def summary(self) -> str:
        """How many there are: `1,438 to train, 359 to validate, 10 classes`."""
        classes = f", {len(self.vocab):,} classes" if self.vocab else ""
        return f"{len(self.train):,} to train, {len(self.valid):,} to validate{classes}"

    def part(self, name: Literal["train", "valid", "all"]) -> Sequence[int]:
        """The ids of a part, in ascending order."""
        return range(len(self.paths)) if name == "all" else getattr(self, name)

    def facts(self) -> dict[str, int | list[int]]:
        """What a spec may ask of its data: `classes` and, for each part, `count` and `class_counts`; of values how many
        an item has (`values`)."""
        found: dict[str, int | list[int]] = {"train.count": len(self.train), "valid.count": len(self.valid)}
        if self.vocab:
            found["classes"] = len(self.vocab)
        if self.vocab and self.targets:
            for name, part in (("train", self.train), ("valid", self.valid)):
                counts = Counter(place for i in part for place in _listed(self.targets[i]))
                found[f"{name}.class_counts"] = [counts[i] for i in range(len(self.vocab))]
        elif self.targets:
            found["values"] = len(_listed(self.targets[0]))
        return found

    def listing(self) -> Listing:
        """The part of this that decoding depends on, whatever the split and the labels."""
        return Listing(self.paths, self.digests)

    def save(self, folder: Path) -> None:
        """Writes `items.json`."""
        (folder / "items.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Items:
        """Reads what `save` wrote."""
        return cls(**json.loads((folder / "items.json").read_text()))


def list_items(
    listing: Listing,
    split: Any,
    label: Any,
    target: Target = "category",
    vocab: Sequence[str] | None = None,
    source: Any = None,
) -> Items:
    """Splits and labels a source's items.

    Raises RunError for an empty part, an item without a label, a label of the validation part that the
    training part (or the given `vocab`) lacks, and for a value that is no number.

    Args:
        source: the source, where the split or the labels read a column of its table.
    """
    with _rows_named(source):
        train, valid, labels = _divided(listing, split, label, target, source)
        _must_have(split, listing, train=train, valid=valid)
        used = sorted({*train, *valid})
        paths = [listing.paths[i] for i in used]
        place = {old: new for new, old in enumerate(used)}
        train, valid = sorted(place[i] for i in train), sorted(place[i] for i in valid)
        digests = [listing.digests[i] for i in used]
        if target == "next_token":
            return Items(paths, digests, train, valid, [], [])
        if target == "mask":
            return Items(paths, digests, train, valid, [], _classes(label, vocab))
        labels = [labels[i] for i in used] if labels else _labels(label, paths, source, target)
        targets: list[Any]
        if target == "value":
            words, targets = [], encode_values(labels, paths)
        elif target == "multi_category":
            several = as_lists(labels)
            words = build_vocab([one for i in train for one in several[i]], vocab)
            if not words:
                raise RunError(
                    "R0108", "no item of the training part has a label", help="see what `label` reads"
                )
            targets = encode_several(several, paths, words, "train" if vocab is None else "given")
        else:
            words = build_vocab([labels[i] for i in train], vocab)
            targets = encode_categories(labels, paths, words, "train" if vocab is None else "given")
        return Items(paths, digests, train, valid, targets, words)


def items_of_part(
    listing: Listing,
    part: str,
    split: Any,
    label: Any,
    known: Items,
    target: Target = "category",
    vocab: Sequence[str] | None = None,
    source: Any = None,
) -> Items:
    """One part of a source's items as a model has them that knows the labels of other items: the targets are places in
    its vocabulary. All of them are in both parts; without a labeler they have no targets.

    Raises RunError R0106 for an empty part, R0107 for labels that the model does not know, and what `list_items` does.

    Args:
        part: `train`, `valid`, `all` for both, or `test` for what the split leaves out.
        known: what the model was trained with.
        vocab: the names of a mask's classes, where the labeler does not know them.
        source: as in `list_items`.
    """
    with _rows_named(source):
        train, valid, _ = _divided(listing, split, label, target, source)
        rest = {*range(len(listing.paths))} - {*train} - {*valid}
        chosen = sorted({"train": train, "valid": valid, "all": [*train, *valid], "test": rest}[part])
        _must_have(split, listing, **{part: chosen})
        paths = [listing.paths[i] for i in chosen]
        digests, ids = [listing.digests[i] for i in chosen], list(range(len(chosen)))
        targets = [] if label is None else _known_targets(paths, label, known, target, vocab, source)
        return Items(paths, digests, ids, ids, targets, known.vocab)


@contextmanager
def _rows_named(source: Any) -> Iterator[None]:
    """Errors about one item say in which row of the source's table it is."""
    try:
        yield
    except RunError as error:
        if error.item is not None and hasattr(source, "where"):
            error.notes.append(f"`{error.item}` is in {source.where(error.item)}")
        raise


def _known_targets(
    paths: list[str], label: Any, known: Items, target: Target, vocab: Sequence[str] | None, source: Any
) -> list[Any]:
    """The targets of items by the vocabulary of others."""
    if target == "next_token":
        return []
    if target == "mask":
        if (names := _classes(label, vocab)) != known.vocab:
            theirs, ours = shown(names), shown(known.vocab)
            message = f"the masks are of the classes {theirs}, and the model was taught {ours}"
            raise RunError("R0107", message, help="name the same classes in the same order")
        return []
    labels = _labels(label, paths, source, target)
    if target == "multi_category":
        return encode_several(as_lists(labels), paths, known.vocab, "model")
    if target == "category":
        return encode_categories(labels, paths, known.vocab, "model")
    values = encode_values(labels, paths)
    ours, theirs = len(_listed(known.targets[0])), len(_listed(values[0]))
    if ours != theirs:
        has = f"`{paths[0]}` has {theirs} value{'' if theirs == 1 else 's'}"
        message = f"{has}, and the model was taught items with {ours}"
        raise RunError("R0109", message, help="give every item as many numbers")
    return values


OVERLAP = "W0711"
"""The code of the warning about items that are in both parts."""


def overlap(items: Items) -> str:
    """A warning where items of the validation part have the content of one that trains; nothing where none has."""
    training = {items.digests[i]: i for i in reversed(items.train)}
    again = [(i, training[items.digests[i]]) for i in items.valid if items.digests[i] in training]
    if not again:
        return ""
    valid, train = (items.paths[i] for i in again[0])
    return (
        f"warning[{OVERLAP}]: {len(again):,} of {len(items.valid):,} validation items train as well, under other "
        f"names: `{valid}` has the content of `{train}`"
    )


def _classes(labeler: Any, vocab: Sequence[str] | None) -> list[str]:
    """The names of a mask's classes: those given, or those that the labeler knows."""
    named = labeler.names() if vocab is None and hasattr(labeler, "names") else vocab
    if not named or len(named) > VOID - 1:
        raise RunError(
            "R0110",
            f"a mask has 1 to {VOID - 1} classes, not {len(named or ())}",
            help='name them by `vocab`, or in a file by `mask_file(..., codes = "codes.txt")`',
        )
    return build_vocab([], named)


def _labels(labeler: Any, items: Sequence[str], source: Any, target: Target) -> list[Any]:
    """Each item's label, with what it has in a column where the labeler reads one."""
    return label_all(labeler, items, *_values(labeler, source, items), target=target)


def _listed(target: Any) -> list[Any]:
    return target if isinstance(target, list) else [target]


def _values(reader: Any, source: Any, items: Sequence[str]) -> list[Sequence[Any]]:
    """What items have in the column that a splitter or labeler reads, lists where it reads several: nothing where it
    reads none."""
    name = getattr(reader, "reads_column", None)
    if name is None:
        return []
    if source is None:
        raise RunError(
            "R0111",
            f"`{type(reader).__name__}` reads a column, and its decorator does not say so",
            help="write `reads_column=True` in the decorator",
        )
    if isinstance(name, str):
        return [source.column(name, items)]
    return [list(map(list, zip(*(source.column(one, items) for one in name))))]


def _divided(
    listing: Listing, split: Any, label: Any, target: Target, source: Any
) -> tuple[list[int], list[int], list[Any] | None]:
    """The two parts of a source's items, and their labels where the split goes by these."""
    by_label = getattr(split, "by_label", False)
    if by_label and (label is None or target == "mask"):
        message = f"`{type(split).__name__}` splits by labels, and these items have none"
        raise RunError("R0108", message, help="add a `label`, or split with `random(valid = 0.1)`")
    labels = _labels(label, listing.paths, source, target) if by_label else None
    more = [[tuple(one) if isinstance(one, list) else one for one in labels]] if labels else []
    return *_parts(split, listing.paths, *(more or _values(split, source, listing.paths))), labels


def _must_have(split: Any, listing: Listing, **parts: list[int]) -> None:
    """Raises RunError R0106 for a part without items."""
    for part, places in parts.items():
        if not places:
            count, name = len(listing.paths), type(split).__name__
            raise RunError(
                "R0106", f"the {part} part is empty: `{name}` puts none of {count:,} items into it"
            )


def _parts(split: Any, *arguments: Sequence[Any]) -> tuple[list[int], list[int]]:
    """What a splitter gives, checked: a user's own may be wrong in any way."""
    paths = arguments[0]
    name = type(split).__name__
    try:
        train, valid = ([int(i) for i in part] for part in split.split(*arguments))
    except RunError:
        raise
    except Exception as error:
        raise failed(split, f"{len(paths):,} items", error) from error
    for part in (train, valid):
        if part and not 0 <= min(part) <= max(part) < len(paths):
            raise RunError("R0111", f"`{name}` gives places of items outside of 0..{len(paths) - 1}")
    if both := sorted(set(train).intersection(valid)):
        raise RunError("R0106", f"`{name}` puts items into both parts: {shown([paths[i] for i in both])}")
    return train, valid
