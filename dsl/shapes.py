"""Shapes through shape rules: what a component makes of what comes in, and why it can't take it.

    >>> rule = parse_rule("b c h w -> b nf conv(h) conv(w) where c % groups == 0")
    >>> apply(rule, (b, 3, 32, 32), {"nf": 64, "ks": 3, "stride": 2, "padding": None, "groups": 1}).out
    (b, 64, 16, 16)

A rule reads every argument of its component, with the defaults filled in:

- `In` arguments are not among them; they are bound to the dim of their name, and `Applied.bound` has them.
- True and False count as 1 and 0 in arithmetic.
- `stride = none` reads as `ks`, `padding = none` as `(ks - 1) // 2`. Any other none can't be computed with.
- An argument of the name of a dim of the input has to be equal to that dim.
- `conv`, `tconv` and `pool` read `ks stride padding dilation output_padding ceil_mode`. Where the component
  does not have them, stride is 1 (of a pool: `ks`), dilation 1, paddings 0 and ceil_mode false.

Every size that comes out is at least 1, as every size that comes in is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mfc.dsl.conditions import Condition, Mismatch, Relation, decide
from mfc.dsl.dims import LARGEST, Dim, Size, TooLarge, at_most, is_varying, maximum, minimum, product, total
from mfc.dsl.rules import (
    COMPARISONS,
    Binary,
    Call,
    Count,
    Expr,
    Name,
    Number,
    Rest,
    Rule,
    RuleError,
    names,
    parse_rule,
)

__all__ = [
    "JOINS", "OF_WINDOWS", "Applied", "Condition", "Mismatch", "Rule", "RuleError", "Shape", "apply", "counted", "is_varying", "join",
    "parse_rule", "show_shape",
]  # fmt: skip

Shape: TypeAlias = tuple[Size, ...]

JOINS = ("add", "sub", "mul", "concat", "matmul")

_WINDOWS = ("conv", "tconv", "pool")
_DEFAULTS = ("stride", "padding")
"""The arguments of windows for which a number is taken where they are none."""
OF_WINDOWS = {"ks": 0, "stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "ceil_mode": 0}
"""The arguments that windows read, with what goes without saying."""
_DIM_NAMES = {2: ("batch", "features"), 4: ("batch", "channels", "height", "width")}


@dataclass(frozen=True)
class Applied:
    """What a rule makes of a shape: the shapes that come out (none for a rule that only takes), the sizes of
    its named dims, and the conditions that can't be decided yet."""

    outs: tuple[Shape, ...]
    bound: Mapping[str, Size] = field(default_factory=dict)
    obligations: tuple[Condition, ...] = ()

    @property
    def out(self) -> Any:
        """The shape that comes out; where there are several, a tuple of them."""
        return self.outs[0] if len(self.outs) == 1 else self.outs


def apply(rule: Rule, shape: Shape, args: Mapping[str, Any]) -> Applied:
    """What comes out of a component with arguments `args` for `shape`. Raises Mismatch if it can't take it.

    A rule without input is applied to `()`; its names that are no arguments are sizes that differ from item
    to item. Raises RuleError for a name that is neither a dim nor an argument, and for an argument that is no
    number where a number is needed: mistakes in the rule.
    """
    scope = _Scope(rule, args)
    if rule.takes is None:
        scope.dims = {name: Dim.varying(name) for name in rule.arguments if name not in args}
    try:
        if rule.takes is not None:
            scope.match(rule.takes, shape)
        if rule.where is not None:
            scope.require_where(rule.where)
        outs = tuple(tuple(size for item in dims for size in scope.output(item)) for dims in rule.gives)
    except TooLarge as error:
        raise Mismatch(f"what comes out can't be computed: {error}") from None
    return Applied(outs, scope.dims, tuple(scope.obligations))


def counted(count: Count, rule: Rule | None, shape: Shape, args: Mapping[str, Any]) -> tuple[Size, ...]:
    """The parts of a count rule. Its names are those of the component's shape rule, for what comes in, and its
    arguments; an argument that is none counts as 0. Without a rule nothing comes in.

    Raises Mismatch and RuleError as `apply` does, and TooLarge.
    """
    dims = rule.dims if rule is not None else ()
    left_out = {name: 0 for name, value in args.items() if value is None and name not in (*dims, *_DEFAULTS)}
    scope = _Scope(rule or Rule(count.text, None, (), None), {**args, **left_out})
    if rule is not None and rule.takes is not None:
        scope.match(rule.takes, shape)
    return tuple(scope.size(part) for part in count.parts)


def join(op: str, shapes: Sequence[Shape]) -> Applied:
    """What a join (`add sub mul concat matmul`) makes of the current shape and the others. Raises Mismatch.

    add, sub and mul take equal shapes, except that a dim of size 1 is repeated; concat joins along dim 1;
    matmul multiplies `... n k` with `... k m` where the dims before those are equal.
    """
    out, obligations = shapes[0], []
    try:
        for other in shapes[1:]:
            pair = _Join(out, other)
            out = pair.concat() if op == "concat" else pair.matmul() if op == "matmul" else pair.elementwise()
            obligations += pair.obligations
    except TooLarge as error:
        raise Mismatch(f"what comes out can't be computed: {error}") from None
    return Applied((out,), {}, tuple(obligations))


def show_shape(shape: Shape) -> str:
    """A shape for a message: `(b, 3, h, w)`."""
    return f"({', '.join(map(str, shape))})"


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────


class _Scope:
    """What the names of one rule stand for while it is applied."""

    def __init__(self, rule: Rule, args: Mapping[str, Any]) -> None:
        self.rule, self.args = rule, args
        self.dims: dict[str, Size] = {}
        self.rest: Shape = ()
        self.obligations: list[Condition] = []

    def match(self, takes: tuple[Expr, ...], shape: Shape) -> None:
        """Binds the names of the input to the dims of `shape`."""
        pattern = " ".join(self.rule.source(item) for item in takes)
        rest = next((i for i, item in enumerate(takes) if isinstance(item, Rest)), None)
        fixed = len(takes) - (rest is not None)
        if len(shape) < fixed or (rest is None and len(shape) != fixed):
            least = "" if rest is None else "at least "
            got = f"got {len(shape)} {show_shape(shape)}"
            raise Mismatch(f"expected {least}{_dims(fixed)} ({pattern}), {got}")
        before = len(takes) if rest is None else rest
        after = len(shape) - (fixed - before)
        self.rest = shape[before:after]
        items = [item for item in takes if not isinstance(item, Rest)]
        for item, size in zip(items, (*shape[:before], *shape[after:])):
            if isinstance(item, Number):
                self.require_equal(size, item.value, f"expected {item.value} in ({pattern}), got {{a}}")
            elif isinstance(item, Name):
                self.bind(item.name, size)

    def bind(self, name: str, size: Size) -> None:
        if name in self.dims:
            self.require_equal(self.dims[name], size, f"`{name}` can't be both {{a}} and {{b}}")
            return
        self.dims[name] = size
        if self.args.get(name) is not None:
            self.require_equal(size, self.number(name), f"`{name}` is {{b}}, but what comes in has {{a}}")

    def require(self, condition: Condition) -> None:
        match condition.decide():
            case False:
                raise Mismatch(condition.reason())
            case None:
                self.obligations.append(condition)

    def require_equal(self, a: Size, b: Size, failure: str) -> None:
        self.require(Condition(Relation("==", a, b), f"{a} == {b}", failure, {"a": a, "b": b}))

    def require_where(self, where: Expr) -> None:
        test = self.test(where)
        if not decide(test):
            values, text = self.values(where), f"`{self.rule.source(where)}`"
            self.require(Condition(test, text, f"{text} does not hold{_where(values)}", values))

    # ── values ──────────────────────────────────────────────────────────────────────────────────────────

    def output(self, item: Expr) -> Shape:
        """The sizes of one item of the output, each at least 1."""
        if isinstance(item, Rest):
            return self.several(item)
        size = self.size(item)
        if isinstance(size, int) and size > LARGEST:
            raise TooLarge(f"a size above {LARGEST}")
        of_input = isinstance(item, Name) and item.name in self.dims
        if not of_input and not at_most(1, size):
            values, text = self.values(item), f"`{self.rule.source(item)}`"
            failure = f"{text} would be {{result}}{_where(values)}"
            self.require(
                Condition(Relation(">=", size, 1), f"{text} >= 1", failure, {**values, "result": size})
            )
        return (size,)

    def several(self, rest: Rest) -> Shape:
        if rest.name is None:
            return self.rest
        value = self.args.get(rest.name)
        if not isinstance(value, list | tuple) or not all(isinstance(size, int | Dim) for size in value):
            raise RuleError(f"`{rest.name}` is no argument that is a list of integers", rest.span[0])
        return tuple(value)

    def size(self, expr: Expr) -> Size:
        try:
            match expr:
                case Number(value):
                    return value
                case Name(name, span):
                    return self.dims[name] if name in self.dims else self.number(name, span[0])
                case Binary(op, left, right):
                    return _arithmetic(op, self.size(left), self.size(right))
                case Call(function, args):
                    return self.call(function, args)
        except ZeroDivisionError:
            raise Mismatch(f"`{self.rule.source(expr)}` divides by zero") from None
        raise RuleError("`...` is no single size", expr.span[0])

    def number(self, name: str, position: int = 0) -> Size:
        """An argument as a size."""
        if name not in self.args:
            raise RuleError(f"`{name}` is neither a dim of what comes in nor an argument", position)
        value = self.args[name]
        if value is None and name == "stride":
            return self.number("ks", position)
        if value is None and name == "padding":
            return (self.number("ks", position) - 1) // 2
        if value is None:
            raise Mismatch(f"`{name}` is none")
        if not isinstance(value, int | Dim):
            raise RuleError(f"`{name}` is no integer", position)
        return int(value) if isinstance(value, bool) else value

    def option(self, name: str, default: Size) -> Size:
        return self.number(name) if name in self.args else default

    def call(self, function: str, args: tuple[Expr, ...]) -> Size:
        if function in ("prod", "sum"):
            parts = (self.several(arg) if isinstance(arg, Rest) else (self.size(arg),) for arg in args)
            sizes = [size for part in parts for size in part]
            return product(sizes) if function == "prod" else total(sizes)
        if function in ("min", "max"):
            return (minimum if function == "min" else maximum)(map(self.size, args))
        size, ks = self.size(args[0]), self.number("ks")
        stride = self.option("stride", ks if function == "pool" else 1)
        padding, dilation = self.option("padding", 0), self.option("dilation", 1)
        span = dilation * (ks - 1)
        if function == "tconv":
            return (size - 1) * stride - 2 * padding + span + self.option("output_padding", 0) + 1
        if function == "pool" and self.args.get("ceil_mode"):
            # the last window begins inside the input or its left padding
            fits, begins = size + 2 * padding - span + stride - 2, size + padding - 1
            return minimum([fits // stride, begins // stride]) + 1
        return (size + 2 * padding - span - 1) // stride + 1

    def test(self, expr: Expr) -> Relation | bool:
        """A condition with its values put in."""
        if isinstance(expr, Binary) and expr.op in COMPARISONS:
            if None in self.args.values() and any(self._left_out(name) for name in names(expr)):
                return True
            return Relation(expr.op, self.size(expr.left), self.size(expr.right))
        if isinstance(expr, Binary):
            return Relation(expr.op, self.test(expr.left), self.test(expr.right))
        value = self.args.get(expr.name) if isinstance(expr, Name) else None
        if not isinstance(value, bool):
            raise RuleError(f"`{self.rule.source(expr)}` is not true or false", expr.span[0])
        return value

    def _left_out(self, name: str) -> bool:
        """Whether a name stands for an argument that is none, and no number is taken for it."""
        none = name in self.args and self.args[name] is None
        return none and name not in self.dims and name not in _DEFAULTS

    def values(self, expr: Expr) -> dict[str, Any]:
        """What the names of an expression stand for, and what its functions read."""
        used, parts = dict.fromkeys(names(expr)), _parts(expr)
        if any(isinstance(part, Call) and part.function in _WINDOWS for part in parts):
            used |= {n: None for n in OF_WINDOWS if n in self.args and self.number(n) != OF_WINDOWS[n]}
        found: dict[str, Any] = {}
        for name in used:
            value = self.dims.get(name, self.args.get(name))
            found[name] = self.number(name) if value is None and name in _DEFAULTS else value
        if any(isinstance(part, Rest) and part.name is None for part in parts):
            found["rest"] = self.rest
        return found


def _where(values: Mapping[str, Any]) -> str:
    """` where c = {c} and groups = {groups}`"""
    said = [f"{'...' if name == 'rest' else name} = {{{name}}}" for name in values]
    listed = ", ".join(said[:-1]) + " and " + said[-1] if len(said) > 1 else "".join(said)
    return f" where {listed}" if listed else ""


def _parts(expr: Expr) -> list[Expr]:
    """Every call and every `...` in an expression."""
    match expr:
        case Call(_, args):
            return [expr, *(part for arg in args for part in _parts(arg))]
        case Binary(_, left, right):
            return _parts(left) + _parts(right)
        case Rest():
            return [expr]
    return []


def _arithmetic(op: str, a: Size, b: Size) -> Size:
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "//":
            return a // b
    return a % b


# ── joins ───────────────────────────────────────────────────────────────────────────────────────────────


class _Join:
    """Two shapes that are joined, and what has to hold for that."""

    def __init__(self, a: Shape, b: Shape) -> None:
        self.a, self.b = a, b
        self.obligations: list[Condition] = []
        if len(a) != len(b):
            raise Mismatch(f"{_dims(len(a))} and {_dims(len(b))}: {show_shape(a)} and {show_shape(b)}")

    def elementwise(self) -> Shape:
        return tuple(self.broadcast(i) for i in range(len(self.a)))

    def broadcast(self, i: int) -> Size:
        if self.a[i] == 1 or self.b[i] == 1:
            return self.b[i] if self.a[i] == 1 else self.a[i]
        self.require_same(i)
        return self.a[i]

    def concat(self) -> Shape:
        self.require_rank(2, "b c")
        for i in range(len(self.a)):
            if i != 1:
                self.require_same(i)
        return (self.a[0], self.a[1] + self.b[1], *self.a[2:])

    def matmul(self) -> Shape:
        self.require_rank(3, "b n k")
        for i in range(len(self.a) - 2):
            self.require_same(i)
        self.require_equal(self.a[-1], self.b[-2], "the last dim {x} and the last but one {y} differ")
        return (*self.a[:-1], self.b[-1])

    def require_rank(self, least: int, pattern: str) -> None:
        if len(self.a) < least:
            got = f"got {len(self.a)} {show_shape(self.a)}"
            raise Mismatch(f"expected at least {_dims(least)} ({pattern}), {got}")

    def require_same(self, i: int) -> None:
        named = _DIM_NAMES.get(len(self.a))
        which = named[i] if named else f"dim {i}"
        self.require_equal(self.a[i], self.b[i], f"{which} {{x}} and {{y}} differ")

    def require_equal(self, x: Size, y: Size, failure: str) -> None:
        values = {"x": x, "y": y, "a": self.a, "b": self.b}
        condition = Condition(Relation("==", x, y), f"{x} == {y}", f"{failure}: {{a}} and {{b}}", values)
        match condition.decide():
            case False:
                raise Mismatch(condition.reason())
            case None:
                self.obligations.append(condition)


def _dims(count: int) -> str:
    return f"{count} dim{'' if count == 1 else 's'}"
