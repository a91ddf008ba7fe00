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
from mfc.runtime.bodies.body import Body
from mfc.runtime.bodies.timm_body import timm_body
from mfc.runtime.bodies.torchvision_body import torchvision_body

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

FAMILIES = (
    r"(wide_|se|eca)?resne[xs]?t\d\w*|resnetv2_\d+x?\d?|convnext(v2)?_(atto|femto|pico|nano|tiny|small|base|large|huge)|"
    r"(tf_)?efficientnet(v2)?_(b\d|s|m|l|xl|rw_[tsm]|lite\d)|mobilenet(v2|v3|v4)_\w+|regnet[xy]_\d+|densenet\d+|"
    r"vgg\d+(_bn)?|nfnet_\w\d|rexnet_\d+|darknet53|cspresnet50|cspdarknet53|repvgg_\w+|resnest\d+\w|ese_vovnet\w+|"
    r"dla\d+|mixnet_\w+|mnasnet_\w+|ghostnet_\d+|edgenext_\w+|mobileone_s\d|xception\d+"
)
"""The architectures of timm that its table holds: its own measure would take an hour for all."""


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
                return {"features": features, "reduction": reduction, "patch": patch, "floored": floored}
    return None


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
    from torchvision.models import get_model_weights

    found = row(torchvision_body, name)
    if found is not None:
        splits = next((s for pattern, s in SPLITS.items() if re.fullmatch(pattern, name)), [])
        found |= {"splits": splits, "tag": get_model_weights(name).DEFAULT.name}
    return found


def timm_row(name: str) -> dict[str, Any] | None:
    import timm

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
    import timm
    from torchvision import models

    if "torchvision" in sys.argv[1:]:
        write(FOLDER / "torchvision.json", models.list_models(module=models), torchvision_row)
    if "timm" in sys.argv[1:]:
        write(FOLDER / "timm.json", [n for n in timm.list_models() if re.fullmatch(FAMILIES, n)], timm_row)
