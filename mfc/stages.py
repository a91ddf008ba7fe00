"""Carries out stages: hands the recipe of each to the part of the runtime that does it.

torch is imported by those functions that need it, so that a run with nothing to do is quick.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.data.files import Listing, list_files
from mfc.runtime.data.items import Items, list_items

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mfc.runtime.data.loaders import DataLoaders
    from mfc.runtime.hashcache import HashCache
    from mfc.runtime.training.learner import Learner
    from mfc.runtime.training.predict import Prediction

Folders = Mapping[str, Path]
"""Where the results of stages lie, by the stages' names."""


@dataclass(frozen=True)
class Means:
    """What a run is carried out with; none of it decides a result.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: processes that load items; None for what the spec says.
        progress: whether to show it.
        stream: where progress and notes go; standard error if None.
    """

    device: str = "auto"
    workers: int | None = None
    progress: bool = True
    stream: TextIO | None = None


def scan(stage: ir.Stage, caches: Callable[[str], HashCache]) -> Listing:
    """What the source of a `files` stage holds now."""
    return list_files(build(stage.placing["source"]), caches)


def run_items(stage: ir.Stage, inputs: Folders, out: Path) -> None:
    recipe = stage.recipe
    listing = Listing.load(inputs[stage.inputs[0]])
    split, label = located(stage, recipe["split"]), located(stage, recipe["label"])
    list_items(listing, split, label, recipe["target"], recipe["vocab"]).save(out)


def facts(stage: ir.Stage, folder: Path) -> dict[str, int]:
    """What an `items` stage found out that specs may ask for: `{"cifar.classes": 10}`."""
    name = stage.name.removesuffix(".items")
    return {f"{name}.{k}": v for k, v in Items.load(folder).facts().items() if isinstance(v, int)}


def images(items: Path) -> str:
    """A hash of the content of all images that an `items` stage found."""
    return Items.load(items).listing().fingerprint()


def run_packed(
    stage: ir.Stage, inputs: Folders, out: Path, means: Means, show: Callable[[int, int], None]
) -> None:
    from mfc.runtime.data.pack import pack

    recipe, placing = stage.recipe, stage.placing
    items = Items.load(inputs[stage.inputs[0]])
    workers = means.workers if means.workers is not None else placing["workers"]
    transforms = located(stage, recipe["item_transforms"])
    pack(build(placing["source"]), items.paths, transforms, out, recipe["on_error"], workers or None, show)


def run_train(stage: ir.Stage, inputs: Folders, out: Path, means: Means) -> Learner:
    """Trains, or goes on where `out` holds the checkpoint of an interrupted training."""
    from mfc.runtime.training.train import train_stage

    parts = training(stage, inputs, means)
    before = next(
        (inputs[name] for name in stage.inputs if name.startswith(f"{stage.recipe['train']}.")), None
    )
    return train_stage(**parts, folder=out, previous=before, progress=means.progress, stream=means.stream)


def restore(stage: ir.Stage, inputs: Folders, folder: Path, means: Means) -> Learner:
    """The learner of a training whose result lies in `folder`, with the trained weights."""
    from mfc.runtime.initializers import from_training
    from mfc.runtime.streams import Stream
    from mfc.runtime.training.learner import Learner

    parts = training(stage, inputs, means, weights=False)
    from_training(folder)(parts["model"], Stream(0, "", ""))
    parts.pop("phases")
    learner = Learner(**parts, folder=folder, stream=means.stream)
    learner.history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return learner


def predict(stage: ir.Stage, learner: Learner, path: Path) -> Prediction:
    """What a trained model says of an image file, prepared as its validation items were.

    Raises:
        RunError: the file is missing or is no image.
    """
    import random

    import torch

    from mfc.runtime.data.batch_pipeline import BatchPipeline
    from mfc.runtime.data.images import read
    from mfc.runtime.data.item_transforms import pipeline
    from mfc.runtime.data.sources import image_files

    data, placing = stage.recipe["data"], stage.placing["data"]
    channels = data["shape"][0]
    source = image_files(path.absolute().parent, channels=channels)
    pixels = read(
        source, path.name, pipeline(build(placing["item_transforms"]), training=False), random.Random(0)
    )
    prepare = BatchPipeline(build(placing["batch_transforms"]), 0, "", channels, training=False)
    return learner.predict(prepare(torch.tensor(pixels)[None], torch.zeros(1, dtype=torch.int64), 0)[0])


def training(stage: ir.Stage, inputs: Folders, means: Means, weights: bool = True) -> dict[str, Any]:
    """The parts of a training, built from its recipe; without `weights`, its first ones are left out."""
    from mfc.runtime.models import parameter_groups
    from mfc.runtime.optim.schedules import Together
    from mfc.runtime.training.device import choose_device
    from mfc.runtime.training.learner import Phase

    recipe, placing = stage.recipe, stage.placing
    device = choose_device(means.device)
    seed, name = recipe["seed"], recipe["train"]
    model = module(
        placed(stage, recipe["model"]), build_weights(stage, inputs) if weights else [], seed, name
    )
    schedule = Together(located(stage, recipe["schedule"]))
    return {
        "model": model,
        "dls": data_loaders(recipe["data"], placing["data"], inputs, seed, name, device, means.workers),
        "loss": located(stage, recipe["loss"]),
        "optimizer": located(stage, recipe["optimizer"]),
        "phases": [Phase(recipe["epochs"], schedule, recipe["freeze_to"], stage.name)],
        "metrics": build(placing["metrics"]),
        "callbacks": [*located(stage, recipe["callbacks"]), *build(placing["callbacks"])],
        "groups": parameter_groups(model),
        "seed": seed,
        "stage": name,
        "device": device,
    }


def data_loaders(
    data: Mapping[str, Any],
    placing: Mapping[str, Any],
    inputs: Folders,
    seed: int,
    stage: str,
    device: torch.device,
    workers: int | None = None,
) -> DataLoaders:
    """The loaders of a data block as a training with a seed sees it."""
    from mfc.runtime.data.batch_pipeline import BatchPipeline
    from mfc.runtime.data.loaders import DataLoaders
    from mfc.runtime.data.pack import Packed

    items = Items.load(inputs[f"{data['name']}.items"])
    transforms = build(placing["batch_transforms"])
    channels = data["shape"][0]
    packed = inputs.get(f"{data['name']}.packed")
    return DataLoaders(
        items,
        Packed.load(packed) if packed else build(placing["source"]),
        BatchPipeline(transforms, seed, stage, channels, training=True),
        BatchPipeline(transforms, seed, stage, channels, training=False),
        data["batch_size"],
        () if packed else build(placing["item_transforms"]),
        seed,
        stage,
        device,
        workers if workers is not None else placing["workers"],
        "stop" if packed else data["on_error"],
    )


def module(stack: ir.Stack, weights: list[Any], seed: int, stage: str) -> nn.Module:
    """A model with its first weights: torch's own initialisation, then what `weights` says, in order."""
    from mfc.runtime.models import build_model
    from mfc.runtime.streams import Stream

    model = build_model(stack, Stream(seed, stage, "init"))
    for position, initialize in enumerate(weights):
        initialize(model, Stream(seed, stage, f"weights {position}"))
    return model


def build_weights(stage: ir.Stage, inputs: Folders) -> list[Any]:
    """The initialisers of a training; weights of another one come from its folder."""
    from mfc.runtime.initializers import from_training

    return [
        from_training(inputs[w.stage], w.group) if isinstance(w, ir.Trained) else located(stage, w)
        for w in stage.recipe["weights"]
    ]


def located(stage: ir.Stage, value: Any) -> Any:
    """What a recipe's value builds, with the files that it reads where they lie."""
    return build(placed(stage, value))


def placed(stage: ir.Stage, value: Any) -> Any:
    """A recipe's value with the files that it reads where they lie."""
    reads = stage.placing["reads"]
    return ir.substitute(value, lambda n: ir.File(reads[n.path]) if isinstance(n, ir.File) else n)
