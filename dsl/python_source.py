"""The text of a Python file that components are read from, and what is found wrong with it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

from mfc.dsl.annotations import literal
from mfc.dsl.component import ReadProblem

_KEYWORD = re.compile(r"(async\s+)?(def|class)\s+")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef


class PythonSource:
    """A file's syntax tree with its names; `problems` are those that were reported."""

    def __init__(self, text: str) -> None:
        """Raises what `ast.parse` raises."""
        self.lines = text.split("\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in strings are no matter here
            self.tree = ast.parse(text)
        body = self.tree.body
        self.problems: list[ReadProblem] = []
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        self.defined = {node.name for node in body if isinstance(node, Definition)}
        self.imports = dict(_imports(body))
        self.assigned = dict(assigned(body))
        self.literals = {name: v for name, node in self.assigned.items() if (v := literal(node)) is not ...}

    def lineage(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class and its base classes in this file, nearest first."""
        waiting, seen = [node], set()
        while waiting:
            current = waiting.pop(0)
            if current.name not in seen:
                seen.add(current.name)
                yield current
                names = [base.id for base in current.bases if isinstance(base, ast.Name)]
                waiting[:0] = [self.classes[name] for name in names if name in self.classes]

    def literal(self, node: ast.expr) -> Any:
        """The value of a literal, or of a name that the file gives to one; `...` where it is neither."""
        return self.literals.get(node.id, ...) if isinstance(node, ast.Name) else literal(node)

    def place_of_name(self, node: ast.stmt) -> tuple[int, int]:
        """Line and column of the name that a definition or an assignment begins with; decorators stand on lines
        before."""
        start = self.column(node.lineno, node.col_offset)
        word = _KEYWORD.match(self.lines[node.lineno - 1], start)
        return node.lineno, word.end() if word else start

    def column(self, line: int, offset: int) -> int:
        """The code point at an offset of UTF-8 bytes, as `ast` counts them."""
        return len(self.lines[line - 1].encode()[:offset].decode(errors="replace"))

    def report(self, code: str, node: ast.AST, message: str, help: str = "") -> None:
        line: int = getattr(node, "lineno", 1)
        column = self.column(line, getattr(node, "col_offset", 0))
        last = getattr(node, "end_lineno", line)
        end = (
            self.column(line, getattr(node, "end_col_offset", 0))
            if last == line
            else len(self.lines[line - 1])
        )
        self.problems.append(ReadProblem(code, line, column, max(end, column + 1), message, help))


def _imports(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that the imports at the top of a file bind, and what they mean."""
    for node in body:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
            case ast.ImportFrom(module=module, names=names, level=level):
                for alias in names:
                    yield alias.asname or alias.name, f"{'.' * level}{module or ''}.{alias.name}"
            case ast.If(body=inner, orelse=other):
                yield from _imports([*inner, *other])
            case ast.Try(body=inner):
                yield from _imports(inner)


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """The names that a file gives to single values."""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def method(node: ast.ClassDef, name: str) -> Function | None:
    return next((item for item in node.body if isinstance(item, Function) and item.name == name), None)
