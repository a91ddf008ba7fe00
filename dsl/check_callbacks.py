"""Checks what callbacks name: a column of the history that they follow, layers of the model that they look into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from mfc.dsl import ir
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.lower import lower
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.typed import Fields
from mfc.dsl.types import Unknown
from mfc.dsl.values import ComponentValue

LOSSES = ("train_loss", "valid_loss")
MODES = {"higher": "max", "lower": "min"}


class CallbackChecker:
    """Checks the callbacks of one train: `metrics` are those of the train, `model` is None where it is not known."""

    def __init__(self, diagnostics: Diagnostics, metrics: Any, model: Elaborated | None) -> None:
        self.add, self.metrics, self.model = diagnostics.add, metrics, model

    def check(self, fields: Fields, owner: Span) -> None:
        """The callbacks of a train or a phase."""
        for callback, span in fields.components("callbacks", owner):
            if callback.info.facts["monitors"]:
                self.check_monitor(callback, callback.written.get("monitor", span))
            if callback.info.facts["hooks"]:
                self.check_layers(callback, callback.written.get("layers", span))

    def check_monitor(self, callback: ComponentValue, span: Span) -> None:
        """The monitor is a column, and it is known which of its values are better."""
        monitor, name = callback.args.get("monitor"), callback.info.name
        if not isinstance(monitor, str) or isinstance(self.metrics, Unknown):
            return
        found = columns(self.metrics)
        if monitor not in (*LOSSES, *found):
            if any(_is_users(metric) for metric in found.values()):
                return  # a metric of one's own may call itself anything: the run knows
            self.add(
                "E0528",
                span,
                f"`{name}` follows `{monitor}`, which this train does not measure",
                "no such column in its history",
                help=did_you_mean(monitor, (*LOSSES, *found)) or _to_measure(monitor, found),
            )
        elif callback.args.get("mode") is None and mode_of(monitor, self.metrics) is None:
            self.add(
                "E0528",
                span,
                f"`{name}` follows `{monitor}`, and nothing says whether higher is better",
                "which values are better?",
                help=f'give `{name}` a `mode`, "min" or "max", or say it in the metric: `@mfc.metric(..., better="higher")`',
            )

    def check_layers(self, callback: ComponentValue, span: Span) -> None:
        """Each pattern stands for some layer of the model. An architecture's layers, and those within layers of one's
        own, are not known here."""
        if self.model is None or self.model.whole or any(_is_opaque(r.layer.call) for r in self.model.layers):
            return
        paths = sorted(set(_paths(self.model)))
        patterns = callback.args.get("layers")
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            if isinstance(pattern, str) and not any(ir.matches(path, pattern) for path in paths):
                self.add(
                    "E0529",
                    span,
                    f"no layer of the model matches `{pattern}`",
                    "nothing to look into",
                    help=lambda pattern=pattern: _matching(pattern, paths),
                )


def _matching(pattern: str, paths: Sequence[str]) -> str:
    """A hint to layers for a pattern that matches none."""
    names = {_kind(path.rpartition(".")[2]): None for path in paths}
    return did_you_mean(pattern, paths if "." in pattern else names) or f"there are {', '.join(names)}"


def columns(metrics: Any) -> dict[str, ComponentValue]:
    """The metrics by the names of their columns: the component's, with a count where one comes again."""
    found: dict[str, ComponentValue] = {}
    for metric in metrics if isinstance(metrics, list) else []:
        if isinstance(metric, ComponentValue):
            name = metric.info.name
            count = sum(n == name or n.removeprefix(f"{name}_").isdigit() for n in found)
            found[f"{name}_{count + 1}" if count else name] = metric
    return found


def mode_of(column: str, metrics: Any) -> str | None:
    """Whether lower or higher values of a column are better, `min` or `max`; None where nothing says it."""
    if column in LOSSES:
        return "min"
    metric = columns(metrics).get(column)
    return MODES.get(metric.info.facts["better"]) if metric is not None else None


def decided(callback: Any, metrics: Any) -> Any:
    """A callback that monitors, with the mode that follows from its metric written out."""
    if not _monitors(callback) or callback.args.get("mode") or not callback.info.parameter("mode"):
        return callback
    return replace(callback, args={**callback.args, "mode": mode_of(callback.args["monitor"], metrics)})


def in_order(callbacks: Iterable[Any]) -> list[Any]:
    """Callbacks in an order of their own, so that the one in which a spec lists them changes nothing.

    Those that come with mfc act by their `order`, and where theirs are equal, either way gives the same. One of a
    user's own stays where it is between them: that may be on purpose.
    """
    ordered: list[Any] = []
    for own, run in groupby(callbacks, _is_users):
        alike = list(run)
        ordered += alike if own else sorted(alike, key=lambda c: json.dumps(ir.to_json(lower(c))))
    return ordered


def monitored(callbacks: Sequence[Any], metrics: Any) -> Any:
    """The metrics that callbacks may act on: those that they monitor, by the names of their columns; all of them where
    a callback is a user's own."""
    if any(map(_is_users, callbacks)):
        return metrics
    names = {callback.args["monitor"] for callback in callbacks if _monitors(callback)}
    return [metric for name, metric in sorted(columns(metrics).items()) if name in names]


def follows(callback: Any) -> bool:
    """Whether what is measured may decide what a callback does: one that monitors, or one of a user's own."""
    return _is_users(callback) or _monitors(callback)


def _monitors(callback: Any) -> bool:
    if not isinstance(callback, ComponentValue) or not callback.info.facts["monitors"]:
        return False
    return isinstance(callback.args.get("monitor"), str)


def _is_users(component: Any) -> bool:
    return isinstance(component, ComponentValue) and component.info.target.rpartition(":")[0].endswith(".py")


def _to_measure(monitor: str, found: dict[str, ComponentValue]) -> str:
    measured = ", ".join((*LOSSES, *found))
    return f"there are {measured}; a metric is measured if it stands in `metrics`"


def _is_opaque(call: ir.Call) -> bool:
    """Whether a layer may have layers within it that nothing says here."""
    return not call.target.startswith("mfc.runtime.layers.")


def _paths(model: Elaborated) -> Iterator[str]:
    """The paths of all layers, and of the blocks and groups around them."""
    for record in model.layers:
        names = record.path.split(".")
        yield from (".".join(names[:i]) for i in range(1, len(names) + 1))


def _kind(name: str) -> str:
    return re.sub(r"_\d+$", "", name)
