"""Checkpoints: all of a training's state as plain files, of which the last good one always survives.

A checkpoint is a folder `checkpoint-N` (N epochs are finished) or `checkpoint-N-B` (and B batches of the next one)
with `model.safetensors`, `state.safetensors` (the tensors of optimizer and callbacks) and `state.json` (everything
else, which names those tensors). It is written under a temporary name, flushed to the disk and renamed; only then is
the one before it removed.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mfc.runtime import disk
from mfc.runtime.errors import RunError
from mfc.runtime.training.callbacks.checkpoints import checkpoint
from mfc.runtime.training.events import Callback

FORMAT = 2
EVERY, LAST = 300.0, 30.0
"""Seconds after a checkpoint when the next one is written within the epoch, and before validation;"""
SHARE = 50
"""or more, so many times the seconds that writing one takes."""


class Checkpoint(Callback):
    """Keeps the state in the Learner's folder, the last one only, together with the `environment` that it came from:
    after every epoch; within an epoch every few minutes, before validation, and when SIGINT or SIGTERM asks for an end
    of training; and where a callback ends the fit within an epoch.

    Within an epoch only between two steps, as of gathered gradients nothing would be kept, and not where another
    callback is ending a part of the training.

    Attributes:
        batches: so many batches of an epoch after which it is kept as well, if not None.
        keep: how many states stay.
    """

    in_trials = False
    order = -100  # the last at after_batch and after_epoch: all other callbacks have updated themselves

    def __init__(self, environment: Mapping[str, Any]) -> None:
        self.environment = dict(environment)

    def before_fit(self) -> None:
        self.ended, self.took = time.monotonic(), 0.0
        self.kept = replace(self.learner.done)
        asked = next((c for c in self.learner.callbacks if isinstance(c, checkpoint)), checkpoint())
        self.batches, self.keep = asked.batches, asked.keep

    def after_batch(self) -> None:
        learner = self.learner
        if not learner.training or learner.pending is not None:
            return
        pause = LAST if learner.batch + 1 == len(learner.dls.train) else EVERY
        due = time.monotonic() - self.ended >= max(pause, SHARE * self.took) or self._counted()
        if (due or learner.interrupts.received is not None) and not learner.gathering:
            self._save()

    def _counted(self) -> bool:
        """Whether as many batches as are asked for were trained on since one of this epoch was kept."""
        done, kept = self.learner.done, self.kept
        first = kept.batches if kept.epochs == done.epochs else 0
        return self.batches is not None and done.batches // self.batches > first // self.batches

    def after_epoch(self) -> None:
        self._save()

    def after_fit(self) -> None:
        if self.learner.done != self.kept:
            self._save()

    def _save(self) -> None:
        learner, start = self.learner, time.monotonic()
        assert learner.folder is not None
        state = learner.state_dict() | {"environment": self.environment}
        save(learner.folder, state, learner.done.epochs, learner.done.batches, self.keep)
        self.kept, self.ended = replace(learner.done), time.monotonic()
        self.took = self.ended - start


def save(folder: Path, state: Mapping[str, Any], epochs: int, batches: int = 0, keep: int = 1) -> Path:
    """Writes the checkpoint after `epochs` and then `batches` of the next one, and removes older ones, so that `keep`
    stay. Raises RunError as `disk.writes` does."""
    rest, tensors = _pack({key: value for key, value in state.items() if key != "model"})
    text = json.dumps({"format": FORMAT, **rest}, indent=1).encode()
    needed = len(text) + sum(t.nbytes for t in (*state["model"].values(), *tensors.values()))
    final = folder / (f"checkpoint-{epochs}-{batches}" if batches else f"checkpoint-{epochs}")
    temporary = folder / f".{final.name}.tmp"
    with writes(final, needed):
        for stale in folder.glob(".checkpoint-*.tmp"):
            disk.remove(stale)
        temporary.mkdir(parents=True)
        try:
            _save(temporary / "model.safetensors", state["model"])
            _save(temporary / "state.safetensors", tensors)
            (temporary / "state.json").write_bytes(text)
            disk.flush(temporary / "state.json")
            disk.flush(temporary)
            disk.remove(final)
            temporary.rename(final)
            disk.flush(folder)
        finally:
            disk.remove(temporary)
    others = [path for path in _all(folder) if path != final]
    for older in others[: max(len(others) - (keep - 1), 0)]:
        disk.remove(older)
    return final


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in a run's folder."""
    found = _all(folder)
    return found[-1] if found else None


def load(path: Path) -> dict[str, Any]:
    """The state that `save` wrote, on the CPU.

    Raises:
        RunError: R0310 if a file of it is missing or damaged, or of a later format.
    """
    try:
        data = json.loads((path / "state.json").read_text())
        if data.pop("format") > FORMAT:
            raise RunError("R0310", f"{path} was written by a newer version of mfc", help="update mfc")
        state = _unpack(data, read_tensors(path / "state.safetensors"))
        state["model"] = read_tensors(path / "model.safetensors")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        message = f"the checkpoint {path} can't be read: {error}"
        raise RunError("R0310", message, help="remove it to start the training anew") from error
    return state


def _all(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("checkpoint-*") if _NAME.fullmatch(p.name)), key=place)


def place(checkpoint: Path) -> tuple[int, int]:
    """How many epochs were finished when a checkpoint was written, and how many batches of the next one."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None
    return int(found[1]), int(found[2] or 0)


_NAME = re.compile(r"checkpoint-(\d+)(?:-(\d+))?")


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def writes(path: Path, needed: int) -> Iterator[None]:
    """`disk.writes`, whose error for a full disk also says how many bytes are needed and how many free."""
    try:
        with disk.writes(path):
            yield
    except RunError as error:
        if error.code == "R0301":
            standing = next(p for p in path.parents if p.exists())
            free = shutil.disk_usage(standing).free
            error.notes.insert(0, f"{needed:,} bytes are needed, {free:,} are free")
        raise


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file, whole or not at all. Raises RunError."""
    with writes(path, sum(t.nbytes for t in tensors.values())), disk.replacing(path) as temporary:
        _save(temporary, tensors)


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Of tensors that are one (tied weights) the first is written; the others' names go to the metadata."""
    first: dict[tuple[Any, ...], str] = {}
    unique: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            aliases[name] = first[place]
        else:
            first[place] = name
            whole = tensor.detach().cpu().contiguous()
            # The format refuses tensors that share memory, as views into one flat buffer do.
            unique[name] = whole if whole.untyped_storage().nbytes() == whole.nbytes else whole.clone()
    save_file(unique, path, metadata={"aliases": json.dumps(aliases)})
    disk.flush(path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """`read_tensors` of a file that has to be there. Raises RunError R0310."""
    try:
        return read_tensors(path)
    except (OSError, ValueError, SafetensorError) as error:
        message = f"the weights {path} can't be read: {error}"
        raise RunError("R0310", message, help="remove the run's folder to start the training anew") from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """What `write_tensors` wrote, tied tensors under each of their names."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        aliases = json.loads((file.metadata() or {}).get("aliases", "{}"))
    return tensors | {name: tensors[kept] for name, kept in aliases.items()}


# ── nested state as JSON and tensors ────────────────────────────────────────────────────────────────────


def digest(state: Mapping[str, Any]) -> str:
    """A hash of a nested state."""
    rest, tensors = _pack(state)
    hashed = xxhash.xxh3_128(json.dumps(rest).encode())
    for name in sorted(tensors):
        hashed.update(name.encode())
        hashed.update(tensors[name].cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _pack(state: Mapping[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    """A nested state as JSON in which `{"$tensor": path}` stands for a tensor, and those tensors."""
    tensors: dict[str, torch.Tensor] = {}

    def pack(value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            tensors[path] = value
            return {"$tensor": path}
        if isinstance(value, Mapping):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: pack(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
            return {"$items": [[pack(k, path), pack(v, f"{path}.{k}")] for k, v in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [pack(item, f"{path}.{i}") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, float) and not math.isfinite(value):
            return {"$float": str(value)}  # which JSON has no number for
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        kind = type(value).__name__
        message = f"the state of `{path}` holds a {kind}, which a checkpoint can't keep"
        raise RunError("R0209", message, help="numbers, strings, lists, dicts and tensors can be kept")

    return pack(state, ""), tensors


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    if "$items" in value:
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in value["$items"]}
    return {key: _unpack(item, tensors) for key, item in value.items()}
