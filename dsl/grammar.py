"""The parser's tables: built from `grammars/mfs.lark`, kept as JSON, loaded in a few milliseconds.

`python -m mfc.dsl.grammar` writes the tables anew after a change of the grammar; a test fails until then.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from mfc.dsl.builder import Builder

FOLDER = Path(__file__).parent.parent / "grammars"  # `importlib.resources` takes 6 ms to import
GRAMMAR, TABLES = "mfs.lark", "mfs.json"
_SHIFT = 0  # lark's mark of an action that goes on to a state; 1 reduces by a rule


@cache
def parser() -> lark.Lark:
    """The LALR parser of a file: it is fed with tokens of `mfc.dsl.scan`, and builds nodes of `mfc.dsl.syntax`.

    Tables that another minor version of Lark wrote are not trusted: then the grammar is read anew.
    """
    stored = json.loads((FOLDER / TABLES).read_text(encoding="utf-8"))
    if stored["lark"] != _minor_version():
        stored = tables((FOLDER / GRAMMAR).read_text(encoding="utf-8"))
    return _load(stored)


def _load(stored: dict[str, Any]) -> lark.Lark:
    data, memo = stored["data"], _int_keys(stored["memo"])
    table = data["parser"]["parser"]
    table["tokens"] = _int_keys(table["tokens"])
    table["states"] = {int(state): _int_keys(actions) for state, actions in table["states"].items()}
    data["options"]["transformer"] = Builder()
    return lark.Lark.load({"data": data, "memo": memo})  # a dict is what lark's own stand-alone parsers pass


def _int_keys(table: dict[str, Any]) -> dict[int, Any]:
    return {int(key): value for key, value in table.items()}


def _minor_version() -> str:
    return ".".join(lark.__version__.split(".")[:2])


def build(grammar: str, debug: bool = False) -> lark.Lark:
    """A parser made from the grammar's text: a fifth of a second. With `debug`, lark logs conflicts."""
    return lark.Lark(
        grammar, parser="lalr", lexer="basic", start="file", maybe_placeholders=True, debug=debug
    )


def tables(grammar: str) -> dict[str, Any]:
    """The tables of a grammar, as JSON: the same text gives the same tables."""
    data, memo = build(grammar).memo_serialize([TerminalDef, Rule])
    data = json.loads(json.dumps(data))
    data["parser"]["parser"] = _in_order(data["parser"]["parser"])
    grammar_hash = hashlib.sha256(grammar.encode()).hexdigest()
    return {
        "lark": _minor_version(),
        "grammar": grammar_hash,
        "data": data,
        "memo": json.loads(json.dumps(memo)),
    }


def _in_order(table: dict[str, Any]) -> dict[str, Any]:
    """A parse table with its states in the order in which they are reached, which lark leaves to chance."""
    names = table["tokens"]
    number = {name: str(i) for i, name in enumerate(sorted(names.values()))}
    order = sorted(table["start_states"].values())
    rows: dict[int, dict[str, Any]] = {}
    for state in order:  # grows while it is walked
        by_name = {names[token]: action for token, action in table["states"][str(state)].items()}
        rows[state] = {number[name]: by_name[name] for name in sorted(by_name)}
        order += [goal for kind, goal in rows[state].values() if kind == _SHIFT and goal not in order]
    place = {state: i for i, state in enumerate(order)}
    return {
        "tokens": {i: name for name, i in number.items()},
        "states": {
            str(place[state]): {
                token: [kind, place[goal] if kind == _SHIFT else goal] for token, (kind, goal) in row.items()
            }
            for state, row in rows.items()
        },
        "start_states": {start: place[state] for start, state in table["start_states"].items()},
        "end_states": {start: place[state] for start, state in table["end_states"].items()},
    }


def write_tables() -> Path:
    """Writes the tables of the grammar beside it."""
    found = tables((FOLDER / GRAMMAR).read_text(encoding="utf-8"))
    (FOLDER / TABLES).write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    return FOLDER / TABLES


if __name__ == "__main__":
    print(write_tables())
