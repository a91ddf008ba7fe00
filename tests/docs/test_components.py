"""docs/components.md lists what the catalog holds; `pytest --update` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from mfc.dsl.annotations import KINDS
from mfc.dsl.catalog import Catalog, builtin_catalog
from mfc.dsl.component import Component
from mfc.dsl.types import Kind, kind_name, literal
from tests.conftest import Golden

PAGE = Path(__file__).resolve().parents[2] / "docs" / "components.md"

HEAD = """# Components

What specs can call, as the catalog has it: this page is written by `make goldens` from signatures and docstrings.
`in a..b` is the range of a number, what stands behind `=` the default. How to write components of your own
is in [the language reference](language.md#components).
"""


def reference(catalog: Catalog) -> str:
    """The page: a section for each kind, and one for the constants."""
    parts = [HEAD]
    for kind in KINDS:
        found = sorted((c for c in catalog if c.kind == kind), key=lambda c: c.name)
        if found:
            parts.append(f"## {Kind(kind).plural().capitalize()}\n")
            parts += map(entry, found)
    parts.append("## Constants\n")
    parts += [f"- `{name}` = `{literal(value)}`" for name, value in sorted(catalog.constants.items())]
    return "\n".join(parts) + "\n"


def entry(component: Component) -> str:
    lines = [f"### {component.name}\n", f"`{component.signature()}`\n", as_list(component.doc.strip())]
    if shape := component.facts.get("shape"):
        lines.append(f"\nShape: `{shape}`")
    if targets := component.facts.get("targets"):
        lines.append(f"\nTargets: {', '.join(kind_name(target) for target in targets)}")
    return "\n".join(lines) + "\n"


def as_list(doc: str) -> str:
    """A docstring with the lines of its `Args:` and the like as a list."""
    doc = re.sub(r"^    (\w+(?:, \w+)*):", r"- `\1`:", doc, flags=re.MULTILINE)
    doc = re.sub(r"^ {8}(?=\S)", "  ", doc, flags=re.MULTILINE)
    return re.sub(r"^(Args|Attributes|Raises):\n", r"\1:\n\n", doc, flags=re.MULTILINE)


def test_the_reference_of_components_is_up_to_date(golden: Golden) -> None:
    golden(PAGE, reference(builtin_catalog()))
