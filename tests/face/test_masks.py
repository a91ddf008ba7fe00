"""Segmentation from files to a predicted mask of the image's own size."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

import mfc
from mfc.cli import main
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.predict import get_preds
from mfc.stages import Means

SPEC = """
param root: path = "scenes"
param method: choice(crop, squish, pad) = squish

data scenes: image -> mask {
    source           = image_files(root / "images")
    split            = random(valid = 0.25, seed = 1)
    label            = mask_file("{stem}_P.png", folder = root / "labels", codes = root / "codes.txt")
    item_transforms  = [resize(24, method, pad_mode = "zeros")]
    batch_transforms = [flip(), rotate(20), zoom(), brightness(), normalize(imagenet_stats)]
    batch_size       = 8
}

model net {
    conv2d(16)
    batchnorm()
    relu()
    conv2d(scenes.classes, 1)
}

train fit {
    data     = scenes
    model    = net
    loss     = cross_entropy()
    metrics  = [iou(), iou(of = 1), dice(), foreground_acc()]
    schedule = one_cycle(lr = 2e-2)
    epochs   = 12
}
"""


def scene(height: int, width: int, draw: random.Random) -> tuple[Image.Image, Image.Image]:
    """A red disc and a blue box on grass, and which is which."""
    image, mask = Image.new("RGB", (width, height), (40, 150, 60)), Image.new("L", (width, height))
    for ink, color, shape in ((1, (210, 50, 40), "ellipse"), (2, (40, 60, 200), "rectangle")):
        side = height // 3
        x, y = draw.randrange(width - side), draw.randrange(height - side)
        for on, fill in ((image, color), (mask, ink)):
            getattr(ImageDraw.Draw(on), shape)((x, y, x + side, y + side), fill=fill)
    return image, mask


def write(root: Path, count: int = 32) -> None:
    draw = random.Random(0)
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    (root / "codes.txt").write_text("grass\ndisc\nbox\n")
    for i in range(count):
        image, mask = scene(30 + i % 5, 36 + i % 7, draw)
        image.save(root / "images" / f"{i}.png")
        mask.save(root / "labels" / f"{i}_P.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segmentation")
    write(folder / "scenes")
    (folder / "spec.mfs").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> mfc.Run:
    return mfc.run(folder / "spec.mfs")


def test_a_model_learns_masks(run: mfc.Run) -> None:
    result = run["fit"].result
    assert result["iou"] > 0.85 and result["iou_2"] > 0.8 and result["dice"] > 0.9, result
    found = run["fit"].learner.get_preds()
    assert found.decoded.shape == (len(found), 24, 24) and found.labels[0].shape == (24, 24)


def test_a_predicted_mask_has_the_size_of_its_image(run: mfc.Run, tmp_path: Path) -> None:
    image, mask = scene(60, 90, random.Random(5))
    image.save(tmp_path / "new.png")
    said = run["fit"].predict(tmp_path / "new.png")
    assert said.label.shape == (60, 90) and said.label.dtype == torch.int64
    right = (said.label == torch.from_numpy(np.array(mask))).float().mean()
    assert right > 0.95, right
    assert list(said.probabilities) == ["grass", "disc", "box"]
    total = torch.stack([*said.probabilities.values()]).sum(0)
    torch.testing.assert_close(total, torch.ones(60, 90))


def test_predicted_masks_are_files(
    run: mfc.Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new" / "deep").mkdir(parents=True)
    draw = random.Random(5)
    for name, size in (("a.png", (40, 60)), ("deep/b.bmp", (60, 40)), ("deep/c.png", (24, 24))):
        scene(*size, draw)[0].save(tmp_path / "new" / name)
    predict = ["predict", str(folder / "spec.mfs"), "fit", "--device", "cpu"]
    assert main([*predict, "new", "--out", "masks", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, (file, said) in zip(lines, run["fit"].predict_files(["new"]), strict=True):
        assert (
            line["file"] == file
            and line["mask"] == f"masks/{Path(file).relative_to('new').with_suffix('.png')}"
        )
        with Image.open(line["mask"]) as mask:
            assert mask.mode == "P" and (np.array(mask) == said.label.numpy()).all()
        counts = said.label.flatten().bincount(minlength=3) / said.label.numel()
        expected = {name: share for name, share in zip(("grass", "disc", "box"), counts.tolist()) if share}
        assert line["shares"] == pytest.approx(expected)
    assert main([*predict, "new/a.png", "--out", "masks", "--csv"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head == "file,mask,grass,disc,box" and row.startswith("new/a.png,masks/a.png,")
    assert main([*predict, "new/a.png", "--out", "masks"]) == 0
    assert re.fullmatch(r"new/a\.png: grass \d+\.\d%, .* in masks/a\.png\n", capsys.readouterr().out)

    # neither an image nor another mask is written over
    before = (tmp_path / "new" / "a.png").read_bytes()
    assert main([*predict, "new/a.png", "--out", "new"]) == 1
    assert "R0505" in capsys.readouterr().err and (tmp_path / "new" / "a.png").read_bytes() == before
    (tmp_path / "new" / "c.png").write_bytes(before)
    assert main([*predict, "new/c.png", "new/deep/c.png", "new/a.png", "--out", "masks"]) == 1
    out, err = capsys.readouterr()
    assert "its name there is that of `new/c.png` too" in err and len(out.splitlines()) == 2
    assert main([*predict, "new/a.png"]) == 1
    assert "`--out FOLDER`" in capsys.readouterr().err


def test_show_tells_of_the_masks(run: mfc.Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder / "spec.mfs"), "scenes"]) == 0
    out = capsys.readouterr().out
    assert "3 classes: grass, disc, box" in out and "its masks: (8, 24, 24) int64: grass " in out, out


def stale(folder: Path) -> list[str]:
    job = mfc.compile(folder / "spec.mfs")
    return [s.stage.name for s in job.status() if s.state != "up to date"]


def test_what_a_change_makes_stale(run: mfc.Run, folder: Path, tmp_path: Path) -> None:
    assert stale(folder) == []
    every = ["scenes.files", "scenes.items", "scenes.packed", "fit"]
    mask = folder / "scenes" / "labels" / "3_P.png"
    before = mask.read_bytes()
    with Image.open(mask) as stored:
        size = stored.size
    Image.new("L", size, 1).save(mask)
    assert stale(folder) == every
    mask.write_bytes(before)
    assert stale(folder) == []
    codes = folder / "scenes" / "codes.txt"
    codes.write_text("grass\nball\nbox\n")
    assert stale(folder) == every
    codes.write_text("grass\ndisc\nbox\n")
    assert stale(folder) == []


class _Colours(torch.nn.Module):
    """A model that needs no training: it knows grass, discs and boxes by their colours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        red, green, blue = (x * std + mean).unbind(1)
        return 50 * torch.stack([green, red, blue], 1)


@pytest.mark.parametrize("size", [(60, 90), (90, 60), (17, 20), (24, 24), (200, 150)])
@pytest.mark.parametrize("method", ["crop", "squish", "pad"])
def test_predictions_lie_where_the_image_has_them(
    run: mfc.Run, folder: Path, tmp_path: Path, size: tuple[int, int], method: str
) -> None:
    """Each pixel of a predicted mask is that of the image, but for edges between classes."""
    (tmp_path / "scenes").symlink_to(folder / "scenes")
    (tmp_path / "spec.mfs").write_text(SPEC)
    spec = mfc.load(tmp_path / "spec.mfs", method=method)
    stage = mfc.compile(spec).plan()["fit"]

    class Learner:
        device = torch.device("cpu")

        def get_preds(self, loader: Any) -> Any:
            return get_preds(_Colours(), loader, cross_entropy(), ["grass", "disc", "box"], self.device)

    height, width = size
    image, mask = scene(height, width, random.Random(2))
    image.save(tmp_path / "new.png")
    trained = mfc.Trained(stage, tmp_path, {}, Means(), Learner())  # type: ignore[arg-type]
    said = trained.predict(tmp_path / "new.png").label
    true = torch.from_numpy(np.array(mask))
    seen = said != -100
    assert said.shape == size
    shorter = min(size)
    assert seen.float().mean() == pytest.approx(shorter / max(size) if method == "crop" else 1, abs=0.03)
    around = 2 * (1 + max(size) // 24) + 1
    least, most = (np.array(mask.filter(of(around))) for of in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    edges = least != most
    inner = seen & ~torch.from_numpy(edges)
    assert inner.float().mean() > 0.1 and (said == true)[inner].all()


def test_the_spec_of_digits_learns(tmp_path: Path) -> None:
    for name in ("digit_masks.mfs", "digit_masks.py"):
        shutil.copy(Path(mfc.__file__).parent / "specs" / name, tmp_path / name)
    result = mfc.run(tmp_path / "digit_masks.mfs", epochs=1)["fit"].result
    assert result["iou"] > 0.8, result
