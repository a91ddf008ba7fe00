"""What a long spec costs, whoever wrote it: one of twice the length costs twice as much, and not four times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from types import FrameType
from typing import Any

import pytest

from mfc.dsl import diagnostics, suggest
from mfc.dsl.chunks import read_chunk
from mfc.dsl.editor.code_actions import code_actions, fix_all
from mfc.dsl.editor.completion import complete
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.folding import folds, selections
from mfc.dsl.editor.hover import hover
from mfc.dsl.editor.inlay_hints import inlay_hints
from mfc.dsl.editor.navigation import highlights
from mfc.dsl.editor.outline import outline
from mfc.dsl.editor.rename import Rename, rename
from mfc.dsl.editor.semantic_tokens import semantic_tokens
from tests.dsl.editor.documents import of_text

TraceFunction = Callable[[FrameType, str, Any], Any]
LINES = 60

SPECS: dict[str, Callable[[int], str]] = {
    "unknown names": lambda n: "\n".join(f"let a{i:05} = nowhere{i:05}" for i in range(n)),
    "missing fields": lambda n: "\n".join(f"evaluate e{i:05} {{ }}" for i in range(n)),
    "one name": lambda n: "let a = 1\n" + "\n".join(f"let a{i:05} = a" for i in range(n)),
    "layers": lambda n: "model net {\n    input = image(3, 8, 8)\n" + "    conv2d(8, 3)\n" * n + "}",
    "unfinished models": lambda n: "\n".join(f"model m{i:05} {{ conv2d(" for i in range(n)),
    "comments": lambda n: "\n".join(f"let a{i:05} = 1  # one" for i in range(n)),
    "arguments": lambda n: (
        f"block b({', '.join(f'p{i:05} = 1' for i in range(n))}) {{ relu() }}\n"
        f"model net {{ b({', '.join(f'q{i:05} = 1' for i in range(n))}) }}"
    ),
    "declarations with comments": lambda n: "".join(
        f"# {i}\nblock b{i:05}() {{ relu() }}  # {i}\n" for i in range(n)
    ),
    "uses of a parameter": lambda n: "block b(nf) {\n" + "    conv2d(nf, 3)\n" * n + "}",
    "uses of a parameter with values": lambda n: (
        "block b(nf) {\n" + "    conv2d(nf, 3)\n" * n + "}\nmodel net { input = image(3, 8, 8)  b(8) }"
    ),
    "unfinished phases": lambda n: (
        "train t {\n" + "".join(f"    phase p{i:05} {{ }}\n" for i in range(n)) + "}"
    ),
    "groups": lambda n: (
        "model net {\n" + "".join(f"    group g{i:05} {{ relu() }}\n" for i in range(n)) + "}"
    ),
}

FEATURES: dict[str, Callable[[Document, int], object]] = {
    "hover": hover,
    "completion": complete,
    "inlay hints": lambda d, _: inlay_hints(d, 0, len(d.text)),
    "semantic tokens": lambda d, _: semantic_tokens(d),
    "code actions": lambda d, _: (code_actions(d, 0, len(d.text)), fix_all(d)),
    "symbols": lambda d, _: outline(d.file),
    "folding": lambda d, _: folds(d),
    "selection": selections,
    "highlights": highlights,
    "rename": lambda d, at: rename([d], d, at, "other"),
}


def _middle(document: Document) -> int:
    """Where a name begins in the middle of a document."""
    found = [o for o in document.bindings.occurrences if o.span.start >= len(document.text) // 2]
    return (found or document.bindings.occurrences)[0].span.start


def steps(run: Callable[[], object]) -> int:
    """How many lines are executed, and how many functions called that are not in Python. A line counts again for each
    item that it goes over, as in a comprehension."""
    count = 0

    def line(frame: FrameType, event: str, _: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace()  # that of a debugger, or of what measures coverage
    sys.settrace(line)
    sys.setprofile(call)
    try:
        run()
    finally:
        sys.setprofile(None)
        sys.settrace(before)
    return count


def test_each_item_of_a_comprehension_is_a_step() -> None:
    few, many = range(10), range(1010)
    assert steps(lambda: [-item for item in many]) - steps(lambda: [-item for item in few]) == 1000


def assert_linear(cost: Callable[[int], int]) -> None:
    _, one, two, four = (cost(LINES * times) for times in (1, 1, 2, 4))  # the first pays for what is kept
    assert four - two <= 2.1 * (two - one) + LINES


def compiled(spec: str, lines: int) -> Document:
    read_chunk.clear()
    return of_text(SPECS[spec](lines))


known = cache(compiled)


def asked(spec: str, feature: str, lines: int) -> int:
    """What a feature costs that is the first to be asked of a document."""
    document = known(spec, lines)
    fresh, place = Document(document.compiled, document.module, document.recording), _middle(document)
    return steps(lambda: FEATURES[feature](fresh, place))


@pytest.mark.parametrize("spec", SPECS)
def test_checking(spec: str) -> None:
    assert_linear(lambda n: steps(partial(compiled, spec, n)))


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("spec", SPECS)
def test_features(spec: str, feature: str) -> None:
    assert_linear(partial(asked, spec, feature))


def test_a_name_can_be_changed_in_a_long_spec() -> None:
    document = known("one name", LINES)
    assert isinstance(rename([document], document, document.text.index("a"), "other"), Rename)


def test_only_the_first_unknown_names_are_compared_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(suggest, "distance", lambda a, b, limit: compared.append(a) or limit + 1)
    text = "\n".join(f"let paper{i:05} = paste{i:05}" for i in range(2 * diagnostics.MAX_SOUGHT))
    assert len(of_text(text).compiled.errors) == 2 * diagnostics.MAX_SOUGHT
    assert len({*compared}) == diagnostics.MAX_SOUGHT
    assert len(compared) <= diagnostics.MAX_SOUGHT * suggest.MOST
