"""What names stand for: local values, declarations, constants of the package, components."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mfc.dsl import other_names
from mfc.dsl import want as wanted
from mfc.dsl.annotations import KINDS
from mfc.dsl.attributes import attributes
from mfc.dsl.calls import Signature
from mfc.dsl.catalog import Catalog
from mfc.dsl.diagnostics import Diagnostics, Fix
from mfc.dsl.dims import Dim
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.params import param_value
from mfc.dsl.resolve import Declared, Program, Unavailable, Used
from mfc.dsl.scope import Budget, Scope, make_list
from mfc.dsl.source import Span
from mfc.dsl.suggest import Hint, did_you_mean, hint
from mfc.dsl.syntax import (
    Attribute,
    BodyDecl,
    BrokenDecl,
    DataDecl,
    Expr,
    FieldStmt,
    LetStmt,
    Name,
    Param,
    ValueDecl,
)
from mfc.dsl.types import ANY, INT, Awaited, Kind, Type, Unknown, describe, list_of
from mfc.dsl.values import History, Instance, Part, Uncalled, Weights
from mfc.dsl.wording import kind_name, with_article


class Names(ABC):
    """The state of an evaluation, and the values of names and attributes.

    `facts` holds what is known of the data, such as `cifar.classes`; `told` which data block tells each one that was
    asked for and is not known. With `opening`, a param without a value is no error: the spec is being looked at, not
    run.
    """

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        settings: Mapping[str, Any],
        facts: Mapping[str, Any],
        diagnostics: Diagnostics,
        opening: bool = False,
    ) -> None:
        self.program = program
        self.catalog = catalog
        self.settings = settings
        self.facts = facts
        self.diagnostics = diagnostics
        self.budget = Budget()
        self.opening = opening
        self.told: dict[str, Instance] = {}
        self._asked: dict[Instance, None] = {}
        self._known: dict[tuple[int, tuple[str, ...]], tuple[Any, dict[Instance, None]]] = {}
        self._open: list[Declared] = []
        self._signatures: dict[str, Signature] = {}

    @abstractmethod
    def evaluate(self, expr: Expr, scope: Scope, want: Type = ANY) -> Any:
        """The value of an expression."""

    @abstractmethod
    def value(self, expr: Expr, scope: Scope, want: Type, what: str) -> Any:
        """The value of an expression that must be of a type."""

    @contextmanager
    def asking(self) -> Iterator[dict[Instance, None]]:
        """Gathers the data blocks of which facts are asked for within that are not known yet."""
        around, self._asked = self._asked, {}
        try:
            yield self._asked
        finally:
            around |= self._asked
            self._asked = around

    def asked(self, fact: str, data: Instance) -> None:
        """Notes that a fact about a data block is asked for that only its items tell."""
        self.told[fact] = data
        self._asked[data] = None

    def not_called(self, value: Uncalled, span: Span) -> None:
        self.diagnostics.add(
            "E0217",
            span,
            f"`{value.name}` is named but not called",
            "missing `()`",
            help=f"write `{value.name}()`, with its arguments between the parentheses",
            fix=Fix(f"Call `{value.name}`", span, f"{value.name}()"),
        )

    # ── names ───────────────────────────────────────────────────────────────────────────────────────────

    def name(self, expr: Name, scope: Scope, want: Type) -> Any:
        if local := scope.find(expr.text):
            return local[0]
        match scope.module.names.get(expr.text):
            case Declared() as declared:
                return self.declared(declared, expr.span, want)
            case Used(components):
                return Uncalled(expr.text, components, expr.span)
            case Unavailable():
                return Unknown(ANY)
        if expr.text in FUNCTIONS:
            return Uncalled(expr.text, expr.text, expr.span)
        if expr.text in self.catalog.constants:
            return self.catalog.constants[expr.text]
        if components := self.catalog.named(expr.text):
            return Uncalled(expr.text, tuple(components), expr.span)
        if expr.text in wanted.words(want):
            return expr.text
        self.unknown(expr, scope, want)
        return Unknown(want)

    def is_python(self, expr: Attribute, scope: Scope) -> bool:
        """Whether this is the name of a module of Python with what is in it, such as `nn.Conv2d`."""
        of = expr.value
        return (
            isinstance(of, Name)
            and of.text in other_names.MODULES
            and scope.find(of.text) is None
            and of.text not in scope.module.names
        )

    def unknown(self, name: Name, scope: Scope, want: Type, called: bool = False) -> None:
        kinds = [k for k in wanted.kinds(want) if self.catalog.names(k)]
        if called and kinds:
            self.diagnostics.add(
                "E0204",
                name.span,
                f"`{name.text}` is not {with_article(kind_name(kinds[0]))}",
                f"unknown {kind_name(kinds[0])}",
                help=lambda: _meant(name.text, kinds, [*self.callable_names(scope, kinds)]),
            )
            return
        self.diagnostics.add(
            "E0201",
            name.span,
            f"nothing is called `{name.text}`",
            "unknown name",
            help=lambda: (
                _meant(name.text, kinds, [*self.known_names(scope)])
                or other_names.component(name.text, KINDS)
            ),
        )

    def callable_names(self, scope: Scope, kinds: Sequence[str]) -> Iterator[str]:
        """The names of what may be called where a component of some kinds is wanted."""
        bound = scope.module.names.items()
        yield from (name for name, binding in bound if isinstance(binding, Used))
        if kinds[0] == "layer":
            yield from (name for name, binding in bound if _is_stack(binding))
        for kind in kinds:
            yield from self.catalog.names(kind)

    def known_names(self, scope: Scope) -> Iterator[str]:
        """All names that stand for something at a place, those that are nearest first."""
        yield from scope.local_names()
        yield from scope.module.names
        yield from FUNCTIONS
        yield from self.catalog.constants
        yield from self.catalog.all_names()

    def declared(self, declared: Declared, span: Span, want: Type = ANY) -> Any:
        """The value of a declaration that is named without arguments."""
        decl = declared.decl
        if isinstance(decl, BrokenDecl):
            return Unknown(ANY)
        if isinstance(decl, LetStmt | Param):
            return self.constant(declared, span, want)
        if decl.params is None and is_optimizer(decl):
            return self.constant(declared, span, want)
        if decl.params is None and getattr(decl, "kind", "data") != "block":
            return Instance(declared)
        return Uncalled(declared.name, declared, span)

    def constant(self, declared: Declared, span: Span, want: Type) -> Any:
        """The value of a top-level `let`, a `param` or an optimizer, worked out once for each kind of thing it is
        wanted as."""
        key = (id(declared), tuple(wanted.kinds(want)))
        if key not in self._known:
            if any(declared is d for d in self._open):
                self.cycle(declared, span)
                return Unknown(ANY)
            self._open.append(declared)
            try:
                with self.asking() as asked:
                    self._known[key] = self.worked_out(declared, want), asked
            except RecursionError:
                self._known[key] = Unknown(ANY), {}  # so that one of a long chain reports it, not each
                raise
            finally:
                self._open.pop()
        value, asked = self._known[key]
        self._asked |= asked
        return value

    def worked_out(self, declared: Declared, want: Type) -> Any:
        """The value of a top-level `let`, a `param` or an optimizer."""
        decl, scope = declared.decl, Scope(declared.module)
        if isinstance(decl, Param):
            return param_value(self, decl, scope)
        if isinstance(decl, LetStmt):
            return self.evaluate(decl.value, scope, want)
        assert isinstance(decl, ValueDecl)
        return self.value(decl.value, scope, Kind("optimizer"), f"`{declared.name}`")

    def cycle(self, declared: Declared, span: Span) -> None:
        start = next(i for i, d in enumerate(self._open) if d is declared)
        chain = [d.name for d in self._open[start:]] + [declared.name]
        self.diagnostics.add(
            "E0210",
            span,
            f"`{declared.name}` is defined by itself",
            "closes the circle",
            notes=(" -> ".join(chain),),
            help="break the circle: one of these must not need the others",
        )

    # ── attributes ──────────────────────────────────────────────────────────────────────────────────────

    def attribute(self, expr: Attribute, scope: Scope) -> Any:
        value = self.evaluate(expr.value, scope)
        if isinstance(value, Uncalled):
            self.not_called(value, expr.value.span)
            return Unknown(ANY)
        if isinstance(value, Unknown):
            return Unknown(ANY)
        if isinstance(value, Instance) and value.kind == "train":
            return History(value) if expr.name.text == "history" else Weights(value, expr.name.text)
        if isinstance(value, Part) and expr.name.text == "class_counts":
            return self.class_counts(value, expr.span)
        sizes: Mapping[str, Callable[[Instance], Any]] = {}
        if isinstance(value, Instance) and value.kind == "data":
            sizes = self.sizes(value)
            if expr.name.text in sizes:
                return self.size(value, sizes[expr.name.text])
        known = attributes(value, sizes)
        if expr.name.text in known:
            return known[expr.name.text]
        self.diagnostics.add(
            "E0205",
            expr.name.span,
            f"{describe(value)} has no attribute `{expr.name.text}`",
            "unknown attribute",
            help=lambda: (
                did_you_mean(expr.name.text, known) or (f"there are: {', '.join(known)}" if known else "")
            ),
        )
        return Unknown(ANY)

    def size(self, data: Instance, measure: Callable[[Instance], Any]) -> Any:
        """A number about a data block; where it is not known yet, that is noted."""
        found = measure(data)
        if isinstance(found, Dim):
            self.asked(str(found), data)
        return found

    def sizes(self, data: Instance) -> Mapping[str, Callable[[Instance], Any]]:
        """What the items of a data block decide, by name: each is worked out where it is asked for."""
        decl = data.declared.decl
        assert isinstance(decl, DataDecl)
        inputs, target = (
            part.name.text if part.name is not None else "" for part in (decl.input, decl.target)
        )
        found: dict[str, Callable[[Instance], Any]] = {"classes": self.classes}
        if target == "value":
            found["values"] = self.values
        if inputs == "text":
            found["vocab_size"] = self.vocab_size
        return found

    def values(self, data: Instance) -> Any:
        """The number of values of an item of a data block: known once its items were read."""
        fact = f"{data.name}.values"
        return self.facts.get(fact, Dim.symbol(fact))

    def classes(self, data: Instance) -> Any:
        """The number of classes of a data block: known once its items were read."""
        vocab = self.field(data, "vocab")
        if isinstance(vocab, list):
            return len(vocab)
        fact = f"{data.name}.classes"
        return self.facts.get(fact, Dim.symbol(fact))

    def vocab_size(self, data: Instance) -> Any:
        """How many tokens the texts of a data block are made of: known once its tokenizer was fitted."""
        tokenizer = self.field(data, "tokenizer", Kind("tokenizer"))
        fact = f"{tokenizer.name if isinstance(tokenizer, Instance) else f'{data.name}.tokenizer'}.vocab"
        return self.facts.get(fact, Dim.symbol(fact))

    def field(self, instance: Instance, name: str, want: Type = ANY) -> Any:
        """The value of a field of a declaration, as it is written; None where it is not."""
        decl = instance.declared.decl
        body = decl.body if isinstance(decl, DataDecl | BodyDecl) else ()
        expr = next((s.value for s in body if isinstance(s, FieldStmt) and s.name.text == name), None)
        if expr is None:
            return None
        return self.evaluate(expr, Scope(instance.declared.module, dict(instance.args)), want)

    def class_counts(self, part: Part, span: Span) -> Any:
        """How many items of each class a part has, in the order of the classes: known once its items were read."""
        if part.part != "train":
            self.diagnostics.add(
                "W0712",
                span,
                f"`{part.part}.class_counts` counts items that a training should know nothing of",
                "not of the training part",
                help=f"write `{part.data.declared.name}.train.class_counts`",
            )
        fact = f"{part.data.name}.{part.part}.class_counts"
        if (counts := self.facts.get(fact)) is not None:
            return make_list(counts)
        self.asked(fact, part.data)
        return Awaited(list_of(INT), fact)

    def model_of(self, train: Instance) -> Any:
        """What a train trains: the value of its field `model`."""
        model = self.field(train, "model", Kind("model"))
        return Unknown(ANY) if model is None else model


def is_optimizer(decl: object) -> bool:
    """Whether a declaration gives an optimizer a name: it stands for its value, as a `let` does, and is no stage."""
    return isinstance(decl, ValueDecl) and decl.kind == "optimizer"


def _is_stack(binding: object) -> bool:
    return isinstance(binding, Declared) and getattr(binding.decl, "kind", "") in ("block", "model")


def _meant(written: str, kinds: Sequence[str], names: Sequence[str]) -> str:
    """A hint to what is meant by an unknown name, which may stand behind a module of Python, as in `nn.Conv2d`."""
    word = written.rpartition(".")[2]
    said = other_names.component(word, kinds) or did_you_mean(word, names)
    if word == written:
        return said
    instead = word if word in names else said.instead if isinstance(said, Hint) else ""
    return hint(f"write `{instead}`", written, instead) if instead else said
