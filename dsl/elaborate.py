"""Expands a model to its layers: blocks are called, loops unrolled, conditions decided, shapes followed.

The same walk checks a body whose arguments are not known: then the shape is unknown (None), both branches of
an `if` are looked into, and calls are checked but not followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mfc.dsl import counts, ir, shapes
from mfc.dsl.dims import Dim
from mfc.dsl.draft import Draft, DraftLayer, Place, Reuse, finish, groups
from mfc.dsl.elaborated import Elaborated, LayerRecord
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.lower import lower
from mfc.dsl.resolve import Declared
from mfc.dsl.rules import parse_rule
from mfc.dsl.scope import LimitReached, Scope, make_list
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    CallExpr,
    Expr,
    FieldStmt,
    ForStmt,
    GroupStmt,
    IfStmt,
    LayerStmt,
    LetStmt,
    Missing,
    Name,
    Phase,
    Stmt,
    ValueDecl,
)
from mfc.dsl.tables import fill
from mfc.dsl.types import Kind, Unknown, describe
from mfc.dsl.values import ComponentValue, Current, Instance, Kept, KeptIn, Shape, SharedModule, Uncalled

LAYER = Kind("layer")
JOINS = ("add", "sub", "mul", "concat", "matmul")
STATEMENTS = (*JOINS, "from", "apply")
MAX_LAYERS = 5_000


@dataclass
class _Here:
    """Where the walk stands: the stack that is being filled and the shape of the current tensor (None: not known)."""

    stack: Draft
    shape: Shape | None
    abstract: bool = False
    whole: ComponentValue | None = None
    """The architecture that is all of the stack, if one is."""


@dataclass
class Elaborator:
    """Elaborates models of one program."""

    evaluator: Evaluator
    vocab: int | Dim | None = None
    """How many tokens the data's texts are made of: an `In` argument of that name is filled with it."""
    layers: list[LayerRecord] = field(default_factory=list)
    learned: int | Dim | None = 0
    """How many numbers the layers up to here learn; None where that is not known."""
    _slots: int = 0
    _shared: dict[Any, Draft] = field(default_factory=dict)
    _bodies: dict[int, tuple[Sequence[Stmt], Scope]] = field(default_factory=dict)
    _built: set[int] = field(default_factory=set)

    # ── the faces ───────────────────────────────────────────────────────────────────────────────────────

    def model(self, value: Any, shape: Shape, span: Span) -> Elaborated | None:
        """The layers of a model that gets an input of a shape; None where the value is no model that is known."""
        here = _Here(Draft(""), shape)
        if not self.into(value, here, span, root=True):
            return None
        stack = finish(here.stack, "", here.whole is not None)
        whole = here.whole.info.facts["groups"] if here.whole is not None else ()
        named = (*(group.path for group in groups(here.stack)), *whole)
        return Elaborated(
            stack, shape, here.shape, named, tuple(self.layers), self.learned, here.whole is not None
        )

    def check_body(self, declared: Declared, scope: Scope) -> None:
        """Looks into a body whose arguments and input are not known."""
        decl = declared.decl
        assert isinstance(decl, BodyDecl)
        self.body(decl.body, scope, _Here(Draft(declared.name), None, abstract=True))

    # ── models and blocks ───────────────────────────────────────────────────────────────────────────────

    def into(self, value: Any, here: _Here, span: Span, root: bool = False) -> bool:
        """Lets a layer, block or model act on the current tensor. With `root`, it becomes the stack itself."""
        match value:
            case ComponentValue(kind="layer" | "architecture"):
                here.whole = value if root and value.kind == "architecture" else None
                self.layer(value, here, span)
            case Instance(kind="block" | "model"):
                self.instance(value, here, span, root)
            case Instance(kind="train"):
                return self.into(self.evaluator.model_of(value), here, span, root)
            case Unknown():
                here.shape = None
            case Uncalled():
                self.evaluator.not_called(value, span)
                here.shape = None
            case _:
                self.evaluator.diagnostics.add(
                    "E0407", span, f"a layer is wanted here, not {describe(value)}", "not a layer"
                )
                here.shape = None
        return not isinstance(value, Unknown)

    def instance(self, value: Instance, here: _Here, span: Span, root: bool) -> None:
        declared, decl = value.declared, value.declared.decl
        budget = self.evaluator.budget
        if not root and (here.shape is None or any(isinstance(v, Unknown) for _, v in value.args)):
            here.shape = self.learned = None
            return
        budget.enter(f"in `{declared.name}`, called here", span)
        try:
            if isinstance(decl, ValueDecl):
                self.named_model(value, decl, here, span, root)
                return
            assert isinstance(decl, BodyDecl)
            stack = here.stack if root else Draft(declared.name)
            names = dict(value.args) | self.pass_tensors(value, stack)
            inner = _Here(stack, here.shape, here.abstract)
            self.body(decl.body, Scope(declared.module, names), inner)
            here.shape = inner.shape
            if not root:
                here.stack.steps.append(Place("run", stack))
        finally:
            budget.leave()

    def pass_tensors(self, value: Instance, stack: Draft) -> dict[str, Any]:
        """A block's parameters that are tensors of its caller, or lists of them, in slots of its own."""
        passed: dict[str, Any] = {}
        for name, argument in value.args:
            if isinstance(argument, Kept):
                passed[name] = self.pass_tensor(name, argument, stack)
            elif isinstance(argument, list) and any(isinstance(item, Kept) for item in argument):
                passed[name] = make_list(
                    self.pass_tensor(name, item, stack) if isinstance(item, Kept) else item
                    for item in argument
                )
        return passed

    def pass_tensor(self, name: str, tensor: Kept, stack: Draft) -> Kept:
        slot = self.new_slot(name)
        stack.passes[slot] = tensor.slot
        return Kept(slot, tensor.shape)

    def named_model(self, value: Instance, decl: ValueDecl, here: _Here, span: Span, root: bool) -> None:
        """`model net = ...`: within one model the same module, however often it is used."""
        if root:
            inner = self.evaluator.value(
                decl.value, Scope(value.declared.module, dict(value.args)), Kind("model"), "a model"
            )
            self.into(inner, here, span, root)
            return
        stack = self._shared.get(value)
        fresh = stack is None
        if stack is None:
            stack = self._shared[value] = Draft(value.declared.name)
        before, learned = len(self.layers), self.learned
        inner_here = _Here(Draft("") if not fresh else stack, here.shape, here.abstract)
        inner = self.evaluator.value(
            decl.value, Scope(value.declared.module, dict(value.args)), Kind("model"), "a model"
        )
        self.into(inner, inner_here, span, root=True)
        here.shape = inner_here.shape
        if fresh:
            here.stack.steps.append(Place("run", stack))
        else:
            del self.layers[before:]
            self.learned = learned
            here.stack.steps.append(Reuse(stack))

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────────────

    def body(self, statements: Sequence[Stmt], scope: Scope, here: _Here) -> None:
        for statement in statements:
            self.evaluator.budget.spend(statement.span)
            scope.names["x"] = Current(here.shape)
            into, learned = here.shape, self.learned
            match statement:
                case LayerStmt():
                    self.statement(statement.call, scope, here)
                case LetStmt():
                    self.let(statement, scope, here)
                case BranchStmt():
                    self.aside(statement, scope, here)
                case IfStmt():
                    self.choose(statement, scope, here)
                case ForStmt():
                    self.repeat(statement, scope, here)
                case GroupStmt():
                    self.group(statement, scope, here)
                case FieldStmt():
                    self.field(statement)
                case Phase():
                    self.evaluator.diagnostics.add(
                        "E0206", statement.name.span, "a model has no phases", "only in a train"
                    )
            self.evaluator.passed(statement, into, here.shape, learned, self.learned)

    def field(self, statement: FieldStmt) -> None:
        if statement.name.text != "input":
            self.evaluator.diagnostics.add(
                "E0206",
                statement.name.span,
                f"a model has no field `{statement.name.text}`",
                "unknown field",
                help=f"write `let {statement.name.text} = ...` for a value",
            )

    def let(self, statement: LetStmt, scope: Scope, here: _Here) -> None:
        value = self.evaluator.evaluate(statement.value, scope)
        if isinstance(value, Current):
            value = Kept(self.new_slot(statement.name.text), here.shape)
            here.stack.steps.append(ir.Keep(value.slot))
        self.define(statement.name, value, scope)

    def define(self, name: Name, value: Any, scope: Scope) -> None:
        if name.text != "x":  # reported when it was parsed; `x` stays the current tensor
            self.evaluator.define(name, value, scope)

    def aside(self, statement: BranchStmt, scope: Scope, here: _Here) -> None:
        """`let s = branch { }` and `let f = module { }`"""
        name = statement.name.text
        stack = Draft(name, fixed=True, shares_slots=True)
        if statement.kind == "module":
            self.define(statement.name, SharedModule(stack), scope)
            self._bodies[id(stack)] = (statement.body, scope)
            here.stack.steps.append(Place("define", stack))
            here.stack.given.add(name)
            return
        inner, learned = _Here(stack, here.shape, here.abstract), self.learned
        self.body(statement.body, scope.inner(), inner)
        self.evaluator.passed(statement.name, here.shape, inner.shape, learned, self.learned)
        slot = self.new_slot(name)
        here.stack.steps.append(Place("branch", stack, slot))
        self.unique(statement.name, here.stack)
        self.define(statement.name, Kept(slot, inner.shape), scope)

    def choose(self, statement: IfStmt, scope: Scope, here: _Here) -> None:
        holds = self.evaluator.condition(statement.condition, scope)
        if holds is not None:
            self.body(statement.yes if holds else statement.no, scope.inner(), here)
            return
        other = _Here(Draft(here.stack.base), here.shape, here.abstract)
        self.body(statement.yes, scope.inner(), here)
        self.body(statement.no, scope.inner(), other)
        self.learned = None
        if here.shape != other.shape:
            here.shape = None

    def repeat(self, statement: ForStmt, scope: Scope, here: _Here) -> None:
        for names in self.evaluator.iterate(statement.iterable, statement.names, scope):
            self.evaluator.budget.spend(statement.span)
            self.body(statement.body, scope.inner(names), here)
            if any(isinstance(v, Unknown) for v in names.values()):
                here.shape = self.learned = None

    def group(self, statement: GroupStmt, scope: Scope, here: _Here) -> None:
        stack = Draft(statement.name.text, fixed=True, group=True, shares_slots=True)
        inner, within = _Here(stack, here.shape, here.abstract), scope.inner()
        self.body(statement.body, within, inner)
        here.shape = inner.shape
        here.stack.steps.append(Place("run", stack))
        self.unique(statement.name, here.stack)
        kept = {name: value for name, value in within.names.items() if isinstance(value, Kept)}
        if kept and statement.name.text not in scope.names:
            scope.names[statement.name.text] = KeptIn(statement.name.text, kept)

    def unique(self, name: Name, stack: Draft) -> None:
        """A name that users gave to a part of a model is given once: it is the part's name in the state dict."""
        if name.text in stack.given:
            self.evaluator.diagnostics.add(
                "E0406",
                name.span,
                f"two parts of one model are called `{name.text}`",
                "named again here",
                help="their weights would get the same names: call one of them otherwise",
            )
        stack.given.add(name.text)

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────

    def statement(self, call: Expr, scope: Scope, here: _Here) -> None:
        if isinstance(call, Missing):
            here.shape = None
            return
        if not isinstance(call, CallExpr):
            self.into(self.evaluator.evaluate(call, scope, LAYER), here, call.span)
            return
        name = call.callee.text if isinstance(call.callee, Name) else ""
        if name in STATEMENTS and name not in scope.module.names and scope.find(name) is None:
            self.special(name, call, scope, here)
            return
        self.into(self.evaluator.call(call, scope, LAYER), here, call.span)

    def special(self, name: str, call: CallExpr, scope: Scope, here: _Here) -> None:
        """`from(s)`, `apply(f)` and the joins"""
        values = [self.evaluator.evaluate(a.value, scope) for a in call.arguments]
        kind = SharedModule if name == "apply" else Kept
        many = name == "concat"
        right = all(isinstance(v, kind | Unknown) for v in values) and all(
            a.name is None for a in call.arguments
        )
        if not values or not right or (len(values) > 1 and not many):
            wanted = (
                "a module kept with `let f = module { }`"
                if name == "apply"
                else "a tensor kept with `let s = x` or `let s = branch { }`"
            )
            self.evaluator.diagnostics.add(
                "E0405",
                call.span,
                f"`{name}` takes {wanted}{', or several' if many else ''}",
                "wrong use",
                help=f"write `{name}(s)`",
            )
            here.shape = None
        elif any(isinstance(v, Unknown) for v in values):
            here.shape = None
        elif name == "apply":
            self.apply(values[0], here)
        elif name == "from":
            here.stack.steps.append(ir.Load(values[0].slot))
            here.shape = values[0].shape
        else:
            self.join(name, values, call.span, here)

    def join(self, op: str, kept: list[Kept], span: Span, here: _Here) -> None:
        here.stack.steps.append(ir.Join(op, tuple(k.slot for k in kept)))
        joining = [shape for shape in (here.shape, *(k.shape for k in kept)) if shape is not None]
        here.shape = None
        if len(joining) <= len(kept):  # one of them is not known
            return
        try:
            joined = shapes.join(op, joining)
        except shapes.Mismatch as error:
            shown = " and ".join(shapes.show_shape(shape) for shape in joining)
            self.mismatch("E0402", span, f"`{op}` can't join {shown}", str(error))
            return
        here.shape = joined.out

    def apply(self, shared: SharedModule, here: _Here) -> None:
        """Uses a module that was defined before; its layers are built once, its shapes are followed at each use."""
        statements, scope = self._bodies[id(shared.draft)]
        fresh = id(shared.draft) not in self._built
        inner = _Here(shared.draft if fresh else Draft(shared.draft.base), here.shape, here.abstract)
        before, learned = len(self.layers), self.learned
        self.body(statements, scope.inner(), inner)
        if not fresh:
            del self.layers[before:]
            self.learned = learned
        self._built.add(id(shared.draft))
        here.stack.steps.append(Reuse(shared.draft))
        here.shape = inner.shape

    # ── layers ──────────────────────────────────────────────────────────────────────────────────────────

    def layer(self, value: ComponentValue, here: _Here, span: Span) -> None:
        args, passes, tie = dict(value.args), {}, None
        for name in value.info.passes:
            if isinstance(argument := args.pop(name, None), Kept):
                passes[name] = argument.slot
        if isinstance(argument := args.pop("tie", None), SharedModule):
            tie = argument.draft
        into, here.shape = here.shape, None
        known = not any(isinstance(v, Unknown) for v in args.values())
        if (
            known
            and fill(value.info, args, self.evaluator.diagnostics, value.written, value.span)
            and into is not None
        ):
            self.follow(value, args, into, here, span)
        filled = {p.name: args.get(p.name) for p in value.info.parameters}
        splits = args.get(value.info.facts.get("splits") or "")
        parts = ("start", *splits) if isinstance(splits, list) and splits else ()
        layer = DraftLayer(
            value.info.name,
            lower(ComponentValue(value.info, filled, value.span, value.written)),
            passes,
            tie,
            parts,
        )
        here.stack.steps.append(Place("run", layer))
        count = (
            None if here.shape is None else counts.parameters(value.info, args, into or (), tie is not None)
        )
        self.learned = counts.together((self.learned, count))
        if into is not None:
            if len(self.layers) >= MAX_LAYERS:
                raise LimitReached("E0602", f"a model has more than {MAX_LAYERS:,} layers", span)
            self.layers.append(LayerRecord(layer, into, here.shape, span, value.span, count, self.learned))

    def follow(
        self, value: ComponentValue, args: dict[str, Any], into: Shape, here: _Here, span: Span
    ) -> None:
        """Applies a layer's shape rule: the shape that comes out, and the arguments that come from what goes in."""
        try:
            rule = parse_rule(value.info.facts["shape"])
            if any(p.is_in and p.name == "vocab" for p in value.info.parameters):
                args["vocab"] = self.vocab_of_data()
            if value.info.facts.get("ids") and not self.may_be_ids():
                raise shapes.Mismatch("it takes integers, such as the tokens of texts")
            applied = shapes.apply(rule, into, args)
        except shapes.Mismatch as error:
            self.mismatch(
                "E0401", span, f"`{value.info.name}` can't take {shapes.show_shape(into)}", str(error)
            )
            return
        here.shape = applied.out if applied.out is None or isinstance(applied.out, tuple) else None
        for parameter in value.info.parameters:
            if parameter.is_in and parameter.name not in args:
                args[parameter.name] = applied.bound[parameter.name]

    def vocab_of_data(self) -> int | Dim:
        if self.vocab is None:
            raise shapes.Mismatch("it takes the tokens of texts")
        return self.vocab

    def may_be_ids(self) -> bool:
        """Whether the current tensor may be of integers: tokens are, and what a layer of the user's own gives may be."""
        own = any(not record.layer.call.target.startswith("mfc.") for record in self.layers)
        return self.vocab is not None or own

    def mismatch(self, code: str, span: Span, message: str, reason: str) -> None:
        chain = self.evaluator.budget.chain(span)
        self.evaluator.diagnostics.add(code, span, message, reason, labels=chain)

    def new_slot(self, name: str) -> str:
        self._slots += 1
        return f"{name}_{self._slots}"
