"""The parameters of components, as the signatures of their functions and classes say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from mfc.dsl import types
from mfc.dsl.annotations import UNDERSTOOD, Annotation, AnnotationError, last_name, literal, read_annotation
from mfc.dsl.component import REQUIRED, Parameter
from mfc.dsl.python_source import Definition, PythonSource, method
from mfc.dsl.types import Type

Signature: TypeAlias = tuple[list[Parameter], Type | None, Type | None]


class Signatures:
    """Reads the signatures of one file, and reports there what can't be read."""

    def __init__(self, source: PythonSource) -> None:
        self.source, self.report = source, source.report

    def of(self, node: Definition) -> Signature:
        """The parameters of a component, and the types of further ones, positional and named."""
        if isinstance(node, ast.ClassDef):
            return self.of_class(node)
        return self.of_function(node.args, node.name, skip=0)

    def of_class(self, node: ast.ClassDef) -> Signature:
        """The parameters of a class's constructor. Base classes of other files are taken to have none."""
        fields: dict[str, Parameter] = {}
        for base in self.source.lineage(node):
            if (init := method(base, "__init__")) is not None:
                return self.of_function(init.args, node.name, skip=1)
            if any(last_name(_called(d)) == "dataclass" for d in base.decorator_list):
                fields = {p.name: p for p in self.fields(base, node.name)} | fields
        # positional parameters come before keyword-only ones, and a base's before those of its subclasses
        return sorted(fields.values(), key=lambda p: p.keyword_only), None, None

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

    def of_function(self, args: ast.arguments, owner: str, skip: int) -> Signature:
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
        node: ast.arg | ast.Name,
        annotation: ast.expr | None,
        default: ast.expr | None,
        owner: str,
        keyword_only: bool = False,
    ) -> Parameter:
        said = self.annotation(name, node, annotation, owner)
        value = REQUIRED if default is None else self.source.literal(default)
        if default is not None and value is ...:
            self.report(
                "E0703", default, f"the default of `{name}` of `{owner}` can't be read",
                "write a number, a text, True, False, None or a list of them",
            )  # fmt: skip
            value = None
        elif default is not None and (problem := said.type.accepts(value)) is not None:
            message = f"the default of `{name}` of `{owner}` must be {problem.expected}, not {problem.found}"
            self.report("E0703", default, message)
        column = self.source.column(node.lineno, node.col_offset)
        return Parameter(
            name, said.type, value, said.is_in, keyword_only, said.as_many_as, said.without, node.lineno, column
        )  # fmt: skip

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
            return read_annotation(annotation, self.source.assigned)
        except AnnotationError as error:
            message = f"`{name}` of `{owner}`: {error.message}"
            self.report("E0702", error.node, message, f"annotations are {UNDERSTOOD}")
            return Annotation(types.ANY)

    def passes(self, node: ast.ClassDef) -> dict[str, bool]:
        """The parameters of `forward` beyond `self` and the tensor: True for those without a default."""
        for base in self.source.lineage(node):
            if (forward := method(base, "forward")) is not None:
                args = forward.args
                positional = [*args.posonlyargs, *args.args]
                needed = len(positional) - len(args.defaults)
                passes = {a.arg: i < needed for i, a in enumerate(positional)}
                passes |= {a.arg: d is None for a, d in zip(args.kwonlyargs, args.kw_defaults)}
                return dict(list(passes.items())[2:])
        return {}


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node
