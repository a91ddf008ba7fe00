"""The parts of a docstring: its first line, prose, and what it says of each argument and of errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_SECTION = re.compile(r"^(Args|Attributes|Raises):\n((?:(?:[ ]{4}.*)?(?:\n|\Z))+)", re.MULTILINE)
_ITEM = re.compile(r"^    (\w+(?:, \w+)*): *(.*(?:\n {8}.*)*)", re.MULTILINE)


class Doc(NamedTuple):
    """A docstring, taken apart. `prose` is what stands between its first paragraph and its lists, in lines as it is
    written; all else is on one line each."""

    summary: str
    prose: str
    arguments: Mapping[str, str]
    raises: Sequence[str]


def parse_docstring(text: str) -> Doc:
    """Takes a docstring apart, whose lines are not indented."""
    sections = {name: _ITEM.findall(body) for name, body in _SECTION.findall(text)}
    rest = _SECTION.sub("", text).strip()
    summary, _, prose = rest.partition("\n\n")
    arguments = {
        name: " ".join(said.split()) for names, said in sections.get("Args", []) for name in names.split(", ")
    }
    raises = [" ".join(said.split()) for _, said in sections.get("Raises", [])]
    return Doc(" ".join(summary.split()), prose.strip(), arguments, raises)
