"""Carries out stages: hands the recipe of each to the part of the runtime that does it.

torch is imported by those functions that need it, so that a run with nothing to do is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.cores import cores
from mfc.runtime.data.files import Listing, list_files
from mfc.runtime.data.items import Items, items_of_part, list_items, overlap
from mfc.runtime.disk import write_file
from mfc.runtime.text.vocab import VOCAB, read_vocab
from mfc.runtime.training.history import NO_METRICS, read_history

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mfc.runtime.data.loaders import DataLoaders
    from mfc.runtime.data.masks import Masks
    from mfc.runtime.hashcache import HashCache
    from mfc.runtime.text.loaders import TextLoaders
    from mfc.runtime.training.learner import Learner

INIT = "init.json"
"""What initializers that read data report."""

META = "meta.json"
"""What a training says of itself."""

METRICS = "metrics.json"
"""The metrics that a training measured, as the plan has them."""

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
    placing = stage.placing
    return list_files(build(placing["source"]), caches, build(placing.get("label")))


def run_items(stage: ir.Stage, inputs: Folders, out: Path, means: Means) -> None:
    recipe = stage.recipe
    listing = Listing.load(inputs[stage.inputs[0]])
    split = located(stage, recipe["split"])
    label = build(stage.placing["label"]) if "label" in stage.placing else located(stage, recipe["label"])
    source = build(stage.placing["source"]) if "columns" in recipe else None
    items = list_items(listing, split, label, recipe["target"], recipe["vocab"], source)
    if warning := overlap(items):
        print(f"{stage.name}: {warning}", file=means.stream or sys.stderr, flush=True)
    items.save(out)


def run_part(stage: ir.Stage, inputs: Folders, out: Path) -> None:
    """The items of a part that a model of other data is asked about, which has a vocabulary of its own."""
    recipe, placing = stage.recipe, stage.placing
    listing, known = Listing.load(inputs[stage.inputs[0]]), Items.load(inputs[stage.inputs[1]])
    split = located(stage, recipe["split"])
    label = build(placing["label"]) if "label" in placing else located(stage, recipe["label"])
    source = build(placing["source"]) if "columns" in recipe else None
    target, vocab = recipe["target"], recipe["vocab"]
    items_of_part(listing, recipe["part"], split, label, known, target, vocab, source).save(out)


def facts(stage: ir.Stage, folder: Path) -> dict[str, int | list[int]]:
    """What a stage found out that specs may ask for: `{"cifar.classes": 10}`, `{"pieces.vocab": 8000}`."""
    if stage.kind == "tokenizer":
        return {f"{stage.name}.vocab": len(read_vocab(folder))}
    name = stage.name.removesuffix(".items")
    return {f"{name}.{k}": v for k, v in Items.load(folder).facts().items()}


def content(items: Path) -> str:
    """A hash of the content of all items that an `items` stage found."""
    return Items.load(items).listing().fingerprint()


def run_packed(
    stage: ir.Stage, inputs: Folders, out: Path, means: Means, show: Callable[[int, int], None]
) -> None:
    from mfc.runtime.data.pack import pack

    recipe, placing = stage.recipe, stage.placing
    items = Items.load(inputs[stage.inputs[0]])
    workers = means.workers if means.workers is not None else placing["workers"]
    transforms = located(stage, recipe["item_transforms"])
    masks = _masks(placing, items)
    source, on_error = build(placing["source"]), recipe["on_error"]
    pack(source, items.paths, transforms, out, on_error, workers or None, show, masks)


def _masks(placing: Mapping[str, Any], items: Items) -> Masks | None:
    """The masks of items, where these have masks."""
    from mfc.runtime.data.masks import Masks

    return Masks(build(placing["label"]), items.vocab) if placing.get("label") is not None else None


def run_tokenizer(
    stage: ir.Stage, inputs: Folders, out: Path, means: Means, show: Callable[[int, int], None]
) -> None:
    parts = stage.recipe["parts"]
    items = [Items.load(inputs[name]) for name in stage.inputs]
    chosen = [i.part(p["part"]) for i, p in zip(items, parts)]
    sources = build(stage.placing["sources"])
    texts = (s.open(i.paths[n]) for s, i, numbers in zip(sources, items, chosen) for n in numbers)
    total = sum(map(len, chosen))
    tokenizer = located(stage, stage.recipe["tokenizer"])
    tokenizer.fit(texts, out, processes(means), lambda done: show(done, total))


def run_tokens(
    stage: ir.Stage, inputs: Folders, out: Path, means: Means, show: Callable[[int, int], None]
) -> None:
    from mfc.runtime.text.token_file import write_tokens

    items, tokenizer = (inputs[name] for name in stage.inputs)
    paths = Items.load(items).paths
    source = build(stage.placing["source"])
    encoder = located(stage, stage.recipe["tokenizer"]).load(tokenizer)
    texts = (source.open(path) for path in paths)
    with closing(encoder.encode(texts, processes(means))) as encoded:
        write_tokens(encoded, len(encoder.vocab), out, lambda done: show(done, len(paths)))


def processes(means: Means) -> int:
    """How many processes tokenize: those of the run's workers, by default one a core."""
    return means.workers if means.workers is not None else cores()


def run_init(stage: ir.Stage, inputs: Folders, out: Path, means: Means) -> list[str]:
    """Gives a model its first weights, and leaves them and what initializers that read data report. Gives the report
    in lines."""
    from mfc.runtime.init_report import lines
    from mfc.runtime.training.checkpoint import write_tensors
    from mfc.runtime.training.device import choose_device
    from mfc.runtime.training.first_weights import initialize
    from mfc.runtime.training.train import MODEL

    recipe, device = stage.recipe, choose_device(means.device)
    seed, name = recipe["seed"], recipe["name"]
    model = module(placed(stage, recipe["model"]), [], seed, name, say=_says(stage, means)).to(device)
    data, placing = recipe["data"], stage.placing["data"]
    dls = data_loaders(data, placing, inputs, seed, name, device, means.workers)
    try:
        built = build_weights(stage, inputs, means)
        reports = initialize(model, recipe["weights"], built, dls.train, seed, name)
    finally:
        dls.close()
    write_tensors(out / MODEL, model.state_dict())
    write_file(out / INIT, json.dumps(reports, indent=1).encode())
    return lines(reports)


def read_init(folder: Path) -> list[dict[str, Any]]:
    """What initializers reported: `initializer` and its `report`, rows that are JSON objects."""
    return json.loads((folder / INIT).read_bytes())


def run_train(stage: ir.Stage, inputs: Folders, out: Path, means: Means) -> Learner:
    """Trains, or goes on where `out` holds the checkpoint of an interrupted training."""
    from mfc.runtime.training.callbacks.statistics import StatisticsCheck, normalised_anew
    from mfc.runtime.training.train import train_stage

    parts = training(stage, inputs, means)
    before = phase_before(stage)
    if not before and normalised_anew(stage):
        parts["callbacks"].append(StatisticsCheck())
    parts |= {"folder": out, "previous": inputs[before] if before else None}
    learner = train_stage(**parts, progress=means.progress, stream=means.stream)
    write_file(out / METRICS, json.dumps(ir.to_json(stage.placing["metrics"])).encode())
    if tokenizer := stage.placing["data"].get("tokenizer"):
        # a trained model has the vocabulary that its rows are of
        write_file(out / VOCAB, (inputs[tokenizer] / VOCAB).read_bytes())
    return learner


def phase_before(stage: ir.Stage) -> str | None:
    """The stage whose training this one goes on with, as the next phase."""
    first = {w.stage for w in stage.recipe["weights"] if isinstance(w, ir.Trained)}
    names = (name for name in stage.inputs if name.startswith(f"{stage.recipe['train']}."))
    return next((name for name in names if name not in first), None)


def result(stage: ir.Stage, folder: Path, learner: Callable[[], Learner]) -> dict[str, float]:
    """The losses of the epoch whose weights a trained model has and the metrics that the spec asks for now. Metrics
    that decide no result train nothing anew where they were not measured: they are measured here."""
    row = next((row for row in read_history(folder) if row["epoch"] == standing(folder)), {})
    columns = [name for name in row if name not in NO_METRICS]
    known = dict(zip(map(json.dumps, json.loads((folder / METRICS).read_bytes())), columns))
    asked = stage.placing["metrics"]
    places = [known.get(json.dumps(ir.to_json(call))) if row else None for call in asked]
    found = {name: row[name] for name in ("train_loss", "valid_loss") if row.get(name) is not None}
    if None not in places:
        return found | {column: row[column] for column in places if column is not None}
    from mfc.runtime.training.metrics import metric_names
    from mfc.runtime.training.predict import measure

    metrics = build(asked)
    restored = learner()
    missing = [metric for metric, column in zip(metrics, places) if column is None]
    later = iter(measure(restored.model, restored.dls.valid, missing, restored.device).values())
    values = (next(later) if column is None else row[column] for column in places)
    return found | dict(zip(metric_names(metrics), values))


def standing(folder: Path) -> int | None:
    """The epoch whose weights a trained model has: the last one, unless a callback put others back; None where a
    callback ended the training before its first epoch was over."""
    return json.loads((folder / META).read_bytes())["epoch"]


def restore(stage: ir.Stage, inputs: Folders, folder: Path, means: Means) -> Learner:
    """The learner of a training whose result lies in `folder`, with the trained weights."""
    from mfc.runtime.initializers import from_training
    from mfc.runtime.streams import Stream
    from mfc.runtime.training.learner import Learner

    parts = training(stage, inputs, means, weights=False)
    from_training(folder)(parts["model"], Stream(0, "", ""))
    parts.pop("phases")
    learner = Learner(**parts, folder=folder, stream=means.stream)
    learner.history = read_history(folder)
    return learner


def training(stage: ir.Stage, inputs: Folders, means: Means, weights: bool = True) -> dict[str, Any]:
    """The parts of a training, built from its recipe; without `weights`, its first ones are left out."""
    from mfc.runtime.models import parameter_groups
    from mfc.runtime.optim.schedules import Together
    from mfc.runtime.training.device import choose_device
    from mfc.runtime.training.phases import Phase

    recipe, placing = stage.recipe, stage.placing
    device = choose_device(means.device)
    seed, name = recipe["seed"], recipe["train"]
    # what layers bring along was loaded by a stage before: the phase, or that of the first weights
    first = weights and not any(held.startswith(f"{name}.") for held in stage.inputs)
    initializers = build_weights(stage, inputs, means) if weights else []
    model = module(placed(stage, recipe["model"]), initializers, seed, name, first, _says(stage, means))
    schedule = Together(located(stage, recipe["schedule"]), recipe["epochs"])
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
) -> DataLoaders | TextLoaders:
    """The loaders of a data block as a training with a seed sees it."""
    if tokenizer := placing.get("tokenizer"):
        return _text_loaders(data, read_vocab(inputs[tokenizer]), inputs, seed, stage, device)
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
        _masks(placing, items),
    )


def _text_loaders(
    data: Mapping[str, Any], vocab: list[str], inputs: Folders, seed: int, stage: str, device: torch.device
) -> TextLoaders:
    from mfc.runtime.text.lm_batches import lm_loaders
    from mfc.runtime.text.text_batches import text_loaders
    from mfc.runtime.text.token_file import Tokens

    items, tokens = Items.load(inputs[f"{data['name']}.items"]), Tokens.load(inputs[f"{data['name']}.tokens"])
    load = lm_loaders if data["target"] == "next_token" else text_loaders
    return load(
        items, tokens, vocab, data["batch_size"], **data["options"], seed=seed, stage=stage, device=device
    )


def module(
    stack: ir.Stack,
    weights: list[Any],
    seed: int,
    stage: str,
    pretrained: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """A model with its first weights: its layers' own initialisation, with `pretrained` the weights that layers bring
    along, then what `weights` says, in order."""
    from mfc.runtime.models import build_model, load_pretrained
    from mfc.runtime.streams import Stream

    model = build_model(stack, Stream(seed, stage, "init"))
    if pretrained:
        load_pretrained(model, say)
    for position, initialize in enumerate(weights):
        initialize(model, Stream(seed, stage, f"weights {position}"))
    return model


def build_weights(stage: ir.Stage, inputs: Folders, means: Means) -> list[Any]:
    """The initialisers of a training; weights of another one come from its folder."""
    from mfc.runtime.initializers import from_training

    tokenizer = stage.placing["data"].get("tokenizer")
    vocab = read_vocab(inputs[tokenizer]) if tokenizer else None
    return [
        from_training(inputs[w.stage], w.group, vocab, _says(stage, means))
        if isinstance(w, ir.Trained)
        else located(stage, w)
        for w in stage.recipe["weights"]
    ]


def _says(stage: ir.Stage, means: Means) -> Callable[[str], None]:
    """Says a line about a stage."""
    return lambda line: print(f"{stage.name}: {line}", file=means.stream or sys.stderr, flush=True)


def located(stage: ir.Stage, value: Any) -> Any:
    """What a recipe's value builds, with the files that it reads where they lie."""
    return build(placed(stage, value))


def placed(stage: ir.Stage, value: Any) -> Any:
    """A recipe's value with the files that it reads where they lie."""
    reads = stage.placing["reads"]
    return ir.substitute(value, lambda n: ir.File(reads[n.path]) if isinstance(n, ir.File) else n)
