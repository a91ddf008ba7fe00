"""What the command line prints of predictions, a line each as they come: as text, as JSON, as a table; and the masks
that it writes."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mfc.runtime.data.masks import VOID
from mfc.runtime.disk import make_folder, writes
from mfc.runtime.errors import RunError
from mfc.runtime.training.history import finite

if TYPE_CHECKING:
    import torch

    from mfc.new_items import NewItem
    from mfc.predicting import Predictor
    from mfc.runtime.training.predict import Prediction


class Line(NamedTuple):
    """What is said of an item.

    Args:
        file: what it is called.
        labels: those that were predicted: one, or where a loss such as `bce` decides of each class by itself any
            number; none of values and masks.
        shares: of classes the probabilities, of masks the shares of the pixels, the largest first.
        values: of values.
        mask: the file of a mask.
        several: whether there may be any number of labels.
    """

    file: str
    labels: list[str]
    shares: dict[str, float]
    values: list[float]
    mask: str | None = None
    several: bool = False


def show_predictions(
    predictor: Predictor,
    items: Iterable[NewItem | RunError],
    form: Literal["text", "json", "csv"],
    top: int,
    out: str | None,
    batch_size: int | None,
) -> int:
    """Predicts items and prints a line for each. What is wrong with one goes to standard error.

    Args:
        top: how many labels are shown; in JSON and tables of several labels all are, unless it is more than 1.
        out: the folder for masks.

    Returns how many could not be predicted. Raises RunError R0503 for masks without a folder, or the reverse.
    """
    masks = None
    if (predictor.target == "mask") != (out is not None):
        name = predictor.models[0].stage.name
        what, help = (
            ("no masks", "leave `--out` out") if out else ("masks", "name a folder for them: `--out FOLDER`")
        )
        raise RunError("R0503", f"`{name}` predicts {what}", help=help)
    if out is not None:
        masks = MaskFolder(out, len(predictor.vocab))
    wrong: list[str] = []

    def failed(error: RunError) -> None:
        wrong.append(error.code)
        print(error, file=sys.stderr)

    if isinstance(sys.stdout, TextIOWrapper):  # names of files that are no text are printed as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    printer = {"text": Plain, "json": Json, "csv": Table}[form](predictor, top)
    for item, said in predictor.said(items, batch_size, failed):
        try:
            printer.print(_line(item, said, predictor, masks))
        except RunError as error:  # its mask can't be written
            failed(error)
    if wrong:
        print(f"{len(wrong):,} could not be predicted", file=sys.stderr)
    return len(wrong)


def _line(item: NewItem, said: Prediction, predictor: Predictor, masks: MaskFolder | None) -> Line:
    if masks is not None:
        counts = (said.label.flatten() + 1).clamp(min=0).bincount(minlength=len(predictor.vocab) + 1)[1:]
        shares = (counts / said.label.numel()).tolist()
        seen = {name: share for name, share in zip(predictor.vocab, shares) if share}
        return Line(item.name, [], _sorted(seen), [], masks.write(item, said.label))
    if not predictor.vocab:
        return Line(item.name, [], {}, said.label if isinstance(said.label, list) else [said.label])
    several = isinstance(said.label, list)
    labels = said.label if several else [said.label]
    return Line(item.name, labels, _sorted(said.probabilities), [], several=several)


def _sorted(shares: dict[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────


class Plain:
    """`seven.png: 7 98.2% (1 1.0%)`: the label, and in parentheses the next ones."""

    def __init__(self, predictor: Predictor, top: int) -> None:
        self.top = top

    def print(self, line: Line) -> None:
        print(f"{line.file}: {self._said(line)}")

    def _said(self, line: Line) -> str:
        if line.values:
            return " ".join(f"{value:.6g}" for value in line.values)
        if line.mask is not None:
            return f"{_percents(line.shares, list(line.shares))} in {line.mask}"
        said = _percents(line.shares, line.labels) or "no label"
        others = [label for label in line.shares if label not in line.labels]
        count = max(self.top - len(line.labels), 0) if self.top > 1 else 0
        following = _percents(line.shares, others[:count])
        return f"{said} ({following})" if following else said


def _percents(shares: dict[str, float], labels: Sequence[str]) -> str:
    return ", ".join(f"{label} {shares[label]:.1%}" for label in labels)


class Json:
    """An object a line: `file`, `label` or `labels`, `probability` and `probabilities`; `value` or `values`; `mask` and
    `shares`."""

    def __init__(self, predictor: Predictor, top: int) -> None:
        self.top = top if top > 1 else None

    def print(self, line: Line) -> None:
        said: dict[str, Any] = {"file": line.file}
        if line.values:
            values = [finite(value) for value in line.values]
            said |= {"value": values[0]} if len(values) == 1 else {"values": values}
        elif line.mask is not None:
            said |= {"mask": line.mask, "shares": line.shares}
        else:
            shares = {label: finite(p) for label, p in [*line.shares.items()][: self.top]}
            if line.several:
                said["labels"] = line.labels
            else:
                said |= {"label": line.labels[0], "probability": shares[line.labels[0]]}
            said["probabilities"] = shares
        print(json.dumps(said))


class Table:
    """Comma-separated values: with `--top` the next labels in columns of their own, of several labels the probability
    of each class in a column of its own."""

    def __init__(self, predictor: Predictor, top: int) -> None:
        self.vocab = list(map(str, predictor.vocab))
        self.top = min(top, len(self.vocab))
        self.rows = csv.writer(sys.stdout, lineterminator="\n")
        self.begun = False

    def print(self, line: Line) -> None:
        if not self.begun:
            self.rows.writerow(self._header(line))
            self.begun = True
        self.rows.writerow([line.file, *self._fields(line)])

    def _header(self, line: Line) -> list[str]:
        if line.values:
            count = len(line.values)
            return ["file", *(["value"] if count == 1 else [f"value_{i + 1}" for i in range(count)])]
        if line.several or line.mask is not None:
            return ["file", "labels" if line.mask is None else "mask", *self.vocab]
        following = [f"{name}_{i}" for i in range(2, self.top + 1) for name in ("label", "probability")]
        return ["file", "label", "probability", *following]

    def _fields(self, line: Line) -> list[Any]:
        if line.values:
            return line.values
        if line.several or line.mask is not None:
            first = ";".join(line.labels) if line.mask is None else line.mask
            return [first, *(line.shares.get(name, 0.0) for name in self.vocab)]
        others = [label for label in line.shares if label not in line.labels]
        labels = [*line.labels, *others][: self.top]
        return [field for label in labels for field in (label, line.shares[label])]


# ── masks ───────────────────────────────────────────────────────────────────────────────────────────────


class MaskFolder:
    """Writes masks as PNG files with a palette: a pixel is the number of its class, 255 where the model saw nothing."""

    def __init__(self, folder: str, classes: int) -> None:
        if classes > VOID:
            raise RunError("R0503", f"a mask in a file has {VOID} classes at most, and there are {classes}")
        self.folder = folder
        self.written: dict[str, str] = {}

    def write(self, item: NewItem, mask: torch.Tensor) -> str:
        """Writes the mask of an item under the item's name, in folders as the item's are; gives the path.

        Raises RunError R0505 where another item's mask has that path or it is the image itself.
        """
        import numpy as np
        from PIL import Image

        name = os.path.normpath(os.path.splitext(item.item)[0] + ".png")
        path = os.path.join(self.folder, name)
        if name.startswith(("..", os.sep)):
            why = "lies outside of it"
        elif name in self.written:
            why = f"is that of `{self.written[name]}` too"
        elif os.path.exists(path) and os.path.exists(item.name) and os.path.samefile(path, item.name):
            why = "is that of the image itself"
        else:
            why = ""
        if why:
            message = f"the mask of `{item.name}` can't be written to `{self.folder}`: its name there {why}"
            raise RunError("R0505", message, help="predict such images with an `--out` of their own")
        self.written[name] = item.name
        pixels = mask.where(mask >= 0, VOID).numpy().astype(np.uint8)
        image = Image.fromarray(pixels, "P")
        image.putpalette(PALETTE)
        make_folder(Path(path).parent)
        with writes(path):
            image.save(path)
        return path


def _colour(number: int) -> list[int]:
    """A colour as Pascal VOC numbers them: the lowest bits of a number make its greatest differences."""
    bits = [[number >> (3 * place + channel) & 1 for place in range(8)] for channel in range(3)]
    return [sum(bit << (7 - place) for place, bit in enumerate(channel)) for channel in bits]


PALETTE = [part for number in range(256) for part in _colour(number)]
