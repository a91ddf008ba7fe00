"""Reads components from Python source text. Nothing is imported or run; only the text is looked at.

A component is a function or class at the top of the file with a decorator of `mfc.runtime.component`, written
`@layer(...)`, `@component.layer(...)` or `@mfc.layer(...)`. The parameters of a class are those of its
`__init__`, or the fields of a dataclass, also where a base class in the same file has them.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from mfc.dsl import events, types
from mfc.dsl.annotations import (
    KINDS,
    last_name,
    literal,
)
from mfc.dsl.augmented import DRAWS_IN_EVALUATION, RETURN_INSTEAD, drawing_in_evaluation
from mfc.dsl.component import REQUIRED, Component, Parameter, Reading, ReadProblem
from mfc.dsl.python_source import Definition, PythonSource, assigned
from mfc.dsl.read_rules import faults
from mfc.dsl.read_signature import Signatures
from mfc.dsl.types import Type

LONGEST = 1_000_000
"""Characters of the longest file that is read."""

COMPONENT_FILE = os.path.join(os.path.dirname(__file__), os.pardir, "runtime", "component.py")

_MAYBE = re.compile(rf"^(@[\w.]*\b({'|'.join(KINDS)})\b|[a-z]\w*\b.*=)", re.MULTILINE)


class Decorator(NamedTuple):
    """A decorator of components: its facts with their types and defaults. A `bare` one may stand without a call."""

    kind: str
    facts: dict[str, tuple[Type, Any]]
    bare: bool


@cache
def decorators() -> dict[str, Decorator]:
    """The decorators by name, as `mfc.runtime.component` defines them."""
    with open(COMPONENT_FILE, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in KINDS:
            arguments = [*node.args.args, *node.args.kwonlyargs]
            given = [literal(d) for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
            defaults = [REQUIRED] * (len(arguments) - len(given)) + given
            facts = {a.arg: (_fact_type(a.annotation), d) for a, d in zip(arguments, defaults)}
            bare = facts.pop("component", None) is not None
            found[node.name] = Decorator(node.name, facts, bare)
    return found


def _fact_type(annotation: ast.expr | None) -> Type:
    if isinstance(annotation, ast.Subscript):  # tuple[str, ...]
        return types.list_of(types.STRING)
    return types.BOOL if annotation is not None and last_name(annotation) == "bool" else types.STRING


def read_file(text: str, path: str, module: str | None) -> Reading:
    """Components and constants of a file. `module` is its dotted name, None for a user's own file.

    `text` is the file's text with `\\n` between its lines, `path` its absolute path.
    """
    if module is not None and not _MAYBE.search(text):
        return Reading()
    if len(text) > LONGEST or "\0" in text:
        reason = "holds a null byte" if "\0" in text else f"is longer than {LONGEST:,} characters"
        return _unreadable(1, 0, f"the file {reason}")
    try:
        return _Reader(PythonSource(text), path, module).read()
    except SyntaxError as error:
        message = f"this is not valid Python: {error.msg}"
        return _unreadable(error.lineno or 1, max((error.offset or 1) - 1, 0), message)
    except (RecursionError, MemoryError):
        return _unreadable(1, 0, "the file is nested too deeply to be read")


def _unreadable(line: int, column: int, message: str) -> Reading:
    return Reading(problems=(ReadProblem("E0701", line, column, column + 1, message),))


class _Reader:
    def __init__(self, source: PythonSource, path: str, module: str | None) -> None:
        self.source, self.report = source, source.report
        self.signatures = Signatures(source)
        self.path = path
        self.module = module

    def read(self) -> Reading:
        found = {}
        for node in self.source.tree.body:
            if isinstance(node, Definition):
                for mark in node.decorator_list:
                    if (decorator := self.decorator(mark)) is not None:
                        found[node.name] = self.component(node, mark, decorator)
                        break
        constants = {
            name: v for name, v in self.source.literals.items() if name[0].isalpha() and name.islower()
        }
        docs = {name: doc for name, doc in _documented(self.source.tree.body) if name in constants}
        problems = tuple(sorted(self.source.problems, key=lambda p: p[1:3]))
        return Reading(tuple(found.values()), constants, problems, docs)

    # ── the decorator ───────────────────────────────────────────────────────────────────────────────────

    def decorator(self, mark: ast.expr) -> Decorator | None:
        """The decorator of components that `mark` is, if it is one: a name bound to something else is not."""
        function = mark.func if isinstance(mark, ast.Call) else mark
        match function:
            case ast.Name(id=name) if name not in self.source.defined:
                origin = self.source.imports.get(name, f"mfc.{name}")
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                origin = (
                    f"{self.source.imports.get(module, 'mfc' if module == 'component' else module)}.{name}"
                )
            case ast.Attribute(attr=name):
                origin = ast.unparse(function)
            case _:
                return None
        package, _, name = origin.rpartition(".")
        return decorators().get(name) if package.partition(".")[0] == "mfc" else None

    def facts(self, mark: ast.expr, decorator: Decorator, name: str) -> dict[str, Any]:
        """The decorator's arguments, defaults filled in."""
        given: dict[str, ast.expr] = {}
        call = mark if isinstance(mark, ast.Call) else None
        if call is not None:
            if len(call.args) > (count := 0 if decorator.bare else len(decorator.facts)):
                self.report("E0704", mark, f"`@{decorator.kind}` takes {count} arguments at most")
            given = dict(zip(decorator.facts, call.args)) | {k.arg or "**": k.value for k in call.keywords}
        elif not decorator.bare:
            self.report(
                "E0704", mark, f"`@{decorator.kind}` of `{name}` is not called",
                f"write `@{decorator.kind}({', '.join(f'{n}=...' for n, (_, d) in decorator.facts.items() if d is REQUIRED)})`",
            )  # fmt: skip
        facts = {}
        for fact, (type, default) in decorator.facts.items():
            node = given.pop(fact, None)
            if node is not None:
                facts[fact] = self.fact(node, fact, type, decorator)
            elif default is not REQUIRED:
                facts[fact] = default
            elif call is not None:
                self.report("E0704", mark, f"`@{decorator.kind}` of `{name}` needs `{fact}`")
        for fact, node in given.items():
            self.report("E0704", node, f"`@{decorator.kind}` has no argument `{fact}`")
        return facts

    def fact(self, node: ast.expr, fact: str, type: Type, decorator: Decorator) -> Any:
        value = self.source.literal(node)
        problem = None if value is ... else type.accepts(value)
        if value is ... or problem is not None:
            found = "what is no literal" if problem is None else problem.found
            self.report("E0704", node, f"`{fact}` of `@{decorator.kind}` must be {type.words()}, not {found}")
            return "" if type == types.STRING else [] if type != types.BOOL else False
        return value

    def check_rules(
        self, mark: ast.expr, decorator: Decorator, facts: dict[str, Any], parameters: list[Parameter]
    ) -> None:
        """Reports rules that can't be read, or that do not go with the parameters."""
        if not isinstance(mark, ast.Call):
            return
        given = dict(zip(decorator.facts, mark.args)) | {k.arg: k.value for k in mark.keywords}
        for fact, message, help, position, code in faults(facts, parameters):
            node = given.get(fact, mark)
            if position is None:
                self.report(code, node, message, help)
                continue
            start = self.source.lines[node.lineno - 1].find(
                facts[fact], self.source.column(node.lineno, node.col_offset)
            )
            if start < 0:  # over several lines, or with escapes
                self.report("E0706", node, message, f"at character {position + 1} of the rule")
            else:
                at = start + position
                self.source.problems.append(ReadProblem("E0706", node.lineno, at, at + 1, message))

    def check_relations(self, mark: ast.expr, parameters: list[Parameter]) -> None:
        """What an annotation says of another parameter, there has to be one of that name."""
        names = {parameter.name for parameter in parameters}
        for parameter in parameters:
            for other in (parameter.as_many_as, parameter.without):
                if other and other not in names:
                    message = f"the annotation of `{parameter.name}` names `{other}`, which is no parameter"
                    self.report("E0702", mark, message, f"its parameters are {', '.join(sorted(names))}")

    def check_events(self, node: ast.ClassDef) -> None:
        """Reports methods of a callback that are called like an event's and are none."""
        for item, name in events.strays(self.source.lineage(node)):
            line, column = self.source.place_of_name(item)
            message = f"`{name}` of the callback `{node.name}` would never be called: there is no such event"
            place = ReadProblem("E0707", line, column, column + len(name), message, events.meant(name))
            self.source.problems.append(place)

    # ── the signature ───────────────────────────────────────────────────────────────────────────────────

    def component(self, node: Definition, mark: ast.expr, decorator: Decorator) -> Component:
        doc = ast.get_docstring(node) or ""
        line, column = self.source.place_of_name(node)
        if not doc:
            self.source.problems.append(
                ReadProblem(
                    "W0705", line, column, column + len(node.name), f"`{node.name}` has no docstring",
                    "its first line is what editors and the reference show",
                )
            )  # fmt: skip
        parameters, rest, others = self.signatures.of(node)
        passes: dict[str, bool] = {}
        if isinstance(node, ast.ClassDef) and decorator.kind in ("layer", "architecture"):
            passes = self.signatures.passes(node)
        self.check_relations(mark, parameters)
        target = f"{self.module or self.path}:{node.name}"
        facts = self.facts(mark, decorator, node.name)
        lineage = (
            list(self.source.lineage(node)) if isinstance(node, ast.ClassDef) and facts.get("random") else []
        )
        if (same := drawing_in_evaluation(lineage, decorator.kind)) is not None:
            self.report("W0707", same, f"`{node.name}` {DRAWS_IN_EVALUATION}", RETURN_INSTEAD)
        if decorator.kind == "callback" and isinstance(node, ast.ClassDef):
            self.check_events(node)
        self.check_rules(mark, decorator, facts, parameters)
        return Component(
            decorator.kind, node.name, target, doc, tuple(parameters), self.path, line, column, facts,
            rest, others, passes,
        )  # fmt: skip


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that are given values, with the texts that stand after these."""
    for assignment, after in pairwise(body):
        match after:
            case ast.Expr(value=ast.Constant(value=str(doc))):
                for name, _ in assigned([assignment]):
                    yield name, inspect.cleandoc(doc)
