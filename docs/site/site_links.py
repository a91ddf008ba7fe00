"""Links of the site: from documents to the rest of the repository, and from names in texts to the reference."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import cache

from mfc.dsl.component import Component
from mfc.dsl.entries import look_up
from site_pages import ERRORS, LICENCE, LICENCES, OUTSIDE, SPECS, all_entries, link, place

_FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)
_LINK = re.compile(r"(!?)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]*)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_DOCS = re.compile(r"mfc (?:docs|explain) ([\w./]+)")
_CALL = re.compile(r"([a-z_]\w*)\(")
_ERROR = re.compile(r"(?<![\w`/.-])[EWR]\d{4}(?![\w`.-])")


def linked(text: str, page: str) -> str:
    """The Markdown of a page with its links as the site has them, and with further links to the reference."""
    lines, fence = [], ""
    for line in text.split("\n"):
        opening = _FENCE.match(line.lstrip())
        if opening and not fence:
            fence = opening[1]
            line = line.replace("mfs fragment", "mfs").replace("mfs untidy", "mfs")
        elif opening and line.strip() == fence:
            fence = ""
        elif not fence:
            line = _line(line, page)
        lines.append(line)
    return "\n".join(lines)


def _line(line: str, page: str) -> str:
    line = _LINK.sub(lambda found: _moved(found, page), line)
    if line.startswith("#"):
        return line
    return _outside(
        _LINK, line, lambda piece: _outside(_CODE, _spans(piece, page), lambda p: _errors(p, page))
    )


def _moved(found: re.Match[str], page: str) -> str:
    """A link with the target that the site has for it; its text alone where it has none."""
    target = moved(found[3], page)
    return found[2] if target is None else f"{found[1]}[{found[2]}]({target})"


def _outside(kept: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """A text changed in all places but those that a pattern finds."""
    pieces, at = [], 0
    for found in kept.finditer(text):
        pieces += [change(text[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*pieces, change(text[at:])])


def _spans(text: str, page: str) -> str:
    """Names in code that the reference has, as links: calls of components, and what `mfc docs` is asked for."""

    def replaced(found: re.Match[str]) -> str:
        asked, call = _DOCS.fullmatch(found[1]), _CALL.match(found[1])
        target = _asked(asked[1]) if asked else _called(call[1]) if call else ""
        return (
            f"[{found[0]}]({link(page, target)})" if target and target.partition("#")[0] != page else found[0]
        )

    return _CODE.sub(replaced, text)


def _errors(text: str, page: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        target = _asked(found[0])
        return f"[{found[0]}]({link(page, target)})" if target and target != page else found[0]

    return _outside(_LINK, text, lambda piece: _ERROR.sub(replaced, piece))


@cache
def _asked(name: str) -> str:
    """The place of the first entry that a name leads to."""
    found = look_up(name, all_entries())
    return place(found[0]) if found else ""


@cache
def _called(name: str) -> str:
    """The place of the one component or function of a name."""
    found = [
        e for e in all_entries() if e.name == name and (isinstance(e.of, Component) or e.kind == "function")
    ]
    return place(found[0]) if len(found) == 1 else ""


def moved(target: str, page: str) -> str | None:
    """The target of a link in a document as the site has it; None for files of the repository that it has not."""
    if "://" in target or target.startswith("#"):
        return target
    path, _, fragment = target.partition("#")
    here = next((name for name, own in OUTSIDE.items() if own == page), f"docs/{page}")
    found = _site_path(posixpath.normpath(posixpath.join(posixpath.dirname(here), path)))
    return None if found is None else link(page, found + (f"#{fragment}" if fragment else ""))


def _site_path(file: str) -> str | None:
    """Where the site has a file or folder of the repository."""
    if file in OUTSIDE:
        return OUTSIDE[file]
    if file in LICENCES:
        return LICENCE
    if file in ("specs", "specs/std"):
        return SPECS
    if file.startswith("specs/") and file.endswith(".mfs"):
        return f"reference/{file.removesuffix('.mfs')}.md"
    if file == "docs/errors":
        return ERRORS
    return file.removeprefix("docs/") if file.startswith("docs/") else None
