"""The functions that expressions can call: `range enumerate zip len min max str ensemble tta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mfc.dsl.dims import Dim
from mfc.dsl.scope import MAX_LIST, make_list
from mfc.dsl.types import ANY, FLOAT, INT, STRING, Kind, Type, Unknown, list_of
from mfc.dsl.values import Augmented, Ensemble, Instance


class FunctionError(Exception):
    """A wrong use of a function; the message says what it takes."""


def _whole(values: tuple[Any, ...], usage: str) -> None:
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise FunctionError(usage)


def _range(*bounds: Any) -> list[int]:
    if not 1 <= len(bounds) <= 3:
        raise FunctionError(
            "`range` takes 1 to 3 whole numbers: range(stop), range(start, stop), range(start, stop, step)"
        )
    _whole(bounds, "`range` takes whole numbers")
    if len(bounds) == 3 and bounds[2] == 0:
        raise FunctionError("the step of `range` can't be 0")
    numbers = range(*bounds)
    if len(numbers) > MAX_LIST:
        raise FunctionError(
            f"a list can have {MAX_LIST:,} items at most, this one would have {len(numbers):,}"
        )
    return list(numbers)


def _enumerate(*args: Any) -> list[list[Any]]:
    if len(args) != 1 or not isinstance(args[0], list):
        raise FunctionError("`enumerate` takes one list")
    return [make_list((i, item)) for i, item in enumerate(args[0])]


def _zip(*args: Any) -> list[list[Any]]:
    if len(args) < 2 or not all(isinstance(a, list) for a in args):
        raise FunctionError("`zip` takes two or more lists")
    if len({len(a) for a in args}) > 1:
        raise FunctionError(
            f"`zip` takes lists of one length, these have {' and '.join(str(len(a)) for a in args)}"
        )
    return [make_list(items) for items in zip(*args)]


def _len(*args: Any) -> int:
    if len(args) != 1 or not isinstance(args[0], list | str):
        raise FunctionError("`len` takes one list or string")
    return len(args[0])


def _extreme(name: str, pick: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        numbers = args[0] if len(args) == 1 and isinstance(args[0], list) else list(args)
        if not numbers or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
            raise FunctionError(f"`{name}` takes one list of numbers, or several numbers")
        return pick(numbers)

    return function


def _str(*args: Any) -> str:
    if len(args) != 1 or not isinstance(args[0], bool | int | float | str):
        raise FunctionError("`str` takes one number, string or boolean")
    return ("true" if args[0] else "false") if isinstance(args[0], bool) else str(args[0])


def _ensemble(*args: Any) -> Ensemble | Unknown:
    models = args[0] if len(args) == 1 and isinstance(args[0], list) else ()
    if any(isinstance(model, Unknown) for model in models):
        return Unknown(Kind("ensemble"))
    if len(models) < 2 or not all(isinstance(m, Instance | Augmented) and m.kind in TRAINED for m in models):
        raise FunctionError("`ensemble` takes a list of two or more trains: ensemble([fit(1), fit(2)])")
    if len({model.name for model in models}) < len(models):
        raise FunctionError("`ensemble` takes each train once")
    return Ensemble(tuple(models))


TRAINED = ("train", "tta")
"""The kinds of what stands for a trained model."""


class Function(NamedTuple):
    """A function: what works it out, the type of what it gives, the ways in which it is called, what it does."""

    call: Callable[..., Any]
    result: Type
    forms: tuple[str, ...]
    doc: str
    example: str


FUNCTIONS = {
    "range": Function(
        _range,
        list_of(INT),
        ("range(stop)", "range(start, stop)", "range(start, stop, step)"),
        "The whole numbers from `start`, 0 if it is left out, up to `stop`, which is not among them.",
        "let folds = range(5)",
    ),
    "enumerate": Function(
        _enumerate,
        list_of(ANY),
        ("enumerate(list)",),
        "The items of a list, each as a pair with its number, from 0.",
        "let pairs = [i * n for i, n in enumerate([64, 128, 256])]",
    ),
    "zip": Function(
        _zip,
        list_of(ANY),
        ("zip(list, list, ...)",),
        "The first items of lists together, then the second ones, and so on; the lists have one length.",
        "let sums = [a + b for a, b in zip([1, 2], [10, 20])]",
    ),
    "len": Function(
        _len,
        INT,
        ("len(list)", "len(string)"),
        "How many items a list has, or characters a string.",
        "let n = len([3, 4, 6, 3])",
    ),
    "min": Function(
        _extreme("min", min),
        FLOAT,
        ("min(number, ...)", "min(list)"),
        "The smallest of some numbers.",
        "let n = min(64, 128)",
    ),
    "max": Function(
        _extreme("max", max),
        FLOAT,
        ("max(number, ...)", "max(list)"),
        "The largest of some numbers.",
        "let n = max([64, 128])",
    ),
    "str": Function(
        _str,
        STRING,
        ("str(value)",),
        "A number, string or boolean as text.",
        'let name = "fold" + str(3)',
    ),
    "ensemble": Function(
        _ensemble,
        Kind("ensemble"),
        ("ensemble([train, train, ...])",),
        "Several trained models as one, for `evaluate`: their probabilities, or values, are averaged item by item. "
        "Models may read their items differently, but tell the same classes of the same items.",
        "evaluate together { model = ensemble([fit(1), fit(2)])  metrics = [accuracy()] }",
    ),
    "tta": Function(
        Augmented,
        Kind("tta"),
        ("tta(model, n = 4, beta = 0.25)",),
        "A trained model that is asked about augmented forms of each item, too, for `evaluate`: the answer is the mean "
        "of `n` of them, counted `1 - beta`, and of the plain one, counted `beta`.",
        "evaluate augmented { model = tta(fit(1))  metrics = [accuracy()] }",
    ),
}


def call_function(name: str, args: list[Any]) -> Any:
    """The value of a function, or an Unknown of its type where an argument is not known yet. Raises FunctionError."""
    function = FUNCTIONS[name]
    if any(isinstance(a, Unknown | Dim) for a in args):
        return Unknown(ANY if name in ("min", "max") else function.result)
    return function.call(*args)
