"""The errors of a training that stops: what failed, by the name that the user knows it by."""

from __future__ import annotations

from typing import Any

import torch

from mfc.runtime.errors import RunError
from mfc.runtime.models import failed_layer
from mfc.runtime.training.events import Cancel
from mfc.runtime.user_files import blamed


def explained(error: Exception) -> RunError | None:
    """The error for a component that failed, if it can be told which: one of the user's own, or a layer."""
    own, layer = blamed(error), failed_layer(error)
    if own is None and layer is None:
        return None
    what = f"the layer `{layer}`" if layer is not None else "a component of your own"
    message = f"{what} failed: {type(error).__name__}: {error}"
    notes = [f"raised by {own}"] if own is not None else []
    help = "where a layer of your own comes before it, see that its shape rule is what it does"
    return RunError("R0211", message, help=help if own is None else None, notes=notes)


def callback_failed(hook: Any, event: str, error: Exception) -> RunError:
    if (failed := explained(error)) is not None:
        return failed
    name = type(hook.__self__).__name__ if hasattr(hook, "__self__") else repr(hook)
    return RunError("R0204", f"callback `{name}` failed in {event}: {type(error).__name__}: {error}")


def loss_failed(loss: Any, pred: Any, target: Any, error: Exception) -> RunError:
    name = getattr(loss, "__name__", type(loss).__name__)
    of, with_ = ("x".join(map(str, getattr(t, "shape", ()))) or "none" for t in (pred, target))
    message = f"the loss `{name}` can't compare predictions of {of} with targets of {with_}: {error}"
    return RunError("R0207", message, help="see what shape the loss takes, and what the model gives")


def misplaced(cancel: Cancel) -> RunError:
    """A cancel was raised outside of its part."""
    name = type(cancel).__name__
    return RunError(
        "R0205", f"a callback raised {name} where no {name.removeprefix('Cancel').lower()} is going on"
    )


def out_of_memory(device: torch.device, epoch: int, batch: int) -> RunError:
    message = f"{device} has no memory left in epoch {epoch + 1}, batch {batch + 1}"
    return RunError("R0404", message, help="lower batch_size, or use mixed_precision()")
