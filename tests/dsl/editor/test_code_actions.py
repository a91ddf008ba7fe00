"""What mends mistakes does, beside the cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from mfc.dsl.editor.code_actions import Action, code_actions, fix_all
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit
from tests.dsl.editor.documents import NEARBY, of_file, of_file_with, of_text
from tests.dsl.editor.marked import cases
from tests.dsl.editor.test_completion import FILES, Texts


def applied(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def messages(document: Document) -> Counter[str]:
    return Counter(diagnostic.message for diagnostic in document.compiled.diagnostics)


@pytest.mark.parametrize("path", cases("code_actions"), ids=lambda path: path.stem)
def test_each_action_mends_what_it_is_for(path: Path) -> None:
    document = of_file(path)
    before = messages(document)
    for action in code_actions(document, 0, len(document.text), NEARBY):
        assert action.diagnostic is not None
        message = action.diagnostic.message
        after = messages(of_file_with(path, applied(document.text, action.edits)))
        assert after[message] < before[message], action.title


def test_what_is_certain_is_mended_at_once() -> None:
    text = 'let a: 3\ntrain fit { metrics = [accuracy]  data = "x", loss = mse }\n'
    everything = fix_all(of_text(text))
    assert everything is not None
    assert applied(text, everything.edits) == (
        'let a = 3\ntrain fit { metrics = [accuracy()]  data = "x" loss = mse() }\n'
    )
    assert fix_all(of_text("let a = nowhere\nlet nowheer = 2\n")) is None, "a guess is not certain"


def titles(text: str, nearby: Texts | None = None) -> list[str]:
    found: list[Action] = code_actions(of_text(text), 0, len(text), nearby)
    return [action.title for action in found]


def test_names_of_files_beside_are_imported_or_used() -> None:
    text = "model net { pair(3)  twofold() }\n"
    assert titles(text, Texts(FILES)) == ['Import `pair` from "parts.mfs"', 'Use `twofold` of "layers.py"']
    assert titles(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model net { pair(3) }\n", 'import "parts.mfs" (pair)\n\nmodel net { pair(3) }\n'),
        (
            "## A net.\nmodel net { pair(3) }\n",
            'import "parts.mfs" (pair)\n\n## A net.\nmodel net { pair(3) }\n',
        ),
        (
            "language 1\nmodel net { pair(3) }\n",
            'language 1\n\nimport "parts.mfs" (pair)\nmodel net { pair(3) }\n',
        ),
        (
            'import "std/cnn.mfs" (cnn)\nmodel net { pair(3) }\n',
            'import "std/cnn.mfs" (cnn)\nimport "parts.mfs" (pair)\nmodel net { pair(3) }\n',
        ),
        (
            'import "parts.mfs" (width)\nmodel net { pair(width) }\n',
            'import "parts.mfs" (width, pair)\nmodel net { pair(width) }\n',
        ),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_import_stands_behind_a_mark_of_the_order_of_bytes(text: str, expected: str, mark: str) -> None:
    text = mark + text
    [action] = [
        a
        for a in code_actions(of_text(text), 0, len(text), Texts(FILES))
        if a.title.startswith("Import `pair`")
    ]
    assert applied(text, action.edits) == mark + expected


def test_only_what_stands_in_the_piece_is_mended() -> None:
    text = "let a = nowhere\nlet b = alsonowhere\nlet nowheer = 3\nlet alsonowheer = 3\n"
    document = of_text(text)
    assert [a.title for a in code_actions(document, 0, 10)] == ["Write `nowheer`"]
    assert [a.title for a in code_actions(document, 16, 30)] == ["Write `alsonowheer`"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train a {}\n", "train a { loss = cross_entropy()}\n"),
        ("train a {\n}\n", "train a {\n    loss = cross_entropy()\n}\n"),
        ("train a(k = 1) { }\n", "train a(k = 1) { loss = cross_entropy() }\n"),
        (
            "train a {\n    data      = d  # here\n    epochs    = 3\n}\n",
            "train a {\n    data      = d  # here\n    loss      = cross_entropy()\n    epochs    = 3\n}\n",
        ),
        (
            "train a {\n    callbacks = [\n    ]\n}\n",
            "train a {\n    loss      = cross_entropy()\n    callbacks = [\n    ]\n}\n",
        ),
        (
            "train a {\r\n    data = d # 👩\r\n}\r\n",
            "train a {\r\n    data = d # 👩\n    loss = cross_entropy()\r\n}\r\n",
        ),
        ("train a { let k = 3 }\n", "train a { loss = cross_entropy()  let k = 3 }\n"),
    ],
)
def test_a_field_is_put_in_its_place(text: str, expected: str) -> None:
    document = of_text(text)
    (action,) = [a for a in code_actions(document, 0, len(text)) if a.title == "Add `loss`"]
    assert applied(text, action.edits) == expected
