"""A stage's key: what its result depends on, as a hash; and why a key is not the one of the last run.

A key covers what the stage does (`Stage.recipe`), the code it reaches, the content of its inputs, and the
versions of libraries that decide results. Where files lie, the device and what only observes are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import xxhash

from mfc.dsl.ir import Call, Stage, substitute, to_json, walk

FORMAT = 1
"""Raised when the meaning of keys or artifacts changes, so that old ones are not taken for new ones."""

LIBRARIES = ("torch", "pillow", "sentencepiece")

EXTRAS = {
    "mfc.runtime.export.formats:onnx": ("onnx", "onnx-ir", "onnxscript"),
    "mfc.runtime.bodies.timm_body:timm_body": ("timm",),
    "mfc.runtime.bodies.torchvision_body:torchvision_body": ("torchvision",),
}
"""The optional libraries that decide what a component does."""

MOST_REASONS = 10


def versions(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """The versions of libraries that decide results, read without importing them; torch's as major.minor.

    One that is not installed is left out.
    """
    from importlib import metadata

    found = {}
    for library in libraries:
        try:
            version = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
        found[library] = ".".join(version.split(".")[:2]) if library == "torch" else version
    return found


def extras(stage: Stage) -> dict[str, str]:
    """The versions of the optional libraries that a stage's components need."""
    targets = {node.target for node in walk(stage.recipe) if isinstance(node, Call)}
    return versions(library for target, those in EXTRAS.items() if target in targets for library in those)


@dataclass(frozen=True)
class Record:
    """All that a key is made of, as JSON. `codes` are code hashes of single components by name, which tell
    which component changed."""

    stage: str
    kind: str
    recipe: Any
    code: str
    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    codes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The stage's key: 32 hexadecimal digits."""
        body = asdict(self) | {"format": FORMAT}
        del body["codes"]
        return xxhash.xxh3_128_hexdigest(json.dumps(body, sort_keys=True).encode())


def record(
    stage: Stage, inputs: Mapping[str, str], versions: Mapping[str, str], codes: Mapping[str, str] = {}
) -> Record:
    """What a stage's key is made of. `inputs` maps each input's name to its artifact's digest, `codes` each
    component's target to its code hash: a component's code counts, not where it stands."""

    def coded(node: Any) -> Any:
        return replace(node, target=codes.get(node.target, "")) if isinstance(node, Call) else node

    calls = dict.fromkeys((n.name, n.target) for n in walk(stage.recipe) if isinstance(n, Call))
    by_name: dict[str, str] = {}
    for name, target in calls:
        by_name[name] = by_name.get(name, "") + codes.get(target, "")
    recipe = to_json(substitute(stage.recipe, coded))
    return Record(stage.name, stage.kind, recipe, stage.code, dict(inputs), dict(versions), by_name)


# ── why a stage runs ────────────────────────────────────────────────────────────────────────────────────


def explain(old: Record | None, new: Record) -> list[str]:
    """Why the key of `new` is not that of `old`, the record of the last run: none where it is.

    Each reason is a line such as `optimizer.lr: 3e-3 -> 1e-3`, `code of rotate changed`,
    `input cifar.items changed`, `torch: 2.12 -> 2.13`; the first 10 are given, and the number of the others.
    """
    if old is None:
        return ["never run"]
    if old.key == new.key:
        return []
    reasons = [*_differences(old.recipe, new.recipe, ""), *_inputs(old, new), *_codes(old, new)]
    reasons += _versions(old.versions, new.versions)
    if len(reasons) > MOST_REASONS:
        reasons[MOST_REASONS:] = [f"and {len(reasons) - MOST_REASONS} more"]
    return reasons or ["made by another version of mfc"]


def _inputs(old: Record, new: Record) -> Iterator[str]:
    for name in [*old.inputs, *(n for n in new.inputs if n not in old.inputs)]:
        if name not in new.inputs:
            yield f"input {name} removed"
        elif name not in old.inputs:
            yield f"input {name} added"
        elif old.inputs[name] != new.inputs[name]:
            yield f"input {name} changed"


def _codes(old: Record, new: Record) -> Iterator[str]:
    changed = [name for name in new.codes if old.codes.get(name, new.codes[name]) != new.codes[name]]
    if changed:
        yield from (f"code of {name} changed" for name in changed)
    elif old.code != new.code and set(old.codes) == set(new.codes):
        yield f"code of the {new.kind} stage changed"


def _versions(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for library in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(library, "not installed"), new.get(library, "not installed")
        if before != after:
            yield f"{library}: {before} -> {after}"


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """What differs between two values as JSON, each with the path of names that leads to it."""
    if json.dumps(old) == json.dumps(new):  # unlike `==`, tells 1 from 1.0 and from true
        return
    if isinstance(old, dict) and isinstance(new, dict) and _label(old) == _label(new):
        yield from _members(_parts(old), _parts(new), path)
    elif isinstance(old, list) and isinstance(new, list) and all(map(_label, [*old, *new])):
        before, after = _numbered(old), _numbered(new)
        yield from _members(before, after, path)
        if list(before) != list(after) and set(before) == set(after):
            yield f"{path}: order changed"
    else:
        yield f"{path}: {show(old)} -> {show(new)}"


def _members(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in [*old, *(n for n in new if n not in old)]:
        inner = ".".join(filter(None, [path, name]))
        if name in old and name in new:
            yield from _differences(old[name], new[name], inner)
        else:
            value, change = (old[name], "removed") if name in old else (new[name], "added")
            named = _label(value) and name.startswith(_label(value))
            yield f"{path if named else inner}: {show(value)} {change}"


def _parts(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parts of a node by the names that users know: the arguments of a call, the steps of a model."""
    match node.get("$"):
        case "Call":
            return node["args"]
        case "Run" | "Branch" | "Define":
            return _parts(node["child"])
        case "Layer":
            return {**_parts(node["call"]), "passes": node["passes"], "tie": node["tie"]}
        case "Stack":
            return {**_numbered(node["steps"]), "group": node["group"], "passes": node["passes"]}
    return {name: part for name, part in node.items() if name != "$"}


def _numbered(items: list[Any]) -> dict[str, Any]:
    """The items of a list by their labels; a second `flip` is `flip[1]`."""
    numbered: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for item in items:
        label = _label(item)
        counts[label] = counts.get(label, -1) + 1
        numbered[f"{label}[{counts[label]}]" if counts[label] else label] = item
    return numbered


def _label(value: Any) -> str:
    """What an item of a list is called: a component, a part of a model; nothing for a plain value."""
    if not isinstance(value, dict):
        return ""
    match value.get("$"):
        case "Run" | "Define":
            return _label(value["child"])
        case "Trained":
            return ".".join(filter(None, [value["stage"], value["group"]]))
        case "Keep":
            return f"let {value['slot']}"
        case "Load":
            return f"from({value['slot']})"
        case "Branch":
            return value["slot"]
        case "Apply":
            return f"apply({value['path']})"
        case "Join":
            return f"{value['op']}({', '.join(value['slots'])})"
    return str(value.get("name", ""))


def show(value: Any) -> str:
    """A value as JSON, in the form in which a spec writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _show_float(value)
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    match value.get("$"):
        case "Run" | "Define":
            return show(value["child"])
        case "Layer":
            return show(value["call"])
        case "Call":
            written = ", ".join(f"{name} = {show(arg)}" for name, arg in value["args"].items())
            return f"{value['name']}({written if len(written) <= 60 else '...'})"
    return _label(value) or "{...}"


def _show_float(x: float) -> str:
    """The shorter of the plain and the scientific form: `0.1`, `3e-3`; `10.0` for a whole number that is not large."""
    if x.is_integer() and abs(x) < 1e5:
        return repr(x)
    exact = next((form for digits in range(17) if float(form := f"{x:.{digits}e}") == x), "nan")
    if "e" not in exact:
        return repr(x)
    mantissa, exponent = exact.split("e")
    return min(repr(x), f"{mantissa}e{int(exponent)}", key=len)
