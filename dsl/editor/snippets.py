"""What is inserted for a thing that is chosen: text with places to fill in, `$1` or `${1:what stands there}`, the last
`$0`."""

from __future__ import annotations

from collections.abc import Sequence

from mfc.dsl import want as wanted
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.fields import BY_KIND, Field
from mfc.dsl.types import BOOL, ListOf, String, Type
from mfc.dsl.wording import literal


def hole(number: int, text: str = "") -> str:
    """A place to fill in, with what stands there at first."""
    escaped = text.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}")
    return f"${{{number}:{escaped}}}" if text else f"${number}"


def choice(number: int, words: Sequence[str]) -> str:
    """A place for one of some words."""
    return f"${{{number}|{','.join(words)}|}}"


def call(signature: Signature) -> str:
    """A call with its needed arguments."""
    needed = [slot for slot in signature.slots if slot.required]
    if not needed:
        return f"{signature.name}($0)" if signature.slots or signature.others else f"{signature.name}()"
    written = [_argument(number, slot) for number, slot in enumerate(needed, 1)]
    return f"{signature.name}({', '.join(written)})"


def _argument(number: int, slot: Slot) -> str:
    place = hole(number, slot.name)
    if String(path=True) in wanted.members(slot.type) or String() in wanted.members(slot.type):
        place = f'"{place}"'
    return f"{slot.name} = {place}" if slot.named else place


def field(name: str, of: Field, width: int = 0) -> str:
    """A field and its `=`, in the column that others have theirs in."""
    return f"{name:<{width}} = {value(of.type, of.default)}"


def value(of: Type, default: object = None) -> str:
    """A place for a value of a type: words to choose from, the default of a number."""
    if of == BOOL:
        return choice(1, ["false", "true"] if default else ["true", "false"])
    if words := wanted.words(of):
        return choice(1, words)
    if isinstance(of, ListOf):
        return "[$1]"
    return hole(1, literal(default)) if isinstance(default, int | float) else "$1"


def _body(head: str, kind: str, first: int) -> str:
    """A declaration with the fields that it needs."""
    needed = [name for name, of in BY_KIND[kind].items() if of.required]
    needed += {"data": ["label"], "train": ["epochs"]}.get(kind, [])
    width = max(map(len, needed))
    lines = [f"    {name:<{width}} = {hole(number)}\n" for number, name in enumerate(needed, first)]
    return f"{head} {{\n{''.join(lines)}}}$0"


DECLARATIONS = {
    "import": 'import "$1" ($2)$0',
    "use": 'use "$1" ($2)$0',
    "language": "language 1$0",
    "param": "param ${1:name}: ${2:int} = $3$0",
    "let": "let ${1:name} = $0",
    "data": _body("data ${1:name}: ${2:image} -> ${3:category}", "data", 4),
    "tokenizer": "tokenizer ${1:name} = $0",
    "optimizer": "optimizer ${1:name} = $0",
    "block": "block ${1:name}($2) {\n    $0\n}",
    "model": "model ${1:name}($2) {\n    $0\n}",
    "train": _body("train ${1:name}", "train", 2),
    "evaluate": _body("evaluate ${1:name}", "evaluate", 2),
    "export": _body("export ${1:name}", "export", 2),
}

STATEMENTS = {
    "phase": "phase ${1:name} {\n    epochs = ${2:1}$0\n}",
    "let": "let ${1:name} = $0",
    "group": "group ${1:name} {\n    $0\n}",
    "if": "if ${1:condition} {\n    $0\n}",
    "for": "for ${1:name} in ${2:list} {\n    $0\n}",
}

INPUT = "input = image(${1:3}, ${2:224}, ${3:224})"
"""The field of a model."""

VALUES = {
    "if": "if ${1:condition} then ${2:value} else ${3:none}",
    "branch": "branch {\n    $0\n}",
    "module": "module {\n    $0\n}",
}

TYPES = {"choice": "choice($1)", "list": "list(${1:int})"}
