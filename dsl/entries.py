"""All that the reference tells of, as one list: to look names up in, to search, to make pages from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mfc.dsl import other_names, words
from mfc.dsl import reference as ref
from mfc.dsl.annotations import KINDS
from mfc.dsl.catalog import Catalog
from mfc.dsl.component import Component
from mfc.dsl.docstrings import parse_docstring
from mfc.dsl.explain import codes, explain
from mfc.dsl.fields import BY_KIND
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.shipped import STANDARD, declared, declared_markdown, shipped, spec_markdown, uses
from mfc.dsl.suggest import near
from mfc.dsl.syntax import declaration_kind
from mfc.dsl.types import Kind
from mfc.dsl.wording import either, kind_name, with_article
from mfc.dsl.words import Word, first_sentence


@dataclass(frozen=True)
class Entry:
    """One thing that the reference tells of.

    Args:
        name: as it is looked up: `conv2d`, `train.epochs`, `x.channels`, `std/unet`, `E0204`.
        kind: what it is, in words: `layer`, `field of a train`, `code`.
        group: the heading under which it is listed.
        summary: its first sentence.
        text: makes its Markdown.
        of: what it tells of, where that is a component or a field.
    """

    name: str
    kind: str
    group: str
    summary: str
    text: Callable[[], str]
    of: Any = None

    @property
    def title(self) -> str:
        """What stands above its text."""
        return f"{self.name}: {self.summary}" if self.kind == "code" else self.name


def entries(catalog: Catalog) -> list[Entry]:
    """All entries, group by group."""
    return [
        *_language(),
        *_constants(catalog),
        *_kinds(catalog),
        *(_component(c, catalog) for kind in KINDS for c in _of_kind(catalog, kind)),
        *_specs(),
        *_codes(),
    ]


def _language() -> Iterator[Entry]:
    yield from _words("declaration", "Declarations", words.DECLARATIONS, ref.declaration_markdown)
    for owner, fields in BY_KIND.items():
        for name, field in fields.items():
            kind, summary = f"field of {with_article(owner)}", ref.sentence(field.doc)
            make = _with(ref.field_markdown, owner, name)
            yield Entry(f"{owner}.{name}", kind, "Fields", summary, make, field)
    yield from _words("statement", "Statements", words.STATEMENTS, ref.statement_markdown)
    yield from _words("word of expressions", "Expressions", words.EXPRESSIONS, ref.word_markdown)
    yield from _words("type", "Types", words.TYPES, ref.type_markdown)
    yield from _words("input", "Inputs", words.INPUTS, ref.input_markdown)
    yield from _words("target", "Targets", words.TARGETS, ref.target_markdown)
    for of, told in words.ATTRIBUTES.items():
        for name, word in told.items():
            make = _with(ref.attribute_markdown, of, name)
            yield Entry(word.form, f"attribute of {with_article(of)}", "Attributes", word.summary, make)
    for name, function in FUNCTIONS.items():
        summary = first_sentence(function.doc)
        yield Entry(name, "function", "Functions", summary, _with(ref.function_markdown, name))


def _words(kind: str, group: str, told: dict[str, Word], text: Callable[[str], str]) -> Iterator[Entry]:
    for name, word in told.items():
        yield Entry(name, kind, group, word.summary, _with(text, name))


def _constants(catalog: Catalog) -> Iterator[Entry]:
    for name in sorted(catalog.constants):
        summary = first_sentence(catalog.constant_docs.get(name, ""))
        yield Entry(name, "constant", "Constants", summary, _with(ref.constant_markdown, name, catalog))


def _kinds(catalog: Catalog) -> Iterator[Entry]:
    for kind in KINDS:
        if catalog.names(kind):
            make = _with(ref.kind_markdown, kind, catalog)
            yield Entry(kind, "kind of components", "Kinds of components", words.KINDS[kind], make)


def _of_kind(catalog: Catalog, kind: str) -> list[Component]:
    return [component for name in catalog.names(kind) for component in catalog.named(name, [kind])]


def _component(component: Component, catalog: Catalog) -> Entry:
    summary = parse_docstring(component.doc).summary
    make = _with(_component_text, component, catalog)
    group = Kind(component.kind).plural().capitalize()
    return Entry(component.name, kind_name(component.kind), group, summary, make, component)


def _component_text(component: Component, catalog: Catalog) -> str:
    """What is known of a component, and how the specs that ship with mfc call it."""
    calls = uses(catalog).get((component.kind, component.name), {})
    shown = "\n".join(f"- {ref.code(call)} in `{spec}`" for spec, call in list(calls.items())[:MOST_CALLS])
    where = ref.headed("Source", f"`{component.target.replace(':', '.')}`")
    return ref.joined([ref.component_markdown(component).rstrip(), ref.headed("In specs", shown), where])


MOST_CALLS = 5
"""How many calls of a component in specs are shown at most."""


def _specs() -> Iterator[Entry]:
    for name, file in shipped().items():
        standard = name.startswith(STANDARD)
        kind, group = ("models for import", "Models for import") if standard else ("spec", "Specs")
        yield Entry(name, kind, group, first_sentence(file.doc), _with(spec_markdown, name))
        for decl in declared(file) if standard else ():
            kind = f"{declaration_kind(decl)} of {name}"
            make = _with(declared_markdown, name, decl)
            yield Entry(decl.name.text, kind, f"In {name}", first_sentence(decl.doc), make)


CODES = {"E": "Errors of specs", "W": "Warnings", "R": "Errors of runs"}
"""The headings of codes, by their first letter."""


def _codes() -> Iterator[Entry]:
    for letter, group in CODES.items():
        for code in codes():
            if code.startswith(letter):
                page = explain(code) or ""
                title = page.partition("\n")[0].partition(": ")[2]
                text = page.partition("\n")[2].lstrip("\n")
                yield Entry(code, "code", group, title, lambda text=text: text)


def _with(function: Callable[..., str], *args: Any) -> Callable[[], str]:
    return lambda: function(*args)


# ── looking up ──────────────────────────────────────────────────────────────────────────────────────────


def look_up(name: str, among: Sequence[Entry]) -> list[Entry]:
    """The entries of a name: those that are called so, else those of which that is the last part, as of
    `train.epochs`. Case counts where two names differ by it alone."""
    wanted = name.strip().removesuffix("()").removeprefix("specs/").removesuffix(".mfs")
    for fits in (
        lambda entry: entry.name == wanted,
        lambda entry: entry.name.lower() == wanted.lower(),
        lambda entry: entry.name.rpartition(".")[2] == wanted,
        lambda entry: entry.name.rpartition("/")[2] == wanted,
        lambda entry: entry.kind == "kind of components" and wanted.lower() in _plurals(entry.name),
    ):
        if found := [entry for entry in among if fits(entry)]:
            return found
    return []


def parts_of(name: str, among: Sequence[Entry]) -> list[Entry]:
    """The entries of which a name is the last part, such as the fields `train.data` and `phase.data` of `data`."""
    return [entry for entry in among if "." in entry.name and entry.name.rpartition(".")[2] == name]


def _plurals(kind: str) -> Iterable[str]:
    plural = Kind(kind).plural()
    return kind_name(kind), plural, plural.replace(" ", "_")


def hint(name: str, among: Sequence[Entry]) -> str:
    """What was probably meant by a name that no entry has; empty where nothing is near it."""
    prefix, _, word = name.strip().removesuffix("()").rpartition(".")  # of `nn.Sequential`
    if prefix and (same := look_up(word, among)):
        return f"here it is `{same[0].name}`"
    said = other_names.asked(word) or other_names.component(word, KINDS) or other_names.field(word, _fields())
    if said or (said := _argument(word, among)):
        return said
    found = near(name, [part for entry in among for part in (entry.name, entry.name.rpartition(".")[2])])
    return f"did you mean {either([f'`{word}`' for word in found[:3]])}?" if found else ""


def _argument(name: str, among: Sequence[Entry]) -> str:
    """What takes an argument of a name."""
    taking = [
        entry.name
        for entry in among
        if isinstance(entry.of, Component) and name in [parameter.name for parameter in entry.of.parameters]
    ]
    shown = [f"`{component}`" for component in dict.fromkeys(taking)]
    more = f" and {len(shown) - MOST_TAKING} more" if len(shown) > MOST_TAKING else ""
    return f"it is an argument of {', '.join(shown[:MOST_TAKING])}{more}" if shown else ""


MOST_TAKING = 3
"""How many components that take an argument are named."""


def _fields() -> list[str]:
    return [name for fields in BY_KIND.values() for name in fields]


def search(query: str, among: Sequence[Entry]) -> list[Entry]:
    """The entries in which all words of a query begin a word, those first that have them in their names, then in their
    summaries."""
    wanted = query.lower().split()
    found = []
    for entry in among:
        name, summary = entry.name.lower(), entry.summary.lower()
        text = f"{name} {entry.kind} {summary} {entry.text().lower()}"
        if wanted and all(re.search(rf"(?<![a-z]){re.escape(word)}", text) for word in wanted):
            places = [
                0 if word == name else 1 if word in name else 2 if word in summary else 3 for word in wanted
            ]
            found.append((sum(places), entry))
    return [entry for _, entry in sorted(found, key=lambda item: item[0])]
