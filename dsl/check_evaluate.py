"""Checks evaluations: what is measured against what the models were trained for, and whether an ensemble's models
answer one question."""

from __future__ import annotations

from typing import Any

from mfc.dsl.check_answers import AVERAGED, check_answers, check_augmented
from mfc.dsl.check_fields import check_fields
from mfc.dsl.check_other_data import OtherData
from mfc.dsl.check_train import TrainChecker
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.fields import LABELLED
from mfc.dsl.lints import lint_evaluation
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.syntax import BodyDecl
from mfc.dsl.typed import DataInfo, EvaluationInfo, Fields, TrainInfo, trained
from mfc.dsl.values import Augmented, Ensemble, Instance, Part


def check_evaluation(
    evaluator: Evaluator, trains: TrainChecker, instance: Instance, scope: Scope
) -> EvaluationInfo:
    """An evaluation with its trains, which are checked on the way."""
    decl = instance.declared.decl
    assert isinstance(decl, BodyDecl)
    owner = decl.name.span
    fields = check_fields(evaluator, "evaluate", decl.body, scope, owner, instance.declared.name)
    model, part = fields["model"], fields["data"]
    models = _models(model)
    named = tuple(dict.fromkeys(map(trained, models)))
    at = fields.span("model", owner)
    infos = [info for train in named if (info := trains.train_of(train, at)) is not None]
    if isinstance(model, list) and (wrong := _wrong_list(model)):
        evaluator.diagnostics.add("E0301", at, f"`model` {wrong}", "expected trains, each once")
    known = [(data, info.model) for info in infos if (data := trains.ends_with(info)) is not None]
    datas = [data for data, _ in known]
    if not isinstance(model, Ensemble) or _go_together(evaluator, datas, at):
        _check_metrics(trains, fields, known, owner)
    check_answers(evaluator.diagnostics, fields, datas, owner, instance.declared.name)
    for position, one in enumerate(models):
        info = trains.train_of(one.train, at) if isinstance(one, Augmented) else None
        if info is not None and isinstance(one, Augmented) and (own := trains.ends_with(info)) is not None:
            check_augmented(evaluator.diagnostics, one, own, fields.item_span("model", position, owner))
    if isinstance(part, Part):
        _check_part(evaluator, trains, part, infos, fields, owner)
    on = (part.data, part.part) if isinstance(part, Part) else (None, "valid")
    return EvaluationInfo(instance, fields, models, isinstance(model, Ensemble), *on)


def _models(model: Any) -> tuple[Instance | Augmented, ...]:
    several = model.models if isinstance(model, Ensemble) else model if isinstance(model, list) else [model]
    return tuple(one for one in several if isinstance(one, Instance | Augmented))


def _wrong_list(model: list[Any]) -> str:
    names = [one.name for one in _models(model)]
    twice = next((name for name in names if names.count(name) > 1), None)
    return "is an empty list" if not model else f"names `{twice}` twice" if twice else ""


def _check_part(
    evaluator: Evaluator,
    trains: TrainChecker,
    part: Part,
    infos: list[TrainInfo],
    fields: Fields,
    owner: Span,
) -> None:
    """The data that is named: a part that the models can be asked about, with labels where metrics need them."""
    span = fields.span("data", owner)
    if part.part.partition(".")[2]:
        evaluator.diagnostics.add(
            "E0301", span, f"`{part.part}` is a fact of a part, and no data to evaluate on",
            "not a part", help=f"write `.{part.part.partition('.')[0]}`",
        )  # fmt: skip
        return
    data = trains.data_of(part.data)
    for field, what in (("metrics", "metrics"), ("top_losses", "losses")):
        if fields[field] and "label" not in data.fields.written and data.target in LABELLED:
            evaluator.diagnostics.add(
                "E0207", fields.span(field, owner), f"{what} compare with labels, and `{data.instance.name}` has none",
                "needs labels", help=f"give `{data.instance.name}` a `label`, or leave out `{field}`",
            )  # fmt: skip
    other = OtherData(evaluator, data, span)
    for info in infos:
        own = trains.ends_with(info)
        if own is not None and own.instance != part.data and not other.check(info, own):
            break  # the others would only repeat it
    for info in infos:
        trained_on = trains.trained_on(info)
        lint_evaluation(evaluator.diagnostics, info.instance.name, trained_on, data, part.part, span)


def _check_metrics(
    trains: TrainChecker, fields: Fields, known: list[tuple[DataInfo, Elaborated | None]], owner: Span
) -> None:
    metrics = fields["metrics"]
    for position, metric in enumerate(metrics if isinstance(metrics, list) else []):
        span = fields.item_span("metrics", position, owner)
        for data, model in known:
            if model is None:
                continue
            fits = trains.fits_target(metric, span, data, "E0504")
            if not fits or not trains.fits_output(metric, span, fields, data, model):
                break  # the others would only repeat it


def _go_together(evaluator: Evaluator, datas: list[DataInfo], at: Span) -> bool:
    """Whether the predictions of models for these data can be averaged; reports why not."""
    if not datas:
        return True
    first, *others = datas
    if first.target not in AVERAGED:
        evaluator.diagnostics.add(
            "E0514", at, f"an ensemble averages answers for whole items, and `{first.instance.name}` has {first.target}",
            "can't be averaged", help="give the models as a list: `model = [a, b]` measures each",
        )  # fmt: skip
        return False
    if difference := next(filter(None, (_difference(first, other) for other in others)), ""):
        evaluator.diagnostics.add(
            "E0514", at, "the models of this ensemble answer different questions", difference,
            help="an ensemble is of models with the same classes and the same items",
        )  # fmt: skip
        return False
    return True


def _difference(first: DataInfo, other: DataInfo) -> str:
    names = first.instance.name, other.instance.name
    if first.target != other.target:
        return f"`{names[0]}` has {first.target}, `{names[1]}` has {other.target}"
    counts = first.classes, other.classes
    if all(isinstance(count, int) for count in counts) and counts[0] != counts[1]:
        return f"`{names[0]}` has {counts[0]} classes, `{names[1]}` has {counts[1]}"
    return ""
