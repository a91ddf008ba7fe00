"""Markdown for readers: laid out for a terminal, page by page where it is long, and as it is for everyone else."""

from __future__ import annotations

import os
import shutil
from io import StringIO
from typing import TextIO

WIDEST = 100
"""Columns of the longest line, on terminals that have more."""


def has_colour(stream: TextIO) -> bool:
    """Whether what goes there may have colours: it is a terminal, and nobody said otherwise."""
    return is_terminal(stream) and "NO_COLOR" not in os.environ


def is_terminal(stream: TextIO) -> bool:
    """Whether a person reads there, on what can do more than write line after line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def show_markdown(text: str, stream: TextIO) -> None:
    """Prints a text in Markdown."""
    if is_terminal(stream):
        text = laid_out(text, columns(), has_colour(stream))
    page_by_page(text, stream)


def columns() -> int:
    """How long lines are: as the terminal is wide."""
    return min(shutil.get_terminal_size().columns, WIDEST)


def page_by_page(text: str, stream: TextIO) -> None:
    """Prints lines; in a terminal with fewer lines by a pager, `PAGER` or `less`."""
    if not is_terminal(stream) or text.count("\n") < shutil.get_terminal_size().lines:
        print(text, end="", file=stream)
        return
    import pydoc

    os.environ.setdefault("LESS", "FRX")  # colours; what was read stays on the screen
    pydoc.pager(text)


def laid_out(text: str, width: int, colour: bool) -> str:
    """Markdown as lines of at most so many columns."""
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import CodeBlock, Heading, Markdown
    from rich.syntax import Syntax
    from rich.text import Text
    from rich.theme import Theme

    class Head(Heading):
        """A heading on the left; those of the first two levels are underlined."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            yield self.text
            if self.tag in ("h1", "h2"):
                yield Text("─" * min(width, self.text.cell_len))

    class Code(CodeBlock):
        """Code without lines of its own above and below."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            code = str(self.text).rstrip()
            yield Syntax(code, self.lexer_name, theme="ansi_dark", word_wrap=True, padding=(0, 2))

    class Document(Markdown):
        elements = {**Markdown.elements, "heading_open": Head, "fence": Code, "code_block": Code}  # noqa: RUF012

    styles = {"markdown.code": "cyan", **{f"markdown.h{level}": "bold" for level in range(1, 7)}}
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        theme=Theme(styles),
    )
    console.print(Document(text, hyperlinks=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"
