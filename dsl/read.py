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
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from mfc.dsl import events, types
from mfc.dsl.annotations import (
    KINDS,
    UNDERSTOOD,
    Annotation,
    AnnotationError,
    last_name,
    literal,
    read_annotation,
)
from mfc.dsl.augmented import DRAWS_IN_EVALUATION, RETURN_INSTEAD, drawing_in_evaluation
from mfc.dsl.component import REQUIRED, Component, Parameter, Reading, ReadProblem
from mfc.dsl.read_rules import faults
from mfc.dsl.types import Type

LONGEST = 1_000_000
"""Characters of the longest file that is read."""

COMPONENT_FILE = os.path.join(os.path.dirname(__file__), os.pardir, "runtime", "component.py")

_MAYBE = re.compile(rf"^(@[\w.]*\b({'|'.join(KINDS)})\b|[a-z]\w*\b.*=)", re.MULTILINE)

_KEYWORD = re.compile(r"(async\s+)?(def|class)\s+")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in strings are no matter here
            tree = ast.parse(text)
        return _Reader(text, path, module, tree).read()
    except SyntaxError as error:
        message = f"this is not valid Python: {error.msg}"
        return _unreadable(error.lineno or 1, max((error.offset or 1) - 1, 0), message)
    except (RecursionError, MemoryError):
        return _unreadable(1, 0, "the file is nested too deeply to be read")


def _unreadable(line: int, column: int, message: str) -> Reading:
    return Reading(problems=(ReadProblem("E0701", line, column, column + 1, message),))


class _Reader:
    def __init__(self, text: str, path: str, module: str | None, tree: ast.Module) -> None:
        self.lines = text.split("\n")
        self.path = path
        self.module = module
        self.tree = tree
        self.problems: list[ReadProblem] = []
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.defined = {node.name for node in tree.body if isinstance(node, Definition)}
        self.imports = dict(_imports(tree.body))
        self.assigned = dict(_assigned(tree.body))
        self.literals = {name: v for name, node in self.assigned.items() if (v := literal(node)) is not ...}

    def read(self) -> Reading:
        found = {}
        for node in self.tree.body:
            if isinstance(node, Definition):
                for mark in node.decorator_list:
                    if (decorator := self.decorator(mark)) is not None:
                        found[node.name] = self.component(node, mark, decorator)
                        break
        constants = {name: v for name, v in self.literals.items() if name[0].isalpha() and name.islower()}
        docs = {name: doc for name, doc in _documented(self.tree.body) if name in constants}
        problems = tuple(sorted(self.problems, key=lambda p: p[1:3]))
        return Reading(tuple(found.values()), constants, problems, docs)

    # ── the decorator ───────────────────────────────────────────────────────────────────────────────────

    def decorator(self, mark: ast.expr) -> Decorator | None:
        """The decorator of components that `mark` is, if it is one: a name bound to something else is not."""
        function = mark.func if isinstance(mark, ast.Call) else mark
        match function:
            case ast.Name(id=name) if name not in self.defined:
                origin = self.imports.get(name, f"mfc.{name}")
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                origin = f"{self.imports.get(module, 'mfc' if module == 'component' else module)}.{name}"
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
        value = self.literal(node)
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
        for fact, message, help, position in faults(facts, parameters):
            node = given.get(fact, mark)
            if position is None:
                self.report("E0706", node, message, help)
                continue
            start = self.lines[node.lineno - 1].find(facts[fact], self.column(node.lineno, node.col_offset))
            if start < 0:  # over several lines, or with escapes
                self.report("E0706", node, message, f"at character {position + 1} of the rule")
            else:
                at = start + position
                self.problems.append(ReadProblem("E0706", node.lineno, at, at + 1, message))

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
        for item, name in events.strays(self.lineage(node)):
            line, column = self.place_of_name(item)
            message = f"`{name}` of the callback `{node.name}` would never be called: there is no such event"
            place = ReadProblem("E0707", line, column, column + len(name), message, events.meant(name))
            self.problems.append(place)

    # ── the signature ───────────────────────────────────────────────────────────────────────────────────

    def component(self, node: Definition, mark: ast.expr, decorator: Decorator) -> Component:
        doc = ast.get_docstring(node) or ""
        line, column = self.place_of_name(node)
        if not doc:
            self.problems.append(
                ReadProblem(
                    "W0705", line, column, column + len(node.name), f"`{node.name}` has no docstring",
                    "its first line is what editors and the reference show",
                )
            )  # fmt: skip
        passes: dict[str, bool] = {}
        if isinstance(node, ast.ClassDef):
            parameters, rest, others = self.of_class(node)
            if decorator.kind in ("layer", "architecture"):
                passes = self.passes(node)
        else:
            parameters, rest, others = self.of_function(node.args, node.name, skip=0)
        self.check_relations(mark, parameters)
        target = f"{self.module or self.path}:{node.name}"
        facts = self.facts(mark, decorator, node.name)
        lineage = list(self.lineage(node)) if isinstance(node, ast.ClassDef) and facts.get("random") else []
        if (same := drawing_in_evaluation(lineage, decorator.kind)) is not None:
            self.report("W0707", same, f"`{node.name}` {DRAWS_IN_EVALUATION}", RETURN_INSTEAD)
        if decorator.kind == "callback" and isinstance(node, ast.ClassDef):
            self.check_events(node)
        self.check_rules(mark, decorator, facts, parameters)
        return Component(
            decorator.kind, node.name, target, doc, tuple(parameters), self.path, line, column, facts,
            rest, others, passes,
        )  # fmt: skip

    def of_class(self, node: ast.ClassDef) -> tuple[list[Parameter], Type | None, Type | None]:
        """The parameters of a class's constructor. Base classes of other files are taken to have none."""
        fields: dict[str, Parameter] = {}
        for base in self.lineage(node):
            if (init := _method(base, "__init__")) is not None:
                return self.of_function(init.args, node.name, skip=1)
            if any(last_name(_called(d)) == "dataclass" for d in base.decorator_list):
                fields = {p.name: p for p in self.fields(base, node.name)} | fields
        # positional parameters come before keyword-only ones, and a base's before those of its subclasses
        return sorted(fields.values(), key=lambda p: p.keyword_only), None, None

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

    def fields(self, node: ast.ClassDef, owner: str) -> Iterator[Parameter]:
        """The fields of a dataclass that its constructor takes."""
        options = [k for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords]
        keyword_only = any(k.arg == "kw_only" and literal(k.value) is True for k in options)
        for item in node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            if last_name(item.annotation) == "KW_ONLY":
                keyword_only = True
                continue
            if isinstance(item.annotation, ast.Subscript) and last_name(item.annotation.value) == "ClassVar":
                continue
            default, only = item.value, keyword_only
            if isinstance(default, ast.Call) and last_name(default.func) == "field":
                options = {k.arg: k.value for k in default.keywords}
                if "init" in options and literal(options["init"]) is False:
                    continue
                only = literal(options["kw_only"]) is True if "kw_only" in options else only
                factory = options.get("default_factory")
                empty = ast.copy_location(ast.List([], ast.Load()), default)
                default = empty if factory is not None and last_name(factory) == "list" else factory
                default = options.get("default", default)
            yield self.parameter(item.target.id, item.target, item.annotation, default, owner, only)

    def of_function(
        self, args: ast.arguments, owner: str, skip: int
    ) -> tuple[list[Parameter], Type | None, Type | None]:
        """Parameters, and the types of `*args` and `**kwargs`. `skip` leaves out `self`."""
        positional = [*args.posonlyargs, *args.args]
        defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
        taken = list(zip(positional, defaults))[skip:]
        parameters = [self.parameter(a.arg, a, a.annotation, d, owner) for a, d in taken]
        parameters += [
            self.parameter(a.arg, a, a.annotation, d, owner, keyword_only=True)
            for a, d in zip(args.kwonlyargs, args.kw_defaults)
        ]
        rest, others = (
            None if a is None else self.annotation(a.arg, a, a.annotation, owner)[0]
            for a in (args.vararg, args.kwarg)
        )
        return parameters, rest, others

    def parameter(
        self,
        name: str,
        node: ast.AST,
        annotation: ast.expr | None,
        default: ast.expr | None,
        owner: str,
        keyword_only: bool = False,
    ) -> Parameter:
        type, is_in, *relations = self.annotation(name, node, annotation, owner)
        value = REQUIRED if default is None else self.literal(default)
        if default is not None and value is ...:
            self.report(
                "E0703", default, f"the default of `{name}` of `{owner}` can't be read",
                "write a number, a text, True, False, None or a list of them",
            )  # fmt: skip
            value = None
        elif default is not None and (problem := type.accepts(value)) is not None:
            message = f"the default of `{name}` of `{owner}` must be {problem.expected}, not {problem.found}"
            self.report("E0703", default, message)
        return Parameter(name, type, value, is_in, keyword_only, *relations)

    def annotation(self, name: str, node: ast.AST, annotation: ast.expr | None, owner: str) -> Annotation:
        if annotation is None:
            message = f"`{name}` of `{owner}` has no annotation"
            help = f"say what it takes, such as `{name}: int`"
            if name in ("pred", "preds", "target", "targets", "input", "output", "x", "y"):
                help = (
                    "a component's arguments are what a spec writes; predictions and targets come when its object is "
                    "called: make it a class with `__call__`, or a function that gives one"
                )
            self.report("E0702", node, message, help)
            return Annotation(types.ANY)
        try:
            return read_annotation(annotation, self.assigned)
        except AnnotationError as error:
            message = f"`{name}` of `{owner}`: {error.message}"
            self.report("E0702", error.node, message, f"annotations are {UNDERSTOOD}")
            return Annotation(types.ANY)

    def passes(self, node: ast.ClassDef) -> dict[str, bool]:
        """The parameters of `forward` beyond `self` and the tensor: True for those without a default."""
        for base in self.lineage(node):
            if (forward := _method(base, "forward")) is not None:
                args = forward.args
                positional = [*args.posonlyargs, *args.args]
                needed = len(positional) - len(args.defaults)
                passes = {a.arg: i < needed for i, a in enumerate(positional)}
                passes |= {a.arg: d is None for a, d in zip(args.kwonlyargs, args.kw_defaults)}
                return dict(list(passes.items())[2:])
        return {}

    # ── places and values ───────────────────────────────────────────────────────────────────────────────

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


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """The names that a file gives to single values."""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The names that are given values, with the texts that stand after these."""
    for assignment, after in pairwise(body):
        match after:
            case ast.Expr(value=ast.Constant(value=str(doc))):
                for name, _ in _assigned([assignment]):
                    yield name, inspect.cleandoc(doc)


def _method(node: ast.ClassDef, name: str) -> Function | None:
    return next((item for item in node.body if isinstance(item, Function) and item.name == name), None)


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node
