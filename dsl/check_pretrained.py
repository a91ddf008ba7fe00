"""Checks of pretrained weights: that they are kept, and that the data is as they know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mfc.dsl.elaborated import Elaborated
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.typed import DataInfo
from mfc.dsl.values import ComponentValue

Add: TypeAlias = Callable[..., Any]


def check_initializer(add: Add, value: ComponentValue, model: Elaborated, span: Span) -> None:
    """`only("head", ...)` names a group, and what draws all weights anew leaves none that were pretrained."""
    if value.info.name == "only":
        _check_only(add, value, model, span)
    drawn = next((r for r in model.layers if r.layer.call.args.get("pretrained")), None)
    if value.info.facts.get("fills") and drawn is not None:
        add(
            "W0537",
            span,
            f"`{value.info.name}` draws all weights anew, those of the pretrained `{drawn.layer.call.name}` too",
            "begins from scratch",
            labels=((drawn.written, "pretrained here"),),
            help=f'fill the rest alone: `only("head", {value.info.name}())`',
        )


def _check_only(add: Add, value: ComponentValue, model: Elaborated, span: Span) -> None:
    group, inner = value.args.get("group"), value.args.get("weights")
    if isinstance(group, str) and group not in model.groups:
        add(
            "E0536",
            value.written.get("group", span),
            f"this model has no group `{group}`",
            "unknown group",
            help=did_you_mean(group, model.groups)
            or (f"its groups are {', '.join(model.groups)}" if model.groups else "it has no groups"),
        )
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, ComponentValue) and (
            each.info.facts["reads_data"] or each.info.facts["residual"]
        ):
            add(
                "E0536",
                each.span,
                f"`{each.info.name}` can't fill one group alone",
                "needs the whole model",
                help=f"write `{each.info.name}(...)` without `only`",
            )


def check_normalised(add: Add, data: DataInfo, model: Elaborated) -> None:
    """Pretrained weights know images that were normalised."""
    pretrained = next((r for r in model.layers if r.layer.call.args.get("pretrained") is True), None)
    transforms = data.fields["batch_transforms"]
    named = (
        {t.info.name for t in transforms if isinstance(t, ComponentValue)}
        if isinstance(transforms, list)
        else ()
    )
    if pretrained is not None and isinstance(transforms, list) and "normalize" not in named:
        name = data.instance.name
        add(
            "W0538",
            data.fields.span("batch_transforms", pretrained.written),
            f"`{name}` does not normalise its images, as those were that the pretrained `{pretrained.layer.call.name}` "
            "learned from",
            "no `normalize`",
            labels=((pretrained.written, "pretrained here"),),
            help="end the batch transforms of the data with `normalize(imagenet_stats)`",
        )
