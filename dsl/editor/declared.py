"""What is shown of declarations and files: how they begin, what is written above them, what the check found out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from mfc.dsl.editor.document import Document
from mfc.dsl.editor.facts import (
    SHOWN,
    data_of,
    facts_of_data,
    facts_of_model,
    listed,
    models_of,
    plain_values,
    trains_of,
)
from mfc.dsl.reference import LONGEST, fenced
from mfc.dsl.resolve import STANDARD_FOLDER, Declared, Module, import_path
from mfc.dsl.syntax import (
    BodyDecl,
    BrokenDecl,
    DataDecl,
    Import,
    LetStmt,
    Param,
    Parameter,
    ValueDecl,
    declaration_kind,
)


def declaration_markdown(document: Document, declared: Declared) -> str:
    """All that is known of a declaration."""
    kind = declaration_kind(declared.decl)
    elsewhere = (
        "" if declared.module is document.module else f" In `{_file_name(document, declared.module)}`."
    )
    parts = [fenced(declaration_form(declared)), f"*{_NAMES.get(kind, kind.capitalize())}.*{elsewhere}"]
    parts += [declared.decl.doc, *_facts(document, declared)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _file_name(document: Document, module: Module) -> str:
    """What a file is called: one that comes with the package as imports name it."""
    standard = posixpath.join(document.compiled.standard, "")
    ships = module.path.startswith(standard + STANDARD_FOLDER)
    return module.path.removeprefix(standard) if ships else module.file.source.name


_NAMES = {"data": "Data block", "let": "Constant", "evaluate": "Evaluation"}


def declaration_form(declared: Declared) -> str:
    """How a declaration begins: `block conv(nf, ks = 3)`; all of one that fits on a line."""
    decl = declared.decl
    text = " ".join(decl.span.text.split())
    match decl:
        case DataDecl():
            return f"data {decl.name.text}{_parameters(decl.params)}: {decl.input.span.text} -> {decl.target.span.text}"
        case BodyDecl():
            return f"{decl.kind} {decl.name.text}{_parameters(decl.params)}"
        case BrokenDecl():
            return f"{decl.kind} {declared.name}"
        case ValueDecl() if len(text) > LONGEST:
            return f"{decl.kind} {decl.name.text}{_parameters(decl.params)} = ..."
        case LetStmt() if len(text) > LONGEST:
            return f"let {decl.name.text} = ..."
    return text


def _parameters(parameters: Sequence[Parameter] | None) -> str:
    return "" if parameters is None else f"({', '.join(map(parameter_form, parameters))})"


def parameter_form(parameter: Parameter) -> str:
    """`ks: int = 3`"""
    return " ".join(parameter.span.text.split())


def _facts(document: Document, declared: Declared) -> Iterator[str]:
    """What the check found out about a declaration."""
    match declared.decl:
        case Param():
            value = document.compiled.checked.params.get(declared)
            yield _value([value])
        case LetStmt(_, value):
            yield _value(document.values(value))
        case DataDecl():
            found = [(info.instance.name, list(facts_of_data(info))) for info in data_of(document, declared)]
            yield from _each(declared, found)
        case ValueDecl(kind="model") | BodyDecl(kind="model" | "train"):
            models = [(name, list(facts_of_model(model))) for name, model in models_of(document, declared)]
            yield from _each(declared, models)
            for info in trains_of(document, declared)[:1]:
                if {"data", "model"} <= info.fields.written.keys():
                    data, model = (info.fields.written[name].span.text for name in ("data", "model"))
                    yield f"Trains `{model}` on `{data}`."
                if info.phases:
                    yield f"**Phases** {listed([phase.name for phase in info.phases])}"


def _value(values: Sequence[object]) -> str:
    found = plain_values(values)
    return f"**Value{'s' if len(found) > 1 else ''}** {listed(found)}" if found else ""


def _each(declared: Declared, found: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """The facts about each instance of a declaration, the first few."""
    for name, facts in found[:SHOWN]:
        head = f"`{name}`:\n\n" if len(found) > 1 or name != declared.name else ""
        if facts:
            yield head + "\n".join(f"- {fact}" for fact in facts)
    if len(found) > SHOWN:
        yield f"and {len(found) - SHOWN} more"


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────


def file_markdown(document: Document, decl: Import) -> str:
    """What a file says of itself, and what it declares."""
    written = str(decl.path.value)
    if decl.kind == "use":
        return f"{fenced(decl.span.text)}\n\n*File of components.* It is read as text and never run by a check.\n"
    path = import_path(decl, document.path, document.compiled.standard)
    module = document.compiled.program.modules.get(path)
    parts = [fenced(f'import "{written}"')]
    if module is not None:
        declares = [d.name for d in module.declarations()]
        parts += [
            module.file.doc,
            f"**Declares** {', '.join(f'`{name}`' for name in declares)}" if declares else "",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"
