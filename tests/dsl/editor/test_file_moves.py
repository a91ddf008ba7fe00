"""Imports when files are moved."""

from __future__ import annotations

import pytest

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor.file_moves import moving
from mfc.dsl.parse import parse
from mfc.dsl.source import Source

FILES = {
    "/specs/main.mfs": 'import "std/xresnet.mfs" (xresnet18)\nimport "parts/a.mfs" (a)\nuse "mine.py" (double)\n',
    "/specs/parts/a.mfs": 'import "./b.mfs" (b)\nuse r"../mine.py" (double)\n',
    "/specs/parts/b.mfs": "block b() { relu() }\n",
    "/specs/broken.mfs": 'import "gone.mfs" (gone)\nlet a = (\n',
}


def imports_after(**moves: str) -> dict[str, list[str]]:
    """The first lines of the files that change; `moves` are new paths in `/specs` by the old ones."""
    files = [(path, parse(Source(path, text), Diagnostics())) for path, text in FILES.items()]
    absolute = {f"/specs/{old}": f"/specs/{new}" for old, new in moves.items()}
    found = moving([*files, *files], absolute, "/package")
    lines = {}
    for path, edits in found.items():
        text = FILES[path]
        for edit in reversed(edits):
            text = text[: edit.span.start] + edit.text + text[edit.span.end :]
        lines[path] = [new for new, old in zip(text.split("\n"), FILES[path].split("\n")) if new != old]
    return lines


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ({"parts/b.mfs": "parts/c.mfs"}, {"/specs/parts/a.mfs": ['import "c.mfs" (b)']}),
        (
            {"mine.py": "layers/mine.py"},
            {
                "/specs/main.mfs": ['use "layers/mine.py" (double)'],
                "/specs/parts/a.mfs": ['use "../layers/mine.py" (double)'],
            },
        ),
        (
            {"main.mfs": "jobs/main.mfs"},
            {"/specs/main.mfs": ['import "../parts/a.mfs" (a)', 'use "../mine.py" (double)']},
        ),
        ({"parts": "pieces"}, {"/specs/main.mfs": ['import "pieces/a.mfs" (a)']}),
        ({"parts": "p" * 60}, {"/specs/main.mfs": [f'import "{"p" * 60}/a.mfs" (a)']}),
        (
            {"parts": "deeper/parts"},
            {
                "/specs/main.mfs": ['import "deeper/parts/a.mfs" (a)'],
                "/specs/parts/a.mfs": ['use "../../mine.py" (double)'],
            },
        ),
        ({"parts/a.mfs": "a.mfs", "mine.py": "std/mine.py", "parts/b.mfs": "std/b.mfs"}, {
            "/specs/main.mfs": ['import "a.mfs" (a)', 'use "std/mine.py" (double)'],
            "/specs/parts/a.mfs": ['import "./std/b.mfs" (b)', 'use "std/mine.py" (double)'],
        }),
        ({"mine.py": 'a"b\\c.py'}, {
            "/specs/main.mfs": [r'use "a\"b\\c.py" (double)'],
            "/specs/parts/a.mfs": [r'use "../a\"b\\c.py" (double)'],
        }),
        ({"broken.mfs": "parts/broken.mfs"}, {"/specs/broken.mfs": ['import "../gone.mfs" (gone)']}),
        ({"other.mfs": "another.mfs"}, {}),
    ],
)  # fmt: skip
def test_imports_find_what_they_found(moves: dict[str, str], expected: dict[str, list[str]]) -> None:
    assert imports_after(**moves) == expected
