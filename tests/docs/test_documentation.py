"""What the documents show is what happens: specs check, quotes are exact, links lead somewhere."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import mfc
from mfc import arguments
from mfc.dsl import elaborate, parse, resolve, scan, scope
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.format import format
from mfc.dsl.render import render
from mfc.dsl.source import Source
from mfc.runtime.training import events

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
SPECS = Path(mfc.__file__).parent / "specs"


def blocks(document: str, opening: str) -> list[str]:
    """The fenced blocks of a document with that word behind the opening fence."""
    fenced = re.findall(r"^```([\w ]*)\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    return [text for word, text in fenced if word == opening]


CHAPTERS = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/training/*.md"))]


@pytest.mark.parametrize("document", ["README.md", "docs/language.md", *CHAPTERS])
def test_each_spec_in_a_document_checks(document: str, tmp_path: Path) -> None:
    found = blocks(document, "mfs")
    assert found or blocks(document, "mfs fragment")
    for text in found:
        spec = tmp_path / "shown.mfs"
        spec.write_text(text)
        assert [d.message for d in mfc.load(spec).diagnostics] == []


@pytest.mark.parametrize("spec", sorted(SPECS.glob("*.mfs")), ids=lambda path: path.stem)
def test_each_spec_of_the_package_checks_clean(spec: Path) -> None:
    assert [d.message for d in mfc.load(spec).diagnostics] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_spec_in_a_document_is_formatted(document: Path) -> None:
    for text in [*blocks(str(document), "mfs"), *blocks(str(document), "mfs fragment")]:
        found = Diagnostics()
        parse.parse(Source("shown.mfs", text), found)
        assert found.errors or format(text) == text


def test_the_page_on_formatting_shows_what_it_does() -> None:
    before, after = (blocks("docs/formatting.md", word) for word in ("mfs untidy", "mfs fragment"))
    assert len(before) >= 4 and [format(text) for text in before] == after


def test_the_readme_shows_the_digits_as_they_are() -> None:
    assert (SPECS / "digits.mfs").read_text() in blocks("README.md", "mfs")


def test_the_readme_shows_a_mistake_as_it_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (SPECS / "digits.mfs").read_text()
    Path("digits.mfs").write_text(text.replace("rotate(10)", "rotat(10)"))
    (shown,) = (block for block in blocks("README.md", "") if "error[" in block)
    assert [render(d).strip() for d in mfc.load("digits.mfs").diagnostics] == [shown.strip()]


def test_the_layer_in_the_reference_works(tmp_path: Path) -> None:
    (example,) = (block for block in blocks("docs/language.md", "python") if "coord_conv" in block)
    (spec,) = (block for block in blocks("docs/language.md", "mfs fragment") if "coord_conv" in block)
    (tmp_path / "layers.py").write_text(example)
    (tmp_path / "shown.mfs").write_text(spec)
    net: Any = mfc.compile(mfc.load(tmp_path / "shown.mfs")).build("net")
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_the_components_in_the_reference_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (block for block in blocks("docs/language.md", "python") if "class poly" in block)
    (tmp_path / "parts.py").write_text(example)
    text = (SPECS / "digits.mfs").read_text().replace("cross_entropy()", "poly(2.5)")
    text = text.replace(
        "[accuracy()]", "[accuracy(), confidence()]\n    callbacks = [gradient_norm(), mixup()]"
    )
    (tmp_path / "shown.mfs").write_text('use "parts.py" (poly, confidence, gradient_norm)\n' + text)
    run = mfc.run(tmp_path / "shown.mfs", epochs=1)
    assert 0 < run["fit"].result["confidence"] < 1
    assert "gradient norm" in capsys.readouterr().err


def test_the_callbacks_in_their_chapter_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chapter = "docs/training/callbacks.md"
    (example,) = blocks(chapter, "python")
    (spec,) = blocks(chapter, "mfs fragment")
    (tmp_path / "callbacks.py").write_text(example)
    (tmp_path / "shown.mfs").write_text(spec)
    run = mfc.run(tmp_path / "shown.mfs")
    assert "skipped 0 batches" in capsys.readouterr().err
    assert 1 <= len(run["fit"].history) < 50
    assert run["fit"].history[-1]["accuracy"] >= 0.8


def test_the_chapter_on_callbacks_has_all_events_and_cancels() -> None:
    text = (ROOT / "docs/training/callbacks.md").read_text()
    diagram = (events.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    assert re.sub(r"^    ", "", diagram, flags=re.MULTILINE) in text
    for name in (*events.PARTS, *(cancel.__name__ for cancel in events.Cancel.__subclasses__())):
        assert f"`{name}`" in text


def test_the_limits_are_those_of_the_compiler() -> None:
    limits = [
        resolve.MAX_FILES, parse.MAX_LINES, parse.MAX_CHARACTERS, scan.MAX_NESTING, scope.MAX_DEPTH, scope.MAX_STEPS,
        scope.MAX_TOTAL, elaborate.MAX_LAYERS, scope.MAX_LIST, scope.MAX_STRING,
    ]  # fmt: skip
    section = (ROOT / "docs/language.md").read_text().partition("| what | at most |")[2].partition("\n\n")[0]
    assert re.findall(r"\| ([\d,]+) \|$", section, re.MULTILINE) == [f"{limit:,}" for limit in limits]


def test_the_options_are_those_of_the_command_line() -> None:
    (commands,) = (a for a in arguments._parser()._actions if isinstance(a, argparse._SubParsersAction))
    real = {
        (option, name)
        for name, command in commands.choices.items()
        for action in command._actions
        for option in action.option_strings
        if option not in ("-h", "--help", "--debug")
    }
    rows = re.findall(r"^\| (`--.*?) \| `(.*?)` \|", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    told = {
        (option, name)
        for options, names in rows
        for option in re.findall(r"--[\w-]+", options)
        for name in names.split()
    }
    assert told == real


def anchor(heading: str) -> str:
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.skipif(not (ROOT / "specs").exists(), reason="links lead into the repository")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, fragment = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), target
        if fragment:
            assert fragment in map(anchor, re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)), target
