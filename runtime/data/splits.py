"""Which items train a model and which validate it.

A splitter has `split(items) -> (train, valid)`, two sorted lists of indices. `items` come sorted. An item in
neither part is left out. One that sets `by_label` is called with the items' labels as well, one that has
`reads_column`, the name of a column of the source's table, with what the items have there: `split(items, labels)`,
`split(items, values)`.

The random ones go by a hash of the item's path and the seed, so a split is the same on every machine, and
smaller parts lie within larger ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import xxhash

from mfc.runtime.component import Range, Splitter, splitter
from mfc.runtime.data.paths import compiled, runs, shown
from mfc.runtime.data.walk import unreadable
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream

Parts: TypeAlias = tuple[list[int], list[int]]


def draws(items: Sequence[str], seed: int, purpose: str) -> np.ndarray:
    """A number in [0, 1) for each item, from its path and the seed alone: float64."""
    key = Stream(seed, "split", purpose).key
    try:
        hashes = map(xxhash.xxh3_64_intdigest, map(str.encode, items), repeat(key))
        numbers = np.fromiter(hashes, np.uint64, len(items))
    except UnicodeEncodeError:  # a file name that is no text
        raw = [item.encode("utf-8", "surrogateescape") for item in items]
        numbers = np.fromiter(map(xxhash.xxh3_64_intdigest, raw, repeat(key)), np.uint64, len(items))
    return (numbers >> np.uint64(11)) * 2.0**-53


def _parts(valid: np.ndarray) -> Parts:
    return np.flatnonzero(~valid).tolist(), np.flatnonzero(valid).tolist()


@splitter
class random:
    """A random share of the items validates.

    Each item's part depends on its own path and the seed alone: when files are added, no other file changes
    sides. The share is therefore as close to `valid` as independent draws come (for 10,000 items within 1 %),
    with one item at least on each side where there are two; `stratified` meets it exactly.

    Args:
        valid: the share that validates.
        seed: another seed gives another split.
    """

    def __init__(self, valid: Annotated[float, Range(above=0, below=1)] = 0.2, seed: int = 42) -> None:
        self.valid, self.seed = valid, seed

    def split(self, items: Sequence[str]) -> Parts:
        numbers = draws(items, self.seed, "random")
        valid = numbers < self.valid
        if len(items) > 1:
            valid[numbers.argmin()] = True
            valid[numbers.argmax()] = False
        return _parts(valid)


@splitter
class stratified:
    """A random share of the items of each label validates: exactly the share, rounded, of every label.

    A label with two items or more has at least one on each side. When files are added, about as many others
    of the same label change sides as the square root of their number.

    Args:
        valid: the share that validates.
        seed: another seed gives another split.
    """

    by_label = True

    def __init__(self, valid: Annotated[float, Range(above=0, below=1)] = 0.2, seed: int = 42) -> None:
        self.valid, self.seed = valid, seed

    def split(self, items: Sequence[str], labels: Sequence[str]) -> Parts:
        numbers = draws(items, self.seed, "random")
        members = defaultdict(list)
        for i, label in enumerate(labels):
            members[label].append(i)
        valid = np.zeros(len(items), bool)
        for indices in members.values():
            count = round(self.valid * len(indices))
            if len(indices) > 1:
                count = min(max(count, 1), len(indices) - 1)
            valid[sorted(indices, key=numbers.__getitem__)[:count]] = True
        return _parts(valid)


@splitter
class grandparent:
    """The folder above an item's folder says its part: `train/cat/1.jpg` trains, `valid/cat/2.jpg` validates.

    Items below other folders are left out.

    Args:
        train: name of the folder with the training items.
        valid: name of the folder with the validation items.
    """

    def __init__(self, train: str = "train", valid: str = "valid") -> None:
        self.train, self.valid = train, valid

    def split(self, items: Sequence[str]) -> Parts:
        parts: dict[str, list[int]] = {self.train: [], self.valid: []}
        others = set()
        for folder, start, stop in runs(items):
            name = folder.rpartition("/")[0].rpartition("/")[2]
            if name in parts:
                parts[name].extend(range(start, stop))
            elif name:
                others.add(name)
        for part, name in (("train", self.train), ("valid", self.valid)):
            if not parts[name]:
                found = f"the items' grandparent folders are {shown(sorted(others))}" if others else None
                raise RunError(
                    "R0106",
                    f"the {part} part is empty: no item lies two levels below a folder `{name}`",
                    help=f'`grandparent({part} = "...")` names another folder',
                    notes=[found] if found else [],
                )
        return parts[self.train], parts[self.valid]


@splitter
class file_list:
    """Those items validate that a text file lists, one a line; the others train.

    A line is an item's path or its bare file name.

    Args:
        valid: the text file.
    """

    def __init__(self, valid: Path) -> None:
        self.valid = Path(valid).expanduser()

    def split(self, items: Sequence[str]) -> Parts:
        try:
            lines = {line.strip() for line in self.valid.read_text(encoding="utf-8").splitlines()} - {""}
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(str(self.valid), error) from error
        names = [item.rpartition("/")[2] for item in items]
        if unknown := sorted(lines.difference(items, names)):
            raise RunError(
                "R0110",
                f"`{self.valid}` lists {len(unknown):,} files that the source lacks: {shown(unknown)}",
                help="a line is a path relative to the source's folder, or a bare file name",
            )
        return _parts(np.array([i in lines or n in lines for i, n in zip(items, names)], bool))


@splitter
class index:
    """The items at these places validate; the others train. Places count from 0 in the sorted list of paths.

    Args:
        valid: the places.
    """

    def __init__(self, valid: list[int]) -> None:
        self.valid = valid

    def split(self, items: Sequence[str]) -> Parts:
        outside = [i for i in self.valid if not 0 <= i < len(items)]
        if outside:
            raise RunError(
                "R0110", f"`index` names the item {outside[0]}, but there are only {len(items):,} items"
            )
        mask = np.zeros(len(items), bool)
        mask[self.valid] = True
        return _parts(mask)


@splitter
class matching:
    """Those items validate in whose path a regular expression is found; the others train.

    Args:
        pattern: the regular expression, searched for in the path relative to the source's folder.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def split(self, items: Sequence[str]) -> Parts:
        search = compiled(self.pattern).search
        return _parts(np.array([search(item) is not None for item in items], bool))


@splitter
class end:
    """The last share of the items validates, in the order of their paths: for data in order of time.

    Args:
        valid: the share that validates.
    """

    def __init__(self, valid: Annotated[float, Range(above=0, below=1)] = 0.2) -> None:
        self.valid = valid

    def split(self, items: Sequence[str]) -> Parts:
        cut = len(items) - int(self.valid * len(items))
        return list(range(cut)), list(range(cut, len(items)))


BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""How tables write what is or is not so, in lower case."""


@splitter(reads_column=True)
class by_column:
    """A column of the table says which rows validate. The source is one with columns, such as `text_table`.

    As it stands, `by_column("is_valid")` reads `true`, `yes` and `1`, in any case, for the rows that validate, and
    `false`, `no` and `0` for those that train; `by_column("is_train", valid = false)` is the reverse. A column with
    other values is read by naming them: `by_column("part", train = "train", valid = ["dev", "test"])`. Rows with
    values that are not named are left out. Where `train` is not given, all rows of one other value train; where there
    are several, they have to be named. A row whose value is empty is an error.

    Args:
        name: the column, by its name in the header.
        valid: the values of the rows that validate, or which of true and false.
        train: the values of the rows that train.
    """

    def __init__(
        self, name: str, valid: bool | str | list[str] = True, train: str | list[str] | None = None
    ) -> None:
        self.reads_column, self.valid, self.train = name, valid, train
        if isinstance(valid, bool) and train is not None:
            raise RunError(
                "R0110",
                "`by_column` names the values that train, and not those that validate",
                help=f'name both: `by_column("{name}", train = ..., valid = "...")`',
            )

    def split(self, items: Sequence[str], values: Sequence[str]) -> Parts:
        for item, value in zip(items, values):
            if not value.strip():
                raise self._unknown(item, "is empty", "fill it in, or take the row out of the table")
        valid, train = self._named(items, values)
        parts = [[i for i, value in enumerate(values) if value in part] for part in (train, valid)]
        return parts[0], parts[1]

    def _named(self, items: Sequence[str], values: Sequence[str]) -> tuple[set[str], set[str]]:
        """The values that validate, and those that train."""
        first: dict[str, int] = {}
        for i, value in enumerate(values):
            first.setdefault(value, i)
        if isinstance(self.valid, bool):
            meant = {value: BOOLEANS.get(value.strip().lower()) for value in first}
            if odd := [first[value] for value, means in meant.items() if means is None]:
                raise self._unknown(
                    items[min(odd)],
                    f"is `{values[min(odd)]}`, neither true nor false",
                    f'other values are named: `by_column("{self.reads_column}", train = "...", valid = "...")`',
                )
            valid = {value for value, means in meant.items() if means == self.valid}
            return valid, set(first) - valid
        valid = {self.valid} if isinstance(self.valid, str) else set(self.valid)
        train = {self.train} if isinstance(self.train, str) else set(self.train or ())
        there = sorted(first, key=first.__getitem__)
        if missing := sorted((valid | train) - set(first)):
            raise RunError(
                "R0110",
                f"no row has {shown(missing)} as its `{self.reads_column}`",
                help=f"there are {shown(there)}",
            )
        others = [value for value in there if value not in valid]
        if self.train is None and len(others) > 1:
            raise RunError(
                "R0110",
                f"`by_column` does not say which rows train: besides {shown(sorted(valid))}, their "
                f"`{self.reads_column}` is {shown(others)}",
                help=f'name those that train: `train = "{others[0]}"`',
            )
        return valid, train if self.train is not None else set(others)

    def _unknown(self, item: str, what: str, help: str) -> RunError:
        return RunError(
            "R0137",
            f"`by_column` can't tell which part `{item}` is in: its `{self.reads_column}` {what}",
            help=help,
            item=item,
        )


@splitter
class subset:
    """Only so many of the items that another split gives, drawn at random; the others are left out.

    Smaller subsets lie within larger ones of the same seed.

    Args:
        of: the split to draw from.
        train: how many items train; all when left out.
        valid: how many items validate; all when left out.
        seed: another seed draws others.
    """

    def __init__(
        self,
        of: Splitter,
        train: Annotated[int, Range(1)] | None = None,
        valid: Annotated[int, Range(1)] | None = None,
        seed: int = 42,
    ) -> None:
        self.of, self.train, self.valid, self.seed = of, train, valid, seed
        self.by_label = getattr(of, "by_label", False)
        self.reads_column = getattr(of, "reads_column", None)

    def split(self, items: Sequence[str], *more: Sequence[str]) -> Parts:
        train, valid = self.of.split(items, *more)
        return self._draw(items, train, self.train, "train"), self._draw(items, valid, self.valid, "valid")

    def _draw(self, items: Sequence[str], part: list[int], count: int | None, name: str) -> list[int]:
        if count is None:
            return part
        if count > len(part):
            raise RunError(
                "R0110", f"`subset` asks for {count:,} {name} items, but there are only {len(part):,}"
            )
        numbers = draws([items[i] for i in part], self.seed, "subset")
        return sorted(part[i] for i in np.argpartition(numbers, count - 1)[:count])


@splitter
class among:
    """Only the items in whose path a regular expression is found, divided by another split; the others are left out.

    `among(r"^[0-4]/", random(valid = 0.2))` keeps the items of the folders 0 to 4.

    Args:
        pattern: the regular expression, searched for in the path relative to the source's folder.
        of: the split that divides them.
    """

    def __init__(self, pattern: str, of: Splitter) -> None:
        self.pattern, self.of = pattern, of
        self.by_label = getattr(of, "by_label", False)
        self.reads_column = getattr(of, "reads_column", None)

    def split(self, items: Sequence[str], *more: Sequence[str]) -> Parts:
        search = compiled(self.pattern).search
        places = [i for i, item in enumerate(items) if search(item)]
        if not places:
            raise RunError(
                "R0106", f"`among` keeps nothing: `{self.pattern}` is found in none of {len(items):,} paths"
            )
        train, valid = self.of.split(*([values[i] for i in places] for values in (items, *more)))
        return [places[i] for i in train], [places[i] for i in valid]
