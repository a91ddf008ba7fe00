"""A train stage: goes on where an earlier run of it stopped, and leaves the trained model in a folder."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn

from mfc.runtime import disk
from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.training import checkpoint
from mfc.runtime.training.callbacks.progress import Progress
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.callbacks.state import ResetState
from mfc.runtime.training.device import describe_device
from mfc.runtime.training.history import finite
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.phases import Phase

MODEL, META = "model.safetensors", "meta.json"

GOES_ON = "goes_on.json"
"""What a next phase goes on with beside the model: how many epochs are done, and a hash of the optimizer's state."""


def train_stage(
    model: nn.Module,
    dls: Any,
    loss: Any,
    optimizer: Any,
    *,
    phases: Sequence[Phase],
    metrics: Sequence[Any] = (),
    callbacks: Iterable[Any] = (),
    groups: Sequence[Sequence[nn.Parameter]] | None = None,
    seed: int,
    stage: str,
    folder: Path,
    device: torch.device,
    previous: Path | None = None,
    progress: bool = True,
    stream: TextIO | None = None,
) -> Learner:
    """Trains through `phases`, and leaves `model.safetensors`, `history.jsonl`, `meta.json`
    and the last checkpoint in `folder`. Where `folder` holds a checkpoint already, training goes on from it.

    Args:
        previous: the folder of the stage whose training this one continues, as its next phase.
        progress: whether to show a bar or lines; notes are written in any case.
        stream: where both go, standard error if None.

    Raises:
        RunError: what `Learner.fit` raises, R0301 to R0303 and R0310 for the folder's files.
        RunInterrupted: after SIGINT or SIGTERM; a checkpoint of where it stopped is kept.
    """
    disk.make_folder(folder)
    here = environment(device)
    watching = [Progress()] if progress else []
    learner = Learner(
        model, dls, loss, optimizer, metrics=metrics, groups=groups, seed=seed,
        stage=stage, folder=folder, device=device, stream=stream,
        callbacks=[*callbacks, ResetState(), Recorder(), Scheduling(), checkpoint.Checkpoint(here), *watching],
    )  # fmt: skip
    if (found := checkpoint.latest(folder)) is not None:
        _resume(learner, checkpoint.load(found), here, phases)
    elif previous is not None:
        continue_after(learner, previous)
    try:
        learner.fit(*phases)
    except RunError as error:
        error.notes += [kept] if (kept := _kept(folder)) else []
        raise
    except KeyboardInterrupt as interrupt:
        what = interrupt.message if isinstance(interrupt, RunInterrupted) else f"{stage} was stopped at once"
        kept = _kept(folder) or "there is no checkpoint yet"
        raise RunInterrupted(f"{what}; {kept}") from interrupt
    _finish(learner, here, epochs_of(previous) if previous is not None else 0)
    return learner


def environment(device: torch.device) -> dict[str, Any]:
    """What a result's last bits depend on beside the plan."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "mfc": version("mfc")}
    return {"device": describe_device(device), "threads": torch.get_num_threads(), "versions": versions}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How two environments differ, in words: `2 threads before, 1 now`."""
    flat_before, flat_now = ({**e, **e.get("versions", {})} for e in (before, now))
    names = [name for name in flat_now if name != "versions" and flat_before.get(name) != flat_now[name]]
    return [f"{name} {flat_before.get(name, 'unknown')} before, {flat_now[name]} now" for name in names]


def _resume(
    learner: Learner, state: dict[str, Any], here: Mapping[str, Any], phases: Sequence[Phase]
) -> None:
    learner.load_state_dict(state)
    done = learner.done
    epochs = done.epochs - done.phase_epochs + sum(phase.epochs for phase in phases[done.phase :])
    if done.batches:
        where = f"in epoch {done.epochs + 1} of {epochs}, after batch {done.batches}"
    else:
        where = f"after epoch {done.epochs} of {epochs}"
    name = next((phase.name for phase in phases[done.phase :]), "")
    learner.say(f"{name or learner.stage} goes on {where}")
    for difference in differences(state["environment"], here):
        learner.say(f"note: {difference}; the result may differ in its last digits")


def continue_after(learner: Learner, previous: Path) -> None:
    """Lets a learner go on where the training of the stage in the folder `previous` ended. Raises RunError R0310."""
    found = checkpoint.latest(previous)
    if found is None:
        raise RunError("R0310", f"{previous} holds no checkpoint to go on from", help="run that stage again")
    # The model as its training left it, which callbacks such as averaged weights may have changed at the end.
    learner.continue_from(checkpoint.load(found) | {"model": checkpoint.read_tensors(previous / MODEL)})


def epochs_of(folder: Path) -> int:
    """How many epochs a finished training has behind it, those of the phases before among them."""
    return json.loads((folder / GOES_ON).read_bytes())["epochs"]


def _kept(folder: Path) -> str | None:
    found = checkpoint.latest(folder)
    if found is None:
        return None
    epochs, batches = checkpoint.place(found)
    place = f"batch {batches} of epoch {epochs + 1}" if batches else f"epoch {epochs}"
    return f"the checkpoint after {place} is kept in {folder}; the next run goes on from it"


def _finish(learner: Learner, here: Mapping[str, Any], begun: int) -> None:
    """Leaves the result of a training that went on after `begun` epochs."""
    folder = learner.folder
    assert folder is not None
    checkpoint.write_tensors(folder / MODEL, learner.model.state_dict())
    meta = {"format": checkpoint.FORMAT, "stage": learner.stage, "seed": learner.seed, **here}
    standing = learner.standing or (learner.done.epochs if learner.done.epochs > begun else None)
    row = next((row for row in learner.history if row["epoch"] == standing), None)
    meta |= {"epochs": learner.done.epochs, "epoch": standing, "result": finite(row)}
    disk.write_file(folder / META, json.dumps(meta, indent=1).encode())
    optimizer = learner.optimizer.state_dict() if learner.optimizer is not None else {}
    goes_on = {"epochs": learner.done.epochs, "optimizer": checkpoint.digest(optimizer)}
    disk.write_file(folder / GOES_ON, json.dumps(goes_on).encode())
