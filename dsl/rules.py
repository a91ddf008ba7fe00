"""The language of rules: how a layer, transform or loss says what it takes and what it gives (its shape rule), and
how a layer says how many numbers it learns (its count rule).

    in -> out [; out] [where condition]
    count [; count]

    rule       := [dims "->"] dims (";" dims)* ["where" condition]   b c h w -> b nf conv(h) conv(w)
                | dims ["where" condition]                           b classes ...    only takes
    counts     := size (";" size)*                                   nf*c*ks*ks; nf*bias
    dims       := dim*                                               before the arrow names, numbers and "..."
    dim        := "..." | NAME "..." | size                          dims of the input; a list; one
    condition  := both ("or" both)*
    both       := test ("and" test)*
    test       := size [("==" | "!=" | "<" | "<=" | ">" | ">=") size]
    size       := term (("+" | "-") term)*
    term       := factor (("*" | "//" | "%") factor)*
    factor     := NUMBER | NAME | NAME "(" size, ... ")" | "(" condition ")"
                | NAME "." NAME                                      of a count: an argument of an argument

A name before the arrow names a dim of what comes in; elsewhere it is such a dim or an argument of the
component. The parenthesis of a call stands directly after its name, so that `b (h + 1) // 2` has two dims.
What is compared or computed with is a number, what `and` and `or` join is a comparison or an argument that is
true or false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

FUNCTIONS = {
    "conv": (1, 1),
    "tconv": (1, 1),
    "pool": (1, 1),
    "prod": (1, None),
    "sum": (1, None),
    "min": (2, None),
    "max": (2, None),
}
"""The functions of rules, with the least and the greatest number of their arguments."""

LONGEST, DEEPEST = 500, 20
"""The limits of a rule: characters, and parentheses within each other."""

SHAPE, COUNT = "shape rule", "count rule"

KEYWORDS = ("where", "and", "or")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_TOKEN = re.compile(
    r"(?P<number>\d+)|(?P<name>[^\W\d]\w*)|(?P<op>\.\.\.|\.(?=[^\W\d])|->|//|==|!=|<=|>=|[-+*%<>();,])|(?P<space>\s+)"
)


class RuleError(ValueError):
    """A rule that can't be read; `position` counts characters from its start."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


@dataclass(frozen=True)
class Number:
    value: int
    span: tuple[int, int]


@dataclass(frozen=True)
class Name:
    name: str
    span: tuple[int, int]


@dataclass(frozen=True)
class Rest:
    """`...`: the dims of the input that no name takes; `NAME...`: the items of an argument that is a list."""

    name: str | None
    span: tuple[int, int]


@dataclass(frozen=True)
class Call:
    function: str
    args: tuple[Expr, ...]
    span: tuple[int, int]


@dataclass(frozen=True)
class Binary:
    """Arithmetic, a comparison, `and` or `or`."""

    op: str
    left: Expr
    right: Expr
    span: tuple[int, int]


Expr: TypeAlias = Number | Name | Rest | Call | Binary


@dataclass(frozen=True)
class Rule:
    """A shape rule. `takes` is None where there is no input (`-> channels h w`); `gives` has the outputs."""

    text: str
    takes: tuple[Expr, ...] | None
    gives: tuple[tuple[Expr, ...], ...]
    where: Expr | None

    def source(self, expr: Expr) -> str:
        """What was written for a part of the rule."""
        return self.text[slice(*expr.span)]

    @property
    def dims(self) -> tuple[str, ...]:
        """The names that the rule gives to dims of its input."""
        return tuple(dict.fromkeys(item.name for item in self.takes or () if isinstance(item, Name)))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The other names it uses: the component's arguments. In a rule without input they may also be dims
        that differ from item to item."""
        used = dict.fromkeys(
            name for part in (*self.gives, (self.where,)) for e in part if e for name in names(e)
        )
        return tuple(name for name in used if name not in self.dims)


@dataclass(frozen=True)
class Count:
    """A count rule: the sum of its parts is how many numbers a layer learns. The first part is the layer's `weight`,
    which one that is tied has from another layer."""

    text: str
    parts: tuple[Expr, ...]


def names(expr: Expr) -> Iterator[str]:
    """Every name in an expression, in order."""
    match expr:
        case Name(name) | Rest(str(name)):
            yield name
        case Call(_, args):
            for arg in args:
                yield from names(arg)
        case Binary(_, left, right):
            yield from names(left)
            yield from names(right)


@lru_cache(maxsize=4096)
def parse_rule(text: str) -> Rule:
    """The shape rule that a text says. Raises RuleError with the position of what can't be read."""
    return _Parser(text, SHAPE).rule()


@lru_cache(maxsize=4096)
def parse_count(text: str) -> Count:
    """The count rule that a text says. Raises RuleError with the position of what can't be read."""
    return _Parser(text, COUNT).count()


class _Parser:
    def __init__(self, text: str, what: str) -> None:
        if len(text) > LONGEST:
            raise RuleError(f"a {what} has at most {LONGEST} characters", LONGEST)
        self.text, self.what, self.at, self.depth = text, what, 0, 0
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise RuleError(f"`{text[position]}` is not part of a {what}", position)
            if match.lastgroup != "space":
                word = match[0] in KEYWORDS
                self.tokens.append(("op" if word else str(match.lastgroup), match[0], position))
            position = match.end()
        self.tokens.append(("end", "the end", len(text)))

    def rule(self) -> Rule:
        first = self.dims()
        takes: tuple[Expr, ...] | None = first
        gives: list[tuple[Expr, ...]] = []
        if self.take("->"):
            takes = first or None
            gives.append(self.output())
            while self.take(";"):
                gives.append(self.output())
        where = self.condition() if self.take("where") else None
        if self.kind != "end":
            raise self.unexpected("a dim, `;` or `where`" if gives else "a dim, `->` or `where`")
        rule = Rule(self.text, takes, tuple(gives), where)
        self.verify(rule)
        return rule

    def output(self) -> tuple[Expr, ...]:
        if not (dims := self.dims()):
            raise self.unexpected("a dim")
        return dims

    def count(self) -> Count:
        parts = [self.size()]
        while self.take(";"):
            parts.append(self.size())
        if self.kind != "end":
            raise self.unexpected("an operation, `;` or the end")
        for part in parts:
            _verify(part, truth=False, rest=True)
        return Count(self.text, tuple(parts))

    def verify(self, rule: Rule) -> None:
        """What the grammar leaves open: numbers where numbers belong, no `...` that stands for nothing."""
        if not rule.takes and not any(rule.gives):
            raise RuleError(
                "a shape rule names the dims of what comes in, or after `->` of what comes out", 0
            )
        rests = 0
        for item in rule.takes or ():
            if not isinstance(item, Number | Name | Rest) or (isinstance(item, Rest) and item.name):
                raise RuleError("what comes in is described by names, numbers and `...`", item.span[0])
            rests += isinstance(item, Rest)
            if rests > 1:
                raise RuleError("`...` stands once in what comes in", item.span[0])
        for expr in (e for dims in rule.gives for e in dims):
            _verify(expr, truth=False, rest=rests > 0)
        if rule.where:
            _verify(rule.where, truth=True, rest=rests > 0)

    # ── parts ───────────────────────────────────────────────────────────────────────────────────────────

    def dims(self) -> tuple[Expr, ...]:
        items: list[Expr] = []
        while self.kind in ("number", "name") or self.word in ("...", "("):
            items.append(self.rest() or self.size())
        return tuple(items)

    def rest(self) -> Rest | None:
        """`...` or `NAME...`, where one stands here."""
        start = self.position
        if self.take("..."):
            return Rest(None, (start, start + 3))
        _, word, after = self.tokens[self.at + 1] if self.kind == "name" else ("", "", 0)
        if word == "..." and after == start + len(self.word):
            name = self.word
            self.at += 2
            return Rest(name, (start, after + 3))
        return None

    def condition(self) -> Expr:
        return self.chain(("or",), lambda: self.chain(("and",), self.test))

    def test(self) -> Expr:
        left = self.size()
        if self.word in COMPARISONS:
            op, self.at = self.word, self.at + 1
            right = self.size()
            return Binary(op, left, right, (left.span[0], right.span[1]))
        return left

    def size(self) -> Expr:
        return self.chain(("+", "-"), lambda: self.chain(("*", "//", "%"), self.factor))

    def chain(self, ops: tuple[str, ...], part: Callable[[], Expr]) -> Expr:
        left = part()
        while self.kind == "op" and self.word in ops:
            op, self.at = self.word, self.at + 1
            right = part()
            left = Binary(op, left, right, (left.span[0], right.span[1]))
        return left

    def factor(self) -> Expr:
        kind, word, start = self.tokens[self.at]
        if kind == "op" and word == "(":
            return self.parenthesis(start)
        if kind not in ("number", "name"):
            raise self.unexpected("a number, a name or `(`")
        self.at += 1
        if kind == "number":
            return Number(int(word), (start, start + len(word)))
        if self.word == "(" and self.position == start + len(word):
            return self.call(word, start)
        if self.what == COUNT and self.position == start + len(word) and self.take("."):
            word = f"{word}.{self.word}"
            self.at += 1
        return Name(word, (start, start + len(word)))

    def parenthesis(self, start: int) -> Expr:
        self.depth += 1
        if self.depth > DEEPEST:
            raise RuleError(f"more than {DEEPEST} parentheses within each other", start)
        self.at += 1
        inner = self.condition()
        end = self.position + 1
        self.expect(")")
        self.depth -= 1
        return replace(inner, span=(start, end))

    def call(self, function: str, start: int) -> Call:
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise RuleError(f"`{function}` is no function of {self.what}s; there are {known}", start)
        self.depth += 1
        if self.depth > DEEPEST:
            raise RuleError(f"more than {DEEPEST} parentheses within each other", start)
        self.expect("(")
        args = [self.rest() or self.size()]
        while self.take(","):
            args.append(self.rest() or self.size())
        end = self.position + 1
        self.expect(")")
        self.depth -= 1
        least, most = FUNCTIONS[function]
        if len(args) < least or (most and len(args) > most):
            raise RuleError(
                f"`{function}` takes {least}{'' if most else ' or more'}, here are {len(args)}", start
            )
        for arg in args:
            if isinstance(arg, Rest) and function not in ("prod", "sum"):
                raise RuleError(f"`{function}` takes one dim, not several", arg.span[0])
        return Call(function, tuple(args), (start, end))

    # ── tokens ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    @property
    def position(self) -> int:
        return self.tokens[self.at][2]

    def take(self, word: str) -> bool:
        found = self.word == word and self.kind == "op"
        self.at += found
        return found

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self.unexpected(f"`{word}`")

    def unexpected(self, expected: str) -> RuleError:
        found = self.word if self.kind == "end" else f"`{self.word}`"
        return RuleError(f"expected {expected}, found {found}", self.position)


def _verify(expr: Expr, truth: bool, rest: bool) -> None:
    """Raises where a part is a number but should be true or false, or the other way round, and where `...`
    stands although the input has none (`rest`)."""
    match expr:
        case Number(_, span) if truth:
            raise RuleError("expected a comparison, found a number", span[0])
        case Rest(None, span) if not rest:
            raise RuleError("`...` stands for dims of what comes in, where there is none", span[0])
        case Call(_, args, span):
            if truth:
                raise RuleError("expected a comparison, found a number", span[0])
            for arg in args:
                _verify(arg, False, rest)
        case Binary(op, left, right, span):
            if truth != (op in COMPARISONS or op in KEYWORDS):
                found = ("a comparison", "a number") if truth else ("a number", "a comparison")
                raise RuleError(f"expected {found[0]}, found {found[1]}", span[0])
            _verify(left, op in KEYWORDS, rest)
            _verify(right, op in KEYWORDS, rest)
