"""Random specs that parse: everything that the grammar allows, in random layouts, with comments wherever they may be.

A seed always gives the same spec. Sizes rise with the seeds, again and again, so that the first spec that breaks a law
is one of the smallest.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mfc.dsl.scan import CLOSING, DECLARATIONS, OPENING, scan

NAMES = (
    "a", "nf", "widths", "batch_transforms", "lr", "largest", "data", "model", "train", "let", "group",
    "phase", "branch", "module", "import", "use", "language", "param", "log", "r", "e5", "_private", "from", "add",
    "then_", "x1",
)  # fmt: skip
NUMBERS = ("0", "7", "30_000", "1e-3", "1E+3", "2.5e4", "0.1", "1_0.5_0", "9223372036854775807")
STRINGS = (
    '"a b"',
    '""',
    '"tab\\t quote\\" backslash\\\\"',
    'r"C:\\data"',
    '"not # a comment"',
    '"日本 👩‍🔬 é"',
    '"{stem}, ("',
)
COMMENTS = (
    "#", "# words", "## documentation", "#no space", "# a \"quote", "# ( [ {", "# ) ] }", "# 日本 👩‍🔬", "### three",
    "# a, b,", "# let a = 1", "#   spaced out   words",
    "# words and words and more of them, up to a length that no line of code has",
)  # fmt: skip
SYMBOLS = frozenset("()[]{},:=+-*/%<>.") | {"==", "!=", "<=", ">=", "**", "//", "->", ".."}
BRACKETS = frozenset("()[]{},:")

# What the layout must know of the next gap; these are no tokens.
SAME_LINE, DECLARATION, STATEMENT = "<same line>", "<declaration>", "<statement>"


def generate(seed: int) -> str:
    """The spec of a seed."""
    random = Random(seed)
    writer = _Writer(random, 3 + seed % 40)
    writer.file()
    return _Renderer(random).render(writer.out)


def scrambled(text: str, seed: int) -> str:
    """A spec in a random layout, with random comments instead of its own."""
    marked: list[str] = []
    brackets: list[str] = []
    before = ""
    for token in scan(text).tokens:
        if token.type in DECLARATIONS and not brackets:
            marked.append(DECLARATION)
        elif before == "EQUAL" and brackets[-1:] in ([], ["LBRACE"]):
            marked.append(SAME_LINE)
        if token.type in OPENING:
            brackets.append(token.type)
        elif token.type in CLOSING:
            brackets.pop()
        marked.append(token.text)
        before = token.type
    return _Renderer(Random(seed)).render(marked)


class _Writer:
    """Writes tokens. `left` is how many more nodes may nest, roughly."""

    def __init__(self, random: Random, size: int) -> None:
        self.random = random
        self.left = size
        self.out: list[str] = []

    # ── choices ─────────────────────────────────────────────────────────────────────────────────────────────

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def any(self, *ways: Callable[[], None]) -> None:
        self.random.choice(ways)()

    def put(self, *tokens: str) -> None:
        self.out += tokens

    def name(self) -> None:
        self.put(self.random.choice(NAMES))

    def listed(self, item: Callable[[], None], least: int = 0, most: int = 4, trailing: bool = True) -> None:
        """Items with commas between them, and now and then one behind."""
        count = self.random.randint(least, most if self.left > 0 else least)
        for number in range(count):
            if number:
                self.put(",")
            item()
        if count and trailing and self.chance(0.2):
            self.put(",")

    # ── declarations ────────────────────────────────────────────────────────────────────────────────────────

    def file(self) -> None:
        if self.chance(0.2):
            self.put(DECLARATION, "language", "1")
        while self.left > 0:
            self.put(DECLARATION)
            self.left -= 1
            self.any(
                self.import_, self.param, self.let, self.data, self.value, self.value, self.body, self.body
            )

    def import_(self) -> None:
        self.put(self.random.choice(("import", "use")), self.random.choice(STRINGS))
        if self.chance(0.7):
            self.put("(")
            self.listed(self.name)
            self.put(")")

    def param(self) -> None:
        self.put("param")
        self.name()
        self.put(":")
        self.type()
        if self.chance(0.8):
            self.put("=", SAME_LINE)
            self.sum()
        if self.chance(0.4):
            self.put("in")
            if self.chance(0.4):
                self.put("log", "(")
                self.expression()
                self.put(",")
                self.expression()
                self.put(")")
            else:
                first = len(self.out)
                self.sum()
                self.out[first] = self.out[first].replace("log", "logs")  # which would begin the other kind
                self.put("..")
                self.sum()

    def let(self) -> None:
        self.put("let")
        self.name()
        self.put("=", SAME_LINE)
        self.expression()

    def data(self) -> None:
        self.put("data")
        self.name()
        self.params()
        self.put(":")
        self.datatype()
        self.put("->")
        self.datatype()
        self.block()

    def value(self) -> None:
        self.put(self.random.choice(("tokenizer", "optimizer", "model")))
        self.name()
        self.params()
        self.put("=", SAME_LINE)
        self.expression()

    def body(self) -> None:
        self.put(self.random.choice(("block", "model", "train", "evaluate", "export")))
        self.name()
        self.params()
        self.block()

    def params(self) -> None:
        if self.chance(0.5):
            self.put("(")
            self.listed(self.parameter)
            self.put(")")

    def parameter(self) -> None:
        self.name()
        if self.chance(0.4):
            self.put(":")
            self.type()
        if self.chance(0.6):
            self.put("=")
            self.expression()

    def type(self) -> None:
        self.name()
        if self.chance(0.3):
            self.put("(")
            self.listed(lambda: self.any(self.type, self.literal), least=1)
            self.put(")")

    def datatype(self) -> None:
        self.left -= 1
        if self.left > 0 and self.chance(0.2):
            self.put("(")
            self.listed(self.named_datatype, least=1)
            self.put(")")
            return
        self.name()
        if self.chance(0.4):
            self.call()

    def named_datatype(self) -> None:
        self.name()
        self.put(":")
        self.datatype()

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────────

    def block(self) -> None:
        self.put("{")
        for _ in range(self.random.randint(0, 5 if self.left > 0 else 1)):
            self.put(STATEMENT)
            self.statement()
        self.put("}")

    def statement(self) -> None:
        self.left -= 1
        simple = (self.field, self.field, self.field, self.layer, self.let)
        if self.left <= 0:
            self.any(*simple)
        else:
            self.any(*simple, self.part, self.branch, self.if_statement, self.for_statement)

    def field(self) -> None:
        self.name()
        self.put("=", SAME_LINE)
        self.expression()

    def layer(self) -> None:
        self.name()
        for _ in range(self.random.randint(0, 2)):
            self.any(self.call, self.attribute, self.index)
        self.call()

    def part(self) -> None:
        self.put(self.random.choice(("group", "phase")))
        self.name()
        self.block()

    def branch(self) -> None:
        self.put("let")
        self.name()
        self.put("=", SAME_LINE, self.random.choice(("branch", "module")))
        self.block()

    def if_statement(self) -> None:
        self.put("if")
        self.expression()
        self.block()
        if self.chance(0.5):
            self.put("else")
            if self.chance(0.3):
                self.if_statement()
            else:
                self.block()

    def for_statement(self) -> None:
        self.put("for")
        self.variables()
        self.put("in")
        self.expression()
        self.block()

    def variables(self) -> None:
        self.listed(self.name, least=1, most=3, trailing=False)

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────────

    def expression(self) -> None:
        self.left -= 1
        if self.left > 0 and self.chance(0.12):
            self.put("if")
            self.expression()
            self.put("then")
            self.expression()
            self.put("else")
            self.expression()
        else:
            self.chain(("or",), lambda: self.chain(("and",), self.negation), 0.08)

    def chain(self, operators: tuple[str, ...], operand: Callable[[], None], more: float = 0.12) -> None:
        operand()
        while self.left > 0 and self.chance(more):
            self.left -= 1
            self.put(self.random.choice(operators))
            operand()

    def negation(self) -> None:
        if self.chance(0.06):
            self.put("not")
        self.sum()
        if self.left > 0 and self.chance(0.08):
            self.put(
                *self.random.choice(
                    (("==",), ("!=",), ("<",), ("<=",), (">",), (">=",), ("in",), ("not", "in"))
                )
            )
            self.sum()

    def sum(self) -> None:
        """An expression without `in` outside of brackets, as before a param's domain."""
        self.chain(("+", "-"), lambda: self.chain(("*", "/", "//", "%"), self.signed))

    def signed(self) -> None:
        for _ in range(self.random.choice((0, 0, 0, 0, 0, 0, 0, 0, 1, 2))):
            self.put("-")
        self.postfix()
        if self.left > 0 and self.chance(0.05):
            self.put("**")
            self.signed()

    def postfix(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.any(self.name, self.literal)
            return
        self.any(
            self.name,
            self.name,
            self.name,
            self.literal,
            self.literal,
            self.parenthesized,
            self.list,
            self.list,
        )
        while self.chance(0.3):
            self.any(self.call, self.call, self.attribute, self.index)

    def literal(self) -> None:
        self.put(self.random.choice((*NUMBERS, *STRINGS, "true", "false", "none")))

    def parenthesized(self) -> None:
        self.put("(")
        self.expression()
        self.put(")")

    def list(self) -> None:
        self.put("[")
        if self.chance(0.25):
            self.expression()
            self.put("for")
            self.variables()
            self.put("in")
            self.expression()
            if self.chance(0.4):
                self.put("if")
                self.expression()
        else:
            self.listed(self.expression)
        self.put("]")

    def call(self) -> None:
        positional = self.random.random()

        def argument() -> None:
            nonlocal positional
            if positional < 0.4:
                self.name()
                self.put("=")
                positional = 0
            elif self.chance(0.4):
                positional = 0
            self.expression()

        self.put("(")
        self.listed(argument)
        self.put(")")

    def attribute(self) -> None:
        self.put(".")
        self.name()

    def index(self) -> None:
        self.put("[")
        self.expression()
        self.put("]")


class _Renderer:
    """Puts tokens into lines, as tidily as a spec's own mood is."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.wild = random.choice((0.0, 0.02, 0.1, 0.4))  # how often a gap is anything that it may be
        self.comments = random.choice((0.0, 0.02, 0.1, 0.3))  # how often it has comments
        self.lets = 3  # of bodies, that may begin at column 0

    def render(self, tokens: list[str]) -> str:
        out = [self.random.choice(("", "", "", "\ufeff")), self.lead()]
        before = earlier = ""
        marks: set[str] = set()
        for token, after in zip(tokens, [*tokens[1:], ""]):
            if token in (SAME_LINE, DECLARATION, STATEMENT):
                marks.add(token)
                continue
            tight = before == "." and earlier in NUMBERS  # `1. a` would be a malformed number
            out += ["" if tight or not before else self.gap(before, token, after, marks), token]
            earlier, before = before, token
            marks.clear()
        out.append(self.end())
        text = "".join(out)
        return text.replace("\n", "\r\n") if self.random.random() < 0.1 else text

    def lead(self) -> str:
        return "".join(
            self.random.choice(("\n", "  \n", self.comment()))
            for _ in range(self.random.choice((0, 0, 1, 3)))
        )

    def end(self) -> str:
        ends = (
            "",
            "\n",
            "\n",
            "\n\n\n",
            "  ",
            f"  {self.comment()}",
            f"\n\n{self.comment()}",
            "\n# no line end",
        )
        return self.random.choice(ends)

    def comment(self) -> str:
        return self.random.choice(COMMENTS) + self.random.choice(("\n", "\n", "  \n", "\n\n"))

    def gap(self, before: str, token: str, after: str, marks: set[str]) -> str:
        least = "" if _may_touch(before, token) else " "
        wild = self.random.random() < self.wild
        if SAME_LINE in marks:
            return self.random.choice((" ", least, "   ", "\t")) if wild else " "
        commented = self.random.random() < self.comments
        if DECLARATION in marks:
            if wild and not commented:
                return self.random.choice(("  ", " \t ", "\n", "\n  ", "\r\n\n\n\n", "\n\f\n"))
            return (self.noted() if commented else "\n") + self.random.choice(("", "\n"))
        if commented:
            return self.noted() + self.indent(token, after, marks)
        if wild:
            line = self.random.choice(("\n", "\n", "\n\n", " \t\n\n\n"))
            return self.random.choice((least, "  ", "\t ", line + self.indent(token, after, marks)))
        if STATEMENT in marks or token == "}":
            return self.random.choice(("\n    ", "\n    ", "\n    ", "  "))
        return "" if least == "" and self.random.random() < 0.7 else " "

    def noted(self) -> str:
        """Comments behind what stands before, or below it, with their line ends."""
        start = self.random.choice(("  ", "", " ", "\n    ", "\n", "\n\n\t"))
        between = self.random.choice(("", "    ", "\t"))
        return start + between.join(self.comment() for _ in range(self.random.choice((1, 1, 1, 2, 3))))

    def indent(self, token: str, after: str, marks: set[str]) -> str:
        """Spaces before the first token of a line. A word at column 0 begins a declaration, unless a symbol follows."""
        if token in SYMBOLS or after in SYMBOLS:
            return self.random.choice(("", " ", "    ", "\t", "            "))
        if token == "let" and STATEMENT in marks and self.lets:
            self.lets -= 1
            return self.random.choice(("", "  "))
        return self.random.choice((" ", "    ", "\t", "            "))


def _may_touch(before: str, token: str) -> bool:
    """Whether two tokens without a space between them are still these two."""
    if before in BRACKETS or token in BRACKETS:
        return True
    return (before in SYMBOLS) != (token in SYMBOLS)
