"""Changes of a text, and those that more than one feature makes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mfc.dsl.source import Source, Span

_IMPORT = re.compile(
    r'^\ufeff?(import|use)[ \t]+r?"([^"\n]*)"(?:[ \t]*\(((?:[^()#]|#[^\n]*\n)*)\)|(?![ \t]*\())', re.MULTILINE
)
_REST = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\Z)")
_FIRST = re.compile(r"^(?![ \t\r\ufeff]*(?:#|$))", re.MULTILINE)
_MARK = "\ufeff"  # of the order of bytes: nothing stands before it
_LANGUAGE = re.compile(r"language[ \t]+[0-9]+[^\n]*\n?")


@dataclass(frozen=True)
class Edit:
    """A piece of a text, and what stands there instead."""

    span: Span
    text: str


def inserted(source: Source, at: int, text: str) -> Edit:
    """The edit that only adds something."""
    return Edit(Span(source, at, at), text)


class Imports:
    """What a text imports, and how more is brought in."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found = [*_IMPORT.finditer(source.text)]

    def bringing(self, word: str, path: str, name: str) -> Edit:
        """What brings in a name of a file: the name in an `import` (or `use`, as `word` says) of that file, or a new one
        behind the last, or before the first declaration and its documentation."""
        for match in self._found:
            if (match[1], match[2]) == (word, path):
                if match[3] is None:
                    return inserted(self.source, match.end(), f" ({name})")
                if "#" in match[3]:  # which would take in what stands behind it
                    return inserted(self.source, match.start(3), f"{name},")
                listed = match[3].rstrip().removesuffix(",")
                return inserted(self.source, match.start(3) + len(listed), f", {name}" if listed else name)
        line = f'{word} "{path}" ({name})'
        if self._found:
            end = self._found[-1].end()
            rest = _REST.match(self.source.text, end)  # a comment is about what it stands behind
            return inserted(self.source, rest.end() if rest is not None else end, f"\n{line}")
        return _at_top(self.source, line)


def _at_top(source: Source, line: str) -> Edit:
    """A line before the first declaration and the comment right above it; the version of the language stays first."""
    text = source.text.removeprefix(_MARK)
    mark = len(source.text) - len(text)
    first = _FIRST.search(text)
    if first is None:
        written = f"{line}\n" if not text or text.endswith("\n") else f"\n{line}\n"
        return inserted(source, mark + len(text), written)
    if version := _LANGUAGE.match(text, first.start()):
        return inserted(source, mark + version.end(), f"\n{line}\n")
    at = first.start()
    while at and text.startswith("#", above := text.rfind("\n", 0, at - 1) + 1):
        at = above
    return inserted(source, mark + at, f"{line}\n\n")
