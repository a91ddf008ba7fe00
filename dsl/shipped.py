"""The specs that ship with mfc as the reference shows them: their documentation, params and declarations, and where
they call components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from mfc.dsl import want
from mfc.dsl.catalog import Catalog
from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.fields import BY_KIND
from mfc.dsl.parse import parse
from mfc.dsl.reference import fenced, headed, items, joined
from mfc.dsl.source import Source
from mfc.dsl.syntax import (
    BodyDecl,
    CallExpr,
    DataDecl,
    Decl,
    FieldStmt,
    File,
    Import,
    Language,
    LetStmt,
    Name,
    Param,
    Parameter,
    Phase,
    ValueDecl,
    children,
    declaration_kind,
)

STANDARD = "std/"
"""What the names of files begin with that are made to be imported."""

Shown = Param | LetStmt | DataDecl | ValueDecl | BodyDecl


@cache
def shipped() -> Mapping[str, File]:
    """All specs of the package by name, `cifar10` or `std/unet`: those to run first."""
    folder = files("mfc.specs")
    found = {}
    for place, start in ((folder, ""), (folder.joinpath("std"), STANDARD)):
        for file in sorted(place.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".mfs"):
                source = Source(start + file.name, file.read_text(encoding="utf-8"))
                found[source.name.removesuffix(".mfs")] = parse(source, Diagnostics())
    return found


def declared(file: File) -> list[Shown]:
    """The declarations of a file that have a name."""
    return [decl for decl in file.declarations if isinstance(decl, Shown)]


def form(decl: Shown) -> str:
    """How a declaration is called, or what it is set to: `unet(classes, depth = 4)`, `size: int = 64 in 16..256`."""
    name = decl.name.text
    match decl:
        case Param(type=type, default=default, domain=domain):
            shown = f"{name}: {type.span.text}"
            shown += "" if default is None else f" = {default.span.text}"
            return shown + ("" if domain is None else f" in {domain.span.text}")
        case LetStmt(value=value):
            return f"{name} = {' '.join(value.span.text.split())}"
        case DataDecl(input=input, target=target):
            return f"{name}{_parameters(decl.params)}: {input.span.text} -> {target.span.text}"
    return f"{name}{_parameters(decl.params)}"


def _parameters(parameters: tuple[Parameter, ...] | None) -> str:
    return "" if parameters is None else f"({', '.join(parameter.span.text for parameter in parameters)})"


# ── where components are called ─────────────────────────────────────────────────────────────────────────


Uses = Mapping[tuple[str, str], Mapping[str, str]]


@cache
def uses(catalog: Catalog) -> Uses:
    """The first call of each component in each spec that calls it: by kind and name of the component, then by the name
    of the spec, as it is written there."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for spec, file in shipped().items():
        own = {name.text for decl in file.declarations for name in _names(decl)}
        for decl in declared(file):
            for call, kinds in _calls(decl, (), declaration_kind(decl)):
                if isinstance(call.callee, Name) and call.callee.text not in own:
                    name, text = call.callee.text, " ".join(call.span.text.split())
                    for component in _meant(catalog.named(name), kinds):
                        found.setdefault((component.kind, name), {}).setdefault(spec, text)
    return found


def _names(decl: Decl) -> tuple[Name, ...]:
    """The names that a declaration gives a meaning to in its file."""
    if isinstance(decl, Import):
        return decl.names
    return () if isinstance(decl, Language) or decl.name is None else (decl.name,)


def _meant(components: list[Component], kinds: tuple[str, ...]) -> list[Component]:
    """The component of a name that a field of these kinds means; all where only one has the name."""
    return components if len(components) < 2 else [c for c in components if c.kind in kinds]


def _calls(node: Any, kinds: tuple[str, ...], owner: str) -> Iterator[tuple[CallExpr, tuple[str, ...]]]:
    """The calls below a node, each with the kinds of the field that it stands in. `owner` is whose fields they are."""
    if isinstance(node, CallExpr):
        yield node, kinds
    if isinstance(node, Phase):
        owner = "phase"
    if isinstance(node, FieldStmt) and (field := BY_KIND.get(owner, {}).get(node.name.text)):
        kinds = want.kinds(want.item(field.type) or field.type)
    for child in children(node):
        yield from _calls(child, kinds, owner)


# ── in words ────────────────────────────────────────────────────────────────────────────────────────────


def spec_markdown(name: str) -> str:
    """A spec: its documentation, its params and its other declarations. One of `std/` begins with how it is imported."""
    file = shipped()[name]
    decls = declared(file)
    params = [(form(decl), _line(decl)) for decl in decls if isinstance(decl, Param)]
    others = [
        (f"{declaration_kind(decl)} {form(decl)}", _line(decl))
        for decl in decls
        if not isinstance(decl, Param)
    ]
    models = [decl.name.text for decl in decls if declaration_kind(decl) == "model"]
    head = fenced(f'import "{name}.mfs" ({models[0]})') if name.startswith(STANDARD) else ""
    kind = "*Models for `import`.*" if head else "*Spec.*"
    parts = [
        head,
        f"{kind} {file.doc}",
        headed("Params", items(params)),
        headed("Declarations", items(others)),
    ]
    return joined(parts)


def declared_markdown(name: str, decl: Shown) -> str:
    """A declaration of a file of `std/`: how it is imported and called, and its documentation."""
    written = f'import "{name}.mfs" ({decl.name.text})\n\n{declaration_kind(decl)} {form(decl)}'
    kind = declaration_kind(decl).capitalize()
    return joined([fenced(written), f"*{kind} of `{name}`.* {decl.doc}".rstrip()])


def _line(decl: Shown) -> str:
    return " ".join(decl.doc.split())
