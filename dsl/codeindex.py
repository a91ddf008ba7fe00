"""What a Python file defines, and what each of its definitions refers to: the ground of `mfc.dsl.codehash`.

A file is divided into units: a function, a class, an assignment of names; unit 0 is what else runs on import.
The hash of a unit is one of its syntax tree without docstrings, places and count rules, so that comments and layout
do not count. Names are not followed into scopes: a local variable named like a function of the file counts as a use of
that function, which is too much now and then and never too little.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any, TypedDict

import xxhash

Imports = dict[str, str]
"""Names that imports bind: `"@module:"` for a module, `"@module:name"` for a name in one. The module of a
relative import begins with its dots."""


class Unit(TypedDict):
    """`uses` are names of the same file, and what imported names mean, with the attributes read from them."""

    names: list[str]
    hash: str
    uses: list[str]


class FileIndex(TypedDict):
    """A file's units; which of them bind a name; names that are imported; modules imported with `*`."""

    units: list[Unit]
    names: dict[str, list[int]]
    imports: dict[str, str]
    stars: list[str]


_COUNTED = frozenset(
    f"@{module}:{name}" for module in ("mfc", "mfc.runtime.component") for name in ("layer", "architecture")
)
"""Decorators whose `parameters` is a count rule: it is shown and checked, and no run reads it."""
_MEANINGLESS = frozenset({"ctx", "type_comment", "kind", "type_ignores"})


def index_text(path: str, text: str) -> FileIndex:
    """The index of a file's text. One that is not valid Python is a single unit, its text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        unit = Unit(names=[], hash=xxhash.xxh3_128_hexdigest(text.encode()), uses=[])
        return FileIndex(units=[unit], names={}, imports={}, stars=[])
    return _Indexer(tree).index()


class _Indexer:
    def __init__(self, tree: ast.Module) -> None:
        self.rest: list[ast.stmt] = []
        self.named: list[tuple[list[str], ast.stmt]] = []
        self.imports: Imports = {}
        self.stars: list[str] = []
        self.names: dict[str, list[int]] = {}
        for node in tree.body:
            self.top(node)

    def index(self) -> FileIndex:
        for i, (names, _) in enumerate(self.named, 1):
            for name in names:
                self.names.setdefault(name, []).append(i)
        units = [self.unit([], self.rest)] + [self.unit(names, [node]) for names, node in self.named]
        return FileIndex(units=units, names=self.names, imports=self.imports, stars=self.stars)

    def top(self, node: ast.stmt) -> None:
        """Sorts a statement at the top of the file."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imported(node)
        elif isinstance(node, ast.If) and _never_runs(node.test):
            for inner in node.orelse:
                self.top(inner)
        elif names := _binds(node):
            self.named.append((names, node))
        elif not _is_text(node):
            self.rest.append(node)
            for inner in ast.walk(node):  # such as `try: import x` and `if condition: def f(): ...`
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    self.imported(inner)
                elif isinstance(inner, ast.stmt):
                    for name in _binds(inner):
                        self.names.setdefault(name, []).append(0)

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        bound = _bindings(node)
        if star := bound.pop("*", None):
            self.stars.append(star)
        self.imports |= bound

    def unit(self, names: list[str], nodes: list[ast.stmt]) -> Unit:
        for node in nodes:
            self.drop_count_rule(node)
        text, chains, inner = _canonical(nodes)
        bound = dict(self.imports)
        for node in inner:
            bound |= _bindings(node)
        uses = {use for chain in chains if (use := self.use(chain, bound)) is not None}
        return Unit(names=names, hash=xxhash.xxh3_128_hexdigest(text.encode()), uses=sorted(uses))

    def drop_count_rule(self, node: ast.stmt) -> None:
        calls = [call for call in getattr(node, "decorator_list", ()) if isinstance(call, ast.Call)]
        for call in calls:
            chain = _chain(call.func)
            if chain is not None and self.use(chain, self.imports) in _COUNTED:
                call.keywords = [keyword for keyword in call.keywords if keyword.arg != "parameters"]

    def use(self, chain: list[str], bound: Imports) -> str | None:
        """What a name with the attributes read from it refers to; None if neither defined nor imported."""
        name, *attributes = chain
        if name in bound:
            meaning = bound[name]
            return meaning + ("" if meaning.endswith(":") or not attributes else ".") + ".".join(attributes)
        if name in self.names or name in ("globals", "vars") or self.stars:
            return name
        return None


def _canonical(
    nodes: list[ast.stmt],
) -> tuple[str, list[list[str]], list[ast.Import | ast.ImportFrom]]:
    """A syntax tree as text, equal for equal trees in every version of Python; the names that are read, each
    with its attributes; the imports in it."""
    pieces: list[str] = []
    chains: list[list[str]] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    inside: set[int] = set()
    waiting: list[Any] = [list(nodes)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            pieces.append(item)
        elif isinstance(item, list):
            pieces.append("[")
            waiting.append("]")
            waiting += [x for x in reversed(item) if not (isinstance(x, ast.Pass) or _is_text(x))]
        elif isinstance(item, ast.AST):
            if isinstance(item, ast.Attribute | ast.Name):
                if id(item) not in inside and (chain := _chain(item)) is not None:
                    chains.append(chain)
                inside.add(id(getattr(item, "value", None)))
            elif isinstance(item, ast.Import | ast.ImportFrom):
                imports.append(item)
            pieces.append(f"({type(item).__name__}")
            waiting.append(")")
            for name in reversed(item._fields):
                value = getattr(item, name, None)
                if value is not None and value != [] and name not in _MEANINGLESS:
                    waiting += [_Leaf(value) if isinstance(item, ast.Constant) else value, name]
        else:
            pieces.append(repr(item))
    return "\0".join(pieces), chains, imports


class _Leaf:
    """A constant: its text is in quotes, unlike that of a name."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def _chain(node: ast.AST) -> list[str] | None:
    """`["x", "y", "z"]` for `x.y.z`"""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _bindings(node: ast.Import | ast.ImportFrom) -> Imports:
    """The names that an import binds, and what they mean."""
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        return {a.asname or a.name: f"@{module}:{a.name if a.name != '*' else ''}" for a in node.names}
    tops = [(a, a.name.partition(".")[0]) for a in node.names]
    return {a.asname or top: f"@{a.name if a.asname else top}:" for a, top in tops}


def _binds(node: ast.stmt) -> list[str]:
    """The names that a statement does nothing but bind."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            names = [_targets(target) for target in targets]
            return [] if [] in names else [name for found in names for name in found]
        case ast.AnnAssign(target=target):
            return _targets(target)
    if type(node).__name__ == "TypeAlias":  # of Python 3.12
        return _targets(node.name)  # type: ignore[attr-defined]
    return []


def _targets(node: ast.expr) -> list[str]:
    """The names assigned to; none if anything else is."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Tuple | ast.List):
        names = [_targets(item) for item in node.elts]
        return [] if [] in names else [name for found in names for name in found]
    return []


def _never_runs(test: ast.expr) -> bool:
    """Whether the body of an `if` does not run on import: `TYPE_CHECKING`, `__name__ == "__main__"`."""
    chain = _chain(test)
    if chain is not None and chain[-1] == "TYPE_CHECKING":
        return True
    return isinstance(test, ast.Compare) and _chain(test.left) == ["__name__"]


def _is_text(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
