"""Keeps the batch whose loss was no finite number, so that a person can look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mfc.runtime import disk
from mfc.runtime.training.checkpoint import write_tensors

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner

FOLDER = "bad_batch"
NAMED = 3
"""Items that a message names."""


def keep_bad_batch(learner: Learner, part: str, number: int, loss: float, at_hand: bool) -> list[str]:
    """Writes the batch into the folder `bad_batch` of the Learner's folder, and says what is there: the items and
    `batch.safetensors` with `x`, `y` and `items`, `batch.json` with the place of the batch and its items' paths.

    A batch that is not at hand any more is drawn once more, as its loader gave it; one that is at hand is kept as the
    callbacks made it, and `model.safetensors` has the weights that gave the loss.

    Args:
        part: `train` or `valid`.
        number: of the batch in its epoch, from 0.
        at_hand: whether it is the Learner's batch, and no step was made since.
    """
    if at_hand:
        x, y, items = learner.x, learner.y, learner.items
    else:
        loader = getattr(learner.dls, part)
        loader.load_state_dict({"epoch": learner.epoch, "batch": number})
        x, y, items = next(iter(loader))
    paths = getattr(getattr(learner.dls, "items", None), "paths", None)
    ids = items.tolist()
    names = [f"item {i}" if paths is None else paths[i] for i in ids]
    notes = [f"its items are {_some(names)}"]
    if broken := [name for name, row in zip(names, _finite_rows(x, len(ids))) if not row]:
        notes.append(f"what goes into the model is no finite number for {_some(broken)}")
    if learner.folder is None:
        return notes
    folder = disk.make_folder(learner.folder / FOLDER)
    tensors = {
        name: value for part in (("x", x), ("y", y), ("items", items)) for name, value in _tensors(*part)
    }
    write_tensors(folder / "batch.safetensors", tensors)
    if at_hand:
        write_tensors(folder / "model.safetensors", learner.model.state_dict())
    about = {
        "part": part, "epoch": learner.epoch + 1, "batch": number + 1, "loss": str(loss),
        "as_callbacks_made_it": at_hand, "items": [{"id": i, "name": name} for i, name in zip(ids, names)],
    }  # fmt: skip
    disk.write_file(folder / "batch.json", json.dumps(about, indent=1).encode())
    return [*notes, f"the batch is kept in {folder}; `mfc explain R0201` says how to look at it"]


def forget_bad_batch(learner: Learner) -> None:
    """Removes what an earlier run kept."""
    if learner.folder is not None:
        disk.remove(learner.folder / FOLDER)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _tensors(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a batch's part by names: `x`, or `x.0` and `x.photo` of several inputs."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        inner = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in inner:
            yield from _tensors(f"{name}.{key}", item)


def _finite_rows(x: Any, count: int) -> list[bool]:
    """Whether all numbers of each item are finite."""
    finite = torch.ones(count, dtype=torch.bool)
    for _, tensor in _tensors("x", x):
        if tensor.is_floating_point() and len(tensor) == count:
            finite &= tensor.isfinite().flatten(1).all(1).cpu()
    return finite.tolist()
