"""What happens during training, and who is told.

    fit                                                                  CancelFit
    │  epoch ↻                                                           CancelEpoch
    │  │  train                                                          CancelTrain
    │  │  │  batch ↻                                                     CancelBatch
    │  │  │  │  pred        learner.pred = forward(x)
    │  │  │  │  loss        learner.loss = loss_func(pred, y)
    │  │  │  │  backward    loss.backward(), times loss_weight           CancelBackward
    │  │  │  │  step        optimizer.step(); optimizer.zero_grad()      CancelStep
    │  │  validate           (model in eval mode, no gradients)          CancelValidate
    │  │  │  batch ↻                                                     CancelBatch
    │  │  │  │  pred
    │  │  │  │  loss

Each name stands for two events, `before_NAME` and `after_NAME`. The `before_` methods of all callbacks run in
order, the `after_` methods in reverse, so that callbacks nest like brackets.

A callback skips the rest of a part by raising the exception on its right: the part's `after_` event still
runs, parts inside it that were going on end without theirs. A cancel that is raised in an `after_` event
waits until the other callbacks had their turn, so early stopping can't rob the history of its last line. So
does one in a `before_` event of fit, epoch, train or validate: no callback sees the end of such a part, or what
comes after it, without having seen its beginning.
`CancelStep` leaves the gradients where they are (that is accumulation). An `after_` event sees in
`learner.cancelled` whether a cancel ended its part: `after_step` whether there was no step.

The orders of the callbacks that come with mfc; one of your own has 0 unless it says otherwise:

   -1000  StatisticsCheck        before_batch: images as the loader gave them
    -100  Checkpoint             after_batch, after_epoch, after_fit: all others have updated themselves
     -70  csv_logger             after_epoch: the row is complete, whatever others add; and tensorboard
     -60  save_best              after_fit: the best weights have the last word; and early_stopping
     -50  Progress               after_epoch: the row is complete
     -40  gradient_accumulation  before_step: no others see a step before its group is complete
     -30  compile                before_fit: what is compiled is the model alone
     -20  mixed_precision        before_step: gradients have their true size for all that follow
     -10  mixup, cutmix          before_batch: before memory formats, which a mixed batch has to get anew
       0  all others
      10  reduce_on_plateau      before_batch: when the schedule has set the rate
      50  gradient_clip          before_step: what is clipped is what steps
      60  ema                    after_fit: before those that put other weights in the place of the averages
      90  Recorder               after_loss: the loss before others add to it; after_epoch: the row is there
      90  LRFinder               before_batch: the rate when all others have set theirs; after_loss: as above
     100  activation_stats       before_batch: the batch is sure to be trained on

`on_exception` comes instead of all further events when training ends by an error or an interrupt: only to
clean up.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from mfc.runtime.errors import RunError

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner

PARTS = ("fit", "epoch", "train", "validate", "batch", "pred", "loss", "backward", "step")
WAITING = ("fit", "epoch", "train", "validate")
"""The parts before which every callback has its turn, also where one of them raises a cancel."""

EVENTS = (*(f"{when}_{part}" for part in PARTS for when in ("before", "after")), "on_exception")


class Cancel(Exception):
    """Skips the rest of a part of the loop; `reach` orders the parts from the innermost out."""

    reach = 0


class CancelStep(Cancel):
    """No optimizer step for this batch; its gradients stay and add up with the next."""


class CancelBackward(Cancel):
    """No backward pass for this batch."""

    reach = 1


class CancelBatch(Cancel):
    """Skips the rest of this batch."""

    reach = 2


class CancelTrain(Cancel):
    """Skips the rest of this epoch's training batches; validation follows."""

    reach = 3


class CancelValidate(Cancel):
    """Skips the rest of this epoch's validation batches."""

    reach = 4


class CancelEpoch(Cancel):
    """Skips the rest of this epoch; it counts as finished."""

    reach = 5


class CancelFit(Cancel):
    """Ends this phase of training in good order."""

    reach = 6


class Callback:
    """Something that acts at some of the events: override the methods of those events.

    Callbacks run sorted by `order` (`after_` events in reverse), those of equal order as they were given.
    `self.learner` is the Learner, whose attributes are what a callback reads and changes: `x y items pred
    loss` of this batch, `model optimizer dls loss_func forward`, `epoch batch training phase device history`.

    `in_trials` says whether it also acts, as a copy, in a trial of which nothing is kept, such as the learning-rate
    finder's: what records, shows or keeps does not.
    """

    order: int = 0
    in_trials: bool = True
    learner: Learner

    def state_dict(self) -> dict[str, Any]:
        """All that the callback must remember for a resumed run to go on as if it had not stopped: numbers,
        strings, lists, dicts and tensors. Asked for at the end of an epoch, of a fit, and of any training batch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave. A resumed run calls it after `before_fit`, and where it goes on within an
        epoch once more after `before_train`."""

    def before_fit(self) -> None: ...
    def after_fit(self) -> None: ...
    def before_epoch(self) -> None: ...
    def after_epoch(self) -> None: ...
    def before_train(self) -> None: ...
    def after_train(self) -> None: ...
    def before_validate(self) -> None: ...
    def after_validate(self) -> None: ...
    def before_batch(self) -> None: ...
    def after_batch(self) -> None: ...
    def before_pred(self) -> None: ...
    def after_pred(self) -> None: ...
    def before_loss(self) -> None: ...
    def after_loss(self) -> None: ...
    def before_backward(self) -> None: ...
    def after_backward(self) -> None: ...
    def before_step(self) -> None: ...
    def after_step(self) -> None: ...
    def on_exception(self) -> None: ...


def check_events(callback: Any) -> None:
    """Raises R0203 where a method looks like an event's but is none (`before_bach`)."""
    for name in dir(type(callback)):
        if name.startswith(("before_", "after_", "on_")) and name not in EVENTS:
            near = difflib.get_close_matches(name, EVENTS, n=1)
            raise RunError(
                "R0203",
                f"callback `{type(callback).__name__}` has a method `{name}`, but there is no such event",
                help=f"did you mean `{near[0]}`?" if near else f"the events are {', '.join(EVENTS)}",
            )


def hooks(callbacks: list[Any], event: str) -> list[Any]:
    """The methods to call at an event, in the order in which to call them."""
    base = getattr(Callback, event)
    found = [getattr(c, event) for c in callbacks if getattr(type(c), event, base) is not base]
    return found[::-1] if event.startswith(("after_", "on_")) else found
