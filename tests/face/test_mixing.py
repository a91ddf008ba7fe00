"""Mixup and cutmix with each type of target: the loss of the first batch of a spec's training, worked out by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import mfc
from mfc.runtime.streams import Stream
from mfc.stages import module
from tests.face import test_masks, test_targets

TABLE = """
    source          = image_table("train.csv", folder = "photos", image = "{name}.png")
    split           = by_column("is_valid")
    batch_size      = 48
    item_transforms = [resize(8)]
"""
SPEC = f"""
data tags: image -> multi_category {{ {TABLE}    label = column("tags", delimiter = " ")
}}
data places: image -> value {{ {TABLE}    label = column(["x", "y"])
}}
data scenes: image -> mask {{
    source          = image_files("scenes/images")
    split           = random(valid = 0.25, seed = 1)
    label           = mask_file("{{stem}}_P.png", folder = "scenes/labels", codes = "scenes/codes.txt")
    item_transforms = [resize(16, squish)]
    batch_size      = 16
}}
model to_tags   {{ flatten()  linear(tags.classes) }}
model to_places {{ flatten()  linear(places.values) }}
model to_masks  {{ conv2d(scenes.classes, 3) }}
train tag   {{ data = tags  model = to_tags  loss = bce()  epochs = 1  callbacks = [cutmix()] }}
train place {{ data = places  model = to_places  loss = l1()  epochs = 1  callbacks = [mixup()] }}
train mask  {{ data = scenes  model = to_masks  loss = focal(1.0)  epochs = 1  callbacks = [mixup(1.0)] }}
train shape {{ data = scenes  model = to_masks  loss = dice()  epochs = 1  callbacks = [mixup(1.0)] }}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mfc.Run:
    folder: Path = tmp_path_factory.mktemp("mixing")
    test_targets.write(folder)
    test_masks.write(folder / "scenes")
    (folder / "spec.mfs").write_text(SPEC)
    return mfc.compile(mfc.load(folder / "spec.mfs")).run(progress=False, stream=io.StringIO())


def mixed(name: str, kind: str, alpha: float, number: int, x: torch.Tensor) -> tuple[torch.Tensor, Any, Any]:
    """The images of a training's batch of that number in its first epoch, with the shares and partners."""
    rng = Stream(42, name, kind).generator(0, number)
    partners, out, shares = list(range(len(x))), x.clone(), []
    rng.shuffle(partners)
    side = x.shape[-1]
    for i, partner in enumerate(partners):
        share = rng.betavariate(alpha, alpha)
        if kind == "mixup":
            share = max(share, 1 - share)
            out[i] = share * x[i] + (1 - share) * x[partner]
        else:
            half = int(side * (1 - share) ** 0.5) // 2
            row, column = rng.randrange(side), rng.randrange(side)
            box = (slice(max(row - half, 0), row + half), slice(max(column - half, 0), column + half))
            out[i][:, *box] = x[partner][:, *box]
            share = 1 - x[i, 0][box].numel() / side**2
        shares.append(share)
    return out, torch.tensor(shares), partners


def each_bce(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(pred, target.float(), reduction="none").mean(1)


def each_distance(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (pred - target).abs().mean(1)


def each_focal(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    p = pred.softmax(1).gather(1, target[:, None])
    return ((1 - p) * -p.log()).flatten(1).mean(1)


def each_dice(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    p, true = pred.softmax(1).flatten(2), F.one_hot(target, pred.shape[1]).movedim(-1, 1).flatten(2)
    return (1 - (2 * (p * true).sum(2) + 1e-6) / ((p**2).sum(2) + true.sum(2) + 1e-6)).mean(1)


CASES = [
    ("tag", "cutmix", 1.0, each_bce),
    ("place", "mixup", 0.4, each_distance),
    ("mask", "mixup", 1.0, each_focal),
    ("shape", "mixup", 1.0, each_dice),
]


@pytest.mark.parametrize(("name", "kind", "alpha", "each"), CASES)
def test_the_loss_of_a_mixture_of_each_target(
    run: mfc.Run, name: str, kind: str, alpha: float, each: Callable[..., torch.Tensor]
) -> None:
    trained = run[name]
    model, dls = module(trained.stage.recipe["model"], [], 42, name), trained.learner.dls
    assert len(dls.train) == 1  # so that the history has the loss of one batch, before any step
    dls.train.set_epoch(0)
    ((x, y, _),) = dls.train
    images, share, partners = mixed(name, kind, alpha, 0, x)
    with torch.no_grad():
        pred = model.train()(images)
        expected = (share * each(pred, y) + (1 - share) * each(pred, y[partners])).mean()
        plain = each(model(x), y).mean()
    assert trained.history[0]["train_loss"] == pytest.approx(float(expected), rel=1e-4)
    assert float(plain) != pytest.approx(float(expected), rel=1e-4)
