"""The code that components can reach, as a hash: what makes a stage run again when its code was changed.

Starting at a definition, every definition that it names is followed: base classes, decorators, constants,
functions, through imports, within this package and within the folder of a user's own file. Code of other
packages is not followed; the versions of those that matter stand in a stage's key. Only text is read.

A definition counts whole: which methods of an object are called is not known without running them. A comment,
a docstring or the layout changes nothing.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

import xxhash

from mfc.dsl.codeindex import FileIndex, index_text
from mfc.dsl.filecache import FileCache, files_version

PACKAGE = "mfc"
DECORATORS = "mfc.runtime.component"
"""What users call `mfc.layer` is defined there."""


class Module(NamedTuple):
    """A module: `root` is the folder that its name starts from; `path` is empty for a folder without code."""

    root: str
    name: str
    path: str
    index: FileIndex


class Node(NamedTuple):
    """A unit of a module."""

    root: str
    module: str
    unit: int


class CodeIndex:
    """The definitions of a program as they are now: each file is looked at once.

    `skip` names what does not decide results, such as what shows progress or writes files: packages, modules
    (`"mfc.runtime.store"`) and definitions (`"mfc.runtime.store:Store"`), which are not followed from others.
    """

    def __init__(self, skip: Iterable[str] = ()) -> None:
        self._skip = frozenset(skip)
        spec = importlib.util.find_spec(PACKAGE)
        assert spec is not None and spec.submodule_search_locations, "this module is in the package"
        self._package = os.path.abspath(spec.submodule_search_locations[0])
        here = os.path.dirname(os.path.abspath(__file__))
        version = files_version([os.path.join(here, "codeindex.py")])
        name = f"code-{xxhash.xxh3_64_hexdigest(os.fsencode(self._package))}"
        self._table = FileCache(name, version, index_text)
        self._modules: dict[tuple[str, str], Module | None] = {}
        self._edges: dict[Node, tuple[set[Node], list[str]]] = {}

    def skipping(self, skip: Iterable[str]) -> CodeIndex:
        """The same definitions, of which others are skipped."""
        other = copy(self)
        other._skip, other._edges = frozenset(skip), {}
        return other

    def hash(self, targets: Iterable[str]) -> str:
        """The hash of all definitions that `targets` can reach.

        A target is `"module:name"` or `"/folder/file.py:name"`, as in `mfc.dsl.ir.Call`. The folder of a
        user's file does not count.

        Raises:
            LookupError: there is no such definition.
        """
        lines = sorted(self._line(node) for node in self._reach(targets))
        return xxhash.xxh3_128_hexdigest("\n".join(lines).encode())

    def reached(self, targets: Iterable[str]) -> set[tuple[str, str]]:
        """The definitions that `targets` can reach: (path, name). `"<module>"` is the rest of a file."""
        found = set()
        for node in self._reach(targets):
            module = self._at(node)
            names = module.index["units"][node.unit]["names"] or ["<module>"]
            found |= {(module.path, name) for name in names}
        return found

    # ── the graph ───────────────────────────────────────────────────────────────────────────────────────

    def _reach(self, targets: Iterable[str]) -> set[Node]:
        waiting = [node for target in targets for node in self._target(target)]
        found = set()
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += self._uses(node)[0]
        self._table.save()
        return found

    def _target(self, target: str) -> set[Node]:
        place, _, name = target.rpartition(":")
        if place.endswith(".py"):
            folder, file = os.path.split(os.path.abspath(place))
            module = self._module(folder, file.removesuffix(".py"))
        else:
            module = self._find(place, "")
        nodes = self._resolve(module, [name], set()) if module is not None else None
        if not nodes:
            raise LookupError(f"there is no definition `{name}` in {place}")
        return nodes

    def _uses(self, node: Node) -> tuple[set[Node], list[str]]:
        """The units that a unit refers to, and what it refers to outside."""
        if node not in self._edges:
            module = self._at(node)
            nodes, outside = self._on_import(module), []
            for use in module.index["units"][node.unit]["uses"]:
                found = self._used(module, use)
                nodes |= {n for n in found or () if not self._skipped(n)}
                outside += [use] if found is None else []
            self._edges[node] = nodes, outside
        return self._edges[node]

    def _skipped(self, node: Node) -> bool:
        """Whether a unit is not followed. Names of several units are skipped if one of them is."""
        parts = node.module.split(".")
        around = {".".join(parts[:i]) for i in range(1, len(parts) + 1)}
        own = {f"{node.module}:{name}" for name in self._at(node).index["units"][node.unit]["names"]}
        return not self._skip.isdisjoint(around | own)

    def _used(self, module: Module, use: str) -> set[Node] | None:
        """What a use means: units of modules that are followed, else None."""
        if use.startswith("@"):
            return self._imported(module, use, [], set())
        if use in ("globals", "vars") and use not in module.index["names"]:
            return self._whole(module)
        return self._resolve(module, [use], set()) or set()

    def _imported(
        self, module: Module, meaning: str, attributes: list[str], seen: set[tuple[str, str]]
    ) -> set[Node] | None:
        """The units that an import of `module` means, with the attributes read from it."""
        name, _, chain = meaning[1:].partition(":")
        other = self._find(_absolute(name, module), module.root)
        if other is None:
            return None
        return self._resolve(other, [*filter(None, chain.split(".")), *attributes], seen)

    def _resolve(self, module: Module, chain: list[str], seen: set[tuple[str, str]]) -> set[Node] | None:
        """The units that a name in a module means; all of them where the module itself is meant."""
        if not chain:
            return self._whole(module)
        name, *rest = chain
        if (module.path or module.name, name) in seen:
            return set()
        seen.add((module.path or module.name, name))
        index = module.index
        nodes = {Node(module.root, module.name, unit) for unit in index["names"].get(name, ())}
        if name in index["imports"]:
            return nodes | (self._imported(module, index["imports"][name], rest, seen) or set()) or None
        if nodes:
            return nodes
        if (inner := self._module(module.root, f"{module.name}.{name}")) is not None:
            return self._resolve(inner, rest, seen)
        for star in index["stars"]:
            if found := self._imported(module, star, chain, seen):
                return found
        decorators = self._find(DECORATORS, "") if module.name == PACKAGE else None
        if decorators is not None and (found := self._resolve(decorators, chain, seen)):
            return found
        return {
            Node(module.root, module.name, unit) for unit in index["names"].get("__getattr__", ())
        } or None

    def _whole(self, module: Module) -> set[Node]:
        return {Node(module.root, module.name, unit) for unit in range(len(module.index["units"]))}

    def _on_import(self, module: Module) -> set[Node]:
        """What runs when a module is imported beside its definitions, in it and in the packages around it."""
        parts = module.name.split(".")
        names = [".".join(parts[:i]) for i in range(1, len(parts) + 1)]
        modules = [self._module(module.root, name) for name in names]
        return {Node(m.root, m.name, 0) for m in modules if m is not None and m.index["units"]}

    def _line(self, node: Node) -> str:
        """A unit, with what its names refer to: a function that was moved elsewhere is another one."""
        unit = self._at(node).index["units"][node.unit]
        nodes, outside = self._uses(node)
        edges = sorted(f"{n.module}:{','.join(self._at(n).index['units'][n.unit]['names'])}" for n in nodes)
        return " ".join([node.module, unit["hash"], *edges, *outside])

    # ── modules ─────────────────────────────────────────────────────────────────────────────────────────

    def _at(self, node: Node) -> Module:
        module = self._module(node.root, node.module)
        assert module is not None, "a node is made from its module"
        return module

    def _find(self, name: str, root: str) -> Module | None:
        """A module of this package, else one below `root`; None for one of another package."""
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            return self._module(os.path.dirname(self._package), name)
        return self._module(root, name) if root and root != os.path.dirname(self._package) else None

    def _module(self, root: str, name: str) -> Module | None:
        key = root, name
        if key not in self._modules:
            self._modules[key] = self._read(root, name)
        return self._modules[key]

    def _read(self, root: str, name: str) -> Module | None:
        base = os.path.join(root, *name.split("."))
        for path in (f"{base}.py", os.path.join(base, "__init__.py")):
            try:
                return Module(root, name, path, self._table.get(path))
            except (OSError, UnicodeDecodeError):
                continue
        if name and os.path.isdir(base):
            return Module(root, name, "", FileIndex(units=[], names={}, imports={}, stars=[]))
        return None


def _absolute(name: str, module: Module) -> str:
    """The dotted name that an import in `module` means."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = module.name.split(".")
    if not module.path.endswith("__init__.py"):
        parts = parts[:-1]
    kept = parts[: len(parts) - (level - 1)]
    return ".".join([*kept, *filter(None, name[level:].split("."))])
