"""What editors show of specs with marks: each case is a spec in `cases/<feature>` with its result beside it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mfc.dsl.editor.code_actions import code_actions, fix_all
from mfc.dsl.editor.code_lens import code_lenses
from mfc.dsl.editor.completion import complete
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit
from mfc.dsl.editor.hover import hover
from mfc.dsl.editor.inlay_hints import inlay_hints
from mfc.dsl.editor.signature_help import signature_help
from tests.conftest import Golden
from tests.dsl.editor.documents import SPECS, NearbyFiles, of_file
from tests.dsl.editor.marked import cases, marked, shown


class StandardFiles(NearbyFiles):
    """The files that ship with the package, so that no case depends on another."""

    def list_for_import(self, folder: str) -> list[str]:
        return super().list_for_import(folder) if folder.startswith(self.standard) else []


STANDARD = StandardFiles([SPECS])


def run_hover(document: Document, offset: int) -> str:
    found = hover(document, offset)
    return "nothing" if found is None else f"{found.span.text!r}\n{found.markdown.rstrip()}"


SHOWN = 14


def run_completion(document: Document, offset: int) -> str:
    found = complete(document, offset, STANDARD)
    lines = []
    for item in found[:SHOWN]:
        text = "" if item.text == item.label else f"  {item.text!r}"
        edits = "".join(f"  + {edit.text!r}" for edit in item.edits)
        lines.append(
            f"{item.rank.name.lower():9} {item.kind:11} {item.label}{text}{edits}  | {item.detail[:60]}"
        )
    more = [f"... {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    replaced = [f"for {found[0].span.text!r}"] if found and found[0].span.text else []
    return "\n".join([*replaced, *lines, *more]) or "nothing"


def run_signature_help(document: Document, offset: int) -> str:
    found = signature_help(document, offset)
    if found is None:
        return "nothing"
    active = None if found.active is None else found.parameters[found.active]
    line = "" if active is None else " " * active.start + "^" * (active.end - active.start)
    return f"{found.label}\n{line}  {active.doc if active else ''}".rstrip() + f"\n{found.doc}".rstrip()


AT_MARKS: dict[str, Callable[[Document, int], str]] = {
    "hover": run_hover,
    "completion": run_completion,
    "signature_help": run_signature_help,
}
ALL = [(feature, path) for feature in AT_MARKS for path in cases(feature)]


@pytest.mark.parametrize(("feature", "path"), ALL, ids=[f"{feature}/{path.stem}" for feature, path in ALL])
def test_at_marks(feature: str, path: Path, golden: Golden) -> None:
    answers = [
        f"── {shown(document, at)}\n{AT_MARKS[feature](document, at)}\n" for document, at in marked(path)
    ]
    golden(path.with_suffix(".out"), "\n".join(answers))


def run_inlay_hints(document: Document) -> str:
    """The text with its hints: `conv2d(⟨nf =⟩64, ⟨ks =⟩3)⟨64 x 32 x 32⟩`."""
    text, found = document.text, inlay_hints(document, 0, len(document.text))
    for hint in reversed(found):
        text = f"{text[: hint.offset]}⟨{hint.label}⟩{text[hint.offset :]}"
    return text + "".join(f"\n{hint.label}: {hint.more}" for hint in found if hint.more) + "\n"


def run_code_lens(document: Document) -> str:
    return "".join(
        f"{document.source.position(lens.span.start)[0]}: {lens.title}: {lens.command}"
        f" {Path(lens.path).name} {lens.target}\n"
        for lens in code_lenses(document)
    )


def run_code_actions(document: Document) -> str:
    """Each action with the lines that it changes."""
    found = code_actions(document, 0, len(document.text), STANDARD)
    answers = []
    for action in [*found, *filter(None, [fix_all(document)])]:
        code = action.diagnostic.code if action.diagnostic else ""
        changed = difflib.unified_diff(
            document.text.splitlines(), applied(document.text, action.edits).splitlines(), n=0, lineterm=""
        )
        lines = [line for line in changed if not line.startswith(("---", "+++", "@@"))]
        answers.append(
            "\n".join([f"{code} {action.title}{'' if action.preferred else ' (of several)'}", *lines])
        )
    return "\n\n".join(answers) + "\n"


def applied(text: str, edits: Iterable[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


WHOLE: dict[str, Callable[[Document], str]] = {
    "inlay_hints": run_inlay_hints,
    "code_lens": run_code_lens,
    "code_actions": run_code_actions,
}
OF_WHOLE = [(feature, path) for feature in WHOLE for path in cases(feature)]


@pytest.mark.parametrize(
    ("feature", "path"), OF_WHOLE, ids=[f"{feature}/{path.stem}" for feature, path in OF_WHOLE]
)
def test_whole_files(feature: str, path: Path, golden: Golden) -> None:
    golden(path.with_suffix(".out"), WHOLE[feature](of_file(path)))


def test_cases_are_found() -> None:
    folder = Path(__file__).parent / "cases"
    assert {path.name for path in folder.iterdir()} == {*AT_MARKS, *WHOLE}
    assert len(ALL) >= 2
    assert {path.with_suffix(".out") for _, path in [*ALL, *OF_WHOLE]} == set(folder.rglob("*.out"))
