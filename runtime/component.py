"""How a component says what it is.

A component is a function or a class with one of the decorators below. Its signature, annotations,
defaults, docstring and shape rule are its one definition: the checker reads them from the source text
(`mfc.dsl.catalog`, never by importing), and a run calls the very same object. At run time a decorator
only notes its kind on the object.

    @layer(shape="b c h w -> b nf h w")
    class coord_conv(nn.Module):
        "A convolution that also sees each pixel's coordinates."
        def __init__(self, c: In, nf: Annotated[int, Range(1)], ks: Annotated[int, Range(1, 15)] = 3): ...

Annotations that the checker understands: `int float bool str Path`, `None` and unions, `list[T]`,
`Literal[...]`, `Annotated[T, ...]` with a `Range` of numbers, a `Length` or `Sum` of lists, and around a whole
parameter `AsManyAs` or `Without` for how it goes with another one, `In` for what is filled from the incoming shape,
and the names of kinds (`Layer`, `Loss`, `Curve`, ...) for arguments that are components or declarations themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

T = TypeVar("T")

KINDS = (
    "source", "splitter", "labeler", "processor", "item_transform", "batch_transform", "tokenizer", "layer",
    "architecture", "encoder", "initializer", "loss", "metric", "stat", "stepper", "optimizer", "rate", "curve",
    "schedule", "callback", "table_format", "export_format",
)  # fmt: skip

MARKS = ("In", "Range", "Length", "Sum", "AsManyAs", "Without")
"""The names for annotations beside those of kinds."""


@dataclass(frozen=True)
class Range:
    """Closed bounds of a number; either may be left open. `above` and `below` exclude their end."""

    lo: float | None = None
    hi: float | None = None
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True)
class Length:
    """How many items a list has."""

    exactly: int | None = None
    at_least: int | None = None
    at_most: int | None = None


@dataclass(frozen=True)
class Sum:
    """What the numbers of a list add up to, within a millionth."""

    total: float


@dataclass(frozen=True)
class AsManyAs:
    """A list that has as many items as that of another parameter."""

    other: str


@dataclass(frozen=True)
class Without:
    """A parameter that is given only where another one is not."""

    other: str


if TYPE_CHECKING:
    In: TypeAlias = int  # any integer may be passed for it
else:

    class In(int):
        """An argument that is filled from the dimension of the same name in the shape rule's input; one called
        `vocab` from the data: how many tokens its texts are made of."""


# The kinds as annotations of arguments. Values at run time are what the components build.
Source = Splitter = Labeler = Processor = ItemTransform = BatchTransform = Tokenizer = Any
Layer = Architecture = Encoder = Initializer = Loss = Metric = Any
Stat = Stepper = Optimizer = Rate = Curve = Schedule = Callback = Any
Model = Train = Data = Any


def _marks(kind: str, **facts: Any) -> Callable[[T], T]:
    def mark(component: T) -> T:
        component.__mfc_kind__ = kind  # type: ignore[attr-defined]
        component.__mfc_facts__ = facts  # type: ignore[attr-defined]
        return component

    return mark


def layer(
    shape: str, table: str = "", splits: str = "", parameters: str = "", ids: bool = False
) -> Callable[[T], T]:
    """A layer with its shape rule, such as `"b c h w -> b nf conv(h) conv(w) where ks <= h"`.

    Args:
        table: a JSON file beside the component's, with what arguments are that are none: for each `name`, an argument
            of the component, their values by name; those under `""` are for names that it does not have. A row may have
            a count rule too, `parameters`.
        splits: the argument that lists where a further parameter group of the layer begins. The layer then has a
            `parameter_parts()` that gives the parameters of each by its name.
        parameters: the count rule: how many numbers it learns, by dims that come in and arguments, of which none counts
            as 0: `"nf*(c // groups)*ks*ks; nf*bias"`. Its parts are added up, and the first is the layer's `weight`.
            It is `"0"` for a layer that learns nothing; without one the number is not known.
        ids: whether it takes integers, such as the tokens of texts, and no pixels.
    """
    return _marks("layer", shape=shape, table=table, splits=splits, parameters=parameters, ids=ids)


def architecture(shape: str, groups: tuple[str, ...] = (), parameters: str = "") -> Callable[[T], T]:
    """A whole model as one component, with its shape rule and the names of its parts whose weights can be handed
    over: modules of those names. Modules that are parameter groups have an attribute `group` that is true.
    `parameters` is the count rule, as of a layer: an argument that is a component stands for its own count, and
    `encoder.emb_size` for an argument of it."""
    return _marks("architecture", shape=shape, groups=groups, parameters=parameters)


@overload
def encoder(component: T) -> T: ...
@overload
def encoder(*, parameters: str = "") -> Callable[[T], T]: ...
def encoder(component: Any = None, *, parameters: str = "") -> Any:
    """What several text models share: its `build(vocab, dropouts, drop_mult)` gives a module that makes features of
    tokens. Arguments that are integers are sizes: where they are equal, weights can be handed over. `parameters` is its
    count rule, of its arguments and `vocab`."""
    mark = _marks("encoder", parameters=parameters)
    return mark if component is None else mark(component)


def source(
    shape: str = "", items: str = "image", columns: bool = False, templates: tuple[str, ...] = ()
) -> Callable[[T], T]:
    """Where items come from. `shape` is the rule of one item, `"-> channels h w"`: a name that is no argument
    differs from item to item. `items` is the type of the items: image, text, table or audio. With `columns` items
    are rows of a table: `column(name, items)` gives what they have in a column. `templates` are the arguments that name
    files with columns in braces."""
    return _marks("source", shape=shape, items=items, columns=columns, templates=templates)


@overload
def splitter(component: T) -> T: ...
@overload
def splitter(*, reads_column: bool) -> Callable[[T], T]: ...
def splitter(component: Any = None, *, reads_column: bool = False) -> Any:
    """Divides items into train and valid: `split(items) -> (train, valid)` of indices. One that `reads_column`
    names a column of the source's table in its attribute of that name: `split(items, values)`."""
    mark = _marks("splitter", reads_column=reads_column)
    return mark if component is None else mark(component)


@overload
def labeler(component: T) -> T: ...
@overload
def labeler(
    *, reads_column: bool = False, gives: str = "label", templates: tuple[str, ...] = ()
) -> Callable[[T], T]: ...
def labeler(
    component: Any = None,
    *,
    reads_column: bool = False,
    gives: str = "label",
    templates: tuple[str, ...] = (),
) -> Any:
    """Finds the label of an item from its path. One that `reads_column` names a column of the source's table in its
    attribute of that name, and finds the label in the item's value there: `label(item, value)`. One that gives a
    `"mask"` has `mask(item, image)` instead: an image of the classes' numbers. `templates` are the arguments that name
    files with parts of an item's path in braces."""
    mark = _marks("labeler", reads_column=reads_column, gives=gives, templates=templates)
    return mark if component is None else mark(component)


def item_transform(
    shape: str, random: bool = False, on: tuple[str, ...] = ("image",), part: str = ""
) -> Callable[[T], T]:
    """Acts on one item before batching. `random` ones draw anew for every item and epoch. One of a `part`, `"train"` or
    `"valid"`, does what its argument `transform` does to items of that part, and nothing to others."""
    return _marks("item_transform", shape=shape, random=random, on=on, part=part)


def batch_transform(
    shape: str = "b c h w -> b c h w", random: bool = True, on: tuple[str, ...] = ("image",), step: str = ""
) -> Callable[[T], T]:
    """Acts on a whole batch on the training device, with a draw of its own for every item. Those of one `step`
    (`"warp"`, `"colour map"`) are carried out together."""
    return _marks("batch_transform", shape=shape, random=random, on=on, step=step)


def tokenizer(component: T) -> T:
    """Turns texts into ids: `fit(texts, folder, processes, show)` writes its files into a folder, and `load(folder)`
    gives what encodes and decodes with them (`mfc.runtime.text.tokenizer`)."""
    return _marks("tokenizer")(component)


def loss(shape: str, targets: tuple[str, ...], per_item: bool = False) -> Callable[[T], T]:
    """A loss with the shape of predictions that it takes (`"b classes ..."`) and the target types it fits. One that
    is `per_item` has `each(pred, target)`: the loss of each item, `b`; where items do not count alike, the sums of
    losses and of weights, both `b`, whose sums over the batch the loss is the quotient of."""
    return _marks("loss", shape=shape, targets=targets, per_item=per_item)


def metric(shape: str, targets: tuple[str, ...], better: str = "", gives: str = "number") -> Callable[[T], T]:
    """A metric with the shape of predictions that it takes and the target types it fits. `better` says which values
    are: `"higher"` or `"lower"`; a callback that follows one where nothing is said asks for its `mode`. One that gives
    a `"table"` has a number for each pair of a true and a predicted class, `classes classes`: it is for evaluations."""
    return _marks("metric", shape=shape, targets=targets, better=better, gives=gives)


@overload
def initializer(component: T) -> T: ...
@overload
def initializer(
    *, fills: bool = False, reads_data: bool = False, residual: bool = False
) -> Callable[[T], T]: ...
def initializer(
    component: Any = None, *, fills: bool = False, reads_data: bool = False, residual: bool = False
) -> Any:
    """Gives a fresh model its first weights: `initialize(model, stream)`.

    One that `fills` draws all weights anew, whatever they were. One that `reads_data` is called with batches of
    training inputs too, `initialize(model, stream, batches)`, on the device of the run and as a stage of its own;
    what it returns is kept as its report, a list of JSON objects. One that is `residual` needs branches that end in
    `add(...)`."""
    mark = _marks("initializer", fills=fills, reads_data=reads_data, residual=residual)
    return mark if component is None else mark(component)


@overload
def optimizer(component: T) -> T: ...
@overload
def optimizer(*, unless_zero: tuple[str, ...] = (), keeps: tuple[str, ...] = ()) -> Callable[[T], T]: ...
def optimizer(
    component: Any = None, *, unless_zero: tuple[str, ...] = (), keeps: tuple[str, ...] = ()
) -> Any:
    """An optimizer; its numeric arguments are the hyperparameters that schedules may drive. Those of `unless_zero` are
    there only where they are not 0. `keeps` are names of state that no optimizer which it stands around, or that stands
    around it, may keep as well."""
    mark = _marks("optimizer", unless_zero=unless_zero, keeps=keeps)
    return mark if component is None else mark(component)


def rate(component: T) -> T:
    """A learning rate that differs from one parameter group to the next."""
    return _marks("rate")(component)


def curve(component: T) -> T:
    """The course of one hyperparameter over a run: position in 0..1 to value."""
    return _marks("curve")(component)


def schedule(drives: tuple[str, ...], lasts: tuple[str, ...] = ()) -> Callable[[T], T]:
    """The course of hyperparameters over a run. `drives` names them: `"*"` stands for those named by its keyword
    arguments, `"mom of moms"` for one that is driven where the argument `moms` is not none.

    A schedule that lasts some epochs, whatever the run does, has an attribute `epochs` that says how many, and
    `lasts` names the arguments that it comes from: the epochs of a first cycle, then, where there are several, how
    many cycles, and how many times as long as the one before each is."""
    return _marks("schedule", drives=drives, lasts=lasts)


def callback(
    observes: bool = False,
    once: bool = False,
    inputs: tuple[str, ...] = (),
    mixes: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
    monitors: bool = False,
    hooks: bool = False,
    excludes: tuple[str, ...] = (),
) -> Callable[[T], T]:
    """A callback. One that only `observes` (progress, logs) is no part of a stage's key. One that acts `once` would
    undo or repeat itself beside another one: a training takes one of it. One that acts on some types of `inputs` only
    names them. One that `excludes` others, by their names, can't act beside them. One that `mixes` items of a batch
    names the types of inputs that it can mix, and of `targets`: it needs a loss that is `per_item`.

    Of one that `monitors`, the argument `monitor` names a column of the history, and `mode` (`"min"`, `"max"` or
    None) says which values are better: what None stands for is filled in from the metric. Of one that `hooks`, the
    argument `layers` is a pattern, or a list of them, of layers of the model. Both are checked with the spec.
    """
    return _marks(
        "callback", observes=observes, once=once, inputs=inputs, mixes=mixes, targets=targets, monitors=monitors,
        hooks=hooks, excludes=excludes,
    )  # fmt: skip


def export_format(
    graph: bool = False, sources: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[T], T]:
    """The form of an exported model: `write(exported, folder)` writes what an `mfc.Exported` holds into a folder.

    One that keeps the `graph` of a model needs one that takes the same steps for any item; one that keeps the `sources`
    writes the spec's own files too, so that a comment in them counts. `needs` are packages, without which no run
    begins."""
    return _marks("export_format", graph=graph, sources=sources, needs=needs)


@overload
def stat(component: T) -> T: ...
@overload
def stat(*, keeps: tuple[str, ...] = (), reads: tuple[str, ...] = ()) -> Callable[[T], T]: ...
def stat(component: Any = None, *, keeps: tuple[str, ...] = (), reads: tuple[str, ...] = ()) -> Any:
    """A running statistic of the gradients that steppers read: a `Part` of an optimizer (`mfc.runtime.optim.parts`).
    `keeps` are the names of its state, a tensor of each parameter's shape for each; `"step"` is the number of updates
    of a parameter, which the optimizer counts. `reads` are names that stats before it keep."""
    mark = _marks("stat", keeps=keeps, reads=reads)
    return mark if component is None else mark(component)


@overload
def stepper(component: T) -> T: ...
@overload
def stepper(
    *, reads: tuple[str, ...] = (), changes_grad: bool = False, whole: bool = False
) -> Callable[[T], T]: ...
def stepper(
    component: Any = None, *, reads: tuple[str, ...] = (), changes_grad: bool = False, whole: bool = False
) -> Any:
    """One part of an optimizer's update: a `Part` (`mfc.runtime.optim.parts`). `reads` are the names that stats must
    keep for it. One that `changes_grad` acts before the stats, which see the gradient as it leaves it. One that needs
    parameters `whole` is given none in stretches."""
    mark = _marks("stepper", reads=reads, changes_grad=changes_grad, whole=whole)
    return mark if component is None else mark(component)


def table_format(component: T) -> T:
    """The form of a table of predictions: `write(folder, tables)` writes one of the predictions of each model into the
    file `name` of the folder."""
    return _marks("table_format")(component)
