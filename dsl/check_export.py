"""Checks exports: that the format can hold what the model is."""

from __future__ import annotations

from mfc.dsl.check_fields import check_fields
from mfc.dsl.check_train import TrainChecker
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl
from mfc.dsl.typed import DataInfo, ExportInfo
from mfc.dsl.values import ComponentValue, Instance


def check_export(evaluator: Evaluator, trains: TrainChecker, instance: Instance, scope: Scope) -> ExportInfo:
    """An export with its train, which is checked on the way."""
    decl = instance.declared.decl
    assert isinstance(decl, BodyDecl)
    owner = decl.name.span
    fields = check_fields(evaluator, "export", decl.body, scope, owner, instance.declared.name)
    model, form = fields["model"], fields["format"]
    train = model if isinstance(model, Instance) else None
    at = fields.span("model", owner)
    info = trains.train_of(train, at) if train is not None else None
    data = trains.ends_with(info) if info is not None else None
    if data is not None and isinstance(form, ComponentValue):
        _check_format(evaluator, form, fields.span("format", owner), data, at)
    return ExportInfo(instance, fields, train)


def _check_format(
    evaluator: Evaluator, form: ComponentValue, span: Span, data: DataInfo, trained: Span
) -> None:
    """Reports a format that keeps the graph of a model, of a model whose steps differ from item to item."""
    if form.info.facts["graph"] and data.input == "text":
        evaluator.diagnostics.add(
            "E0560", span, f"`{form.info.name}` keeps a model as a graph of fixed steps, and a model of texts takes as many "
            "as a text is long", "can't hold a model of texts", labels=((trained, "trained on texts"),),
            help="`bundle()` holds any model, with what prepares its items",
        )  # fmt: skip
