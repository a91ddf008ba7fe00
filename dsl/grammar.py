"""The parser's tables: built from `grammars/mfs.lark`, kept as JSON, loaded in a few milliseconds.

`python -m mfc.dsl.grammar` writes the tables anew after a change of the grammar; a test fails until then.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

GRAMMAR, TABLES = "mfs.lark", "mfs.json"


@cache
def parser() -> lark.Lark:
    """The LALR parser of a file, which is fed with the tokens of `mfc.dsl.scan` and builds `mfc.dsl.syntax` nodes.

    Tables that another minor version of Lark wrote are not trusted: then the grammar is read anew.
    """
    folder = files("mfc.grammars")
    tables = json.loads(folder.joinpath(TABLES).read_text(encoding="utf-8"))
    if tables["lark"] != _minor_version():
        tables = _tables(folder.joinpath(GRAMMAR).read_text(encoding="utf-8"))
    return _load(tables)


def _load(tables: dict[str, Any]) -> lark.Lark:
    from mfc.dsl.builder import Builder

    data, memo = tables["data"], _int_keys(tables["memo"])
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
    """A parser made from the grammar's text, which takes a fifth of a second. With `debug`, lark logs conflicts."""
    return lark.Lark(
        grammar, parser="lalr", lexer="basic", start="file", maybe_placeholders=True, debug=debug
    )


def _tables(grammar: str) -> dict[str, Any]:
    data, memo = build(grammar).memo_serialize([TerminalDef, Rule])
    tables = {"lark": _minor_version(), "grammar": fingerprint(grammar), "data": data, "memo": memo}
    return json.loads(json.dumps(tables))


def fingerprint(grammar: str) -> str:
    """What the tables remember of the grammar that they were made from."""
    return hashlib.sha256(grammar.encode()).hexdigest()


def write_tables(folder: Path) -> Path:
    """Writes the tables of the grammar in `folder` beside it."""
    tables = _tables((folder / GRAMMAR).read_text(encoding="utf-8"))
    (folder / TABLES).write_text(json.dumps(tables, separators=(",", ":")) + "\n", encoding="utf-8")
    return folder / TABLES


if __name__ == "__main__":
    print(write_tables(Path(str(files("mfc.grammars")))))
