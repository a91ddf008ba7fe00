"""Checks optimizers that are put together from stats and steppers: each reads what those before it keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mfc.dsl.component import Component
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.types import Unknown
from mfc.dsl.values import ComponentValue
from mfc.dsl.want import numeric
from mfc.dsl.wording import listed, text

PARTS = ("stat", "stepper")


def hyperparameters(info: Component, args: Mapping[str, Any]) -> list[str]:
    """The hyperparameters of an optimizer, or of a part of one: the arguments of it and of all that it is made of
    that are numbers and need not be whole; none that it lacks where it is 0."""
    absent = [name for name in info.facts.get("unless_zero", ()) if args.get(name) == 0]
    own = [p.name for p in info.parameters if numeric(p.type) and p.name not in absent]
    inner = [
        name
        for each in _components(args, ("optimizer", *PARTS))
        for name in hyperparameters(each.info, each.args)
    ]
    return list(dict.fromkeys([*own, *inner]))


def check_optimizer(evaluator: Evaluator, value: Any) -> None:
    """Reports parts of an optimizer that do not go together, also of one that it wraps."""
    if not isinstance(value, ComponentValue):
        return
    for wrapped in _components(value.args, ("optimizer",)):
        check_optimizer(evaluator, wrapped)
        _check_wrapped(evaluator, value, wrapped)
    takes = {name: p for name in ("stats", "steppers") if (p := value.args.get(name)) is not None}
    if "steppers" not in takes or not all(isinstance(parts, list) for parts in takes.values()):
        return
    stats, steppers = takes.get("stats", []), takes["steppers"]
    if any(isinstance(part, Unknown) for part in (*stats, *steppers)):
        return
    if not steppers:
        evaluator.diagnostics.add(
            "E0517",
            value.written.get("steppers", value.span),
            "an optimizer without steppers changes nothing",
            "no steppers",
            help="add one, such as `sgd_step()`",
        )
    first = [part for part in steppers if part.info.facts["changes_grad"]]
    parts = [*first, *stats, *(part for part in steppers if not part.info.facts["changes_grad"])]
    _check_state(evaluator, parts)
    _check_hyperparameters(evaluator, parts)


def _check_wrapped(evaluator: Evaluator, around: ComponentValue, wrapped: ComponentValue) -> None:
    """What an optimizer keeps is not kept by the one that it stands around, or by a stat of that."""
    for state in around.info.facts["keeps"]:
        keeper = _keeper(state, wrapped)
        if keeper is not None and keeper.span != around.span:  # one that is defined by itself is told as that
            evaluator.diagnostics.add(
                "E0516",
                keeper.span,
                f"`{around.info.name}` keeps `{state}`, and `{keeper.info.name}` within it does too",
                "keeps it too",
                help="leave one of them out",
            )


def _keeper(state: str, value: ComponentValue) -> ComponentValue | None:
    """The optimizer or stat that keeps a state: this one, or the first one within it."""
    if state in value.info.facts.get("keeps", ()):
        return value
    within = (_keeper(state, part) for part in _components(value.args, ("optimizer", *PARTS)))
    return next((found for found in within if found is not None), None)


def _check_state(evaluator: Evaluator, parts: list[ComponentValue]) -> None:
    """Each part reads what one before it keeps, and no two keep the same."""
    kept: dict[str, ComponentValue] = {}
    for place, part in enumerate(parts):
        missing = [state for state in part.info.facts["reads"] if state not in kept]
        if missing:
            names = listed([f"`{state}`" for state in missing])
            evaluator.diagnostics.add(
                "E0515",
                part.span,
                f"`{part.info.name}` reads {names}, which no stat before it keeps",
                f"needs {names}",
                help="; ".join(_help(evaluator, missing, parts[place + 1 :])),
            )
        for state in part.info.facts.get("keeps", ()):
            if state in kept:
                evaluator.diagnostics.add(
                    "E0516",
                    part.span,
                    f"two stats keep `{state}`",
                    "keeps it too",
                    labels=((kept[state].span, "keeps it"),),
                    help="leave one of them out",
                )
            kept.setdefault(state, part)


def _help(evaluator: Evaluator, missing: list[str], later: list[ComponentValue]) -> Iterator[str]:
    """What to do about state that is read and not kept."""
    behind = {state: part.info.name for part in later for state in part.info.facts.get("keeps", ())}
    stats = {state: c.name for c in evaluator.catalog if c.kind == "stat" for state in c.facts["keeps"]}
    if late := [f"`{behind[state]}`" for state in missing if state in behind]:
        yield f"let {listed(late)} stand before it"
    if known := [f"`{stats[state]}()`" for state in missing if state not in behind and state in stats]:
        yield f"add {listed(known)} to `stats`"
    if own := [f"`{state}`" for state in missing if state not in behind and state not in stats]:
        yield f"add a stat of your own that keeps {listed(own)}"


def _check_hyperparameters(evaluator: Evaluator, parts: list[ComponentValue]) -> None:
    """A hyperparameter of several parts has one value."""
    given: dict[str, tuple[Any, ComponentValue]] = {}
    for part in parts:
        for name in hyperparameters(part.info, {}):
            value = part.args.get(name)
            before, other = given.setdefault(name, (value, part))
            if isinstance(value, int | float) and isinstance(before, int | float) and value != before:
                evaluator.diagnostics.add(
                    "E0516",
                    part.written.get(name, part.span),
                    f"`{name}` is {text(before)} for `{other.info.name}` and {text(value)} for `{part.info.name}`",
                    "differs",
                    labels=((other.written.get(name, other.span), "given here"),),
                    help="a hyperparameter has one value for all parts: give them the same",
                )


def _components(args: Mapping[str, Any], kinds: tuple[str, ...]) -> Iterator[ComponentValue]:
    """The components of some kinds among arguments, and in lists there."""
    for value in args.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ComponentValue) and item.kind in kinds:
                yield item
