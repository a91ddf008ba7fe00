"""Random programs of two files in which few names stand for many things, so that they hide one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

NAMES = ("a", "b", "c", "d", "relu", "data", "group", "digits_stats", "history", "min")

DATA = """data images(of = 0.2): image -> category {
    source = builtin("digits")
    split  = random(valid = of)
    label  = parent()
}
"""


def generate(random: Random) -> tuple[str, str]:
    """The text of a program's own file, and that of `parts.mfs`, which it imports. Every other one has mistakes."""
    writer = _Writer(random)
    parts = "".join(writer.declaration() for _ in range(3))
    (top,) = writer.scopes
    brought = random.sample(list(top), random.randint(1, len(top)))
    writer.scopes = [{name: top[name] for name in brought}]
    own = "".join(writer.declaration() for _ in range(random.randint(2, 5))) + writer.model("net")
    trains = writer.train("first", "net") + writer.train("second", "net")
    return f'import "parts.mfs" ({", ".join(brought)})\n{DATA}{own}{trains}', parts


class _Writer:
    """`scopes` are the names that can be used at the place that is written, outermost first, with what they stand for:
    `number`, the parameters of a block, or another word for what is neither called nor counted with."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.chaos = random.choice((0.0, 0.04))
        self.scopes: list[dict[str, str | Sequence[str]]] = [{}]
        self.groups: list[str] = []

    def known(self) -> dict[str, str | Sequence[str]]:
        return {name: of for scope in self.scopes for name, of in scope.items()}

    def numbers(self) -> list[str]:
        return [name for name, of in self.known().items() if of == "number"]

    def fresh(self, *taken: str) -> str:
        """A name that the innermost scope does not have."""
        free = [name for name in NAMES if name not in (*self.scopes[-1], *taken)]
        if not free or self.random.random() < self.chaos:
            return self.random.choice(NAMES)
        return self.random.choice(free)

    @contextmanager
    def scope(self, **names: str) -> Iterator[None]:
        self.scopes.append(dict(names))
        yield
        self.scopes.pop()

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────

    def number(self, depth: int = 0) -> str:
        kind = self.random.randint(0, 8 if depth < 2 else 5)
        numbers = self.numbers()
        if self.random.random() < self.chaos:
            return self.random.choice(NAMES)
        if kind < 5 and numbers:
            return self.random.choice(numbers)
        if kind < 6:
            return str(self.random.randint(1, 4))
        if kind == 6:
            return f"{self.number(depth + 1)} + {self.number(depth + 1)}"
        if kind == 7:
            name = self.random.choice(NAMES)
            times = self.number(depth + 1)
            with self.scope(**{name: "number"}):
                return f"[{self.number(depth + 1)} for {name} in range(1, 1 + {times})][0]"
        return (
            f"(if {self.number(depth + 1)} > 2 then {self.number(depth + 1)} else {self.number(depth + 1)})"
        )

    def arguments(self, parameters: Sequence[str]) -> str:
        named = self.random.random() < 0.7
        return ", ".join(f"{p} = {self.number()}" if named else self.number() for p in parameters)

    # ── declarations ────────────────────────────────────────────────────────────────────────────────────

    def declaration(self) -> str:
        kind = self.random.choice(("param", "let", "let", "block", "block"))
        name = self.fresh()
        if kind == "block":
            return self.block(name)
        typed = f"{name}: int" if kind == "param" else name
        text = f"{kind} {typed} = {self.number()}\n"
        self.scopes[-1][name] = "number"
        return text

    def block(self, name: str) -> str:
        self.scopes[-1][name] = "block"  # which no body of its own calls
        with self.scope():
            parameters = self.parameters()
            names = list(self.scopes[-1])
            body = self.body(self.random.randint(1, 4), 0)
        self.scopes[-1][name] = names
        return f"block {name}({parameters}) {{\n{body}}}\n"

    def model(self, name: str) -> str:
        self.groups = []
        with self.scope():
            self.groups.append(self.fresh())
            self.scopes[-1][self.groups[0]] = "group"
            with self.scope():
                inner = self.body(2, 1)
            body = f"    group {self.groups[0]} {{\n{inner}    }}\n" + self.body(self.random.randint(0, 3), 0)
        return f"model {name} {{\n{body}    adaptive_avg_pool(1)\n    flatten()\n    linear(images().classes)\n}}\n"

    def parameters(self) -> str:
        shown = []
        for _ in range(self.random.randint(0, 2)):
            name = self.fresh()
            default = (
                f" = {self.number()}" if (shown and "=" in shown[-1]) or self.random.random() < 0.5 else ""
            )
            shown.append(f"{name}{default}")
            self.scopes[-1][name] = "number"
        return ", ".join(shown)

    def train(self, name: str, model: str) -> str:
        group = self.random.choice(self.groups)
        weights = f'  weights = [first.{group}, only("{group}", kaiming())]' if name == "second" else ""
        phases = "".join(f"  phase {phase} {{ epochs = 1 }}" for phase in self.random.sample(NAMES, 2))
        return (
            f"train {name} {{ data = images()  model = {model}  loss = cross_entropy(){weights}{phases} }}\n"
        )

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────────────

    def body(self, count: int, depth: int, parts: bool = True) -> str:
        """`parts`: whether branches and groups may be made, whose names are given once."""
        pad = "    " * (depth + 1)
        return "".join(pad + self.statement(depth, pad, parts) for _ in range(count))

    def statement(self, depth: int, pad: str, parts: bool) -> str:
        kind = self.random.randint(0, (9 if parts else 6) if depth < 3 else 4)
        blocks = {name: of for name, of in self.known().items() if not isinstance(of, str)}
        if kind == 2 and blocks:
            block = self.random.choice(list(blocks))
            return f"{block}({self.arguments(blocks[block])})\n"
        if kind <= 2:
            return f"conv2d({self.number()}, ks = 1)\n"
        name = self.fresh()
        if kind <= 4:
            text = f"let {name} = {self.number()}\n"
            self.scopes[-1][name] = "number"
            return text
        if kind == 5:
            times = self.number()
            with self.scope(**{name: "number"}):
                return f"for {name} in range(1, 1 + {times}) {{\n{self.body(2, depth + 1, False)}{pad}}}\n"
        if kind == 6:
            condition, sides = f"{self.number()} > 2", []
            for count in (2, 1):
                with self.scope():
                    sides.append(self.body(count, depth + 1, False))
            return f"if {condition} {{\n{sides[0]}{pad}}} else {{\n{sides[1]}{pad}}}\n"
        if kind == 7:
            with self.scope():
                body = self.body(2, depth + 1)
            self.scopes[-1][name] = "tensor"
            return f"let {name} = branch {{\n{body}{pad}}}\n{pad}concat({name})\n"
        with self.scope():
            body = self.body(2, depth + 1)
            tensor = self.fresh() if kind == 9 else ""
        keeps = f"{pad}    let {tensor} = x\n" if tensor else ""
        uses = f"{pad}concat({name}.{tensor})\n" if tensor else ""
        if depth == 0 and len(self.scopes) == 2:
            self.groups.append(name)
        self.scopes[-1][name] = "group"
        return f"group {name} {{\n{body}{keeps}{pad}}}\n{uses}"
