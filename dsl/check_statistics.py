"""Checks what was counted or measured beforehand: statistics of `normalize`, weights of classes."""

from __future__ import annotations

from typing import Any

from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.dims import Dim
from mfc.dsl.elaborated import Elaborated
from mfc.dsl.source import Span
from mfc.dsl.typed import DataInfo
from mfc.dsl.values import ComponentValue

NORMALIZE = "mfc.runtime.data.batch_transforms:normalize"


def check_normalize(diagnostics: Diagnostics, value: ComponentValue, span: Span, channels: Any) -> None:
    """Reports statistics that are no means and deviations, or of another number of channels than the images."""
    stats = value.args.get("stats") if value.info.target == NORMALIZE else None
    if not isinstance(stats, list) or not all(isinstance(part, list) for part in stats):
        return
    numbers = [number for part in stats for number in part]
    if not all(isinstance(number, int | float) for number in numbers):
        return
    at = value.written.get("stats", span)
    if len(stats) != 2 or len(stats[0]) != len(stats[1]) or not all(number > 0 for number in stats[1]):
        diagnostics.add(
            "E0523",
            at,
            "the statistics of `normalize` are no means and deviations",
            "expected two lists of one length, deviations above 0",
            help="write `[[0.5, 0.5, 0.5], [0.25, 0.25, 0.25]]`: a mean and a deviation for each channel",
        )
    elif isinstance(channels, int) and channels != len(stats[0]):
        diagnostics.add(
            "E0523",
            at,
            f"`normalize` has statistics of {_channels(len(stats[0]))}, and the images have {channels}",
            f"statistics of {_channels(len(stats[0]))}",
            help="give a mean and a deviation for each channel, or the images other channels: `to_rgb()`, `to_gray()`",
        )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def check_class_weights(
    diagnostics: Diagnostics, loss: Any, span: Span, data: DataInfo, model: Elaborated | None
) -> None:
    """Reports a loss with weights for another number of classes than the data has, or the model tells apart."""
    if not isinstance(loss, ComponentValue) or not loss.info.target.startswith("mfc."):
        return
    weights = loss.args.get("weights")
    outputs = model.out[1] if model is not None and model.out is not None and len(model.out) > 1 else None
    classes = data.classes if isinstance(data.classes, int) else outputs
    if not isinstance(weights, list) or isinstance(classes, Dim | None) or len(weights) == classes:
        return
    whose = f"`{data.instance.name}` has" if classes is data.classes else "the model tells apart"
    diagnostics.add(
        "E0524",
        loss.written.get("weights", span),
        f"`{loss.info.name}` has weights for {_classes(len(weights))}, and {whose} {classes}",
        f"weights for {_classes(len(weights))}",
        help="give one weight for each class, in the order of their names",
    )


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"
