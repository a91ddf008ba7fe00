"""Tables beside components: what arguments are that a spec does not give, by the name that it does give.

The table of a component is a JSON file in its folder, `{"resnet34": {"features": 512, "reduction": 32}, "": {...}}`.
What stands under `""` is for names that the table does not have. `"parameters"` in a row is its count rule. A table is
read when a spec uses its component.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.rules import RuleError, parse_count, parse_rule
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean

LONGEST = 1_000_000
"""Bytes of the longest table that is read."""

BY = "name"
"""The argument that says which row of the table counts."""

COUNT = "parameters"
"""What a row says beside arguments: how many numbers the component then learns, as a count rule."""

FILE_NAME = re.compile(r"[\w-]+\.json")

Table = Mapping[str, Mapping[str, Any]]


class TableError(Exception):
    """A table that can't be read."""


def table_of(component: Component) -> Table | None:
    """The table of a component; None for one without. Raises TableError where it can't be read."""
    name = component.facts.get("table", "")
    if not name:
        return None
    if not FILE_NAME.fullmatch(name):
        raise TableError(f"`{name}` is not the name of a JSON file")
    path = os.path.join(os.path.dirname(component.file), name)
    try:
        return _read(path, os.stat(path).st_mtime_ns)
    except OSError as error:
        raise TableError(f"{path} can't be read: {error.strerror or error}") from None


@lru_cache(64)
def _read(path: str, changed: int) -> Table:
    """The table at a path as it was at a time, so that one that is changed is read again."""
    with open(path, "rb") as file:
        text = file.read(LONGEST + 1)
    try:
        if len(text) > LONGEST:
            raise TableError(f"{path} is longer than {LONGEST:,} bytes")
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path} is not JSON: {error}") from None
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise TableError(f"{path} is not an object of objects")
    return table


def count_rule(component: Component, args: Mapping[str, Any]) -> str:
    """The count rule that holds for arguments: that of the table, if it has one, or the component's own; "" for none."""
    try:
        row = (table_of(component) or {}).get(args.get(BY) or "", {})
    except TableError:
        row = {}  # reported when the arguments were filled
    return str(row.get(COUNT) or component.facts.get(COUNT, ""))


def fill(
    info: Component, args: dict[str, Any], diagnostics: Diagnostics, written: Mapping[str, Span], span: Span
) -> bool:
    """Fills arguments that are none from the component's table; says whether its shape can be followed then.
    `written` are the places of arguments in the call at `span`."""
    try:
        if (table := table_of(info)) is None:
            return True
        args |= _from_table(info, table, args)
    except TableError as error:
        diagnostics.add("E0535", span, f"the table of `{info.name}` can't be used", str(error))
        return False
    name = args.get(BY)
    missing = [a for a in parse_rule(info.facts["shape"]).arguments if a in args and args[a] is None]
    if name in table or not missing:
        return True
    wanted = " and ".join(f"`{argument} = ...`" for argument in missing)
    diagnostics.add(
        "E0534",
        written.get(BY, span),
        f"`{info.name}` does not know the shape of `{name}`",
        "not in its table",
        help=did_you_mean(str(name), [known for known in table if known]) or f"say what it gives: {wanted}",
    )
    return False


def _from_table(component: Component, table: Table, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the table knows and that are none."""
    name, found = args.get(BY), {}
    for argument, value in table.get(name or "", table.get("", {})).items():
        if argument == COUNT:
            _check_count(component, name, value)
            continue
        parameter = component.parameter(argument)
        if parameter is None or parameter.is_in or parameter.type.accepts(value) is not None:
            what = f"`{argument}` of `{name}` in {component.facts['table']}"
            raise TableError(f"{what} is no value of an argument of {component.name}")
        if args.get(argument) is None:
            found[argument] = value
    return found


def _check_count(component: Component, name: Any, rule: Any) -> None:
    try:
        parse_count(rule if isinstance(rule, str) else "")
    except RuleError as error:
        what = f"`{COUNT}` of `{name}` in {component.facts['table']}"
        raise TableError(f"{what} is no count rule: {error.message}") from None
