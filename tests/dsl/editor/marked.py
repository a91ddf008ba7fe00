"""Specs with marks where something is asked: `▮` stands at a place, and is no part of the text. What `«` and `»` hold
right behind a mark is not written yet when that is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mfc.dsl.editor.document import Document
from tests.dsl.editor.documents import of_file_with

MARK = re.compile("▮(?:«([^»]*)»)?")


def marked(path: Path) -> Iterator[tuple[Document, int]]:
    """The document of a file for each of its marks, and where that is."""
    text = path.read_text(encoding="utf-8")
    whole = MARK.sub(r"\1", text)
    document = of_file_with(path, whole)
    before = 0  # characters of marks up to here
    for mark in MARK.finditer(text):
        later, at = mark[1] or "", mark.start() - before
        before += len(mark[0]) - len(later)
        yield (of_file_with(path, whole[:at] + whole[at + len(later) :]) if later else document), at


def shown(document: Document, offset: int) -> str:
    """A place with its line: `12: conv▮2d(nf)`."""
    line, column = document.source.position(offset)
    text = document.source.line(line)
    return f"{line}: {text[: column - 1]}▮{text[column - 1 :]}"


def cases(feature: str) -> list[Path]:
    return sorted((Path(__file__).parent / "cases" / feature).glob("*.mfs"))
