"""The reference says something of every name of the language, and its examples check."""

from __future__ import annotations

from pathlib import Path

import pytest

import mfc
from mfc.dsl import attributes, params, reference, scan, words
from mfc.dsl.annotations import KINDS
from mfc.dsl.catalog import builtin_catalog, read_components
from mfc.dsl.docstrings import parse_docstring
from mfc.dsl.elaborate import STATEMENTS
from mfc.dsl.fields import BY_KIND, INPUTS, TARGETS
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.words import first_sentence
from tests.conftest import Golden

CATALOG = builtin_catalog()
HERE = Path(__file__).parent / "reference"

DIGITS = """
data digits: image -> category {
    source = builtin("digits")
    split  = random(valid = 0.2)
    label  = parent()
    batch_transforms = [rotate(10)]
}

model net { flatten()  linear(digits.classes) }

train fit(seed: int = 1) {
    data    = digits
    model   = net
    loss    = cross_entropy()
    metrics = [accuracy()]
    epochs  = 1
    seed    = seed
}
"""
CORPUS = """
data corpus: text -> next_token {
    source    = builtin_texts("authors")
    split     = grandparent()
    tokenizer = words()
}
"""


def mistakes(text: str, folder: Path) -> list[str]:
    spec = folder / "example.mfs"
    spec.write_text(text)
    return [d.message for d in mfc.load(spec).diagnostics if d.severity == "error"]


# ── nothing is left out ─────────────────────────────────────────────────────────────────────────────────


def test_every_word_of_the_language_is_told() -> None:
    assert list(words.DECLARATIONS) == list(scan.DECLARATION_WORDS)
    assert set(words.STATEMENTS) == {*STATEMENTS, "group", "phase", "branch", "module"}
    assert set(words.EXPRESSIONS) == {*scan.KEYWORDS, "log", "x"}
    assert set(words.TYPES) == {*params.PLAIN, "choice", "list"}
    assert tuple(words.INPUTS) == INPUTS
    assert tuple(words.TARGETS) == TARGETS
    assert tuple(words.KINDS) == KINDS
    assert set(words.TENSOR) == set(attributes.OF_CURRENT)
    assert set(attributes.PARTS) < set(words.DATA)


def test_every_declaration_with_fields_has_them_told() -> None:
    assert set(BY_KIND) <= {*words.DECLARATIONS, *words.STATEMENTS}
    for kind, fields in BY_KIND.items():
        for name in fields:
            text = reference.field_markdown(kind, name)
            assert text.startswith(f"```mfs\n{name}: ") and f"{name} = " in text


def test_every_component_is_told_with_its_arguments() -> None:
    for component in CATALOG:
        text = reference.component_markdown(component)
        assert text.startswith(f"```mfs\n{component.name}(")
        assert parse_docstring(component.doc).summary in text
        for parameter in component.parameters:
            assert parameter.is_in or f"- `{parameter}`" in text


def test_docstrings_speak_of_arguments_that_are_there() -> None:
    for component in CATALOG:
        told = parse_docstring(component.doc).arguments
        own = {p.name for p in component.parameters} | set(component.passes)
        assert set(told) <= own, component.name
        assert all(said.endswith(".") for said in told.values()), component.name


def test_every_argument_is_told() -> None:
    for component in CATALOG:
        for parameter in component.parameters:
            assert parameter.is_in or reference.argument_doc(component, parameter.name), (
                component.name,
                parameter,
            )


def test_every_constant_is_told() -> None:
    assert set(CATALOG.constant_docs) == set(CATALOG.constants)
    for name in CATALOG.constants:
        assert CATALOG.constant_docs[name] in reference.constant_markdown(name, CATALOG)


def test_every_kind_lists_its_components() -> None:
    listed = [kind for kind in KINDS if CATALOG.names(kind)]
    assert sum(reference.kind_markdown(kind, CATALOG).count("\n- `") for kind in listed) == len(CATALOG)


# ── the texts ───────────────────────────────────────────────────────────────────────────────────────────

TEXTS = {
    "layer": lambda: reference.component_markdown(CATALOG.components["layer", "conv2d"]),
    "schedule": lambda: reference.component_markdown(CATALOG.components["schedule", "one_cycle"]),
    "tokenizer": lambda: reference.component_markdown(CATALOG.components["tokenizer", "words"]),
    "curve": lambda: reference.component_markdown(CATALOG.components["curve", "combine"]),
    "kind": lambda: reference.kind_markdown("curve", CATALOG),
    "declaration": lambda: reference.declaration_markdown("train"),
    "statement": lambda: reference.statement_markdown("phase"),
    "field": lambda: reference.field_markdown("train", "epochs"),
    "function": lambda: reference.function_markdown("range"),
    "constant": lambda: reference.constant_markdown("cifar_stats", CATALOG),
    "word": lambda: reference.word_markdown("if"),
    "type": lambda: reference.type_markdown("choice"),
    "input": lambda: reference.input_markdown("image"),
    "target": lambda: reference.target_markdown("next_token"),
    "attribute": lambda: reference.attribute_markdown("tensor", "channels"),
    "argument": lambda: reference.argument_markdown(CATALOG.components["layer", "conv2d"], "padding"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_each_kind(name: str, golden: Golden) -> None:
    golden(HERE / f"{name}.md", TEXTS[name]())


def test_a_component_of_ones_own_is_told_in_the_same_way() -> None:
    source = '''
from typing import Annotated
import mfc
from mfc import In, Range

@mfc.layer(shape="b c -> b nf")
class film:
    """Scales features by what another tensor says.

    A second paragraph.

    Args:
        nf: features that come out,
            over two lines.
        hi, lo: bounds.
    """
    def __init__(
        self, c: In, nf: Annotated[int, Range(1)], hi: float = 1.0, lo: Annotated[float, mfc.Without("hi")] = 0.0
    ): ...
    def forward(self, x, condition, other=None): ...
'''
    ((component,), problems) = read_components(source, "/spec/mine.py", None)
    assert problems == []
    assert (
        reference.component_markdown(component)
        == """```mfs
film(
    nf: int at least 1,
    hi: float = 1,
    lo: float = 0,
    condition: tensor,
    other: tensor = none,
)
```

*Layer.* Scales features by what another tensor says.

A second paragraph.

**Arguments**

- `nf: int at least 1`: features that come out, over two lines.
- `hi: float = 1`: bounds.
- `lo: float = 0`: bounds. Only where `hi` is not given.
- `condition: tensor`: a tensor kept with `let`.
- `other: tensor = none`: a tensor kept with `let`.

**Shape**

`b c -> b nf`
"""
    )
    assert reference.argument_markdown(component, "c") == ""


def test_what_is_first_of_a_text() -> None:
    assert first_sentence("Two words, e.g. these\nand those. More.") == "Two words, e.g. these and those."
    assert first_sentence("One\n\nTwo. Three") == "One"
    assert first_sentence("By K. Jordan (L. Smith). More.") == "By K. Jordan (L. Smith)."


# ── the examples ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, fields in BY_KIND.items() for name in fields])
def test_the_example_of_a_field_checks(kind: str, name: str, tmp_path: Path) -> None:
    line = f"{name} = {BY_KIND[kind][name].example}"
    needed = {
        "data": [
            'source = image_files("photos")',
            "split = random(valid = 0.2)",
            "label = parent()",
            "item_transforms = [resize(8)]",
        ],
        "model": ["conv2d(8)"],
        "train": ["data = digits", "model = net", "loss = cross_entropy()", "epochs = 1"],
        "phase": ["epochs = 1"],
        "evaluate": ["model = fit", "metrics = [accuracy()]"],
        "export": ["model = fit", "format = bundle()"],
    }[kind]
    body = [line, *(other for other in needed if not other.startswith(f"{name} "))]
    head = {"data": "data shown: image -> category", "phase": "phase shown"}.get(kind, f"{kind} shown")
    if (kind, name) == ("data", "tokenizer"):
        head = "data shown: text -> category"
        body = [
            'source = builtin_texts("authors")',
            *(s for s in body if "source" not in s and "resize" not in s),
        ]
    text = f"{head} {{\n" + "\n".join(body) + "\n}\n"
    if kind == "phase":
        text = "train phased {\n data = digits\n model = net\n loss = cross_entropy()\n" + text + "}\n"
    assert (
        mistakes(DIGITS.replace("fit(seed: int = 1)", "fit").replace("= seed", "= 1") + text, tmp_path) == []
    )


@pytest.mark.parametrize("word", [word for word, told in words.STATEMENTS.items() if told.example])
def test_the_example_of_a_statement_checks(word: str, tmp_path: Path) -> None:
    example = words.STATEMENTS[word].example
    text = f"model shown {{ input = image(16, 16, 16)  {example} }}"
    if word == "phase":
        text = DIGITS.replace("epochs  = 1", example)
    assert mistakes(text, tmp_path) == []


EXAMPLES = {
    **{f"expression {word}": told.example for word, told in words.EXPRESSIONS.items()},
    **{f"type {name}": told.example for name, told in words.TYPES.items()},
    **{f"function {name}": function.example for name, function in FUNCTIONS.items()},
    **{f"declaration {word}": told.example for word, told in words.DECLARATIONS.items()},
}


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example])
def test_the_example_of_a_word_checks(name: str, tmp_path: Path) -> None:
    kind, word = name.split()
    text = EXAMPLES[name]
    if word == "use":
        (tmp_path / "layers.py").write_text(
            'import mfc\n\n@mfc.layer(shape="b -> b")\nclass coord_conv:\n    "Nothing."\n'
        )
    elif kind == "function" or word in ("data", "evaluate", "export", "model", "train", "tokenizer"):
        context = (
            DIGITS if kind == "function" else DIGITS.replace("(seed: int = 1)", "").replace("= seed", "= 1")
        )
        for declared in ("data digits", "model net", "train fit"):
            if text.startswith(declared):  # the example stands for the declaration of that name
                start = context.index(declared)
                context = context[:start] + context[context.index("}\n", start) + 2 :]
        text += context + CORPUS
    elif word == "param" or kind == "type" or word == "log":
        assert text.startswith("param ")
    assert mistakes(text, tmp_path) == []
