"""The Learner: a model, its data, a loss and an optimizer, and the loop that trains them.

The loop is `_fit` to `_step` below, drawn as a diagram in `events.py`; everything else that training can do
is a callback. After J. Howard and S. Gugger, "fastai: A Layered API for Deep Learning" (2020).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import nn

from mfc.runtime.errors import RunError, RunInterrupted
from mfc.runtime.kernels import multiply_all
from mfc.runtime.models import ends
from mfc.runtime.streams import Stream
from mfc.runtime.training.events import (
    EVENTS,
    WAITING,
    Cancel,
    CancelBackward,
    CancelBatch,
    CancelEpoch,
    CancelFit,
    CancelStep,
    CancelTrain,
    CancelValidate,
    check_events,
    hooks,
)
from mfc.runtime.training.failures import (
    callback_failed,
    explained,
    loss_failed,
    misplaced,
    out_of_memory,
)
from mfc.runtime.training.freezing import freeze
from mfc.runtime.training.memory import freed_memory_kept
from mfc.runtime.training.parts_state import ANEW, load_parts, parts_of
from mfc.runtime.training.phases import Done, Phase
from mfc.runtime.training.predict import Prediction, Predictions, get_preds
from mfc.runtime.training.signals import Interrupts

if TYPE_CHECKING:
    from mfc.runtime.training.lr_find import LRFound


class Learner:
    """Trains `model` on `dls.train`, validates it on `dls.valid`; callbacks see and change all of it.

    Args:
        loss: `loss(pred, target)` -> scalar.
        optimizer: factory with `create(groups, ends=...)`, `ends` being those of `mfc.runtime.models`.
        schedule: the course of hyperparameters for phases without one of their own.
        groups: the model's parameters in groups, first layers first; one group if not given.
        folder: where callbacks keep their files.
        stream: where notes to the user go, standard error if None.
    """

    def __init__(
        self,
        model: nn.Module,
        dls: Any,
        loss: Any,
        optimizer: Any,
        *,
        schedule: Any = None,
        metrics: Sequence[Any] = (),
        callbacks: Iterable[Any] = (),
        groups: Sequence[Sequence[nn.Parameter]] | None = None,
        seed: int = 42,
        stage: str = "fit",
        folder: Path | None = None,
        device: torch.device | str = "cpu",
        stream: TextIO | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.forward: Callable[[Any], Any] = model
        self.dls, self.loss_func, self.schedule, self.metrics = dls, loss, schedule, list(metrics)
        self.groups = [list(group) for group in groups] if groups is not None else [list(model.parameters())]
        self.optimizer_factory = optimizer
        self.optimizer: Any = None  # made when training starts
        self._hypers: list[dict[str, float]] = []  # as the factory set them
        self.freeze_to = 0
        self.seed, self.stage, self.folder, self.stream = seed, stage, folder, stream
        self.callbacks: list[Any] = []
        self.history: list[dict[str, Any]] = []
        self.done = Done()
        self.standing: int | None = None  # the epoch that a callback put the weights back of
        self.phase = Phase(0)
        self.epoch = self.batch = 0
        self.training = False
        self.x: Any = None
        self.y: Any = None
        self.items: Any = None
        self.pred: Any = None
        self.loss: Any = None
        self.loss_weight = 1.0  # what the gradients of this batch are multiplied by
        self.cancelled = False  # in an `after_` event: whether a cancel ended its part
        self.pending: Cancel | None = None  # raised in an `after_` event whose other hooks are being called
        self.interrupts = Interrupts()
        self._saved: dict[str, Any] = {}  # state that the next fit takes back
        self._trainable = {id(p) for p in model.parameters() if p.requires_grad}
        self._streams = {part: Stream(seed, stage, part) for part in ("epoch", "step", "validate")}
        self._generators = [torch.default_generator]
        if self.device.type == "cuda":
            index = self.device.index if self.device.index is not None else torch.cuda.current_device()
            torch.cuda.init()
            self._generators.append(torch.cuda.default_generators[index])
        self._hooks: dict[str, list[Callable[[], None]]] = {}
        self.add(*callbacks)

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────

    def _fit(self) -> None:
        self._restore()
        try:
            while not self.done.phase_over:
                self.epoch = self.done.epochs
                self._reseed("epoch", self.epoch)
                self._around("epoch", self._epoch, CancelEpoch)
        except CancelFit:
            self.done.phase_over, self.done.batches = True, 0
            raise

    def _epoch(self) -> None:
        self.training = self.model.train().training
        self._around("train", self._train, CancelTrain)
        self.training = self.model.eval().training
        self._around("validate", self._validate, CancelValidate)

    def _train(self) -> None:
        self.dls.train.set_epoch(self.epoch)
        if self.done.batches:
            self._resume_epoch()
        for number, batch in enumerate(self.dls.train, self.done.batches):
            self.batch, (self.x, self.y, self.items) = number, batch
            self._reseed("step", self.epoch, self.batch)
            self._around("batch", self._train_batch, CancelBatch)
            if self.interrupts.received and not self.gathering:
                raise self._interrupted()

    @torch.no_grad()
    def _validate(self) -> None:
        self._reseed("validate", self.epoch)
        for number, batch in enumerate(self.dls.valid):
            self.batch, (self.x, self.y, self.items) = number, batch
            self._around("batch", self._valid_batch, CancelBatch)
            if self.interrupts.received:
                raise self._interrupted()

    def _valid_batch(self) -> None:
        self._call("before_pred")
        self.pred = self.forward(self.x)
        self._call("after_pred")
        self._call("before_loss")
        self._compare()
        self._call("after_loss")

    def _compare(self) -> None:
        try:
            self.loss = self.loss_func(self.pred, self.y)
        except (Cancel, RunError):
            raise
        except Exception as error:
            told = self._explained(error)
            failed = loss_failed(self.loss_func, self.pred, self.y, error)
            raise (failed if told is error else told) from error

    def _train_batch(self) -> None:
        self._valid_batch()
        self.loss_weight = 1.0
        self._around("backward", self._backward, CancelBackward)
        self.step()

    def step(self) -> None:
        """One step of the optimizer between its events, for the gradients that there are."""
        self._around("step", self._step, CancelStep)

    def _backward(self) -> None:
        weight = self.loss_weight
        self.loss.backward(None if weight == 1 else torch.full_like(self.loss, weight))

    def _step(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────

    def _around(self, part: str, body: Callable[[], None], cancel: type[Cancel]) -> None:
        """One part of the loop between its two events; see `events.py` for what a cancel does."""
        cancelled = False
        try:
            if part in WAITING:
                self._call_all("before_" + part)
            else:
                self._call("before_" + part)
            body()
        except cancel:
            cancelled = True
        self._call_all("after_" + part, cancelled)

    def _call(self, event: str) -> None:
        for hook in self._hooks[event]:
            try:
                hook()
            except (Cancel, RunError):
                raise
            except Exception as error:
                raise callback_failed(hook, event, error) from error

    def _call_all(self, event: str, cancelled: bool = False) -> None:
        """Calls every hook of the event; the cancel of the widest reach among those raised comes last, and is
        `pending` until then."""
        outer = self.cancelled, self.pending  # of the event one of whose hooks asked for a step
        self.cancelled, self.pending = cancelled, None
        for hook in self._hooks[event]:
            try:
                hook()
            except Cancel as cancel:
                if self.pending is None or cancel.reach > self.pending.reach:
                    self.pending = cancel
                self.done.phase_over |= isinstance(cancel, CancelFit) and event == "after_epoch"
            except RunError:
                raise
            except Exception as error:
                raise callback_failed(hook, event, error) from error
        pending = self.pending
        self.cancelled, self.pending = outer
        if pending is not None:
            raise pending

    def add(self, *callbacks: Any) -> None:
        """Adds callbacks for all phases; an event method that is none raises R0203."""
        for callback in callbacks:
            check_events(callback)
            callback.learner = self
        self.callbacks = sorted([*self.callbacks, *callbacks], key=lambda c: getattr(c, "order", 0))
        self._hooks = {event: hooks(self.callbacks, event) for event in EVENTS}
        self._hooks["after_batch"].insert(0, self._count_batch)
        self._hooks["after_epoch"].insert(0, self._count_epoch)

    @property
    def gathering(self) -> bool:
        """Whether there are gradients that wait for their step."""
        return any(parameter.grad is not None for group in self.groups for parameter in group)

    @property
    def gradients(self) -> list[torch.Tensor]:
        """All gradients that the model has now."""
        return [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]

    def scale_gradients(self, factor: float) -> None:
        """Multiplies all gradients, in place."""
        if gradients := self.gradients:
            multiply_all(gradients, factor)

    def _count_batch(self) -> None:
        """The first thing after a batch, so that state taken in `after_batch` counts it as finished."""
        if self.training:
            self.done.batches = self.batch + 1

    def _count_epoch(self) -> None:
        """The first thing after an epoch, so that state taken in `after_epoch` counts it as finished."""
        self._saved = {}
        self.standing = None
        self.done.batches = 0
        self.done.phase_epochs += 1
        self.done.epochs += 1
        self.done.phase_over = self.done.phase_epochs >= self.phase.epochs

    def _reseed(self, part: str, *place: int) -> None:
        """All draws until the next call follow from the place in the run, not from what was drawn before."""
        seed = self._streams[part].torch_seed(*place)
        for generator in self._generators:
            generator.manual_seed(seed)

    # ── phases ──────────────────────────────────────────────────────────────────────────────────────────

    def fit(self, *phases: Phase) -> None:
        """Trains phase after phase, each with its `before_fit` and `after_fit`; the epoch count goes on.

        After `load_state_dict` finished phases and epochs are left out.

        Raises:
            RunError: R0202 without training batches, R0204 where a callback fails, R0205 for a cancel outside
                its part, R0206 and R0210 for a wrong `freeze_to`, R0404 out of memory, and callbacks' own.
            RunInterrupted: at the end of the batch in which SIGINT or SIGTERM came, or of the step if gradients of
                several batches are gathered for one.
        """
        if self.done.phase >= len(phases):
            message = f"the checkpoint is of phase {self.done.phase + 1}, but the training has {len(phases)}"
            raise RunError("R0208", message, help=ANEW)
        try:
            with self.interrupts, freed_memory_kept() if self.device.type == "cpu" else nullcontext():
                for index in range(self.done.phase, len(phases)):
                    if index > self.done.phase:
                        self.done = Done(index, epochs=self.done.epochs)
                    self._fit_phase(phases[index])
                if self.interrupts.received:
                    raise self._interrupted()
        finally:
            self.done = Done(epochs=self.done.epochs)

    def _fit_phase(self, phase: Phase) -> None:
        self.phase = phase
        with self._replaced(phase):
            if not len(self.dls.train):
                raise RunError("R0202", "there is no training batch", help="lower batch_size")
            self.done.phase_over |= self.done.phase_epochs >= phase.epochs
            try:
                self._around("fit", self._fit, CancelFit)
            except BaseException as error:
                self._call("on_exception")
                explained = self._explained(error)
                if explained is error:
                    raise
                raise explained from error
            finally:
                self.x = self.y = self.items = self.pred = self.loss = None

    @contextmanager
    def _replaced(self, phase: Phase) -> Iterator[None]:
        """The phase's own data, loss and schedule in the Learner's place, and its callbacks added."""
        outer = self.dls, self.loss_func, self.schedule, self.callbacks
        self.dls = phase.data if phase.data is not None else self.dls
        self.loss_func = phase.loss if phase.loss is not None else self.loss_func
        self.schedule = phase.schedule if phase.schedule is not None else self.schedule
        self.add(*phase.callbacks)
        try:
            yield
        finally:
            self.dls, self.loss_func, self.schedule, self.callbacks = outer
            self.add()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, Cancel):
            return misplaced(error)
        if isinstance(error, torch.OutOfMemoryError):
            return out_of_memory(self.device, self.epoch, self.batch)
        if isinstance(error, RuntimeError) and self.interrupts.received:
            return self._interrupted()  # Ctrl-C reaches the loader's workers too: it is their end that we saw
        if isinstance(error, Exception) and not isinstance(error, RunError):
            return explained(error) or error
        return error

    def _interrupted(self) -> RunInterrupted:
        part = "" if self.training else "validation "
        where = f"epoch {self.epoch + 1}, {part}batch {self.batch + 1}"
        return RunInterrupted(f"{self.interrupts.received} stopped the training in {where}")

    # ── trials ──────────────────────────────────────────────────────────────────────────────────────────

    def lr_find(self, start: float = 1e-5, end: float = 10.0, steps: int = 100) -> LRFound:
        """Sweeps the learning rate over `steps` batches, and suggests some; all is afterwards as it was before. See
        `mfc.runtime.training.lr_find` for the errors and for more that can be said."""
        from mfc.runtime.training.lr_find import lr_find

        return lr_find(self, start, end, steps)

    def trial(self, dls: Any, callbacks: Iterable[Any]) -> Learner:
        """A learner of the same model that goes on from where this one stands, optimizer and all, with batches and
        callbacks of its own. What it makes of the model has to be undone afterwards."""
        trial = Learner(
            self.model, dls, self.loss_func, self.optimizer_factory, schedule=self.schedule, callbacks=callbacks,
            groups=self.groups, seed=self.seed, stage=self.stage, device=self.device, stream=self.stream,
        )  # fmt: skip
        trial.forward, trial._trainable = self.forward, self._trainable
        trial.done = Done(epochs=self.done.epochs)
        saved = {key: self._saved[key] for key in ("model", "optimizer", "freeze_to") if key in self._saved}
        if not saved and self.optimizer is not None:
            saved = {"optimizer": self.optimizer.state_dict(), "freeze_to": self.freeze_to}
        trial._saved = deepcopy(saved)  # an optimizer may go on with the very tensors that it is given
        return trial

    # ── use ─────────────────────────────────────────────────────────────────────────────────────────────

    def get_preds(self, loader: Iterable[Any] | None = None) -> Predictions:
        """Probabilities and labels for a loader's items, the validation data's if None."""
        chosen = self.dls.valid if loader is None else loader
        return get_preds(self.model, chosen, self.loss_func, self.dls.vocab, self.device)

    def predict(self, x: torch.Tensor) -> Prediction:
        """What the model says of one item, prepared as validation items are: `c h w` for an image."""
        return get_preds(
            self.model, [(x[None], None, torch.zeros(1))], self.loss_func, self.dls.vocab, self.device
        )[0]

    def say(self, text: str) -> None:
        """Tells the user something on a line of its own."""
        print(text, file=self.stream if self.stream is not None else sys.stderr, flush=True)

    # ── state ───────────────────────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, Any]:
        """All that decides how training goes on, taken after an epoch or a training batch. The order of items and
        random draws are no part of it: they follow from the seed and the place in the run."""
        return {
            "done": asdict(self.done),
            "freeze_to": self.freeze_to,
            "history": self.history,
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else {},
            **parts_of(self),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back a state for the next `fit`: its place and history now, all else after `before_fit`."""
        self.done = Done(**state["done"])
        self.history = list(state["history"])
        self._saved = state

    def continue_from(self, state: dict[str, Any]) -> None:
        """Goes on where another training's last phase ended, as the next phase of the same `fit` would."""
        self.load_state_dict({**state, "done": asdict(Done(epochs=state["done"]["epochs"]))})
        load_parts(self, state)
        self._saved = {"optimizer": state["optimizer"], "freeze_to": state["freeze_to"]}

    def _restore(self) -> None:
        """Makes the optimizer if the phase needs a new one, and puts back what `load_state_dict` got."""
        saved = self._saved
        # within an epoch the same is put back once more: what takes it now must not change it
        self._saved = deepcopy(saved) if self.done.batches else {}
        load_parts(self, saved)
        if self.optimizer is None or self.phase.freeze_to != self.freeze_to:
            self.freeze_to = self.phase.freeze_to
            freeze(self.model, self.groups, self._trainable, self.freeze_to)
            groups = [{"params": group} for group in self.groups]
            self.optimizer = self.optimizer_factory.create(groups, ends=ends(self.model))
            self._hypers = [dict(group) for group in self.optimizer.hypers]
        self.optimizer.zero_grad()  # what a fit that was cut short had gathered is none of this one
        if saved.get("optimizer") and saved["freeze_to"] == self.freeze_to:
            self.optimizer.load_state_dict(saved["optimizer"])
        if self.done.phase_epochs == 0:
            # a new phase starts with the optimizer's own, not the last schedule's end
            for group, first in zip(self.optimizer.hypers, self._hypers):
                group.update(first)
            if not self.done.batches:  # the phase before may have put other weights back at its end
                self.optimizer.follow()

    def _resume_epoch(self) -> None:
        """Goes on within an epoch: once more puts back what was saved there, as the epoch's `before_` events may have
        begun something anew, and leaves out the batches that are finished."""
        saved, self._saved = self._saved, {}
        load_parts(self, saved)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.dls.train.load_state_dict({"epoch": self.epoch, "batch": self.done.batches})
