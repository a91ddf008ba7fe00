"""Specs with marks where something is asked: `▮` stands at a place, and is no part of the text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mfc.dsl.editor.document import Document
from tests.dsl.editor.documents import of_file_with

MARK = "▮"


def read(text: str) -> tuple[str, list[int]]:
    """A text without its marks, and where they were."""
    pieces, offsets, at = text.split(MARK), [], 0
    for piece in pieces[:-1]:
        at += len(piece)
        offsets.append(at)
    return "".join(pieces), offsets


def marked(path: Path) -> tuple[Document, list[int]]:
    """The document of a file with marks, and its marks."""
    text, offsets = read(path.read_text(encoding="utf-8"))
    return of_file_with(path, text), offsets


def shown(document: Document, offset: int) -> str:
    """A place with its line: `12: conv▮2d(nf)`."""
    line, column = document.source.position(offset)
    text = document.source.line(line)
    return f"{line}: {(text[: column - 1] + MARK + text[column - 1 :]).strip()}"


def cases(feature: str) -> Iterator[Path]:
    return iter(sorted((Path(__file__).parent / "cases" / feature).glob("*.mfs")))
