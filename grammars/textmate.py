"""The TextMate grammar that editors read, made from the rules of `mfc.grammars.highlighting`.

`python -m mfc.grammars.textmate` writes it anew after a change of the rules; a test fails until then.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mfc.grammars.highlighting import CLASSES, ENDS, RULES, End, Rule

FILE = Path(__file__).parent / "mfs.tmLanguage.json"


def grammar() -> dict[str, Any]:
    """The rules as a TextMate grammar."""
    return {
        "information_for_contributors": "Written by `python -m mfc.grammars.textmate` from grammars/highlighting.py.",
        "name": "mfs",
        "scopeName": "source.mfs",
        "fileTypes": ["mfs"],
        "patterns": [{"include": "#file"}],
        "repository": {name: {"patterns": list(map(_pattern, rules))} for name, rules in RULES.items()},
    }


def _pattern(rule: Rule | str) -> dict[str, Any]:
    if isinstance(rule, str):
        return {"include": f"#{rule}"}
    if not rule.inside:
        if re.compile(rule.pattern).groups:
            return {"match": rule.pattern, "captures": _captures(rule)}
        return {"match": rule.pattern, "name": _scope(rule.classes)}
    end = ENDS[rule.inside]
    return (
        ({"name": _scope(end.content)} if end.content else {})
        | {"begin": rule.pattern, "beginCaptures": _captures(rule), "end": end.pattern}
        | ({"endCaptures": _captures(end)} if end.classes else {})
        | {"patterns": [{"include": f"#{rule.inside}"}]}
    )


def _captures(rule: Rule | End) -> dict[str, Any]:
    first = 1 if re.compile(rule.pattern).groups else 0
    return {str(i): {"name": _scope(kind)} for i, kind in enumerate(rule.classes.split(), first)}


def _scope(kind: str) -> str:
    return f"{CLASSES[kind].scope}.mfs"


def write() -> Path:
    """Writes the grammar beside this file."""
    FILE.write_text(json.dumps(grammar(), indent=2) + "\n", encoding="utf-8")
    return FILE


if __name__ == "__main__":
    print(write())
