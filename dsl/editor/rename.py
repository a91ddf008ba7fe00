"""Another name for what a spec defines, everywhere where it is named; and why something can't have it."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from mfc.dsl.component import Component
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.bindings import Bindings
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit
from mfc.dsl.editor.linked_groups import linked_groups
from mfc.dsl.editor.members import Part, parts_in
from mfc.dsl.editor.occurrences import Occurrence
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Declared, resolve
from mfc.dsl.scan import KEYWORDS
from mfc.dsl.source import Source, Span
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    BrokenDecl,
    ForStmt,
    GroupStmt,
    IfStmt,
    Import,
    Language,
    Name,
    Phase,
    Stmt,
)

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {**KEYWORDS, "True": "TRUE", "False": "FALSE", "None": "NONE"}


@dataclass(frozen=True)
class Renamable:
    """A name that can be changed: where it stands, and what it is."""

    span: Span
    name: str


@dataclass(frozen=True)
class Rename:
    """The edits that change a name everywhere: those of each file, by its path, in the order of its text."""

    edits: Mapping[str, Sequence[Edit]]


@dataclass(frozen=True)
class Refused:
    """Why a name can't be changed, or not to this one."""

    message: str


def everywhere(path: str) -> bool:
    """That the file at any path may be changed."""
    return True


def prepare(
    document: Document, offset: int, changeable: Callable[[str], bool] = everywhere
) -> Renamable | Refused:
    """The name at an offset of a document, if it can be changed. `changeable` is as for `rename`."""
    occurrence = document.bindings.at(offset)
    if occurrence is None:
        return Refused("no name stands here")
    reason = _fixed(document, occurrence.symbol, changeable)
    return Refused(reason) if reason else Renamable(occurrence.span, occurrence.span.text)


def rename(
    documents: Iterable[Document],
    document: Document,
    offset: int,
    new_name: str,
    changeable: Callable[[str], bool] = everywhere,
) -> Rename | Refused:
    """What to write where, so that the name at an offset of a document becomes another one and all else means what it
    meant.

    Args:
        documents: all files in which it may be named, each compiled as it is now.
        changeable: tells by its path whether a file may be changed. What comes with the package never is.
    """
    occurrence = document.bindings.at(offset)
    if occurrence is None:
        return Refused("no name stands here")
    files = _by_path(document, documents)
    renaming = _Renaming(document, files, occurrence.symbol, new_name, changeable)
    reason = renaming.fixed(occurrence.symbol) or _no_name(new_name)
    return Refused(reason) if reason else renaming.result()


def _by_path(document: Document, documents: Iterable[Document]) -> Mapping[str, Document]:
    files = {document.path: document}
    for other in documents:
        files.setdefault(other.path, other)
    return files


def _fixed(document: Document, symbol: Symbol, changeable: Callable[[str], bool]) -> str:
    """Why a symbol that a document names keeps its name; empty where it need not."""
    match symbol:
        case Symbol(target=Component() as component):
            catalog = document.compiled.catalog
            ships = catalog.lookup(component.kind, component.name) is component
            where = "comes with mfc" if ships else "is renamed where it is defined, in Python"
            return f"`{component.name}` {where}"
        case Symbol(kind="file"):
            return "a path changes when its file is moved"
        case Symbol(kind="unknown", at=-1):
            return f"nothing is called `{symbol.name}`"
        case Symbol(kind="choice"):
            return f"`{symbol.name}` is a value to choose, and no name"
        case Symbol(at=-1):
            return f"`{symbol.name}` is a word of the language"
    if symbol.home.startswith(posixpath.join(document.compiled.standard, "")):
        return f"`{symbol.name}` comes with mfc"
    if changeable(symbol.home):
        return ""
    span = symbol.target.decl.span if isinstance(symbol.target, Declared) else symbol.target.span
    return f"`{symbol.name}` stands in {span.source.name}, which is no file of this workspace"


def _no_name(text: str) -> str:
    if text in _RESERVED:
        return f"`{text}` is a word of the language and can't be a name"
    if text == "x":
        return "`x` is reserved: it is the current tensor"
    if not _IDENTIFIER.fullmatch(text):
        return (
            f"`{text}` is no name: names are made of letters, digits and underscores, and begin with no digit"
        )
    return ""


class _Renaming:
    """A change of the names of symbols in files, by their paths."""

    def __init__(
        self,
        document: Document,
        files: Mapping[str, Document],
        symbol: Symbol,
        name: str,
        changeable: Callable[[str], bool],
    ) -> None:
        self.document = document
        self.files = files
        self.symbol = symbol
        self.name = name
        self.changeable = changeable
        grouped = symbol.kind == "group"
        self.symbols = linked_groups(files.values(), symbol) if grouped else {symbol}
        self.found = {
            path: [o for o in document.bindings.occurrences if o.symbol in self.symbols]
            for path, document in files.items()
        }
        self.ends = {path: [o.span.end for o in found] for path, found in self.found.items()}

    def fixed(self, symbol: Symbol) -> str:
        """Why a symbol keeps its name; empty where it need not."""
        return _fixed(self.document, symbol, lambda path: path in self.files and self.changeable(path))

    def result(self) -> Rename | Refused:
        if self.name == self.symbol.name:
            return Rename({})
        for reason in (self.out_of_reach, self.named_beyond, self.taken, self.misread):
            if message := reason():
                return Refused(message)
        found = ((path, places) for path, places in sorted(self.found.items()) if places)
        return Rename({path: [Edit(o.span, self.name) for o in places] for path, places in found})

    def out_of_reach(self) -> str:
        """Whether a group that must keep the same name can't have another one."""
        reasons = (self.fixed(symbol) for symbol in self.symbols)
        return next(
            (f"weights go between groups of one name, and {reason}" for reason in reasons if reason), ""
        )

    def named_beyond(self) -> str:
        """Whether the name stands in a file that is not to be changed."""
        places = (found[0].span for path, found in self.found.items() if found and not self.changeable(path))
        return next(
            (f"it is named in {_place(place)}, which is no file of this workspace" for place in places), ""
        )

    def taken(self) -> str:
        """Whether the name is given already where it would be given."""
        for path, found in self.found.items():
            document = self.files[path]
            top = {name.text: name.span for name in _names_at_top(document)}
            starts = {span.start for span in top.values()}
            for occurrence in found:
                if occurrence.span.start in starts:
                    there = top.get(self.name)
                elif occurrence.defines:
                    there = next(_given_beside(document, occurrence, self.name), None)
                else:
                    continue
                if there is not None:
                    return f"there is a `{self.name}` already, in {_place(there)}"
        return ""

    def misread(self) -> str:
        """Whether something would mean something else. Each file is read again with the new name, and what its names
        stand for is held against what they stand for now: by the text alone, as nothing is evaluated."""
        texts = {path: self.written(path) for path, found in self.found.items() if found}
        for path in texts:
            document = self.files[path]
            before, after = (_read(document, changed).occurrences for changed in ({}, texts))
            for old, new in zip_longest(before, after):
                if old is None or new is None or not self.same(path, old, new):
                    return self.difference(path, old, new)
        return ""

    def written(self, path: str) -> str:
        """The text of a file with the new name."""
        text, at, pieces = self.files[path].text, 0, []
        for occurrence in self.found[path]:
            pieces += [text[at : occurrence.span.start], self.name]
            at = occurrence.span.end
        return "".join([*pieces, text[at:]])

    def moved(self, path: str, offset: int) -> int:
        """Where a place of a file is after the change."""
        before = bisect_right(self.ends.get(path, ()), offset)
        return offset + before * (len(self.name) - len(self.symbol.name))

    def same(self, path: str, old: Occurrence, new: Occurrence) -> bool:
        """Whether a name stands for the same as before."""
        was, now = old.symbol, new.symbol
        if self.moved(path, old.span.start) != new.span.start:
            return False
        if was.in_spec:
            return (was.home, self.moved(was.home, was.at)) == (now.home, now.at)
        name = self.name if self.changes(path, old) else was.name
        return (was.kind, name, was.home, was.at) == (now.kind, now.name, now.home, now.at)

    def changes(self, path: str, occurrence: Occurrence) -> bool:
        ends = self.ends[path]
        place = bisect_left(ends, occurrence.span.end)
        return place < len(ends) and ends[place] == occurrence.span.end

    def difference(self, path: str, old: Occurrence | None, new: Occurrence | None) -> str:
        if old is None or new is None or self.moved(path, old.span.start) != new.span.start:
            return f"{self.files[path].source.name} would be read otherwise with `{self.name}` as a name"
        if self.changes(path, old):
            return f"in {_place(old.span)} `{self.name}` means something else already"
        return f"the `{self.name}` in {_place(old.span)} means something else, and would then mean this"


def _place(span: Span) -> str:
    return f"line {span.source.position(span.start)[0]} of {span.source.name}"


# ── names beside others ─────────────────────────────────────────────────────────────────────────────────


def _names_at_top(document: Document) -> Iterator[Name]:
    """The names that a file declares or imports."""
    for decl in document.file.declarations:
        match decl:
            case Import():
                yield from decl.names
            case Language() | BrokenDecl(name=None):
                pass
            case _ if decl.name is not None:
                yield decl.name


def _given_beside(document: Document, occurrence: Occurrence, name: str) -> Iterator[Span]:
    """Where a name is given in the scope, or in the part of a model, in which a local one is."""
    regions = document.bindings.regions
    scopes = {region.scope for region in regions if occurrence.symbol in region.symbols.values()}
    for region in regions:
        if region.scope in scopes and name in region.symbols:
            at = region.symbols[name].at
            yield Span(document.source, at, at + len(name))
    for part in _parts_beside(document, occurrence.span.start):
        if part.name.text == name:
            yield part.name.span


def _parts_beside(document: Document, start: int) -> Sequence[Part]:
    """The phases of a train, or the named parts of a model, beside the one whose name starts at an offset."""
    bodies = [
        d.body
        for d in document.file.declarations
        if isinstance(d, BodyDecl) and d.span.start < start < d.span.end
    ]
    while bodies:
        body = bodies.pop()
        if (beside := _beside(body, start)) is not None:
            return beside
        bodies += [part.body for part in parts_in(body) if not isinstance(part, Phase)]
    return ()


def _beside(statements: Sequence[Stmt], start: int) -> list[Part] | None:
    """None where the part is not among statements. Of the two sides of an `if` only one is ever there."""
    for statement in statements:
        within: list[Part] | None = None
        match statement:
            case Phase() | GroupStmt() | BranchStmt() if statement.name.span.start == start:
                within = []
            case IfStmt(_, yes, no):
                within = _beside(yes, start)
                within = _beside(no, start) if within is None else within
            case ForStmt():
                within = _beside(statement.body, start)
        if within is not None:
            return [*within, *parts_in([other for other in statements if other is not statement])]
    return None


# ── reading again ───────────────────────────────────────────────────────────────────────────────────────


class _Texts:
    """The files that a program was read from, some with other texts."""

    def __init__(self, document: Document, texts: Mapping[str, str]) -> None:
        program = document.compiled.program
        own = {path: module.file.source.text for path, module in program.modules.items()}
        self.texts = {**own, **program.user_files, **texts}
        self.roots: Sequence[str] = sorted({posixpath.dirname(path) for path in self.texts})
        self.standard = document.compiled.standard

    def read(self, path: str) -> str:
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path]

    def display(self, path: str) -> str:
        return path


def _read(document: Document, texts: Mapping[str, str]) -> Bindings:
    """The names of a file when some texts are others."""
    compiled = document.compiled
    if not texts and document.module is compiled.program.entry:
        return Bindings(compiled, document.module, Recording())
    files = _Texts(document, texts)
    source = Source(document.source.name, files.read(document.path))
    program = resolve(source, document.path, files, compiled.catalog, Diagnostics())
    return Bindings(replace(compiled, program=program), program.entry, Recording())
