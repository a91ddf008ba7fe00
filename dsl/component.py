"""What the checker knows of a component: kind, signature, documentation and facts, as its source says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from mfc.dsl import types
from mfc.dsl.ranges import Range
from mfc.dsl.types import PATH, Choice, Kind, ListOf, Number, Type, Union
from mfc.dsl.wording import literal


class _Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


class Parameter(NamedTuple):
    """One parameter. `is_in`: it is filled from the incoming shape, and users do not write it. `as_many_as` and
    `without` are names of other parameters: of a list that has as many items, and of one that is given instead.
    `line` and `column` are where its name stands in the component's file, from 1 and from 0."""

    name: str
    type: Type
    default: Any = REQUIRED
    is_in: bool = False
    keyword_only: bool = False
    as_many_as: str = ""
    without: str = ""
    line: int = 0
    column: int = 0

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + ("" if self.required else f" = {literal(self.default)}")


@dataclass(frozen=True, eq=True)
class Component:
    """A component as its source describes it.

    `target` is where its definition is: `"mfc.runtime.layers.conv:conv2d"`, `"/folder/file.py:coord_conv"`.
    `facts` are the arguments of its decorator, defaults filled in: `shape`, `random`, `on`, `targets`, ...
    `rest` and `others` are the types of further positional and named arguments, where it takes them.
    `passes` are the extra parameters of a layer's `forward`, tensors passed by name: True where needed.
    `line` and `column` are where its name stands, from 1 and from 0.
    """

    kind: str
    name: str
    target: str
    doc: str
    parameters: tuple[Parameter, ...]
    file: str
    line: int
    column: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    rest: Type | None = None
    others: Type | None = None
    passes: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def paths(self) -> frozenset[str]:
        """The names of the parameters that take paths, or lists of them."""
        return frozenset(p.name for p in self.parameters if takes_path(p.type))

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return self.doc.partition("\n")[0]

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name."""
        return next((p for p in self.parameters if p.name == name), None)

    def signature(self) -> str:
        """How it is called, as users read it: `rotate(max_deg: float in 0..180 = 10)`."""
        shown = [str(p) for p in self.parameters if not p.is_in and not p.keyword_only]
        shown += [] if self.rest is None else [f"...: {self.rest}"]
        shown += [str(p) for p in self.parameters if not p.is_in and p.keyword_only]
        shown += [] if self.others is None else [f"NAME = {self.others}"]
        return f"{self.name}({', '.join(shown)})"


def takes_path(wanted: Type) -> bool:
    """Whether a parameter of this type takes a path, or a list of them."""
    members = wanted.members if isinstance(wanted, Union) else (wanted,)
    return any(m == PATH or (isinstance(m, ListOf) and m.item == PATH) for m in members)


class ReadProblem(NamedTuple):
    """What is wrong with a file of components. `line` counts from 1; `column` and `end` are code points from
    the start of that line, counted from 0."""

    code: str
    line: int
    column: int
    end: int
    message: str
    help: str = ""

    @property
    def fatal(self) -> bool:
        """Whether what was read of the file can't be relied on: the problem is an error, not a warning."""
        return self.code.startswith("E")


class Reading(NamedTuple):
    """What a Python file holds: components, and constants that specs may use (lower-case literals) with their
    documentation, the text that stands after each."""

    components: tuple[Component, ...] = ()
    constants: Mapping[str, Any] = {}
    problems: tuple[ReadProblem, ...] = ()
    constant_docs: Mapping[str, str] = {}


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────


def reading_to_json(reading: Reading) -> Any:
    """A reading as JSON."""
    return [
        [_component_to_json(component) for component in reading.components],
        dict(reading.constants),
        [list(problem) for problem in reading.problems],
        dict(reading.constant_docs),
    ]


def reading_from_json(data: Any) -> Reading:
    """The reading that `reading_to_json` wrote."""
    components, constants, problems, docs = data
    read = tuple(map(_component_from_json, components))
    return Reading(read, constants, tuple(ReadProblem(*p) for p in problems), docs)


def _component_to_json(c: Component) -> Any:
    parameters = [
        [p.name, _type_to_json(p.type), [] if p.required else [p.default], *p[3:]] for p in c.parameters
    ]
    rest, others = (None if t is None else _type_to_json(t) for t in (c.rest, c.others))
    place = [c.file, c.line, c.column]
    return [c.kind, c.name, c.target, c.doc, parameters, *place, dict(c.facts), rest, others, dict(c.passes)]


def _component_from_json(data: Any) -> Component:
    kind, name, target, doc, parameters, file, line, column, facts, rest, others, passes = data
    read = tuple(
        Parameter(name, _type_from_json(of), default[0] if default else REQUIRED, *others)
        for name, of, default, *others in parameters
    )
    rest, others = (None if of is None else _type_from_json(of) for of in (rest, others))
    return Component(kind, name, target, doc, read, file, line, column, facts, rest, others, passes)


_PLAIN: dict[str, Type] = {
    "any": types.ANY, "int": types.INT, "float": types.FLOAT, "bool": types.BOOL, "string": types.STRING,
    "path": types.PATH, "none": types.NONE,
}  # fmt: skip
_NAMES = {of: name for name, of in _PLAIN.items()}


def _type_to_json(of: Type) -> Any:
    """A plain type as its name, any other as a list whose first item says which it is."""
    match of:
        case Number(integer, Range(lo, hi, above, below)) if of not in _NAMES:
            return ["int" if integer else "float", lo, hi, above, below]
        case ListOf(item, length, total):
            bounds = (length.lo, length.hi, length.above, length.below)
            return ["list", _type_to_json(item), *([] if of == ListOf(item) else [bounds, total])]
        case Choice(values):
            return ["choice", *values]
        case Kind(name):
            return ["kind", name]
        case Union(members):
            return ["union", *map(_type_to_json, members)]
    return _NAMES[of]


def _type_from_json(data: Any) -> Type:
    if isinstance(data, str):
        return _PLAIN[data]
    match data[0]:
        case "list":
            return ListOf(_type_from_json(data[1]), *([Range(*data[2]), data[3]] if len(data) > 2 else []))
        case "choice":
            return Choice(tuple(data[1:]))
        case "kind":
            return Kind(data[1])
        case "union":
            return Union(tuple(map(_type_from_json, data[1:])))
    return Number(data[0] == "int", Range(*data[1:]))
