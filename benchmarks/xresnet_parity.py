"""The xresnets of `specs/std/xresnet.mfs` beside fastai's: parameter counts, and outputs with the same weights.

    python benchmarks/xresnet_parity.py [--size 64] [--batch 2] [--threads 2]

For each of xresnet18, 34, 50, 101 and 152 with 1,000 classes: fastai's weights, of which those of the norms are
made random, are copied over; the greatest difference of the outputs on random images is divided by the greatest
output. Needs fastai. Prints a table and, last, one JSON line; the status is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.resources
import json
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

import mfc

NAMES = ("xresnet18", "xresnet34", "xresnet50", "xresnet101", "xresnet152")
COUNTS = (11_708_744, 21_816_904, 25_576_264, 44_568_392, 60_212_040)
TOLERANCE = {"eval": 1e-5, "train": 1e-4}  # in training, batch statistics of few numbers amplify rounding
SPEC = """
import "xresnet.mfs" ({name})

model net {{
    input = image(3, {size}, {size})
    {name}(classes = 1_000)
}}
"""


def ours(name: str, size: int) -> nn.Module:
    """The model that the spec describes, by way of the compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source = importlib.resources.files("mfc.specs") / "std" / "xresnet.mfs"
        Path(folder, "xresnet.mfs").write_text(source.read_text())
        Path(folder, "net.mfs").write_text(SPEC.format(name=name, size=size))
        model = mfc.compile(mfc.load(Path(folder, "net.mfs"))).build("net")
        assert isinstance(model, nn.Module)
        return model


def theirs(name: str) -> nn.Module:
    """fastai's, every number of its state a random one: a weight that is copied to the wrong place shows."""
    model = getattr(importlib.import_module("fastai.vision.models.xresnet"), name)(n_out=1000)
    generator = torch.Generator().manual_seed(0)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.2, 0.6, generator=generator)
            norm.bias.normal_(std=0.1, generator=generator)
            norm.momentum = None
        model(torch.randn(4, 3, 64, 64, generator=generator))  # running statistics that fit the weights
    for norm in norms:
        norm.momentum = 0.1
    return model


def in_our_order(key: str) -> tuple[int, int, bool]:
    """Where a tensor of fastai's stands in ours: in a residual block, the shortcut comes first."""
    top, second, *_ = key.split(".")
    in_block = "convpath" in key or "idpath" in key
    return int(top), int(second) if in_block else 0, "convpath" in key


def copy_over(source: nn.Module, target: nn.Module) -> None:
    state = source.state_dict()
    values = [state[key] for key in sorted(state, key=in_our_order)]
    names = list(target.state_dict())
    assert len(names) == len(values), f"{len(names)} tensors here, {len(values)} there"
    target.load_state_dict(dict(zip(names, values)))


def compare(name: str, count: int, size: int, batch: int) -> dict[str, object]:
    here, there = ours(name, size), theirs(name)
    counts = [sum(p.numel() for p in model.parameters()) for model in (here, there)]
    copy_over(there, here)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, size, size, generator=generator) + torch.randn(
        batch, 3, 1, 1, generator=generator
    )
    result: dict[str, object] = {"name": name, "parameters": counts[0], "fastai": counts[1]}
    same = counts == [count, count]
    for mode, tolerance in TOLERANCE.items():
        with torch.no_grad():
            a, b = (model.train(mode == "train")(x) for model in (here, there))
        assert (b - b.mean(0)).abs().max() > 0.02 * b.abs().max(), (
            "fastai's outputs hardly depend on the image"
        )
        difference = ((a - b).abs().max() / b.abs().max()).item()
        result[mode] = difference
        same &= difference <= tolerance
    return result | {"same": same}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=64, help="side of the images")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = [compare(name, count, args.size, args.batch) for name, count in zip(NAMES, COUNTS)]
    print(f"{'':12}{'parameters':>12}{'fastai':>12}{'eval':>10}{'train':>10}")
    for row in rows:
        shown = f"{row['name']:12}{row['parameters']:>12,}{row['fastai']:>12,}"
        print(f"{shown}{row['eval']:>10.1e}{row['train']:>10.1e}{'' if row['same'] else '  differs'}")
    print(json.dumps({"benchmark": "xresnet_parity", "torch": torch.__version__, "rows": rows}))
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
