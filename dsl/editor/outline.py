"""What a file declares, as a tree; and declarations of several files by a part of their name."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    BrokenDecl,
    Comment,
    DataDecl,
    File,
    ForStmt,
    GroupStmt,
    IfStmt,
    Import,
    Language,
    LetStmt,
    Name,
    Param,
    Phase,
    Stmt,
    ValueDecl,
    declaration_kind,
)

_LONGEST = 80


@dataclass(frozen=True)
class Entry:
    """A declaration, or what is named within one.

    Args:
        name: as it is written.
        kind: that of a symbol, such as `data`, `group`, `phase` or `variable`.
        detail: what else its first line says: `image -> category`, `(nf, stride = 1)`.
        span: all of it.
        name_span: its name.
        children: what is named within it.
    """

    name: str
    kind: str
    detail: str
    span: Span
    name_span: Span
    children: Sequence[Entry] = ()


@dataclass(frozen=True)
class Found:
    """An entry with the file that it stands in, and the name of what it stands in there."""

    entry: Entry
    path: str
    container: str = ""


def outline(file: File) -> list[Entry]:
    """The declarations of a file in their order, those that can't be read too, where they have a name."""
    entries: list[Entry] = []
    for decl in file.declarations:
        match decl:
            case Import() | Language():
                pass
            case _ if decl.name is not None:
                body = decl.body if isinstance(decl, DataDecl | BodyDecl) else ()
                kind, detail = declaration_kind(decl), _detail(file, decl, decl.name)
                inner = tuple(_within(file, body))
                entries.append(Entry(decl.name.text, kind, detail, decl.span, decl.name.span, inner))
    return entries


def workspace_symbols(files: Iterable[tuple[str, File]], query: str) -> list[Found]:
    """What is declared in files, groups and phases too, whose names have the letters of a query in their order; the
    best first: the name itself, those that begin with it, that contain it, all others. `files` are given with their
    paths; one that is given twice is looked at once."""
    paths: set[str] = set()
    found: list[tuple[tuple[int, int], Found]] = []
    for path, file in files:
        if path in paths:
            continue
        paths.add(path)
        for entry, container in _entries(outline(file), ""):
            rank = _rank(query.lower(), entry.name.lower())
            if rank is not None:
                found.append((rank, Found(entry, path, container)))
    return [entry for _, entry in sorted(found, key=lambda ranked: ranked[0])]


def _entries(entries: Iterable[Entry], container: str) -> Iterator[tuple[Entry, str]]:
    for entry in entries:
        if container and entry.kind not in ("group", "phase"):
            continue
        yield entry, container
        yield from _entries(entry.children, entry.name)


def _rank(query: str, name: str) -> tuple[int, int] | None:
    """How well a name fits a query, the less the better; None where it does not."""
    at = name.find(query)
    if at >= 0:
        return (0 if query == name else 1 if at == 0 else 2), len(name)
    letters = iter(name)
    return (3, len(name)) if all(letter in letters for letter in query) else None


# ── entries ─────────────────────────────────────────────────────────────────────────────────────────────


def _detail(
    file: File, decl: Param | LetStmt | DataDecl | ValueDecl | BodyDecl | BrokenDecl, name: Name
) -> str:
    """What stands between a name and the braces; of a constant, its value."""
    if isinstance(decl, BrokenDecl):
        return ""
    end = decl.span.end
    if isinstance(decl, DataDecl):
        end = decl.target.span.end
    elif isinstance(decl, BodyDecl):
        last = decl.params[-1].span.end if decl.params else name.span.end
        end = file.source.text.index("{", last)
    return _short(_line(file, name.span.end, end).removeprefix(":").removeprefix("=").strip())


def _line(file: File, start: int, end: int) -> str:
    """What stands in a part of the text, on one line, without comments."""
    text, comments = file.source.text, file.comments
    pieces, at = [], start
    first, last = (bisect_left(comments, place, key=_start) for place in (start, end))
    for comment in comments[first:last]:
        pieces.append(text[at : comment.span.start])
        at = comment.span.end
    return " ".join("".join([*pieces, text[at:end]]).split())


def _start(comment: Comment) -> int:
    return comment.span.start


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _within(file: File, body: Iterable[Stmt]) -> Iterator[Entry]:
    for statement in body:
        match statement:
            case Phase(name):
                yield Entry(name.text, "phase", "", statement.span, name.span)
            case GroupStmt(name, inner):
                yield Entry(name.text, "group", "", statement.span, name.span, tuple(_within(file, inner)))
            case BranchStmt(name, kind, inner):
                of = "module" if kind == "module" else "tensor"
                yield Entry(name.text, of, kind, statement.span, name.span, tuple(_within(file, inner)))
            case LetStmt(name, value):
                detail = _short(_line(file, value.span.start, value.span.end))
                yield Entry(name.text, "variable", detail, statement.span, name.span)
            case IfStmt(_, yes, no):
                yield from _within(file, (*yes, *no))
            case ForStmt():
                yield from _within(file, statement.body)
