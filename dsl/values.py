"""What expressions of a spec evaluate to, besides plain numbers, strings, booleans, none and lists.

A value that is not known while a body is checked without its arguments is `mfc.dsl.types.Unknown`; a number
that is known only once data was read is a `mfc.dsl.dims.Dim`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from mfc.dsl.component import Component
from mfc.dsl.dims import Dim
from mfc.dsl.node import node
from mfc.dsl.resolve import Declared
from mfc.dsl.source import Span
from mfc.dsl.types import Unknown

if TYPE_CHECKING:
    from mfc.dsl.draft import Draft

Shape: TypeAlias = "tuple[int | Dim, ...]"


@node
class ComponentValue:
    """A component with its arguments: those written, and the defaults of the others."""

    info: Component
    args: Mapping[str, Any]
    span: Span
    written: Mapping[str, Span]
    """Where each argument that was written stands."""

    @property
    def kind(self) -> str:
        return self.info.kind


def reads_column(value: Any) -> ComponentValue | None:
    """The splitter or labeler that reads a column of the source's table: this one, or one that it wraps."""
    if isinstance(value, ComponentValue):
        return value if value.info.facts.get("reads_column") else reads_column(list(value.args.values()))
    readers = map(reads_column, value) if isinstance(value, list) else ()
    return next((reader for reader in readers if reader is not None), None)


def reads_data(value: Any) -> bool:
    """Whether it is an initializer that takes batches of the data, and so a stage of its own."""
    return isinstance(value, ComponentValue) and value.info.facts.get("reads_data", False)


INIT = "init"
"""The stage of a train, beside its phases, that gives a model its first weights where that takes data."""


@node
class Uncalled:
    """A component, function or declaration with parameters that is named but not called."""

    name: str
    target: Declared | tuple[Component, ...] | str
    span: Span


@node
class Instance:
    """A declaration with the arguments of its parameters. Equal ones are the same thing, built once."""

    declared: Declared
    args: tuple[tuple[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        return getattr(self.declared.decl, "kind", "data")

    @property
    def name(self) -> str:
        """The name of its stages: `fit`, or `fit(2, backwards=true)`."""
        if not self.args:
            return self.declared.name
        return f"{self.declared.name}({', '.join(f'{name}={show(value)}' for name, value in self.args)})"

    @property
    def known(self) -> bool:
        """Whether all of its arguments have values."""
        return all(_known(value) for _, value in self.args)

    def __hash__(self) -> int:
        return hash((id(self.declared), self.name))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Instance) and other.declared is self.declared and other.name == self.name


@node
class Part:
    """`pets.train`, `.valid`, `.test` or `.all`: a part of a data block."""

    data: Instance
    part: str
    kind: str = "part"


@node
class Weights:
    """`pretrain.encoder`: the trained weights of one group of a model."""

    train: Instance
    group: str
    kind: str = "initializer"


@node
class Augmented:
    """`tta(fit, n = 4, beta = 0.25)`: a trained model that is asked about augmented forms of an item, too."""

    train: Instance
    n: int
    beta: float
    kind: str = "tta"

    @property
    def name(self) -> str:
        return f"tta({self.train.name}, n = {self.n}, beta = {show(self.beta)})"


@node
class Ensemble:
    """`ensemble([fit(1), fit(2)])`: trained models whose predictions are averaged."""

    models: tuple[Instance | Augmented, ...]
    kind: str = "ensemble"


@node
class History:
    """`fit.history`: what a training recorded."""

    train: Instance
    kind: str = "history"


@node
class Current:
    """`x`: the tensor before the layer at this point; its shape is None where it is not known."""

    shape: Shape | None
    kind: str = "tensor"


@node
class Kept:
    """A tensor that was kept with `let s = x` or `let s = branch { }`."""

    slot: str
    shape: Shape | None
    kind: str = "tensor"


@node
class KeptIn:
    """`body`: the tensors that were kept in the group of that name, so that what follows it can use them."""

    name: str
    tensors: Mapping[str, Kept]
    kind: str = "group"


@node
class SharedModule:
    """A module that was built once with `let f = module { }`, to be applied or tied to; `draft` is its stack."""

    draft: Draft
    kind: str = "module"


def _known(value: Any) -> bool:
    match value:
        case Unknown():
            return False
        case list():
            return all(map(_known, value))
        case Instance():
            return value.known
        case ComponentValue():
            return all(map(_known, value.args.values()))
        case _:
            return True


def show(value: Any) -> str:
    """A value as a spec would write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)  # exactly: instances are told apart by what is shown
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list() | tuple():
            return "[" + ", ".join(show(item) for item in value) + "]"
        case ComponentValue():
            defaults = {p.name: p.default for p in value.info.parameters}
            written = [
                f"{k}={show(v)}" for k, v in value.args.items() if k in value.written or v != defaults.get(k)
            ]
            return f"{value.info.name}({', '.join(written)})"
        case Instance() | Augmented():
            return value.name
        case Part() | Weights():
            return (
                f"{value.data.name}.{value.part}"
                if isinstance(value, Part)
                else f"{value.train.name}.{value.group}"
            )
        case History():
            return f"{value.train.name}.history"
        case Uncalled():
            return value.name
        case Unknown():
            return "?"
        case _:
            return str(value)
