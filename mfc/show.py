"""What the command line prints of plans, results and declarations, as text and as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from mfc.charts import table
from mfc.dsl import ir
from mfc.runtime.errors import RunError
from mfc.runtime.training.history import finite
from mfc.show_evaluations import evaluation_json, show_evaluation
from mfc.spec import SpecError

if TYPE_CHECKING:
    import torch

    from mfc.driver import Status
    from mfc.exports import Export
    from mfc.job import Job, Run
    from mfc.runtime.data.items import Items
    from mfc.runtime.layer_table import LayerRow
    from mfc.trained import Trained

SHOWN_TOKENS = 24
"""Tokens of a batch that are shown."""

NOTHING = "there is nothing to run: the spec has no train, evaluate or export that needs no arguments"


# ── plans and results ───────────────────────────────────────────────────────────────────────────────────


def show_plan(statuses: Sequence[Status], plan: ir.Plan) -> str:
    """The stages in order, where each stands and why, and what the compiler optimised."""
    rows = [(s.stage.name, s.state, "; ".join(s.reasons)) for s in statuses]
    stale = sum(s.state != "up to date" for s in statuses)
    if not statuses:
        return NOTHING
    said = f"{stale} of {len(statuses)} stages would run" if stale else "everything is up to date"
    return "\n".join([table(rows), said, *plan.optimised])


def plan_json(statuses: Sequence[Status], plan: ir.Plan) -> dict[str, Any]:
    """The plan with where each stage stands."""
    return {
        "stages": [
            {
                "name": s.stage.name,
                "kind": s.stage.kind,
                "state": s.state,
                "reasons": list(s.reasons),
                "inputs": list(s.stage.inputs),
                "recipe": ir.to_json(s.stage.recipe),
                "placing": ir.to_json(s.stage.placing),
            }
            for s in statuses
        ],
        "waits_for": list(plan.waits_for),
        "optimised": list(plan.optimised),
    }


def show_result(run: Run) -> str:
    """What was trained, evaluated and exported, how well, and where it is."""
    if not run.statuses:
        return NOTHING
    lines = [] if run.ran else ["everything is up to date"]
    for name, trained in run.items():
        if name == trained.stage.name:
            lines.append(f"{name}: {_measured(trained)}\n  results in {_near(trained.folder)}")
    for name, evaluation in run.evaluations.items():
        lines += [f"{name}: {show_evaluation(evaluation)}", f"  results in {_near(evaluation.folder)}"]
    for name, export in run.exports.items():
        lines.append(f"{name}: {_exported(export)}\n  results in {', '.join(map(_near, export.files))}")
    return "\n".join(lines)


def result_json(run: Run) -> dict[str, Any]:
    """The stages that ran, each training's last measurements and folder, and what was evaluated. What is no finite
    number is null."""
    return finite(
        {
            "ran": run.ran,
            "trained": {
                name: {
                    "folder": str(trained.folder),
                    "last": trained.history[-1] if trained.epoch is not None else None,
                    "result": trained.result,
                    "init": trained.init,
                }
                for name, trained in run.items()
                if name == trained.stage.name
            },
            "evaluated": {
                name: {"folder": str(evaluation.folder), **evaluation_json(evaluation)}
                for name, evaluation in run.evaluations.items()
            },
            "exported": {
                name: {"folder": str(e.folder), "files": [str(path) for path in e.files]}
                for name, e in run.exports.items()
            },
        }
    )


def _exported(export: Export) -> str:
    """`bundle of fit, 1.2 MB`"""
    recipe, size = export.stage.recipe, sum(path.stat().st_size for path in export.files)
    units = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
    unit, factor = next(((u, f) for u, f in units if size >= f), ("bytes", 1))
    return f"{recipe['format'].name} of {recipe['train']}, {size / factor:.3g} {unit}"


def _measured(trained: Trained) -> str:
    said = ", ".join(f"{name} {value:.4g}" for name, value in trained.result.items())
    epochs = len(trained.history)
    if trained.epoch is None:
        return ", ".join(filter(None, [said, "ended within its first epoch"]))
    if trained.epoch != epochs:
        return f"{said} after epoch {trained.epoch} of {epochs}, the best"
    return f"{said} after {counted_epochs(epochs)}"


def _near(folder: Path) -> str:
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative


def counted_epochs(count: int) -> str:
    """`1 epoch`, `3 epochs`"""
    return f"{count} epoch{'s' if count > 1 else ''}"


# ── declarations ────────────────────────────────────────────────────────────────────────────────────────


def show_declaration(job: Job, name: str) -> str:
    """A model as a table of layers, a data block with its parts and a batch, or a training's schedule.

    Raises:
        RunError: R0501, nothing of that name can be shown; or the data can't be read.
        SpecError: what it needs has errors, or the spec has some and nothing of that name is right.
    """
    checked, name = job.spec.compiled.checked, job.spec.compiled.named(name)
    known = checked.runnable()
    if any(instance.name == name for instance in known if instance in checked.data):
        return show_data(job, name)
    if any(declared.name == name for declared in checked.models):
        return show_layers(job.layers(name))
    trains = [instance.name for instance in known if instance in checked.trains]
    if name in trains:
        from mfc.show_rates import phases_of, show_courses

        return show_courses(phases_of(job, name))
    if job.spec.errors:
        raise SpecError(job.spec.diagnostics)
    names = [*(i.name for i in known if i in checked.data), *(d.name for d in checked.models), *trains]
    raise RunError("R0501", f"there is nothing called `{name}` to show", help=f"there are {', '.join(names)}")


def show_layers(rows: Sequence[LayerRow]) -> str:
    """One line a layer: its place, what it is, the shape that it gives for one item, its parameters."""
    body = [
        (r.path, r.call, " ".join(map(str, (r.out or ())[1:])), f"{r.parameters:,}" if r.parameters else "")
        for r in rows
    ]
    total = sum(row.parameters for row in rows)
    return f"{table([('layer', '', 'gives', 'parameters'), *body], right=[3])}\n{total:,} parameters"


def show_data(job: Job, name: str) -> str:
    """What each step makes of an item or batch, the parts of a data block, its classes, and a batch as the model
    gets it."""
    dls: Any = job.build(name)
    data = next(info for i, info in job.spec.compiled.checked.data.items() if i.name == name)
    steps = [(step, " ".join(map(str, shape))) for step, _, shape in data.shapes]
    lines = [
        table([("step", "gives"), *steps]),
        "",
        f"train  {len(dls.items.train):,} items",
        f"valid  {len(dls.items.valid):,} items",
    ]
    lines += _targets(dls.items, data.target)
    for part, loader in (("train", dls.train), ("valid", dls.valid)):
        batch = next(iter(loader))
        x = batch.x
        targets = _batch_of_targets(batch.y, data.target, dls.vocab)
        if data.tokenizer is not None:
            tokens = (dls.tokens_vocab[token] for token in x[0, :SHOWN_TOKENS].tolist())
            start = " ".join(tokens).replace("\n", "\\n")
            lines.append(
                f"a batch of {part}: {tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}: {start} ..."
            )
            lines += targets
            continue
        lines.append(
            f"a batch of {part}: {tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}, "
            f"from {x.min():.3g} to {x.max():.3g}, mean {x.mean():.3g}, std {x.std():.3g}"
        )
        lines += targets
    dls.close()
    return "\n".join(lines)


def _targets(items: Items, target: str) -> list[str]:
    """What the targets of the training items are: their classes with their counts, or their values."""
    if target in ("category", "multi_category"):
        counts = items.facts()["train.class_counts"]
        assert isinstance(counts, list)
        shown = [f"{label} ({count:,})" for label, count in zip(items.vocab, counts)]
        more = f" and {len(shown) - 20:,} more" if len(shown) > 20 else ""
        lines = [f"{len(shown)} classes, with their items in train: {', '.join(shown[:20])}{more}"]
        if target == "multi_category":
            several = [len(items.targets[i]) for i in items.train]
            mean = sum(several) / len(several)
            lines.append(f"{min(several)} to {max(several)} of them an item, {mean:.2f} in the mean")
        return lines
    if target == "mask":
        return [f"{len(items.vocab)} classes: {', '.join(items.vocab)}"]
    if target == "value":
        rows = [items.targets[i] for i in items.train]
        columns = list(zip(*rows)) if isinstance(rows[0], list) else [rows]
        spread = (
            f"from {min(c):.4g} to {max(c):.4g}, mean {fmean(c):.4g}, std {pstdev(c):.4g}" for c in columns
        )
        return [
            f"{len(columns)} value{'s' if len(columns) > 1 else ''} an item, in train {'; '.join(spread)}"
        ]
    return []


def _shares(masks: torch.Tensor, vocab: Sequence[str]) -> str:
    """How much of masks is of each class that is in them."""
    parts = {name: float((masks == i).float().mean()) for i, name in enumerate(vocab)}
    parts["no class"] = float((masks < 0).float().mean())
    return ", ".join(f"{name} {share:.1%}" for name, share in parts.items() if share)


def _batch_of_targets(y: torch.Tensor, target: str, vocab: Sequence[str]) -> list[str]:
    """What a batch has as targets, where that is more than a class an item."""
    if target == "mask":
        return [f"  its masks: {tuple(y.shape)} int64: {_shares(y, vocab)}"]
    if target not in ("multi_category", "value"):
        return []
    return [f"  its targets: {tuple(y.shape)} {str(y.dtype).removeprefix('torch.')}"]
