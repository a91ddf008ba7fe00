"""What can begin a statement: fields of data blocks and recipes, layers of blocks and models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from mfc.dsl.component import Component
from mfc.dsl.editor import snippets
from mfc.dsl.editor.cursor import Cursor
from mfc.dsl.editor.edits import Imports
from mfc.dsl.editor.importable import importable, importable_components
from mfc.dsl.editor.offers import Brought, Offers, Rank
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.elaborate import STATEMENTS
from mfc.dsl.fields import BY_KIND
from mfc.dsl.resolve import Declared, Used
from mfc.dsl.source import Source
from mfc.dsl.syntax import BodyDecl, DataDecl, FieldStmt, Phase, Stmt, declaration_kind
from mfc.dsl.words import STATEMENTS as STATEMENT_WORDS

STACKS = ("block", "model")
"""The kinds of declarations that can stand as a layer."""


def offer_fields(offers: Offers, kind: str) -> None:
    """The fields of a body that are not given yet, and what else can stand there."""
    here = offers.here
    body = _body(here)
    given = {s.name.text for s in body if isinstance(s, FieldStmt)} | {*here.given_after()}
    phases = any(isinstance(s, Phase) for s in body)
    column = equal_column(here.source, here.word.start, [s for s in body if s.span.end <= here.word.start])
    for order, (name, field) in enumerate(BY_KIND[kind].items()):
        if name in given or (name == "epochs" and kind == "train" and phases):
            continue
        symbol = Symbol("field", name, kind, -1, field)
        text = name
        if here.followed != "EQUAL":
            text = snippets.INPUT if kind == "model" else snippets.field(name, field, column)
        detail = f"{field.type}{', needed' if field.required else ''}"
        rank = Rank.OWN if field.required else Rank.STATEMENT if kind == "model" else Rank.WANTED
        offers.add(name, "field", rank, detail, text, order=order, snippet="$" in text, symbol=symbol)
    if here.followed != "EQUAL" and kind not in STACKS:
        for word in ("phase", "let") if kind == "train" else ("let",):
            offers.add(word, "keyword", Rank.STATEMENT, text=snippets.STATEMENTS[word], snippet=True)


def _body(here: Cursor) -> list[Stmt]:
    """The statements of the body that the cursor stands right in."""
    for node in reversed(here.path):
        match node:
            case Phase():
                return [*node.fields]
            case DataDecl() | BodyDecl():
                return [*node.body]
    return []


def equal_column(source: Source, at: int, before: Sequence[Stmt]) -> int:
    """How wide the name of a field is made on a line of its own, so that its `=` stands below that of the field before;
    0 where that stands elsewhere."""
    indent = at - (source.text.rfind("\n", 0, at) + 1)
    for statement in reversed(before):
        line, column = source.position(statement.span.start)
        if not isinstance(statement, FieldStmt) or column - 1 != indent:
            continue
        equal = source.text.find("=", statement.name.span.end)
        return equal - statement.span.start - 1 if source.position(equal)[0] == line else 0
    return 0


def offer_layers(offers: Offers, kind: str) -> None:
    """Layers, blocks and the other statements of a block or model."""
    here = offers.here
    names = here.document.module.names
    for name, binding in names.items():
        match binding:
            case Declared() if declaration_kind(binding.decl) in STACKS and (
                name != here.declares or _takes(binding)
            ):
                offers.declared(binding, Rank.OWN)
            case Used(components):
                for component in components:
                    if component.kind in ("layer", "architecture"):
                        offers.component(component, Rank.OWN)
    for component in _components(offers, "layer"):
        offers.component(component, Rank.WANTED)
    for component in _components(offers, "architecture"):
        offers.component(component, Rank.OTHER)
    tensors = [s for s in here.locals.values() if s.kind in ("tensor", "module")]
    for word in STATEMENTS:
        wanted = [s.name for s in tensors if (s.kind == "module") == (word == "apply")]
        if wanted and word not in names:
            text = f"{word}({wanted[0]})" if len(wanted) == 1 else f"{word}($0)"
            text = word if here.followed == "LPAR" else text
            symbol = Symbol("statement", word)
            detail = STATEMENT_WORDS[word].form
            offers.add(word, "statement", Rank.STATEMENT, detail, text, snippet="$" in text, symbol=symbol)
    for word in ("let", "group", "if", "for"):
        offers.add(word, "keyword", Rank.STATEMENT, text=snippets.STATEMENTS[word], snippet=True)
    if kind == "model" and isinstance(here.path[-3], BodyDecl):
        offer_fields(offers, kind)
    offer_from_files(offers, STACKS, ("layer", "architecture"))


def _takes(declared: Declared) -> bool:
    return bool(getattr(declared.decl, "params", None))


def _components(offers: Offers, kind: str) -> Iterator[Component]:
    catalog = offers.here.document.compiled.catalog
    taken = {*offers.here.document.module.names, *offers.here.locals}
    return (c for n in catalog.names(kind) if n not in taken for c in catalog.named(n, [kind]))


def offer_from_files(
    offers: Offers, declared: Collection[str], components: Collection[str], listed: bool = False
) -> None:
    """What other files have: declarations of some kinds, each with its `import`, and components of some kinds in the
    Python files of the folder, each with its `use`."""
    here = offers.here
    taken, imports = {*here.document.module.names, *here.locals}, Imports(here.source)
    if declared:
        for found, path in importable(here.document, offers.nearby):
            if declaration_kind(found.decl) in declared and found.name not in taken:
                brought = Brought(path, imports.bringing("import", path, found.name))
                offers.declared(found, Rank.IMPORTED, listed=listed, brought=brought)
    if components:
        for component, path in importable_components(here.document, offers.nearby):
            if component.kind in components and component.name not in taken:
                brought = Brought(path, imports.bringing("use", path, component.name))
                offers.component(component, Rank.IMPORTED, listed=listed, brought=brought)
