"""Makes the tables of bodies from the libraries themselves: what each architecture gives, measured on the meta device.

`python -m tests.runtime.bodies.tables torchvision timm` writes them anew, some minutes long, with both installed.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import mfc.runtime.bodies
from mfc.runtime.bodies.body import RGB, Body, library
from mfc.runtime.bodies.timm_body import timm_body
from mfc.runtime.bodies.torchvision_body import torchvision_body
from mfc.runtime.errors import RunError

FOLDER = Path(mfc.runtime.bodies.__file__).parent
UNKNOWN = {"reduction": 32, "patch": 1, "floored": 1}
"""What is taken for granted of an architecture that is not in the table."""

SIDES = (256, 224, 204, 215, 194, 221, 193, 223, 196, 200, 208, 217, 33)
"""Sides of images that tell all roundings apart."""

ROUNDINGS = [*((1, floored) for floored in (1, 2, 4, 8, 16, 32)), *((patch, 1) for patch in (2, 4, 8, 16))]

SPLITS = {
    r"(wide_)?resne(x)?t\d.*": ["layer3"],
    r"densenet\d+": ["features.transition2"],
    r"vgg\d+_bn": ["features.22"],
}
"""Where fastai splits torchvision's bodies: `_resnet_split` is `m[0][:6]`, the first six children; `_densenet_split`
`m[0][0][:7]` and `_vgg_split` `m[0][0][:22]` (fastai/vision/learner.py). All others are one group."""

TIMM = (
    "resnet18 resnet34 resnet50 resnet101 resnet152 resnet26 resnet26d resnet18d resnet34d resnet50d "
    "resnet101d seresnet50 resnext50_32x4d resnext101_32x8d wide_resnet50_2 convnext_atto convnext_femto "
    "convnext_pico convnext_nano convnext_tiny convnext_small convnext_base convnextv2_atto "
    "convnextv2_femto convnextv2_pico convnextv2_nano convnextv2_tiny convnextv2_base regnety_002 "
    "regnety_004 regnety_016 regnety_032 regnety_160 densenet121 vgg16_bn efficientnet_b0 efficientnet_b1 "
    "efficientnet_b2 efficientnet_b3 tf_efficientnet_b0 tf_efficientnet_b1 tf_efficientnet_b2 "
    "tf_efficientnet_b3 tf_efficientnet_b4 tf_efficientnetv2_b0 tf_efficientnetv2_s tf_efficientnetv2_m "
    "mobilenetv2_100 mobilenetv3_small_100 mobilenetv3_large_100 mobilenetv4_conv_small "
    "mobilenetv4_conv_medium rexnet_100 ghostnet_100 darknet53 "
)
"""The architectures of timm that its table holds, those that are used most."""


def row(component: Callable[..., Body], name: str) -> dict[str, Any] | None:
    """What an architecture gives, or None where no rounding describes it or it gives no map of features."""
    body = bare(component, name)
    if body is None:
        return None
    given: dict[int, int] = {}
    features = 0
    for side in SIDES:
        try:
            with torch.no_grad(), torch.device(next(body.parameters()).device):
                out = body.compute(torch.zeros(2, 3, side, side))
        except Exception:  # too small, or not of the size that it wants
            continue
        if not isinstance(out, torch.Tensor) or out.dim() != 4 or out.shape[2] != out.shape[3]:
            return None
        if features and out.shape[1] != features:
            return None
        features, given[side] = out.shape[1], out.shape[2]
    if not set(SIDES[:-1]) <= given.keys() or given[256] == 0 or 256 % given[256]:
        return None
    reduction = 256 // given[256]
    for patch, floored in ROUNDINGS:
        if reduction % (patch * floored) == 0:
            middle = reduction // (patch * floored)
            if all(-(-(side // patch) // middle) // floored == out for side, out in given.items()):
                found = {"features": features, "reduction": reduction, "patch": patch, "floored": floored}
                return found | {"parameters": count_rule(body)}
    return None


def count_rule(body: Body) -> str:
    """How many parameters the body has for images of any number of channels: its first convolution fits them."""
    count = sum(parameter.numel() for parameter in body.parameters())
    try:
        _, _, first = body.first_layer()
    except RunError:  # it takes RGB images alone
        return str(count)
    per_channel = first.weight[:, 0].numel()
    return f"{count - RGB * per_channel} + {per_channel}*channels"


def bare(component: Callable[..., Body], name: str) -> Body | None:
    """The body without weights where that is possible."""
    for device in ("meta", "cpu"):
        try:
            with torch.device(device), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return component(3, name).eval()
        except Exception:
            continue
    return None


def torchvision_row(name: str) -> dict[str, Any] | None:
    models = library("torchvision", "the table").models
    found = row(torchvision_body, name)
    if found is not None:
        splits = next((s for pattern, s in SPLITS.items() if re.fullmatch(pattern, name)), [])
        found |= {"splits": splits, "tag": models.get_model_weights(name).DEFAULT.name}
    return found


def timm_row(name: str) -> dict[str, Any] | None:
    timm = library("timm", "the table")
    found = row(timm_body, name)
    if found is not None:
        config = timm.models.get_pretrained_cfg(name, allow_unregistered=False)
        found |= {"tag": config.tag if config is not None and config.has_weights else None}
    return found


def write(file: Path, names: list[str], describe: Callable[[str], dict[str, Any] | None]) -> None:
    """Writes a table, a line for each architecture."""
    rows = {"": UNKNOWN} | {name: found for name in names if (found := describe(name)) is not None}
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in rows.items())
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{file.name}: {len(rows) - 1} of {len(names)}")


if __name__ == "__main__":
    models = library("torchvision", "the table").models
    if "torchvision" in sys.argv[1:]:
        write(FOLDER / "torchvision.json", models.list_models(module=models), torchvision_row)
    if "timm" in sys.argv[1:]:
        write(FOLDER / "timm.json", list(map(str, TIMM.split())), timm_row)
