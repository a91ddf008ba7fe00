"""What trained models of texts are used for: they say which words mattered, and go on with texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfc.dsl import ir
from mfc.runtime.build import build
from mfc.runtime.errors import RunError
from mfc.stages import Folders

if TYPE_CHECKING:
    from mfc.runtime.text.tokenizer import Encoder
    from mfc.runtime.training.learner import Learner


def attention(
    stage: ir.Stage, inputs: Folders, learner: Learner, text: str, label: str | None = None
) -> list[tuple[str, float]]:
    """The tokens of a text, each with how much it counts for a label, from 0 to 1: see
    `mfc.runtime.text.attention`."""
    from mfc.runtime.text.attention import token_importance
    from mfc.runtime.text.text_classifier import text_classifier

    _must_be(stage, classifier=True)
    if not isinstance(learner.model, text_classifier):
        message = "attention is told for the model `text_classifier`, and this is another one"
        raise RunError("R0503", message, help="`predict` takes any model")
    if label is not None and label not in learner.dls.vocab:
        raise RunError(
            "R0503", f"there is no label `{label}`", help=f"there are {', '.join(learner.dls.vocab)}"
        )
    encoder, ids = _ids(stage, inputs, text)
    target = None if label is None else learner.dls.vocab.index(label)
    values = token_importance(learner.model, ids.to(learner.device), target).tolist()
    return list(zip([encoder.vocab[i] for i in ids.tolist()], values))


def generate(stage: ir.Stage, inputs: Folders, learner: Learner, prompt: str, **options: Any) -> str:
    """A text that a trained language model makes up, `prompt` included: see `mfc.runtime.text.generate`."""
    from mfc.runtime.text.generate import generate as following
    from mfc.runtime.text.language_model import language_model

    _must_be(stage, classifier=False)
    for name, least in (("count", 0), ("top_k", 1)):
        if options[name] is not None and options[name] < least:
            raise RunError("R0503", f"`{name}` is {options[name]}, and {least} is the least")
    if options["temperature"] <= 0:
        help = "a low one such as 0.1 takes nearly always the likeliest token, as does `top_k = 1`"
        raise RunError("R0503", f"`temperature` is {options['temperature']}, not above 0", help=help)
    if not isinstance(learner.model, language_model):
        message = "texts are made up by the model `language_model`, and this is another one"
        raise RunError("R0503", message, help="train `language_model(...)`")
    encoder, ids = _ids(stage, inputs, prompt)
    if not stage.recipe["data"]["options"]["backwards"]:
        return encoder.decode([*ids.tolist(), *following(learner.model, ids.tolist(), **options)])
    if len(ids) < 2:
        raise RunError("R0503", "a model that reads backwards goes on from an end", help="give it a prompt")
    before = following(
        learner.model, ids[:-1].tolist(), **options
    )  # without xxbos: the text begins further ahead
    return encoder.decode([*ids[:-1].tolist(), *before][::-1])


def _ids(stage: ir.Stage, inputs: Folders, text: str) -> tuple[Encoder, Any]:
    """A training's tokenizer, and the ids of a text as the model reads them: int64 `t`."""
    import torch

    placing = stage.placing["data"]
    encoder = build(placing["tokenize"]).load(Path(inputs[placing["tokenizer"]]))
    (found,) = encoder.encode([text])
    ids = torch.tensor(found, dtype=torch.int64)
    return encoder, ids.flip(0) if stage.recipe["data"]["options"]["backwards"] else ids


def _must_be(stage: ir.Stage, classifier: bool) -> None:
    data = stage.recipe["data"]
    if "tokenizer" not in stage.placing["data"] or (data["target"] == "next_token") == classifier:
        wanted = "a classifier of texts" if classifier else "a language model"
        message = f"`{stage.name}` is no {wanted.split(' ', 1)[1]}"
        raise RunError(
            "R0503",
            message,
            help="`predict` and `attention` are for classifiers, `generate` for language models",
        )
