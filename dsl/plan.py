"""Turns what was checked into stages: the files of a data block, its items, its packed items, each training.

A stage's `recipe` is what decides its result. Where things lie (folders), how fast they are done (workers,
device) and what only looks on (metrics, progress) goes into `placing` and is no part of its key.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfc.dsl import ir
from mfc.dsl.check_callbacks import decided, follows, in_order, monitored
from mfc.dsl.check_data import is_complete
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.lower import lower
from mfc.dsl.plan_code import CODE, CodeHash
from mfc.dsl.plan_evaluation import plan_evaluation
from mfc.dsl.plan_export import plan_export
from mfc.dsl.plan_parts import draws, labelling, masked, unfitted, unplaced
from mfc.dsl.typed import Checked, DataInfo, EvaluationInfo, ExportInfo, PhaseInfo, TokenizerInfo, TrainInfo
from mfc.dsl.values import INIT, ComponentValue, Instance, Weights, reads_data


class NotRunnable(Exception):
    """A declaration that checks, and that this version can't run: `what` names it, `help` says what to do."""

    def __init__(self, what: str, help: str = "name what can be run with `--target NAME`") -> None:
        super().__init__(what)
        self.what = what
        self.help = help


def plan(
    checked: Checked,
    spec: str,
    folder: str,
    code_hash: CodeHash,
    targets: Sequence[str] = (),
    sources: Sequence[str] = (),
) -> ir.Plan:
    """The stages that `targets` (names of instances, declarations or phases; all trainings if there are none) need, in
    an order in which they can run. Relative paths start from `folder`; `sources` are the spec's own files by their
    absolute paths, the one that is run first.

    Raises:
        NotRunnable: a target's kind of data or declaration has no stages in this version.
    """
    planner = Planner(checked, code_hash, folder, sources)
    for instance, phase in _wanted(checked, targets):
        planner.add(instance, phase)
    stages = tuple(planner.stages.values())
    waits = sorted({fact for stage in stages for fact in _facts(stage.recipe)})
    return ir.Plan(spec, stages, tuple(waits), tuple(planner.optimised.values()))


def loading(checked: Checked, data: str, folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """How batches of a data block are drawn: what decides them, and what only places them. Raises KeyError."""
    info = {i.name: checked.data[i] for i in checked.runnable() if i in checked.data}[data]
    recipe, placing = Planner(checked, lambda targets, measuring: "", folder).loading(info)
    return lower(recipe), placed(lower(placing), folder)


RUNNABLE = {
    "image": ("category", "multi_category", "mask", "value"),
    "text": ("category", "multi_category", "value", "next_token"),
}
"""The kinds of data that there are stages for: targets by input."""


DECIDED = "decide it by params and constants, which are known before data is read"
"""What can be done where an `if` chooses data or models by what other data tells."""


UNUSED_FIELDS = {
    "input": 'leave it out; images that a table names are read by `image_table(..., image = "{name}.jpg")`',
    "processors": "leave it out",
}
"""The fields of data blocks that no stage carries out, and what can be done without them."""


def placed(value: Any, folder: str) -> Any:
    """A value whose paths start from the folder of the spec."""
    return ir.substitute(value, lambda n: ir.File(_absolute(n.path, folder)) if isinstance(n, ir.File) else n)


def _wanted(checked: Checked, targets: Sequence[str]) -> list[tuple[Instance, str]]:
    """The instances that targets name, each with the phase that it is to end with, if one is named."""
    if not targets:
        known = checked.runnable()
        return [(i, "") for i in known if i not in checked.data] or [(i, "") for i in known]
    return [found for name in targets for found, names in checked.targets().items() if name in names]


@dataclass
class Planner:
    checked: Checked
    code_hash: CodeHash
    folder: str
    sources: Sequence[str] = ()
    stages: dict[str, ir.Stage] = field(default_factory=dict)
    owners: dict[str, Instance] = field(default_factory=dict)
    optimised: dict[str, str] = field(default_factory=dict)

    def add(self, instance: Instance, phase: str = "") -> tuple[str, ...]:
        """Adds the stages of a declaration, of a training those up to a phase; gives the names of those that hold its
        result."""
        self.own(instance)
        if instance in self.checked.data:
            return self.data(self.checked.data[instance])
        if instance in self.checked.trains:
            return self.train(self.checked.trains[instance], phase)
        if instance in self.checked.evaluations:
            return (self.evaluation(self.checked.evaluations[instance]),)
        if instance in self.checked.exports:
            return (self.export(self.checked.exports[instance]),)
        raise NotRunnable(f"{instance.kind} `{instance.name}`")

    def own(self, instance: Instance) -> None:
        """Stages go by names: those of two files' declarations of one name can't be told apart."""
        if self.owners.setdefault(instance.name, instance) != instance:
            raise NotRunnable(f"{instance.kind} `{instance.name}` beside one of that name in another file")

    def stage(
        self,
        kind: str,
        name: str,
        recipe: Mapping[str, Any],
        placing: Mapping[str, Any],
        inputs: Sequence[str],
        measures: bool = False,
    ) -> str:
        if name not in self.stages:
            recipe = lower(recipe)
            files = sorted({node.path for node in ir.walk(recipe) if isinstance(node, ir.File)})
            reads = {path: _absolute(path, self.folder) for path in files}
            placing = placed(lower(placing), self.folder) | {"reads": reads}
            calls = _calls(recipe)
            for call in (*calls, *_calls(placing)):
                _check_arguments(call)
            targets = [CODE[kind], *sorted({call.target for call in calls})]
            code = self.code_hash(targets, measures)
            self.stages[name] = ir.Stage(name, kind, recipe, placing, tuple(inputs), code, measures)
        return name

    # ── data ────────────────────────────────────────────────────────────────────────────────────────────

    def data(self, data: DataInfo) -> tuple[str, ...]:
        """Adds the stages of a data block: the files, the items, and the packed items where that is possible.
        Gives those that a training needs."""
        items = self.items(data)
        self.optimised |= optimised(data)
        fields, name = data.fields, data.instance.name
        source, where = unplaced(fields["source"]), {"source": fields["source"]}
        if data.tokenizer is not None:
            tokenizer = self.tokenizer(data.tokenizer)
            recipe = {"source": source, "tokenizer": unfitted(data.tokenizer.component)}
            tokens = self.stage("tokens", f"{name}.tokens", recipe, where, (items, tokenizer))
            return items, tokenizer, tokens, *self.telling(data)
        if not can_pack(data):
            return f"{name}.files", items, *self.telling(data)
        recipe = {
            "source": source,
            "item_transforms": fields["item_transforms"],
            "shape": data.item,
            "on_error": fields["on_error"],
        }
        recipe |= {k: unplaced(fields[k]) for k in masked(data)}
        where |= {k: fields[k] for k in masked(data)}
        packed = self.stage(
            "packed", f"{name}.packed", recipe, where | {"workers": fields["workers"]}, (items,)
        )
        return items, packed, *self.telling(data)

    def items(self, data: DataInfo) -> str:
        """Adds the stages that find a data block's items and their targets."""
        if not is_complete(data):
            raise NotRunnable(f"data `{data.instance.name}`, which models are only asked about,")
        files, (recipe, where) = self.files(data), labelling(data)
        return self.stage("items", f"{data.instance.name}.items", recipe, where, (files,))

    def files(self, data: DataInfo) -> str:
        """Adds the stage that lists the items of a data block's source."""
        fields, name = data.fields, data.instance.name
        if data.target not in RUNNABLE.get(data.input, ()):
            raise NotRunnable(f"data `{name}`: {data.input or 'several inputs'} -> {data.target}")
        self.own(data.instance)
        for other in UNUSED_FIELDS:
            if fields[other]:
                raise NotRunnable(f"the field `{other}` of data `{name}`", UNUSED_FIELDS[other])
        recipe, where = {"source": unplaced(fields["source"])}, {"source": fields["source"]}
        if data.target == "mask":  # the masks' files are content of the items
            recipe["label"], where["label"] = unplaced(fields["label"]), fields["label"]
        return self.stage("files", f"{name}.files", recipe, where, ())

    def tokenizer(self, tokenizer: TokenizerInfo) -> str:
        """Adds the stage that fits a tokenizer to the texts of parts of data blocks."""
        parts, where, inputs = [], [], []
        for part in tokenizer.fit_on:
            data = self.checked.data[part.data]
            inputs.append(self.items(data))
            parts.append(
                {"source": unplaced(data.fields["source"]), "part": part.part.removesuffix(".texts")}
            )
            where.append(data.fields["source"])
        recipe = {"tokenizer": unfitted(tokenizer.component), "parts": parts}
        return self.stage("tokenizer", tokenizer.name, recipe, {"sources": where}, inputs)

    def loading(self, data: DataInfo) -> tuple[dict[str, Any], dict[str, Any]]:
        """How a training draws its batches: what decides them, and what does not."""
        fields = data.fields
        if data.tokenizer is not None:
            recipe = {"batch_size": fields["batch_size"], "target": data.target, "name": data.instance.name}
            where = {"tokenizer": data.tokenizer.name, "tokenize": unfitted(data.tokenizer.component)}
            where["source"] = fields["source"]  # new items are read as it reads
            return recipe | {"options": data.options}, where
        recipe = {k: fields[k] for k in ("batch_transforms", "batch_size")}
        recipe |= {"target": data.target, "shape": data.item, "name": data.instance.name}
        if not can_pack(data):
            recipe |= {"source": unplaced(fields["source"]), "item_transforms": fields["item_transforms"]}
            recipe |= {"on_error": fields["on_error"]} | {k: unplaced(fields[k]) for k in masked(data)}
        where = ("source", "item_transforms", "batch_transforms", "workers", *masked(data))
        return recipe, {k: fields[k] for k in where}

    # ── training ────────────────────────────────────────────────────────────────────────────────────────

    def train(self, train: TrainInfo, last: str = "") -> tuple[str, ...]:
        """The stages of a training: one, or one a phase, up to the `last` one that is wanted."""
        name = train.instance.name
        self.own(train.instance)
        if train.data is None:
            raise NotRunnable(f"train `{name}`, whose data only other data decides", DECIDED)
        phases = train.phases or (PhaseInfo("", train.fields, train.fields.names["epochs"]),)
        before: tuple[str, ...] = ()
        for phase in phases:
            before = (self.phase(train, phase, f"{name}.{phase.name}" if phase.name else name, before),)
            if last and phase.name == last:
                break
        return before

    def phase(self, train: TrainInfo, phase: PhaseInfo, name: str, before: tuple[str, ...]) -> str:
        assert train.data is not None
        fields, own, model = train.fields, phase.fields, train.model
        data = self.checked.data[own["data"]] if isinstance(own["data"], Instance) else train.data
        holding = self.data(data)
        source = data.fields["source"]
        if isinstance(source, ComponentValue) and not source.info.facts["shape"]:
            raise NotRunnable(
                f"data `{data.instance.name}`, whose source does not say what shape its items have"
            )
        callbacks = [*_listed(fields["callbacks"]), *(_listed(own["callbacks"]) if train.phases else [])]
        observing = [c for c in callbacks if isinstance(c, ComponentValue) and c.info.facts["observes"]]
        deciding = in_order(decided(c, fields["metrics"]) for c in callbacks if c not in observing)
        loading, placing = self.loading(data)
        recipe = {
            "model": model.stack if model is not None else ir.Fact(f"{train.instance.name}.model"),
            "groups": _groups(model),
            "data": loading,
            "loss": own["loss"] or fields["loss"],
            "optimizer": fields["optimizer"]
            or ir.Call("optimizer", "adam", "mfc.runtime.optim.optimizers:adam"),
            "schedule": _listed((own if "schedule" in own.written else fields)["schedule"]),
            "callbacks": deciding,
            "metrics": monitored(deciding, fields["metrics"]),
            "epochs": own["epochs"],
            "freeze_to": own["freeze_to"] if train.phases else 0,
            "seed": fields["seed"],
            "weights": [] if before else [self.weights(w) for w in _listed(fields["weights"])],
            "train": train.instance.name,
        }
        holding = list(dict.fromkeys([*holding, *self.telling(train)]))
        weights = recipe["weights"]
        if any(map(reads_data, weights)):
            recipe["weights"] = [ir.Trained(self.init(recipe, placing, holding))]
        inputs = [*before, *holding, *self.needs(recipe["weights"])]
        placing = {"data": placing, "callbacks": observing, "metrics": fields["metrics"], "weights": weights}
        return self.stage("train", name, recipe, placing, inputs, measures=any(map(follows, deciding)))

    def init(self, training: Mapping[str, Any], placing: Mapping[str, Any], holding: Sequence[str]) -> str:
        """The stage that gives a model its first weights where that takes data: of a training's recipe, it depends
        on what decides those alone."""
        recipe = {key: training[key] for key in ("model", "data", "weights", "seed")} | {
            "name": training["train"]
        }
        inputs = [*holding, *self.needs(recipe["weights"])]
        return self.stage("init", f"{training['train']}.{INIT}", recipe, {"data": placing}, inputs)

    def evaluation(self, evaluation: EvaluationInfo) -> str:
        """The stage that measures trained models."""
        if not evaluation.trains:
            raise NotRunnable(
                f"evaluate `{evaluation.instance.name}`, whose models only data decides", DECIDED
            )
        trained = [self.stages[self.train(self.checked.trains[train])[-1]] for train in evaluation.trains]
        return plan_evaluation(self, evaluation, trained)

    def export(self, export: ExportInfo) -> str:
        """The stage that writes a trained model in a form of its own."""
        if export.train is None:
            raise NotRunnable(f"export `{export.instance.name}`, whose model only data decides", DECIDED)
        return plan_export(self, export, self.stages[self.train(self.checked.trains[export.train])[-1]])

    def weights(self, value: Any) -> Any:
        """Weights of another training come from the stage that ends it."""
        if isinstance(value, Weights):
            return ir.Trained(self.train(self.checked.trains[value.train])[-1], value.group)
        return value

    def telling(self, info: TrainInfo | DataInfo | EvaluationInfo) -> list[str]:
        """The stages that tell what a recipe still waits for. Once it is told, the number stands in the recipe, and
        the stage that told it decides nothing more."""
        stages: list[str] = []
        for data in map(self.checked.data.__getitem__, info.awaits):
            stages.append(self.items(data))
            if data.tokenizer is not None:
                stages.append(self.tokenizer(data.tokenizer))
        return stages

    def needs(self, weights: Iterable[Any]) -> list[str]:
        return [w.stage for w in weights if isinstance(w, ir.Trained)]


def _groups(model: Elaborated | None) -> list[str]:
    """The names of a model's groups, and of those that its layers have by themselves."""
    if model is None:
        return []
    return list(model.parameter_groups if model.divided else model.groups)


def can_pack(data: DataInfo) -> bool:
    """Whether the items can be kept decoded: asked for, of one size, and nothing about them drawn at random."""
    transforms = data.fields["item_transforms"]
    return (
        data.fields["pack"] is True
        and data.item is not None
        and all(isinstance(size, int) for size in data.item)
        and not any(draws(t) for t in transforms)
    )


def optimised(data: DataInfo) -> dict[str, str]:
    """What is done more cheaply with a data block than it is written."""
    name, notes = data.instance.name, {}
    if can_pack(data):
        notes[f"{name} packed"] = (
            f"{name}: items are decoded once and kept, as no item transform draws at random"
        )
    steps: dict[str, list[str]] = {}
    for transform in _listed(data.fields["batch_transforms"]):
        if isinstance(transform, ComponentValue):
            steps.setdefault(transform.info.facts["step"], []).append(transform.info.name)
    for step, names in steps.items():
        if step and len(names) > 1:
            notes[f"{name} {step}"] = (
                f"{name}: {', '.join(names[:-1])} and {names[-1]} are one {step} on the device"
            )
    return notes


def _absolute(path: str, folder: str) -> str:
    return path if path.startswith("~") else posixpath.join(folder, path)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _calls(value: Any) -> list[ir.Call]:
    """All components in a recipe."""
    return [node for node in ir.walk(value) if isinstance(node, ir.Call)]


def _facts(recipe: Any) -> Iterator[str]:
    """The names of the facts that a recipe waits for."""
    return (node.name for node in ir.walk(recipe) if isinstance(node, ir.Fact))


def _check_arguments(call: ir.Call) -> None:
    """Raises NotRunnable for a component that takes a declaration, such as a train, as an argument."""
    for name, value in call.args.items():
        for node in ir.walk(value):
            if isinstance(node, ir.Trained):
                raise NotRunnable(f"`{call.name}` with the declaration `{node.stage}` as its `{name}`")
