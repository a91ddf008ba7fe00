"""A Pygments lexer, so that specs are coloured in documents and notebooks. Pygments finds it by its entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pygments.lexer import Lexer
from pygments.token import Text, _TokenType, string_to_tokentype

from mfc.grammars.highlighting import CLASSES, pieces

TOKENS = {"": Text} | {kind: string_to_tokentype(named.token) for kind, named in CLASSES.items()}


class MfsLexer(Lexer):
    """Specs of training jobs, files with the suffix `.mfs`."""

    name = "mfs"
    aliases: ClassVar[list[str]] = ["mfs"]
    filenames: ClassVar[list[str]] = ["*.mfs"]
    mimetypes: ClassVar[list[str]] = ["text/x-mfs"]

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        for start, kind, piece in pieces(text):
            yield start, TOKENS[kind], piece
