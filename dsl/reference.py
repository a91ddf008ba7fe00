"""What the reference says of each name of the language, as Markdown: `mfc docs`, the site and hovers show the same.

Each text begins with how the thing is written, in a fence, then what it is. Links and headings are left to those who
show it; parts are headed by a bold word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mfc.dsl.callables import component_signature
from mfc.dsl.calls import Slot
from mfc.dsl.catalog import Catalog
from mfc.dsl.component import REQUIRED, Component, Parameter
from mfc.dsl.docstrings import parse_docstring
from mfc.dsl.facts_in_words import facts_in_words
from mfc.dsl.fields import BY_KIND, Field
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.types import Kind, type_of
from mfc.dsl.wording import kind_name, literal, with_article
from mfc.dsl.words import (
    ATTRIBUTES,
    DECLARATIONS,
    EXPRESSIONS,
    INPUTS,
    KINDS,
    OF_KIND,
    STATEMENTS,
    TARGETS,
    TYPES,
    Word,
)

LONGEST = 88
"""Characters of the longest signature on one line."""

# ── components ──────────────────────────────────────────────────────────────────────────────────────────


def component_markdown(component: Component) -> str:
    """All that is known of a component: signature, documentation, arguments, shape rule, facts."""
    doc = parse_docstring(component.doc)
    parts = [
        fenced(component_form(component)),
        f"*{kind_name(component.kind).capitalize()}.* {doc.summary}".rstrip(),
        doc.prose,
        " ".join(facts_in_words(component)),
        headed("Arguments", items(component_arguments(component))),
        headed("Shape", f"`{rule}`") if (rule := component.facts.get("shape")) else "",
        headed("Errors", " ".join(doc.raises)) if doc.raises else "",
    ]
    return joined(parts)


def component_form(component: Component) -> str:
    """How a component is called, over several lines where it is long."""
    return _call(component.name, [written for written, _ in component_arguments(component)])


def component_arguments(component: Component) -> list[tuple[str, str]]:
    """The arguments that a spec may give: each as it is written in a signature, `ks: int at least 1 = 3`, and what is
    said of it; that is empty where nothing is. `tie`, which every layer takes, is left out."""
    slots = [slot for slot in component_signature(component).slots if slot.name != "tie"]
    shown = [(_slot(slot), argument_doc(component, slot.name)) for slot in slots]
    if component.rest is not None:
        at = next((i for i, slot in enumerate(slots) if slot.named), len(shown))
        shown.insert(at, (f"...: {component.rest}", ""))
    return shown if component.others is None else [*shown, (f"NAME = {component.others}", "")]


def argument_markdown(component: Component, name: str) -> str:
    """One argument of a component: type, default, and what is said of it. Empty where there is none of that name."""
    slot = component_signature(component).slot(name)
    if slot is None:
        return ""
    return joined([fenced(_slot(slot)), sentence(argument_doc(component, name))])


def argument_doc(component: Component, name: str) -> str:
    """What the docstring says of an argument, and how it goes with others; empty where nothing is said."""
    doc = parse_docstring(component.doc).arguments.get(name, "")
    doc = doc or OF_KIND.get(component.kind, {}).get(name, "")
    if component.passes and name in component.passes:
        doc = doc or "a tensor kept with `let`."
    if (parameter := component.parameter(name)) is not None:
        for relation in _relations(parameter):
            doc = f"{doc} {sentence(relation)}" if doc else f"{relation}."
    return doc


def _relations(parameter: Parameter) -> Iterator[str]:
    if parameter.as_many_as:
        yield f"as many items as `{parameter.as_many_as}` has"
    if parameter.without:
        yield f"only where `{parameter.without}` is not given"


def _slot(slot: Slot) -> str:
    return str(Parameter(slot.name, slot.type, REQUIRED if slot.required else slot.default))


# ── the language ────────────────────────────────────────────────────────────────────────────────────────


def declaration_markdown(word: str) -> str:
    """A declaration word such as `train`: how it is written, what it means, its fields with types and defaults."""
    return _word("Declaration", DECLARATIONS[word], BY_KIND.get(word))


def statement_markdown(word: str) -> str:
    """A word that begins a statement of a body, such as `phase`, `group` or `concat`."""
    return _word("Statement", STATEMENTS[word], BY_KIND.get(word))


def word_markdown(word: str) -> str:
    """A word of expressions, such as `for`, `none` or `x`."""
    return _word("Word of expressions", EXPRESSIONS[word])


def type_markdown(name: str) -> str:
    """A type of params, such as `choice`."""
    return _word("Type", TYPES[name])


def input_markdown(name: str) -> str:
    """A type of a data block's inputs, such as `image`."""
    return _word("Input", INPUTS[name])


def target_markdown(name: str) -> str:
    """A type of a data block's targets, such as `category`."""
    return _word("Target", TARGETS[name])


def attribute_markdown(of: str, name: str) -> str:
    """An attribute of a tensor, a data block, a part or a train: `of` is a key of `mfc.dsl.words.ATTRIBUTES`."""
    return _word(f"Attribute of {with_article(of)}", ATTRIBUTES[of][name])


def field_markdown(kind: str, name: str) -> str:
    """A field of a declaration or phase: type, default, what it is."""
    field = BY_KIND[kind][name]
    parts = [
        fenced(field_form(name, field)),
        f"*Field of {with_article(kind)}{', needed' if field.required else ''}.* {field_doc(field)}",
        example(f"{name} = {field.example}") if field.example else "",
    ]
    return joined(parts)


def field_form(name: str, field: Field) -> str:
    """How a field is written in a signature: `epochs: int at least 1`."""
    return f"{name}: {field.type}" + ("" if field.default is None else f" = {literal(field.default)}")


def field_doc(field: Field) -> str:
    """What a field is, in sentences."""
    return f"{sentence(field.doc)} {field.more}".rstrip()


def function_markdown(name: str) -> str:
    """A function that expressions can call, such as `enumerate`."""
    function = FUNCTIONS[name]
    forms = [f"{form} -> {function.result}" for form in function.forms]
    return joined([fenced("\n".join(forms)), f"*Function.* {function.doc}", example(function.example)])


def constant_markdown(name: str, catalog: Catalog) -> str:
    """A constant of the catalog, such as `imagenet_stats`."""
    value, doc = catalog.constants[name], catalog.constant_docs.get(name, "")
    return joined([fenced(f"{name}: {type_of(value)} = {literal(value)}"), f"*Constant.* {doc}".rstrip()])


def kind_markdown(kind: str, catalog: Catalog) -> str:
    """A kind of components: what such ones do, and which there are."""
    found = [(c.name, c.summary) for name in catalog.names(kind) for c in catalog.named(name, [kind])]
    plural = Kind(kind).plural()
    return joined([f"*Kind of components.* {KINDS[kind]}", headed(plural.capitalize(), items(found))])


def _word(what: str, word: Word, fields: Mapping[str, Field] | None = None) -> str:
    listed = [
        f"- `{field_form(name, field)}`{' (needed)' if field.required else ''}: {field.doc}."
        for name, field in (fields or {}).items()
    ]
    parts = [
        fenced(word.form),
        f"*{what}.* {word.doc}",
        headed("Fields", "\n".join(listed)),
        example(word.example) if word.example else "",
    ]
    return joined(parts)


# ── forms ───────────────────────────────────────────────────────────────────────────────────────────────


def fenced(text: str) -> str:
    """A piece of a spec as a fenced block."""
    return f"```mfs\n{text}\n```"


def code(text: str) -> str:
    """A piece of a spec within a line of text."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def sentence(text: str) -> str:
    """A text with a capital, unless it begins with code, and a full stop."""
    text = text.strip()
    return (text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")) if text else ""


def _call(name: str, arguments: Sequence[str]) -> str:
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= LONGEST:
        return line
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


def items(items: Sequence[tuple[str, str]]) -> str:
    """A list of what is written and what is said of it."""
    return "\n".join(
        f"- {code(written)}: {said}" if said else f"- {code(written)}" for written, said in items
    )


def headed(head: str, text: str) -> str:
    return f"**{head}**\n\n{text}" if text else ""


def example(text: str) -> str:
    return f"**Example**\n\n{fenced(text)}"


def joined(parts: Sequence[str]) -> str:
    """The parts of a text that are there, with blank lines between."""
    return "\n\n".join(part for part in parts if part) + "\n"
