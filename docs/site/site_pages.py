"""The pages of the site that are made: the reference, out of what `mfc docs` knows, and what stands outside of `docs/`.

A page is Markdown under the path of its source, as if it lay in `docs/`. Links in it are relative, as in all others.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mfc.dsl.catalog import builtin_catalog
from mfc.dsl.component import Component
from mfc.dsl.entries import CODES, Entry, entries
from mfc.dsl.fields import Field
from mfc.dsl.reference import fenced
from mfc.dsl.shipped import STANDARD, shipped

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Documents at the top of the repository, and where the site has them."""

LICENCES = {"LICENSE": "Licence", "NOTICE": "Notice"}
LICENCE = "licence.md"

TOGETHER = {
    "Statements": "statements", "Expressions": "expressions", "Types": "types", "Inputs": "types", "Targets": "types",
    "Attributes": "attributes", "Functions": "functions", "Constants": "constants",
}  # fmt: skip
"""Groups whose entries stand together on a page, and that page."""

HEADS = {
    "statements": (
        "Statements",
        "What stands in the braces of models, blocks and trains, beside fields and the names of layers.",
    ),
    "expressions": (
        "Expressions",
        "The words of expressions, and of statements that are decided while a spec is compiled.",
    ),
    "types": (
        "Types",
        "The types of params and of parameters of declarations; what a data block's items are, and its targets.",
    ),
    "attributes": ("Attributes", "What can stand after a name and a dot."),
    "functions": (
        "Functions",
        "What expressions can call, beside components and declarations with parameters.",
    ),
    "constants": ("Constants", "Values that have names."),
}
"""The title of such a page, and its first sentence."""

INDEX = "reference/index.md"
ERRORS = "errors/index.md"
SPECS = "reference/specs/index.md"
DECLARATIONS = "reference/declarations/index.md"


@cache
def all_entries() -> Sequence[Entry]:
    """All that the reference tells of."""
    return tuple(entries(builtin_catalog()))


# ── where things stand ──────────────────────────────────────────────────────────────────────────────────


def place(entry: Entry) -> str:
    """The page of an entry, with the anchor of its heading where it stands there among others."""
    if entry.group in TOGETHER:
        return f"reference/{TOGETHER[entry.group]}.md#{anchor(heading(entry))}"
    if entry.kind == "declaration":
        return f"reference/declarations/{entry.name}.md"
    if isinstance(entry.of, Field):
        owner = entry.name.partition(".")[0]
        page = "reference/statements.md" if owner == "phase" else f"reference/declarations/{owner}.md"
        return f"{page}#{anchor(entry.name)}"
    if entry.kind == "kind of components":
        return f"reference/{folder(entry.name)}/index.md"
    if isinstance(entry.of, Component):
        file = f"{entry.name}_" if entry.name == "index" else entry.name  # `index.md` lists the kind
        return f"reference/{folder(entry.of.kind)}/{file}.md"
    if entry.kind == "code":
        return f"errors/{entry.name}.md"
    if entry.name in shipped():
        return f"reference/specs/{entry.name}.md"
    return f"reference/specs/{entry.group.removeprefix('In ')}.md#{anchor(entry.name)}"


def folder(kind: str) -> str:
    """The folder with the pages of a kind of components."""
    return kind.replace("_", "-")


def anchor(text: str) -> str:
    """The anchor of a heading, as code hosts make it, and the site too."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def heading(entry: Entry) -> str:
    """The heading of an entry; its kind is added where another component, or what stands on the same page, is called
    the same."""
    alike = (other for other in all_entries() if other.name == entry.name and other is not entry)
    among = _among(entry)
    return (
        f"{entry.title} ({entry.kind})" if among and any(_among(o) == among for o in alike) else entry.title
    )


def _among(entry: Entry) -> str:
    """What an entry's heading has to be told apart from."""
    return "components" if isinstance(entry.of, Component) else TOGETHER.get(entry.group, "")


def link(page: str, target: str) -> str:
    """A link from a page to a place, relative to the page."""
    path, _, fragment = target.partition("#")
    relative = posixpath.relpath(path, posixpath.dirname(page) or ".")
    return relative + (f"#{fragment}" if fragment else "")


# ── the pages ───────────────────────────────────────────────────────────────────────────────────────────


def pages() -> dict[str, str]:
    """All pages that are made, by the paths of their sources."""
    made = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in OUTSIDE.items()}
    made[LICENCE] = "# Licence\n\n" + "\n".join(
        f"## {title}\n\n```text\n{(ROOT / name).read_text(encoding='utf-8')}```\n"
        for name, title in LICENCES.items()
    )
    made[INDEX] = _index()
    made[ERRORS] = _errors()
    made[SPECS] = _specs()
    made[DECLARATIONS] = _listed(
        DECLARATIONS, "Declarations", "What stands at the top of a file.", _group("Declarations")
    )
    for name, (title, first) in HEADS.items():
        made[f"reference/{name}.md"] = _together(name, title, first)
    for entry in all_entries():
        page = place(entry)
        if entry.kind == "declaration":
            made[page] = _declaration(entry)
        elif entry.kind == "kind of components":
            own = [e for e in all_entries() if isinstance(e.of, Component) and e.of.kind == entry.name]
            made[page] = _listed(page, own[0].group, entry.summary, own) + _searched(entry.name)
        elif isinstance(entry.of, Component):
            made[page] = f"# {heading(entry)}\n\n{_component(entry, page)}"
        elif entry.name in shipped():
            made[page] = _spec(entry)
    return made


def _group(group: str) -> list[Entry]:
    return [entry for entry in all_entries() if entry.group == group]


def _with_heads(text: str, level: str) -> str:
    """A text whose bold heads are headings of a level."""
    return re.sub(r"^\*\*(\w[\w ]*)\*\*$", rf"{level} \1", text, flags=re.MULTILINE)


def _component(entry: Entry, page: str) -> str:
    """The text of a component with links to its kind and to the specs that call it."""
    text = _with_heads(entry.text(), "##")
    text = re.sub(r"^\*([\w ]+)\.\*", r"*[\1](index.md).*", text, count=1, flags=re.MULTILINE)
    specs = {e.name: link(page, place(e)) for e in all_entries() if e.name in shipped()}
    text = re.sub(
        r"(?<= in )`([\w/]+)`$", lambda found: f"[{found[1]}]({specs[found[1]]})", text, flags=re.MULTILINE
    )
    return text + (_searched(entry.name.replace("_", " ")) if "_" in entry.name else "")


def _searched(words: str) -> str:
    """Words that nobody sees, by which a search finds a page: `pool` for `avg_pool`."""
    return f"\n<p hidden>{words}</p>\n"


def _item(page: str, entry: Entry) -> str:
    said = f": {entry.summary}" if entry.summary else ""
    return f"- [{entry.name}]({link(page, place(entry))}){said}"


def _listed(page: str, title: str, first: str, found: Sequence[Entry]) -> str:
    """A page that lists entries with their summaries."""
    return f"# {title}\n\n{first}\n\n" + "\n".join(_item(page, entry) for entry in found) + "\n"


def _index() -> str:
    """The first page of the reference: all groups but those of codes."""
    parts = [
        "# Reference",
        "All that a spec can say, as the checker knows it. `mfc docs NAME` prints the same in a terminal. In "
        "signatures `in a..b` is the range of a number, and what stands behind `=` the default.",
        f"Error codes have [a list of their own]({link(INDEX, ERRORS)}).",
    ]
    skipped = (*CODES.values(), "Fields", "Kinds of components")
    for group in dict.fromkeys(entry.group for entry in all_entries()):
        if group not in skipped and not group.startswith("In "):
            parts += [f"## {group}", "\n".join(_item(INDEX, entry) for entry in _group(group))]
    return "\n\n".join(parts) + "\n"


def _errors() -> str:
    parts = ["# Error codes", "What `mfc` reports has a code; `mfc explain CODE` prints the page of one."]
    for group in CODES.values():
        rows = [f"| [{e.name}]({link(ERRORS, place(e))}) | {e.summary} |" for e in _group(group)]
        parts += [f"## {group}", "\n".join(["| code | what it says |", "| --- | --- |", *rows])]
    return "\n\n".join(parts) + "\n"


def _specs() -> str:
    parts = ["# Specs", "They ship with mfc: jobs to run, to read and to begin with, and models to import."]
    for group in ("Specs", "Models for import"):
        parts += [
            f"## {group if group != 'Specs' else 'Jobs'}",
            "\n".join(_item(SPECS, e) for e in _group(group)),
        ]
    return "\n\n".join(parts) + "\n"


def _together(page: str, title: str, first: str) -> str:
    parts = [f"# {title}\n\n{first}\n"]
    groups = [group for group, own in TOGETHER.items() if own == page]
    for group in groups:
        level = "##" if len(groups) == 1 else "###"
        parts += [f"## {group}\n"] if len(groups) > 1 else []
        for entry in _group(group):
            parts.append(f"{level} {heading(entry)}\n\n{entry.text()}")
            parts += _fields(entry.name, f"{level}#") if group == "Statements" else []
    return "\n".join(parts)


def _declaration(entry: Entry) -> str:
    parts = [f"# {entry.name}\n\n{_with_heads(entry.text(), '##')}"]
    told = list(_fields(entry.name, "###"))
    return "\n".join([*parts, *(["## Each field\n"] if told else []), *told])


def _fields(owner: str, level: str) -> Iterator[str]:
    for entry in _group("Fields"):
        if entry.name.startswith(f"{owner}."):
            yield f"{level} {entry.name}\n\n{entry.text()}"


def _spec(entry: Entry) -> str:
    """A spec with its source; of models for import, what each of them is."""
    parts = [f"# {entry.name}\n\n{_with_heads(entry.text(), '##')}"]
    if entry.name.startswith(STANDARD):
        parts += [f"### {inner.name}\n\n{inner.text()}" for inner in _group(f"In {entry.name}")]
    else:
        parts.append(
            f"## Stages\n\n![The stages of {entry.name}]({posixpath.basename(picture(entry.name))})\n"
        )
    parts.append(f"## Text\n\n{fenced(shipped()[entry.name].source.text.rstrip())}\n")
    return "\n".join(parts)


# ── pictures ────────────────────────────────────────────────────────────────────────────────────────────


def picture(spec: str) -> str:
    """Where the picture of a spec's stages is."""
    return f"reference/specs/{spec}.svg"


def pictures() -> dict[str, str]:
    """The stages of all specs that can be run, as SVG."""
    import mfc
    from mfc.graph import draw

    specs = Path(mfc.__file__).parent / "specs"
    return {
        picture(name): draw(mfc.compile(specs / f"{name}.mfs").plan())
        for name in shipped()
        if not name.startswith(STANDARD)
    }


# ── navigation ──────────────────────────────────────────────────────────────────────────────────────────


def navigation() -> list[Any]:
    """The part of the navigation below "Reference", as mkdocs takes it."""
    kinds = [
        {by_kind[0].group: [place(entry), *({heading(e): place(e)} for e in by_kind)]}
        for entry in _group("Kinds of components")
        if (by_kind := [e for e in all_entries() if isinstance(e.of, Component) and e.of.kind == entry.name])
    ]
    specs = [
        {entry.name: place(entry)} for group in ("Specs", "Models for import") for entry in _group(group)
    ]
    codes = [{entry.name: place(entry)} for group in CODES.values() for entry in _group(group)]
    return [
        INDEX,
        {"Declarations": [DECLARATIONS, *({e.name: place(e)} for e in _group("Declarations"))]},
        *({title: f"reference/{name}.md"} for name, (title, _) in HEADS.items()),
        *kinds,
        {"Specs": [SPECS, *specs]},
        {"Error codes": [ERRORS, *codes]},
    ]


def with_reference(nav: Sequence[Any], found: Mapping[str, Any]) -> list[Any]:
    """A navigation whose items of certain titles are filled in."""
    return [
        {title: found.get(title, value) for title, value in item.items()} if isinstance(item, dict) else item
        for item in nav
    ]
