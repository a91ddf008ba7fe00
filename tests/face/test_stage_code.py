"""What a stage runs is in its key: a definition that runs is reached by the code hash, or only watches."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mfc
from mfc.dsl import ir
from mfc.dsl.codehash import CodeIndex
from mfc.dsl.plan_code import CODE, MEASURING, WATCHING
from tests.tracing import executed

SPECS = Path(mfc.__file__).parent / "specs"


def skipped(path: str, name: str, skip: tuple[str, ...]) -> bool:
    """Whether a definition is one of those that are skipped."""
    inside = os.path.relpath(path, Path(mfc.__file__).parent).removesuffix(".py")
    module = f"mfc.{inside.replace(os.sep, '.')}"
    return any(module == w or module.startswith(f"{w}.") or f"{module}:{name}" == w for w in skip)


TEXTS = """
tokenizer pieces = sentencepiece(vocab_size = 50, fit_on = corpus.train.texts)

data corpus: text -> next_token(seq_len = 8) {
    source     = text_files("texts")
    split      = random(valid = 0.2)
    tokenizer  = pieces
    batch_size = 4
}

data reviews: text -> category {
    source     = text_files("texts")
    split      = stratified(valid = 0.25)
    label      = parent()
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}

let encoder = awd_lstm(emb_size = 6, hidden_size = 8, layers = 2)

data rows: text -> category {
    source     = text_table("rows.csv", text = ["title", "text"])
    split      = by_column("is_valid")
    label      = column("label")
    tokenizer  = words(min_freq = 1)
    batch_size = 8
}

train pretrain {
    data      = corpus
    model     = language_model(encoder)
    loss      = cross_entropy()
    callbacks = [rnn_regularizer(), gradient_clip(0.5)]
    epochs    = 1
}

train classify {
    data    = reviews
    model   = text_classifier(encoder, classes = reviews.classes)
    weights = pretrain.encoder
    loss    = cross_entropy()
    epochs  = 1
}

train tabled {
    data    = rows
    model   = text_classifier(encoder, classes = rows.classes)
    loss    = cross_entropy()
    epochs  = 1
}

train again {
    data    = reviews
    model   = text_classifier(encoder, classes = reviews.classes)
    loss    = cross_entropy()
    epochs  = 1
}

data more: text -> category {
    source = text_table("rows.csv", text = ["title", "text"])
    split  = by_column("is_valid")
    label  = column("label")
}

evaluate all_said { model = classify  metrics = [confusion_matrix()]  top_losses = 2  predictions = csv("out.csv") }
evaluate other    { model = tabled  data = more.valid  metrics = [accuracy()] }
export kept       { model = classify  format = bundle() }
evaluate each     { model = [classify, tabled]  metrics = [accuracy()] }
evaluate together { model = ensemble([classify, again])  metrics = [accuracy()] }
"""

IMAGES = """
data masked: image -> mask {
    source           = image_files("images")
    split            = random(valid = 0.3)
    label            = mask_file("{stem}.png", folder = "labels", codes = "codes.txt", values = [0, 255])
    item_transforms  = [random_resized_crop(8), flip()]
    batch_transforms = [rotate(10), random_crop(8, padding = 1, pad_mode = "reflection")]
    batch_size       = 4
}

data tagged: image -> multi_category {
    source          = image_table("images.csv", folder = "images", image = "{name}.png")
    split           = by_column("is_valid")
    label           = column("tags", delimiter = " ")
    item_transforms = [resize_to(6, 8)]
    batch_size      = 4
}

model pixels { conv2d(4)  relu()  pixel_shuffle_icnr(2)  interpolate(8, 8)  conv2d(masked.classes) }
model whole  { flatten()  linear(tagged.classes) }

data more: image -> mask {
    source = image_files("images")
    split  = random(valid = 0.2)
    label  = mask_file("{stem}.png", folder = "labels", codes = "codes.txt", values = [0, 255])
}

evaluate other { model = segment  data = more.all  metrics = [iou(), confusion_matrix()]  top_losses = 2 }

data turned: image -> multi_category {
    source           = image_table("images.csv", folder = "images", image = "{name}.png")
    split            = by_column("is_valid")
    label            = column("tags", delimiter = " ")
    item_transforms  = [random_resized_crop(6)]
    batch_transforms = [rotate(10)]
    batch_size       = 4
}
train turn     { data = turned  model = whole  loss = bce()  epochs = 1 }
evaluate tries {
    model       = ensemble([turn, tta(turn, n = 2)])
    metrics     = [accuracy_multi()]
    top_losses  = 2
    predictions = csv("out.csv")
}
export kept     { model = segment  format = bundle() }
export program  { model = segment  format = torch_export() }
export exchange { model = tag  format = onnx() }

train segment { data = masked  model = pixels  weights = [kaiming()]  loss = dice()  metrics = [iou()]  epochs = 1 }
train tag     { data = tagged  model = whole  loss = bce()  metrics = [accuracy_multi()]  epochs = 1 }
"""


def write_images(folder: Path) -> None:
    """Images of noise with masks, and a table of them."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    rows = ["name,tags,is_valid\n"]
    for i in range(12):
        image = Image.effect_noise((10, 9), 80)
        image.save(folder / "images" / f"{i}.png")
        image.point(lambda value: 255 * (value > 128)).save(folder / "labels" / f"{i}.png")  # type: ignore[operator]
        rows.append(f"{i},{'a b' if i % 2 else 'a'},{i % 4 == 3}\n")
    (folder / "codes.txt").write_text("dark\nbright\n")
    (folder / "images.csv").write_text("".join(rows))


def test_what_stages_run_is_in_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: dict[str, tuple[ir.Stage, set[tuple[str, str]]]] = {}

    def traced(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(stage: ir.Stage, *args: Any) -> Any:
            results: list[Any] = []
            ran[stage.name] = stage, executed(lambda: results.append(real(stage, *args)))
            return results[0]

        return run

    for target in CODE.values():
        module, _, name = target.partition(":")
        holder = importlib.import_module(module)
        monkeypatch.setattr(holder, name, traced(getattr(holder, name)))
    spec = tmp_path / "digits.mfs"
    weights = "epochs    = epochs\n    weights   = lsuv()"
    spec.write_text((SPECS / "digits.mfs").read_text().replace("epochs    = epochs", weights))
    mfc.run(spec, epochs=1)
    for label in ("good", "bad"):
        (tmp_path / "texts" / label).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "texts" / label / f"{i}.txt").write_text(f"It was a {label} film, number {i}. " * 3)
    rows = [f"No. {i},It was a {'good' if i % 3 else 'bad'} film.,{i % 3},{i % 4 == 0}\n" for i in range(24)]
    (tmp_path / "rows.csv").write_text("".join(["title,text,label,is_valid\n", *rows]))
    text_spec = tmp_path / "texts.mfs"
    text_spec.write_text(TEXTS)
    job = mfc.compile(text_spec)
    job.run(["classify", "tabled", "again"])
    job.run()  # evaluations build the models again
    write_images(tmp_path)
    (tmp_path / "images.mfs").write_text(IMAGES)
    mfc.run(tmp_path / "images.mfs")

    assert {stage.kind for stage, _ in ran.values()} == set(CODE)
    for stage, definitions in ran.values():
        skip = WATCHING if stage.measures else (*WATCHING, *MEASURING)
        components = [node.target for node in ir.walk(stage.recipe) if isinstance(node, ir.Call)]
        reached = CodeIndex(skip).reached([CODE[stage.kind], *components])
        outside = {
            d for d in definitions - reached if not skipped(*d, skip) and not d[0].endswith("driver.py")
        }
        assert outside == set(), f"{stage.name} ran code that is not in its key"
