"""The stage of an export: what was trained, how its items are prepared, and the form that both are put into."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from mfc.dsl import ir
from mfc.dsl.plan_parts import unplaced
from mfc.dsl.typed import ExportInfo

if TYPE_CHECKING:
    from mfc.dsl.plan import Planner

OF_DATA = ("name", "target", "shape", "batch_size", "options")
OF_ITEMS = ("source", "item_transforms", "batch_transforms", "tokenize")


def plan_export(planner: Planner, export: ExportInfo, trained: ir.Stage) -> str:
    """Adds the stage that writes the model of `trained` in a form of its own."""
    assert export.train is not None
    form = export.fields["format"]
    data = planner.checked.ends_with(planner.checked.trains[export.train])
    loading, where = planner.loading(data)
    where |= {"source": unplaced(data.fields["source"])}
    recipe = {
        "train": trained.name,
        "format": form,
        "model": trained.recipe["model"],
        "loss": trained.recipe["loss"],
        "data": {name: loading[name] for name in OF_DATA if name in loading},
        "prepare": {name: where[name] for name in OF_ITEMS if name in where},
    }
    if data.input == "image":
        recipe["data"]["evaluated"] = data.evaluated
    if form.info.facts["sources"]:
        recipe["sources"] = [ir.File(posixpath.relpath(path, planner.folder)) for path in planner.sources]
        recipe["params"] = planner.checked.set_params()
    inputs = [trained.name, f"{data.instance.name}.items", *filter(None, [where.get("tokenizer")])]
    return planner.stage("export", export.instance.name, recipe, {}, inputs)
