"""The state of what a Learner is made of: its model, its callbacks and its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner

ANEW = "remove the run's folder to start the training anew"


def parts_of(learner: Learner) -> dict[str, Any]:
    """The states of the model, and of those callbacks and metrics that have one."""
    return {
        "model": learner.model.state_dict(),
        "callbacks": {name: callback.state_dict() for name, callback in _named(learner.callbacks)},
        "metrics": {name: metric.state_dict() for name, metric in _named(learner.metrics)},
    }


def load_parts(learner: Learner, state: dict[str, Any]) -> None:
    """Puts back what `parts_of` took; what has no state there stays as it is."""
    if "model" in state:
        try:
            learner.model.load_state_dict(state["model"])
        except RuntimeError as error:
            message = f"the checkpoint does not fit the model: {str(error).splitlines()[-1].strip()}"
            raise RunError("R0208", message, help=ANEW) from error
    for kind, objects in (("callbacks", learner.callbacks), ("metrics", learner.metrics)):
        for name, thing in _named(objects):
            if name in state.get(kind, {}):
                thing.load_state_dict(state[kind][name])


def _named(objects: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Those that have a `state_dict`, with a name each: the class's, counted from the second on."""
    seen: dict[str, int] = {}
    for thing in objects:
        name = type(thing).__name__
        seen[name] = seen.get(name, 0) + 1
        if hasattr(thing, "state_dict"):
            yield name if seen[name] == 1 else f"{name}_{seen[name]}", thing
