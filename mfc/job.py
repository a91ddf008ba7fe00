"""A spec without errors, ready to be looked at, built from or run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeAlias, TypeVar

from mfc import stages
from mfc.driver import Driver, Status
from mfc.dsl import ir
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.values import Instance
from mfc.evaluations import Evaluation, read_evaluation
from mfc.exports import Export, read_export
from mfc.lr_find import find_rate
from mfc.runtime.errors import RunError
from mfc.runtime.store import Store, store_folder
from mfc.spec import Spec, SpecError
from mfc.stages import Means
from mfc.trained import Trained

if TYPE_CHECKING:
    from torch import nn

    from mfc.dsl.typed import TrainInfo
    from mfc.dsl.values import Shape
    from mfc.predicting import Predictor
    from mfc.runtime.data.loaders import DataLoaders
    from mfc.runtime.layer_table import LayerRow
    from mfc.runtime.text.loaders import TextLoaders
    from mfc.runtime.training.activations import Activations
    from mfc.runtime.training.lr_find import LRFound


R = TypeVar("R")

Folder: TypeAlias = "str | os.PathLike[str]"

TEXT_LENGTH = 72
"""Tokens of the text whose way through a model is shown."""


class ByName(dict[str, R]):
    """Results by the names of what was run, however a call is spelt."""

    def __init__(self, named: Callable[[str], str]) -> None:
        super().__init__()
        self.named = named

    def __missing__(self, name: str) -> R:
        if (known := self.named(name)) in self:
            return self[known]
        raise KeyError(f"there is no `{name}`: there are {', '.join(self) or 'none'}")


@dataclass(frozen=True)
class Run(Mapping[str, Trained]):
    """What a run left: the result of each train by its name, those of evaluations and exports by theirs, and the status
    of each stage before it ran."""

    trains: Mapping[str, Trained]
    evaluations: Mapping[str, Evaluation]
    exports: Mapping[str, Export]
    statuses: Sequence[Status]

    def __repr__(self) -> str:
        named = [("trained", self.trains), ("evaluated", self.evaluations), ("exported", self.exports)]
        parts = [f"{what} {', '.join(names)}" for what, names in named if names]
        return f"<Run: {'; '.join([*parts, f'{len(self.ran)} of {len(self.statuses)} stages ran'])}>"

    def __getitem__(self, name: str) -> Trained:
        with suppress(KeyError):
            return self.trains[name]
        elsewhere = (part for part in ("evaluations", "exports") if name in getattr(self, part))
        more = "".join(f"; {part} are in `{part}`" for part in elsewhere)
        raise KeyError(f"nothing was trained under the name {name}: there are {', '.join(self.trains)}{more}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.trains)

    def __len__(self) -> int:
        return len(self.trains)

    @property
    def ran(self) -> list[str]:
        """The stages that were not up to date."""
        return [status.stage.name for status in self.statuses if status.state != "up to date"]


@dataclass(frozen=True)
class Job:
    """A compiled spec. Results are in `folder`; by default in the folder MFC_STORE, or in `.mfc` beside the spec. What
    looks at results or makes some can be given another one, its `store`. All raise SpecError where what they are asked
    for needs a declaration with errors."""

    spec: Spec
    folder: Folder | None = None

    def plan(self, targets: Sequence[str] = (), *, store: Folder | None = None) -> ir.Plan:
        """The stages, with placeholders for what only the data tells."""
        return self._driver(Means(), targets, store).plan()

    def status(self, targets: Sequence[str] = (), *, store: Folder | None = None) -> list[Status]:
        """Where each stage stands and why. Files are listed; nothing else is run.

        Raises:
            RunError: the data can't be read.
            SpecError: the data is not what the spec takes it for.
        """
        return list(self._driver(Means(), targets, store).look())

    def run(
        self,
        targets: Sequence[str] = (),
        *,
        device: str = "auto",
        workers: int | None = None,
        store: Folder | None = None,
        progress: bool = True,
        stream: TextIO | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> Run:
        """Runs every stage that is not up to date.

        Args:
            targets: the name of a declaration or a phase, or several, with what they need; all that can be run if
                there are none.
            device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
            workers: processes that load items; as the spec says by default.
            store: the folder that results are kept in.
            progress: whether to show a bar, or lines where there is no terminal.
            stream: where progress and notes go, standard error by default.
            say: gets a line for each stage that runs, with the reasons.

        Raises:
            RunError: something that a user can mend went wrong; what was finished is kept.
            SpecError: the data is not what the spec takes it for.
            RunInterrupted: Ctrl-C; the next run goes on from there.
        """
        means = Means(device, workers, progress, stream)
        driver = self._driver(means, targets, store, say)
        statuses = list(driver.run())
        checked = self.spec.compiled.checked.trains
        ends = {
            ".".join([i.name, *(phase.name for phase in info.phases[-1:])]) for i, info in checked.items()
        }
        trains: ByName[Trained] = ByName(self.spec.compiled.named)
        evaluations: ByName[Evaluation] = ByName(self.spec.compiled.named)
        exports: ByName[Export] = ByName(self.spec.compiled.named)
        for status in statuses:
            if status.stage.kind == "evaluation":
                folder = driver.folders[status.stage.name]
                evaluations[status.stage.name] = read_evaluation(status.stage, folder)
            if status.stage.kind == "export":
                folder = driver.folders[status.stage.name]
                exports[status.stage.name] = read_export(status.stage, folder)
            if status.stage.kind == "train":
                learner = driver.learners.get(status.stage.name)
                folder = driver.folders[status.stage.name]
                result = Trained(status.stage, folder, driver.folders, means, learner)
                trains[status.stage.name] = result
                if status.stage.name in ends:
                    trains[status.stage.recipe["train"]] = result
        return Run(trains, evaluations, exports, statuses)

    def lr_find(
        self,
        train: str,
        *,
        start: float = 1e-5,
        end: float = 10.0,
        steps: int = 100,
        device: str = "auto",
        workers: int | None = None,
        store: Folder | None = None,
        progress: bool = True,
        stream: TextIO | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> LRFound:
        """Sweeps learning rates from `start` to `end` over `steps` batches, and suggests some.

        What the training needs is run first: its data, trainings that its weights come from, phases before. Nothing of
        the sweep is kept.

        Args:
            train: the name of a training, or of a phase, such as `fit.head`.
            device, workers, store, progress, stream, say: as in `run`.

        Raises:
            RunError: R0501 for what is no training, R0230 to R0233 where no rate can be found, and what `run` raises.
        """
        means, train = Means(device, workers, progress, stream), self.spec.compiled.named(train)
        driver = self._driver(means, [self._training(train)], store, say)
        return find_rate(driver.before(train), driver.folders, driver.means, start, end, steps)

    def _training(self, name: str) -> str:
        """The training that a stage of that name belongs to. Raises RunError R0501."""
        trains = self.spec.compiled.checked.trains
        known = {}
        for instance in self.spec.compiled.checked.runnable():
            if instance in trains:
                phases = trains[instance].phases
                known |= {f"{instance.name}.{phase.name}": instance.name for phase in phases}
                if not phases:
                    known[instance.name] = instance.name
                elif name == instance.name:
                    those = ", ".join(f"{name}.{phase.name}" for phase in phases)
                    raise RunError(
                        "R0501", f"`{name}` has phases: name one of them", help=f"there are {those}"
                    )
        if name not in known:
            help = did_you_mean(name, known) or (f"there are {', '.join(known)}" if known else None)
            raise RunError("R0501", f"the spec has no training `{name}`", help=help)
        return known[name]

    def trained(
        self,
        train: str,
        *,
        device: str = "auto",
        workers: int | None = None,
        store: Folder | None = None,
        stream: TextIO | None = None,
    ) -> Trained:
        """The result of a training, or of one of its phases, out of the store. Nothing is run, and the data that it
        was trained on may be gone by now.

        Args:
            device, workers, store, stream: as in `run`.

        Raises:
            RunError: R0501, there is no such training; R0504, it was not trained as the spec describes it now.
        """
        train = self.spec.compiled.named(train)
        declared = train in self.spec.compiled.names()
        target = train if declared else self._training(train)
        driver = self._driver(Means(device, workers, stream=stream), [target], store)
        stage, folder = driver.trained(train)
        return Trained(stage, folder, driver.folders, driver.means)

    def predictor(
        self,
        name: str,
        *,
        device: str = "auto",
        workers: int | None = None,
        store: Folder | None = None,
        stream: TextIO | None = None,
    ) -> Predictor:
        """What predicts new items: the model of a training, or the `ensemble([...])` of an `evaluate`, whose models'
        probabilities are averaged. Nothing is run; arguments and errors are those of `trained`.

        Raises RunError R0503 for an `evaluate` that measures several models each for itself.
        """
        from mfc.predicting import Predictor

        name, checked = self.spec.compiled.named(name), self.spec.compiled.checked
        found = {i.name: info for i, info in checked.evaluations.items()}.get(name)
        names = [name] if found is None else [train.name for train in found.trains]
        if found is not None and len(names) > 1 and not found.together:
            message = f"`{name}` measures several models, each for itself"
            raise RunError("R0503", message, help=f"name one of them: {', '.join(names)}")
        means = {"device": device, "workers": workers, "store": store, "stream": stream}
        return Predictor([self.trained(train, **means) for train in names])

    def activations(self, train: str, number: int = 1, *, store: Folder | None = None) -> Activations:
        """What `activation_stats` recorded in a training, also in one that was interrupted. `number` counts them, where
        a train has several; with phases, the last one that was begun.

        Raises:
            RunError: R0501, there is no such train; R0245, nothing was recorded.
        """
        from mfc.runtime.training.activations import read_activations

        train = self.spec.compiled.named(train)
        declared = train in self.spec.compiled.names()
        statuses = self._driver(Means(), [train if declared else self._training(train)], store).look()
        own = [s for s in statuses if train in (s.stage.name, s.stage.recipe.get("train"))]
        if not own:
            raise RunError("R0501", f"`{train}` is no train", help="activations are those of a training")
        folders = [status.folder for status in own if status.folder is not None]
        if not folders:
            message = f"`{train}` was not trained as the spec describes it now"
            raise RunError("R0245", message, help="run it first: `mfc run`")
        return read_activations(folders[-1], number)

    def build(
        self, name: str, *, device: str = "cpu", store: Folder | None = None
    ) -> DataLoaders | TextLoaders | nn.Module:
        """A data block's loaders, or a model for its train's data with fresh weights, drawn with the seed 42.

        Raises:
            KeyError: nothing of that name can be built.
        """
        from mfc.runtime.training.device import choose_device

        checked, name = self.spec.compiled.checked, self.spec.compiled.named(name)
        if any(i.name == name for i in checked.runnable() if i in checked.data):
            driver = self._driver(Means(device, progress=False), [name], store)
            for _ in driver.run():
                pass
            loading, placing = driver.spec.compiled.loading(name)
            return stages.data_loaders(loading, placing, driver.folders, 42, name, choose_device(device))
        self._must_be_right([name])
        if name not in {declared.name for declared in checked.models}:
            raise KeyError(f"the spec has no data and no model `{name}` of which the input is known")
        return stages.module(self._model(name, store)[0], [], 42, name).to(choose_device(device))

    def layers(self, name: str, *, store: Folder | None = None) -> list[LayerRow]:
        """The layers of a model in the order in which they run, with the shapes that they give for one item.

        Raises KeyError where there is no model of that name.
        """
        import torch

        from mfc.runtime.layer_table import layer_table

        stack, into = self._model(name, store)
        sizes = tuple(size for size in into[1:] if isinstance(size, int))
        if len(sizes) < len(into) - 1:  # texts, which have no length of their own
            return layer_table(stack, (1, TEXT_LENGTH), torch.int64)
        return layer_table(stack, (1, *sizes))

    def _model(self, name: str, store: Folder | None) -> tuple[ir.Stack, Shape]:
        """A model with what the data tells put in, and the shape that goes in. Its data is that of its trainings that
        have no errors; where there are none, all data that has none."""
        self._must_be_right([name])
        checked = self.spec.compiled.checked
        known = [i for i in checked.runnable() if not self.spec.errors_for([i.name])]
        uses = [i.name for i in known if i in checked.trains and _trains(checked.trains[i], name)]
        targets = uses or [i.name for i in known if i in checked.data]
        if not targets:
            return self.spec.compiled.model(name)
        driver = self._driver(Means(), targets, store)
        driver.bind()
        return driver.spec.compiled.model(name)

    def _driver(
        self,
        means: Means,
        targets: Sequence[str],
        store: Folder | None,
        say: Callable[[str], None] = lambda line: None,
    ) -> Driver:
        targets = [targets] if isinstance(targets, str) else targets
        self._must_be_right(targets)
        known = self.spec.compiled.names()
        targets = [self.spec.compiled.named(target) for target in targets]
        for target in targets:
            if target not in known:
                declared = target in self.spec.compiled.program.entry.names
                what = (
                    f"`{target}` is nothing that can be run"
                    if declared
                    else f"the spec declares no `{target}`"
                )
                raise RunError("R0501", what, help=f"there are {', '.join(known)}" if known else None)
        given = store if store is not None else self.folder
        folder = store_folder(self.spec.path, given)
        return Driver(self.spec, Store(folder), means, targets, say, given)

    def _must_be_right(self, targets: Sequence[str]) -> None:
        """Raises SpecError where what targets need has errors."""
        if self.spec.errors_for(targets):
            raise SpecError(self.spec.diagnostics)


def _trains(train: TrainInfo, model: str) -> bool:
    """Whether it is a model of that name that is trained."""
    value = train.fields["model"]
    return isinstance(value, Instance) and value.declared.name == model
