"""Runs a plan: finds out which stages are up to date, carries out the others, and binds what the data tells.

What must wait for the data, such as the number of classes, is not known to the first plan. Once the items are
there, the spec is compiled again with the facts, and the stages after them are taken from that plan.
"""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mfc import evaluations, exports, stages
from mfc.dsl import ir
from mfc.dsl.codehash import CodeIndex
from mfc.dsl.plan import NotRunnable
from mfc.dsl.plan_code import MEASURING, WATCHING
from mfc.runtime.data.files import Listing
from mfc.runtime.errors import RunError
from mfc.runtime.hashcache import digest_file
from mfc.runtime.stagekey import Record, extras, record, show, versions
from mfc.runtime.store import Store, store_folder
from mfc.runtime.text.vocab import VOCAB
from mfc.spec import Spec, SpecError
from mfc.stages import Means

if TYPE_CHECKING:
    from mfc.runtime.training.learner import Learner

log = logging.getLogger(__name__)

SAY_EVERY = 10
"""Seconds between two lines about a stage that takes long."""

BINDING = ("items", "tokenizer")
"""The kinds of stages that find out what later ones, and the spec, wait for."""

FINDING = ("files", *BINDING)
"""The kinds of stages that find out what the data is."""

State: TypeAlias = Literal["up to date", "to run", "waiting"]


@dataclass(frozen=True)
class Status:
    """Where a stage stands: whether its result is there, and if not, why it has to run. One that is waiting
    depends on a stage that has to run before it is known whether it has to. `folder` has its result, or what an
    interrupted run left of it."""

    stage: ir.Stage
    state: State
    reasons: Sequence[str] = ()
    folder: Path | None = None


@dataclass
class Driver:
    """Goes through the stages that `targets` need, in order.

    `say` gets a line for each stage that runs. `store_given` is the store's folder as it was written, for commands
    that are shown; None if it was chosen for the user.
    """

    spec: Spec
    store: Store
    means: Means
    targets: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    store_given: str | os.PathLike[str] | None = None
    folders: dict[str, Path] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    learners: dict[str, Learner] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _measuring: CodeIndex = field(default_factory=lambda: CodeIndex(WATCHING))
    _stages: dict[str, ir.Stage] = field(default_factory=dict)
    _planned: tuple[Spec, ir.Plan] | None = None
    _versions: Mapping[str, str] = field(default_factory=versions)
    _recalls: bool = False
    _gone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._index = self._measuring.skipping((*WATCHING, *MEASURING))

    @property
    def name(self) -> str:
        """What the store calls the spec: its path from the folder that the store is in."""
        return Path(os.path.relpath(self.spec.path, self.store.folder.parent)).as_posix()

    def plan(self) -> ir.Plan:
        """The plan as far as it is known now. Raises RunError R0502 where this version can't run a target."""
        if self._planned is not None and self._planned[0] is self.spec:
            return self._planned[1]
        try:
            plan = self.spec.compiled.plan(self._code, self.targets)
        except NotRunnable as error:
            message = f"this version of mfc checks {error.what}, but can't run it"
            raise RunError("R0502", message, help=error.help) from error
        self._planned = self.spec, plan
        return plan

    def look(self) -> Iterator[Status]:
        """Where each stage stands. Nothing is run but the listing of files."""
        return self._walk(execute=False)

    def recall(self) -> Iterator[Status]:
        """Where each stage stands, as by `look`, also where the data is gone: what can't be read any more is taken as
        the last run found it."""
        self._recalls = True
        return self._walk(execute=False)

    def run(self) -> Iterator[Status]:
        """Runs every stage that is not up to date; gives each one's status before it ran. What keeps an export from
        being written is raised after the others were, or noted where another stage fails.

        Raises:
            SpecError: the data is not what the spec takes it for, such as another number of classes.
            RunError, RunInterrupted: a stage could not be carried out.
        """
        told = self._lacking()
        if self.targets and told.keys() >= set(self.targets):
            raise told[self.targets[0]]
        for error in told.values():  # before anything is trained
            log.warning("%s", error.message)
        return self._walk(execute=True)

    def _lacking(self) -> dict[str, RunError]:
        """What is wrong with exports that are not up to date and whose format needs a package that is missing."""
        found = {s.name: error for s in self.plan() if s.kind == "export" and (error := exports.lacking(s))}
        if found and self.store.folder.exists():  # without a store nothing is up to date, and none is made
            looking = Driver(self.spec, self.store, self.means, self.targets)
            with suppress(RunError, SpecError):  # the run meets it, too
                for status in looking.look():
                    if status.state == "up to date":
                        found.pop(status.stage.name, None)
        return found

    def before(self, name: str) -> ir.Stage:
        """Runs what stands before a stage and is not up to date, and gives the stage as the data made it.

        Raises what `run` does.
        """
        for _ in self._data(execute=True):
            pass
        stages_before = iter(self.plan())
        for stage in stages_before:
            if stage.name == name:
                return stage
            if stage.name not in self.folders:
                self._step(stage, execute=True)
        raise KeyError(name)

    def bind(self) -> None:
        """Lists and labels the data of all targets, and compiles the spec again with what that tells."""
        for _ in self._data(execute=True):
            pass

    def trained(self, train: str) -> tuple[ir.Stage, Path]:
        """The stage and the folder of a training, or of one of its phases, that `targets` need. Nothing is run.

        Raises RunError R0501 where the name means none, or several, and R0504 where its result is not in the store.
        """
        statuses = [*self.recall()]
        trains = [s for s in statuses if s.stage.kind == "train"]
        own = [s for s in trains if train in (s.stage.name, s.stage.recipe["train"])]
        own = own or [s for s in trains if train == s.stage.recipe["train"].partition("(")[0]]
        names = list(dict.fromkeys(s.stage.recipe["train"] for s in own))
        if not own:
            checked = self.spec.compiled.checked
            known = [instance.name for instance in checked.runnable() if instance in checked.trains]
            help = f"there are {', '.join(known)}" if known else None
            exported = {i.name: info.train for i, info in checked.exports.items()}.get(train)
            if exported is not None:
                help = f"it is an export of `{exported.name}`, whose name stands for the model"
            raise RunError("R0501", f"`{train}` is no training", help=help)
        if len(names) > 1:
            raise RunError("R0501", f"`{train}` is several trainings", help=f"there are {', '.join(names)}")
        last = own[-1]
        if last.state != "up to date" or last.folder is None:
            raise self._not_trained(last.stage, statuses)
        return last.stage, last.folder

    def _not_trained(self, stage: ir.Stage, statuses: Sequence[Status]) -> RunError:
        """The error for a training whose result is not there: what is not up to date, and what mends it."""
        command = ["mfc", "run", self.spec.name, "--target", stage.recipe["train"]]
        for name, value in self.spec.settings.items():
            command += ["--set", f"{name}={value if isinstance(value, str) else show(value)}"]
        if self.store_given is not None and self.store.folder != store_folder(self.spec.path):
            command += ["--store", os.fspath(self.store_given)]
        return RunError(
            "R0504",
            f"`{stage.name}` was not trained as the spec describes it now",
            help=f"train it first: `{shlex.join(command)}`",
            notes=[f"{s.stage.name}: {'; '.join(s.reasons)}" for s in statuses if s.state == "to run"],
        )

    def _walk(self, execute: bool) -> Iterator[Status]:
        seen = set()
        for status in self._data(execute):
            seen.add(status.stage.name)
            yield status
        failed: list[RunError] = []
        for stage in self.plan():
            if stage.name in seen:
                continue
            try:
                status = self._step(stage, execute)
            except RunError as error:
                if stage.kind != "export":  # nothing needs an export
                    error.notes += [export.message for export in failed]
                    raise
                failed.append(error)
            except (Exception, KeyboardInterrupt):
                for error in failed:
                    log.warning("%s", error.message)
                raise
            else:
                yield status
        if failed:
            failed[0].notes += [error.message for error in failed[1:]]
            raise failed[0]

    def _data(self, execute: bool) -> Iterator[Status]:
        seen: set[str] = set()
        # what the data tells may decide that other data is needed
        while finding := [s for s in self.plan() if s.kind in FINDING and s.name not in seen]:
            for stage in finding:
                seen.add(stage.name)
                yield self._step(stage, execute)
            if not all(stage.name in self.folders for stage in finding):
                return
            self.spec = self.spec.with_facts(self.facts)
            if self.spec.errors_for(self.targets):
                raise SpecError(self.spec.diagnostics)

    def _code(self, targets: Iterable[str], measuring: bool) -> str:
        return (self._measuring if measuring else self._index).hash(targets)

    def _step(self, stage: ir.Stage, execute: bool) -> Status:
        self._stages[stage.name] = stage
        listing = self._listing(stage) if stage.kind == "files" else None
        if not all(name in self._digests for name in stage.inputs):
            return Status(
                stage, "waiting", [f"for {name}" for name in stage.inputs if name not in self._digests]
            )
        made_of = self._record(stage, {} if listing is None else {"content": listing.fingerprint()})
        artifact = self.store.lookup(stage.name, made_of.key)
        reasons: list[str] = []
        if artifact is None:
            reasons = self.store.reasons(self.name, made_of)
            if not execute and (listing is None or stage.name in self._gone):
                return Status(stage, "to run", reasons, self.store.partial(stage.name, made_of.key))
            self.say(f"{stage.name}: {'; '.join(reasons)}")
            with self.store.writing(stage.name, made_of.key) as result:
                if listing is not None:
                    listing.save(result.folder)
                else:
                    self._execute(stage, result)
            artifact = result.artifact
            assert artifact is not None
        if execute:
            self.store.remember(self.name, made_of)
        self.folders[stage.name] = artifact.folder
        self._digests[stage.name] = artifact.digest
        if stage.kind in BINDING:
            self.facts |= stages.facts(stage, artifact.folder)
        return Status(stage, "to run" if reasons else "up to date", reasons, artifact.folder)

    def _listing(self, stage: ir.Stage) -> Listing:
        """What a source holds. Raises RunError where it can't be read and nothing is known of it."""
        try:
            return stages.scan(stage, self.store.digests)
        except RunError as error:
            last = self.store.last(self.name, stage.name) if self._recalls else None
            known = self.store.lookup(stage.name, last.key) if last is not None else None
            if known is None and self._recalls:  # the spec was moved, but not its store
                known = self.store.newest(stage.name)
            if known is None:
                raise
            log.warning("%s is taken as the last run found it: %s", stage.name, error.message)
            self._gone.add(stage.name)
            return Listing.load(known.folder)

    def _read_digest(self, stage: ir.Stage, written: str, path: str) -> str:
        """The hash of a file that a recipe names. Raises RunError R0304 where it can't be read and is not known."""
        try:
            return _digest(path)
        except RunError:
            last = self.store.last(self.name, stage.name) if self._recalls else None
            if last is None or f"file {written}" not in last.inputs:
                raise
            return last.inputs[f"file {written}"]

    def _record(self, stage: ir.Stage, observed: Mapping[str, str]) -> Record:
        """What a stage's key is made of: its inputs, the files it reads, and the code of each of its components."""
        inputs = {name: self._digests[name] for name in stage.inputs} | dict(observed)
        if stage.kind in (
            "packed",
            "tokens",
        ):  # depend on the items' content alone, not on their split and labels
            inputs |= {stage.inputs[0]: stages.content(self.folders[stage.inputs[0]])}
        reads = stage.placing["reads"].items()
        inputs |= {f"file {written}": self._read_digest(stage, written, path) for written, path in reads}
        targets = {node.target for node in ir.walk(stage.recipe) if isinstance(node, ir.Call)}
        codes = {target: self._code([target], stage.measures) for target in targets}
        return record(stage, inputs, {**self._versions, **extras(stage)}, codes)

    def _execute(self, stage: ir.Stage, result: Any) -> None:
        if waits := next((node.name for node in ir.walk(stage.recipe) if isinstance(node, ir.Fact)), None):
            message = f"`{stage.name}` depends on `{waits}`, which its data does not tell"
            raise RunError("R0502", message, help="give it in the spec")
        match stage.kind:
            case "items":
                stages.run_items(stage, self.folders, result.folder, self.means)
            case "part":
                stages.run_part(stage, self.folders, result.folder)
            case "packed" | "tokenizer" | "tokens":
                carry_out = getattr(stages, f"run_{stage.kind}")
                carry_out(stage, self.folders, result.folder, self.means, self._shows(stage.name))
            case "init":
                for line in stages.run_init(stage, self.folders, result.folder, self.means):
                    self.say(line)
                result.depends_on("model.safetensors")
            case "train":
                work = result.partial
                self.learners[stage.name] = stages.run_train(stage, self.folders, work, self.means)
                result.adopt()
                result.depends_on("model.safetensors", "goes_on.json")
                if "tokenizer" in stage.placing["data"]:
                    result.depends_on(VOCAB)
            case "export":
                if error := exports.lacking(stage):
                    raise error
                with _explained():
                    exports.run_export(stage, self.folders, result.folder)
            case "evaluation":
                with _explained():
                    evaluations.run_evaluation(
                        stage, self._stages, self.learners, self.folders, result.folder, self.means
                    )

    def _shows(self, name: str) -> Callable[[int, int], None]:
        """Says now and then how far a stage is."""
        said = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal said
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                self.say(f"{name}: {done:,} of {total:,}")

        return show


@contextmanager
def _explained() -> Iterator[None]:
    """Turns an error of a component, where it can be told which one failed, into RunError."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        from mfc.runtime.training.failures import explained

        if (told := explained(error)) is None:
            raise
        raise told from error


def _digest(path: str) -> str:
    file = Path(path).expanduser()
    try:
        return digest_file(file).hex()
    except OSError as error:
        raise RunError("R0304", f"can't read `{file}`: {(error.strerror or str(error)).lower()}") from error
