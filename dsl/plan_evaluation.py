"""The stages of an evaluation: the items that models are asked about, where those are not what they were trained with,
and what is measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mfc.dsl import ir
from mfc.dsl.node import node
from mfc.dsl.plan_parts import labelling, masked, unfitted, unplaced
from mfc.dsl.typed import DataInfo, EvaluationInfo
from mfc.dsl.typed import trained as train_of
from mfc.dsl.values import Augmented, Instance, show

if TYPE_CHECKING:
    from mfc.dsl.plan import Planner

MADE = ("init", "train")
"""The kinds of stages that an evaluation needs the trained model of, and nothing else."""


@node
class Asked:
    """What a trained model is asked about: how the batches are drawn, as a training has it, and the stages that hold
    the items."""

    data: Mapping[str, Any]
    placing: Mapping[str, Any]
    inputs: Sequence[str]


def plan_evaluation(planner: Planner, evaluation: EvaluationInfo, trained: Sequence[ir.Stage]) -> str:
    """Adds the stages that evaluate the models of `trained`, and gives the last one."""
    fields, names = evaluation.fields, [stage.name for stage in trained]
    stages = dict(zip(evaluation.trains, names))
    infos = map(planner.checked.trains.__getitem__, evaluation.trains)
    asked = {
        stage.name: _asked(planner, evaluation, stage, planner.checked.ends_with(info))
        for stage, info in zip(trained, infos)
    }
    recipe = {
        "models": [_model(model, stages[train_of(model)]) for model in evaluation.models],
        # what acts in evaluation alone decides no weights
        "built": {stage.name: {**stage.recipe, "data": asked[stage.name].data} for stage in trained},
        "metrics": fields["metrics"],
        "predictions": fields["predictions"],
        "top_losses": fields["top_losses"],
        "together": evaluation.together,
        "part": evaluation.part,
    }
    placing = {"data": {name: one.placing for name, one in asked.items()}}
    held = (name for one in asked.values() for name in one.inputs)
    inputs = list(dict.fromkeys([*names, *held, *planner.telling(evaluation)]))
    return planner.stage("evaluation", evaluation.instance.name, recipe, placing, inputs, measures=True)


def _model(model: Instance | Augmented, train: str) -> dict[str, Any]:
    """How a model is asked, and what it is called in results: as the stage that trained it."""
    if not isinstance(model, Augmented):
        return {"name": train, "train": train, "tta": None}
    options = {"n": model.n, "beta": model.beta}
    name = f"tta({train}, n = {model.n}, beta = {show(model.beta)})"
    return {"name": name, "train": train, "tta": options}


def _asked(planner: Planner, evaluation: EvaluationInfo, stage: ir.Stage, trained: DataInfo) -> Asked:
    """What the model of a training is asked about: a part of its own data, or items of other data as it has them."""
    data, placing, own = stage.recipe["data"], stage.placing["data"], trained.instance.name
    if evaluation.data is None or (evaluation.data == trained.instance and evaluation.part != "test"):
        return Asked(data, placing, [name for name in stage.inputs if planner.stages[name].kind not in MADE])
    other = planner.checked.data[evaluation.data]
    fields, name = other.fields, f"{other.instance.name}.{evaluation.part}.{own}"
    recipe, where = labelling(other)
    recipe["part"] = evaluation.part
    inputs = (planner.files(other), f"{own}.items", *planner.telling(other))
    items = planner.stage("part", f"{name}.items", recipe, where, inputs)
    if (tokenizer := trained.tokenizer) is not None:
        recipe = {"source": unplaced(fields["source"]), "tokenizer": unfitted(tokenizer.component)}
        where = {"source": fields["source"]}
        tokens = planner.stage("tokens", f"{name}.tokens", recipe, where, (items, tokenizer.name))
        return Asked({**data, "name": name}, placing, (items, tokenizer.name, tokens))
    return Asked(
        {
            **data,
            "name": name,
            "source": unplaced(fields["source"]),
            "item_transforms": trained.fields["item_transforms"],
            "on_error": fields["on_error"],
        }
        | ({"label": unplaced(fields["label"])} if masked(other) else {}),
        {**placing, "source": fields["source"], "workers": fields["workers"]}
        | ({"label": fields["label"]} if masked(other) else {}),
        (items,),
    )
