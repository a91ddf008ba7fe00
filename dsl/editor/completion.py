"""What can be written at a place: what is wanted there first, then what else has a meaning there."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from mfc.dsl import reference
from mfc.dsl import want as wanted
from mfc.dsl.editor import snippets
from mfc.dsl.editor.cursor import cursor
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.hover import symbol_markdown
from mfc.dsl.editor.importable import Nearby, NoFiles, components, declarations, imports
from mfc.dsl.editor.members import member_in_words, members
from mfc.dsl.editor.offers import Completion, Offers, Rank
from mfc.dsl.editor.offers_in_bodies import STACKS, offer_fields, offer_layers
from mfc.dsl.editor.offers_in_strings import files_and_folders
from mfc.dsl.editor.offers_of_values import offer_arguments, offer_values
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.fields import BY_KIND
from mfc.dsl.resolve import import_path
from mfc.dsl.scan import DECLARATION_WORDS, KEYWORDS, string_at, string_end
from mfc.dsl.source import Source, Span
from mfc.dsl.syntax import (
    Argument,
    Attribute,
    Comprehension,
    DataDecl,
    DataType,
    FieldStmt,
    ForStmt,
    Import,
    LayerStmt,
    Name,
    TypeExpr,
)
from mfc.dsl.types import ANY, PATH
from mfc.dsl.wording import string
from mfc.dsl.words import DECLARATIONS as DECLARATION_DOCS
from mfc.dsl.words import EXPRESSIONS, INPUTS, TARGETS, TYPES

_PATH = re.compile(r'[ \t\ufeff]*(import|use)[ \t]+r?"(?P<path>[^"\n]*)\Z')
_WORD = re.compile(r"\w*")


def complete(
    document: Document, offset: int, nearby: Nearby | None = None, text: str | None = None
) -> list[Completion]:
    """What can be written at an offset, the best first.

    Args:
        document: the file as it was compiled.
        nearby: the files that it may import; without, none are offered.
        text: the file as it is now, where `document` is of an earlier text.
    """
    nearby = nearby or NoFiles()
    if (found := _paths(document, offset, nearby, text)) is not None:
        return found
    if (found := _in_string(document, offset, nearby, text)) is not None:
        return found
    here = cursor(document, offset, text)
    if here is None or here.word.text[:1].isdigit():
        return []
    offers = Offers(here, nearby)
    _offer(offers)
    return offers.sorted()


def documentation(document: Document, completion: Completion) -> str:
    """What is said of something that is offered, as Markdown; empty where nothing is."""
    match completion.kind:
        case "declaration":
            return reference.declaration_markdown(completion.label)
        case "keyword" if completion.label in ("phase", "group", "branch", "module"):
            return reference.statement_markdown(completion.label)
        case "keyword" if completion.label == "let":
            return reference.declaration_markdown("let")
        case "keyword":
            return reference.word_markdown(completion.label) if completion.label in EXPRESSIONS else ""
    symbol = completion.symbol
    return "" if symbol is None else symbol_markdown(document, symbol, completion.within)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────


def _paths(document: Document, offset: int, nearby: Nearby, text: str | None) -> list[Completion] | None:
    """The files and folders that can go on the path of an import; None where the offset is in none."""
    source = document.source if text in (None, document.text) else Source(document.source.name, text or "")
    text = source.text
    line = text.rfind("\n", 0, offset) + 1
    match = _PATH.match(text, line, offset)
    if match is None:
        return None
    written, ending = match["path"], ".mfs" if match[1] == "import" else ".py"
    start = match.start("path") + written.rfind("/") + 1
    rest = re.compile(r'[^"/\n\r]*').match(text, offset)
    end = rest.end() if rest is not None else offset
    if text[end : end + 1] not in ('"', "/"):
        end = offset  # the string has no end yet: what stands on the line is no part of it
    span = Span(source, start, end)
    home, standard = posixpath.dirname(document.path), document.compiled.standard
    ships = written.startswith("std/") and match[1] == "import"
    folder = posixpath.normpath(posixpath.join(standard if ships else home, posixpath.dirname(written)))
    names = sorted(nearby.list_for_import(folder))
    if not posixpath.dirname(written) and match[1] == "import":
        names.append("std/")
    found = []
    for name in dict.fromkeys(names):
        if name.endswith("/") and not name.startswith((".", "__")):
            found.append(Completion(name, "folder", span, name))
        elif name.endswith(ending) and not imports(
            posixpath.join(folder, name), document.path, standard, nearby
        ):
            closing = "" if text[end : end + 1] == '"' else '"'
            found.append(Completion(name, "file", span, name + closing))
    return found


# ── strings ─────────────────────────────────────────────────────────────────────────────────────────────


def _in_string(document: Document, offset: int, nearby: Nearby, text: str | None) -> list[Completion] | None:
    """The choices that the string around an offset can be, and the files where it is a path, also in one that has no end
    yet; None where the offset is in no string."""
    source = document.source if text in (None, document.text) else Source(document.source.name, text or "")
    text = source.text
    opened = string_at(text, offset)
    if opened is None or text[opened] not in 'r"':
        return None
    end = string_end(text, opened)
    here = cursor(document, opened, text[:opened] + text[offset if end is None else end :])
    first = opened + (2 if text[opened] == "r" else 1)
    written, rest = text[first:offset], "" if end is None else text[offset : end - 1]
    if here is None or "\\" in written + rest:
        return []
    closing = '"' if end is None else ""
    if here.name is not None and PATH in wanted.members(here.bindings.wants.get(here.name, ANY)):
        span = Span(source, first + written.rfind("/") + 1, offset + len(rest.partition("/")[0]))
        return files_and_folders(here, nearby, written, span, closing)
    if not _WORD.fullmatch(rest):
        return []  # more than the one word stands in it
    offers = Offers(here, nearby)
    _offer(offers)
    span = Span(source, first, offset + len(rest))
    return [
        replace(item, span=span, text=string(item.label)[1:-1] + closing)
        for item in offers.sorted()
        if item.kind == "choice" and (item.label.isidentifier() or item.text == string(item.label))
    ]


# ── by what stands around ───────────────────────────────────────────────────────────────────────────────


def _offer(offers: Offers) -> None:
    """Everything that fits the place."""
    here = offers.here
    if here.fresh and (here.word.start == here.line or "TRAIN" in here.expected):
        _declarations(offers)
    if not here.path:
        _keywords(offers)
        return
    match here.path:
        case [*_, Import() as decl, Name()]:
            _imported(offers, decl)
        case [*_, DataDecl() as decl, DataType(), Name()] | [DataDecl() as decl, *_, DataType(), Name()]:
            _data_types(offers, decl)
        case [*_, TypeExpr() as written, Name() as name] if written.name is name:
            _types(offers)
        case [*_, Attribute() as attribute, Name() as name] if attribute.name is name:
            _members(offers, attribute)
        case [*_, FieldStmt() as statement, Name() as name] if statement.name is name:
            if here.body_kind in BY_KIND:
                offer_fields(offers, here.body_kind)
        case [*_, LayerStmt(), Name()]:
            _statements(offers)
        case [*_, Argument() as argument, Name() as name] if argument.name is name:
            offer_arguments(offers)
        case [*_, parent, Name() as name] if _names(parent, name):
            pass  # it is a new name
        case _:
            offer_values(offers)


def _names(parent: object, name: Name) -> bool:
    """Whether a name is what a node is called by, and not a part of its value."""
    match parent:
        case ForStmt(names=names) | Comprehension(names=names):
            return name in names
        case FieldStmt() | LayerStmt():
            return False
    return getattr(parent, "name", None) is name


def _declarations(offers: Offers) -> None:
    first = not offers.here.source.text[: offers.here.word.start].strip()
    for order, word in enumerate(DECLARATION_WORDS):
        if word != "language" or first:
            form, text = DECLARATION_DOCS[word].form.partition("\n")[0], snippets.DECLARATIONS[word]
            offers.add(word, "declaration", Rank.WANTED, form, text, order=order, snippet=True)


def _keywords(offers: Offers) -> None:
    """The words that can stand where no name can."""
    for word, token in KEYWORDS.items():
        if token in offers.here.expected or (word == "in" and "WITHIN" in offers.here.expected):
            offers.add(word, "keyword", Rank.KEYWORD, text=f"{word} ")


def _statements(offers: Offers) -> None:
    here, kind = offers.here, offers.here.body_kind
    if here.before is not None and here.before.text in ("group", "phase") and not here.fresh:
        return  # the name of one
    if kind in STACKS:
        offer_layers(offers, kind)
    elif kind:
        offer_fields(offers, kind)
    if not here.fresh:
        for word in ("and", "or", "else", "in"):
            if KEYWORDS[word] in here.expected:
                offers.add(word, "keyword", Rank.KEYWORD, text=f"{word} ")
    elif "ELSE" in here.expected:
        offers.add("else", "keyword", Rank.KEYWORD, text="else {\n    $0\n}", snippet=True)


def _imported(offers: Offers, decl: Import) -> None:
    """What the file declares that an import names."""
    document = offers.here.document
    path = import_path(decl, document.path, document.compiled.standard)
    given = {name.text for name in decl.names} | set(offers.here.listed_after())
    module = document.compiled.program.modules.get(path)
    if decl.kind == "use":
        for component in components(path, offers.nearby):
            if component.name not in given:
                offers.component(component, Rank.WANTED, call=False)
        return
    for declared in declarations(path, offers.nearby) if module is None else module.declarations():
        if declared.name not in given:
            offers.declared(declared, Rank.WANTED, call=False)


def _data_types(offers: Offers, decl: DataDecl) -> None:
    target = decl.target in offers.here.path
    known = TARGETS if target else INPUTS
    for order, name in enumerate(known):
        form, symbol = known[name].form.partition("\n")[0], Symbol("type", name)
        offers.add(name, "type", Rank.WANTED, form, order=order, symbol=symbol)


def _types(offers: Offers) -> None:
    choice = any(isinstance(n, TypeExpr) and n.name.text == "choice" for n in offers.here.path)
    for order, name in enumerate(() if choice else TYPES):
        text, form, symbol = snippets.TYPES.get(name, name), TYPES[name].form, Symbol("type", name)
        offers.add(name, "type", Rank.WANTED, form, text, order=order, snippet=text != name, symbol=symbol)


def _members(offers: Offers, attribute: Attribute) -> None:
    """What can stand after a dot."""
    document, owner = offers.here.document, offers.here.bindings.owners.get(attribute)
    if owner is None:
        return
    for symbol in members(owner, document.compiled.catalog, document.recording).values():
        offers.symbol(symbol, Rank.WANTED, member_in_words(symbol))
