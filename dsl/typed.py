"""The typed tree: declarations whose fields have values, types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfc.dsl.component import takes_path
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import Dim
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.node import node
from mfc.dsl.params import type_of
from mfc.dsl.resolve import Declared
from mfc.dsl.source import Span
from mfc.dsl.syntax import Expr, Param
from mfc.dsl.values import Augmented, ComponentValue, Instance, Part, Shape


@node
class Fields:
    """The fields of one body: a value for every field of its kind, and where those that were written stand."""

    values: Mapping[str, Any]
    written: Mapping[str, Expr]
    names: Mapping[str, Span]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def span(self, name: str, otherwise: Span) -> Span:
        return self.written[name].span if name in self.written else otherwise

    def item_span(self, name: str, position: int, otherwise: Span) -> Span:
        """Where an item of a list stands, if the list is written out."""
        items = getattr(self.written.get(name), "items", ())
        return items[position].span if position < len(items) else self.span(name, otherwise)

    def components(self, name: str, otherwise: Span) -> list[tuple[ComponentValue, Span]]:
        """The components in a list, each with where it stands."""
        items = self[name] if isinstance(self[name], list) else []
        return [
            (value, self.item_span(name, position, otherwise))
            for position, value in enumerate(items)
            if isinstance(value, ComponentValue)
        ]


@node
class TokenizerInfo:
    """A tokenizer that is fitted to the texts of parts of data blocks: of those of its own data block where it was
    written there. `vocab` is the number of its tokens, a symbol before it was fitted."""

    name: str
    component: ComponentValue
    fit_on: tuple[Part, ...]
    vocab: int | Dim


@node
class DataInfo:
    """A data block: `batch` is the shape of a batch of inputs (`b c h w`), None where it is not known;
    `classes` is the number of classes, a symbol before the data was read. `options` are the arguments of the types
    of its input and target, such as `seq_len`."""

    instance: Instance
    input: str
    target: str
    fields: Fields
    item: Shape | None
    batch: Shape | None
    classes: int | Dim | None
    options: Mapping[str, Any]
    tokenizer: TokenizerInfo | None
    shapes: Sequence[tuple[str, Span, Shape]] = ()
    """What each transform makes of an item, for hints."""
    values: int | Dim | None = None
    """How many numbers an item of the target `value` has, a symbol before the data was read."""
    awaits: tuple[Instance, ...] = ()
    """The data blocks that tell what its fields are."""
    validated: Shape | None = None
    """The shape of a batch to validate on, where it is another one."""
    uneven: Mapping[str, Shape] = field(default_factory=dict)
    """The parts whose images differ in size, and what an item is there."""
    evaluated: Shape | None = None
    """The shape of an item as models are asked about it."""


@node
class PhaseInfo:
    name: str
    fields: Fields
    span: Span


@node
class TrainInfo:
    """A training recipe with its data and its model for that data. `awaits` are the data blocks that tell what its
    fields and its model are."""

    instance: Instance
    fields: Fields
    data: DataInfo | None
    model: Elaborated | None
    phases: tuple[PhaseInfo, ...]
    awaits: tuple[Instance, ...] = ()


@node
class EvaluationInfo:
    """What trained models are evaluated on, and whether together: `part` is of each one's own data if `data` is None."""

    instance: Instance
    fields: Fields
    models: tuple[Instance | Augmented, ...]
    together: bool
    data: Instance | None
    part: str
    awaits: tuple[Instance, ...] = ()

    @property
    def trains(self) -> tuple[Instance, ...]:
        """The trainings of the models."""
        return tuple(dict.fromkeys(trained(model) for model in self.models))


def trained(model: Instance | Augmented) -> Instance:
    """The training of a model that is asked plainly or with augmentation."""
    return model.train if isinstance(model, Augmented) else model


@node
class ExportInfo:
    """A trained model and the form that it is put into; `train` is None where an error left it unknown."""

    instance: Instance
    fields: Fields
    train: Instance | None


@dataclass
class Checked:
    """Everything that the checker found out, also of files that are imported. Instances with arguments are there
    where something refers to them."""

    data: dict[Instance, DataInfo] = field(default_factory=dict)
    trains: dict[Instance, TrainInfo] = field(default_factory=dict)
    models: dict[Declared, Elaborated] = field(default_factory=dict)
    evaluations: dict[Instance, EvaluationInfo] = field(default_factory=dict)
    exports: dict[Instance, ExportInfo] = field(default_factory=dict)
    params: dict[Declared, Any] = field(default_factory=dict)
    named: frozenset[Declared] = frozenset()
    """What the spec's own file declares or imports by name: what a run can be asked for."""

    def ends_with(self, train: TrainInfo) -> DataInfo:
        """The data that a training without errors ends with, which its model then is for."""
        last = train.phases[-1].fields["data"] if train.phases else None
        data = self.data[last] if isinstance(last, Instance) else train.data
        assert data is not None, "a train with stages has data"
        return data

    def set_params(self) -> dict[str, Any]:
        """The values of the params that a run can be given, but for paths: those only say where things lie."""
        return {
            declared.name: value
            for declared, value in sorted(self.params.items(), key=lambda item: item[0].name)
            if declared in self.named
            and isinstance(declared.decl, Param)
            and not takes_path(type_of(declared.decl.type, Diagnostics()))
        }

    def runnable(self) -> list[Instance]:
        """The instances of what a run can be asked for: not those that a body refers to while its own parameters
        have no values."""
        every = (*self.data, *self.trains, *self.evaluations, *self.exports)
        return [i for i in every if i.declared in self.named and i.known]

    def targets(self) -> dict[tuple[Instance, str], tuple[str, ...]]:
        """What a run can be asked for, instances and their phases, each with its names as a target: it goes by the name
        of its declaration, too."""
        found: dict[tuple[Instance, str], tuple[str, ...]] = {}
        for instance in self.runnable():
            names = found[instance, ""] = (instance.name, instance.declared.name)
            for phase in self.trains[instance].phases if instance in self.trains else ():
                found[instance, phase.name] = tuple(f"{name}.{phase.name}" for name in names)
        return found
