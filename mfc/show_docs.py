"""What `mfc docs` prints: the texts of a name, what is found by words, and a list of all there is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mfc.dsl.callables import component_signature
from mfc.dsl.component import Component
from mfc.dsl.entries import Entry, parts_of
from mfc.dsl.fields import Field
from mfc.dsl.reference import argument_doc, component_form
from mfc.dsl.words import first_sentence


def show_entries(found: Sequence[Entry], among: Sequence[Entry]) -> str:
    """The texts of entries of one name as Markdown, and which others are called so in their place."""
    texts = [f"# {entry.title}\n\n{entry.text()}" for entry in found]
    names = dict.fromkeys(entry.name for entry in found)
    others = [entry for name in names for entry in parts_of(name, among) if entry not in found]
    if others:
        texts.append(f"See also {', '.join(f'`{entry.name}` ({entry.kind})' for entry in others)}.\n")
    return "\n".join(texts)


def show_list(entries: Sequence[Entry], width: int, colour: bool) -> str:
    """The names of all entries by group, in lines of at most so many columns."""
    lines, (bold, plain) = [], ("\x1b[1m", "\x1b[0m") if colour else ("", "")
    for group in dict.fromkeys(entry.group for entry in entries):
        names = dict.fromkeys(entry.name for entry in entries if entry.group == group)
        lines += [f"{bold}{group}{plain}", *_wrapped("  ".join(names), width), ""]
    return "\n".join([*lines, "`mfc docs NAME` tells of one, `mfc docs --search WORDS` finds some."]) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    indent = "  "
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def show_found(found: Sequence[Entry], width: int) -> str:
    """Entries that were found, each with its summary below."""
    lines = []
    for entry in found:
        lines += [f"{entry.name}  ({entry.kind})", *_wrapped(entry.summary, width)]
    return "\n".join(lines) + "\n"


def json_of(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries for other programs."""
    return [_entry(entry) for entry in found]


def _entry(entry: Entry) -> dict[str, Any]:
    """An entry with its text, and with what other programs want to know of components and fields."""
    told: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "summary": entry.summary,
        "text": entry.text(),
    }
    match entry.of:
        case Component():
            told |= _component(entry.of)
        case Field(type=of, required=required, default=default):
            told |= {"type": str(of), "required": required, "default": default}
    return told


def list_json(entries: Sequence[Entry]) -> list[Mapping[str, str]]:
    """All entries without their texts."""
    return [
        {"name": entry.name, "kind": entry.kind, "group": entry.group, "summary": entry.summary}
        for entry in entries
    ]


def _component(component: Component) -> dict[str, Any]:
    arguments = [
        {
            "name": slot.name,
            "type": str(slot.type),
            "required": slot.required,
            "default": slot.default,
            "summary": first_sentence(argument_doc(component, slot.name)),
        }
        for slot in component_signature(component).slots
    ]
    return {
        "signature": component_form(component),
        "arguments": arguments,
        "facts": dict(component.facts),
        "source": component.target,
    }
