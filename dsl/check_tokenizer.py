"""Checks the tokenizer of a data block of texts: what it is, and which texts it is fitted to."""

from __future__ import annotations

from mfc.dsl.dims import Dim
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import DataDecl, ValueDecl
from mfc.dsl.typed import Fields, TokenizerInfo
from mfc.dsl.types import Kind
from mfc.dsl.values import ComponentValue, Instance, Part

TEXTS = ("train", "train.texts", "valid", "valid.texts", "all", "all.texts")


def check_tokenizer(
    evaluator: Evaluator, data: Instance, fields: Fields, inputs: str
) -> TokenizerInfo | None:
    """The tokenizer of a data block; None where it has none or can't be known."""
    decl, value = data.declared.decl, fields["tokenizer"]
    assert isinstance(decl, DataDecl)
    span = fields.span("tokenizer", decl.name.span)
    if inputs and inputs != "text":
        if "tokenizer" in fields.written:
            evaluator.diagnostics.add(
                "E0506",
                span,
                f"a tokenizer does not work on {inputs}s",
                "works on texts",
                labels=((decl.input.span, f"items are {inputs}s"),),
            )
        return None
    if "tokenizer" not in fields.written:
        return None
    name, fit_on = f"{data.name}.tokenizer", (Part(data, "train.texts"),)
    if isinstance(value, Instance):
        name, fit_on, value = value.name, (), _declared(evaluator, value)
    if not isinstance(value, ComponentValue):
        return None
    if (given := value.args.get("fit_on")) is not None:
        parts = given if isinstance(given, list) else [given]
        fit_on = tuple(part for part in parts if isinstance(part, Part))
        for part in fit_on:
            _check_part(evaluator, part, value.written.get("fit_on", value.span))
    elif not fit_on:
        evaluator.diagnostics.add(
            "E0512",
            value.span,
            f"the tokenizer `{name}` does not say which texts it is fitted to",
            "`fit_on` is missing",
            help=f"write `fit_on = {data.declared.name}.train.texts`",
        )
    fact = f"{name}.vocab"
    return TokenizerInfo(name, value, fit_on, evaluator.facts.get(fact, Dim.symbol(fact)))


def _declared(evaluator: Evaluator, tokenizer: Instance) -> object:
    """The component that a declaration `tokenizer NAME = ...` gives a name."""
    decl = tokenizer.declared.decl
    assert isinstance(decl, ValueDecl)
    scope = Scope(tokenizer.declared.module, dict(tokenizer.args))
    return evaluator.value(decl.value, scope, Kind("tokenizer"), f"`{tokenizer.declared.name}`")


def _check_part(evaluator: Evaluator, part: Part, span: Span) -> None:
    decl = part.data.declared.decl
    texts = isinstance(decl, DataDecl) and decl.input.name is not None and decl.input.name.text == "text"
    name = part.data.declared.name
    if part.part not in TEXTS or not texts:
        evaluator.diagnostics.add(
            "E0512",
            span,
            f"a tokenizer can't be fitted to `{name}.{part.part}`",
            "not the texts of a data block",
            help="write `fit_on = DATA.train.texts` with a data block of texts",
        )
    elif not part.part.startswith("train"):
        evaluator.diagnostics.add(
            "W0512",
            span,
            f"the tokenizer is fitted to texts that `{name}` validates on",
            "not only training texts",
            help=f"write `fit_on = {name}.train.texts`: what is measured on texts that were seen is too good",
        )
