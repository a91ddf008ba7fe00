"""Names of files as texts with placeholders: `{stem}_P{suffix}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from mfc.runtime.errors import RunError

OF_ITEM = ("stem", "name", "suffix", "parent")
"""The placeholders for an item's path, called as in Python's `pathlib`."""

_PART = re.compile(r"\{([^{}]*)\}|([{}])")


def placeholders(template: str) -> list[str]:
    """The names in the braces of a template, in order. Raises RunError R0110 for a brace without its other one."""
    found = []
    for match in _PART.finditer(template):
        if match[2]:
            raise RunError("R0110", f"`{template}` has a `{match[2]}` without its other brace")
        found.append(match[1])
    return found


def filled(template: str, value: Callable[[str], str] | Mapping[str, str]) -> str:
    """A template with `value(name)` in the place of each placeholder."""
    of = value if callable(value) else value.__getitem__
    return _PART.sub(lambda match: of(match[1]), template)


def of_item(item: str) -> dict[str, str]:
    """What an item's path has for `OF_ITEM`: `parent` is the path of its folder, `.` for the source's own."""
    path = PurePosixPath(item)
    return {"stem": path.stem, "name": path.name, "suffix": path.suffix, "parent": str(path.parent)}
