"""Test-time augmentation: what a model says of items as they are, and of items as it saw them in training.

As fastai's `Learner.tta`: the mean of the probabilities of `n` rounds with the transforms of the training is blended
with those of the evaluation form, `(1 - beta) * mean + beta * plain`. A draw comes from the seed and the name of the
training, the transform, the round and the item; rounds count down from epoch -1, which no training has. So the size of
batches and workers change nothing, and no round repeats a picture that was trained on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from mfc.runtime.errors import RunError
from mfc.runtime.training.evaluation import loader, scores
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.predict import Predictions, decoded


def tta(learner: Learner, part: str = "valid", n: int = 4, beta: float = 0.25) -> Predictions:
    """Predictions for a part of a model's data, averaged over augmented forms of each item.

    Args:
        n: rounds with the transforms of the training.
        beta: the weight of the plain prediction; the mean of the rounds has the rest.

    Raises RunError R0218 for data whose items are not augmented in batches, and for predictions of pixels.
    """
    if n < 1 or not 0 <= beta <= 1:
        raise RunError("R0218", f"tta(n = {n}, beta = {beta}) has n below 1, or beta outside of 0..1")
    plain = learner.get_preds(loader(learner, part)) if hasattr(learner.dls, "augmented") else None
    if plain is None or plain.probabilities.ndim > 2:
        message = "test-time augmentation is for images with an answer for the whole of each"
        raise RunError("R0218", message, help="ask the model plainly: `get_preds`")
    rounds = learner.dls.augmented(part)
    mean = torch.zeros_like(plain.probabilities)
    try:
        for number in range(n):
            rounds.set_epoch(-1 - number)
            mean += learner.get_preds(rounds).probabilities / n
    finally:
        rounds.close()
    probabilities = torch.lerp(mean, plain.probabilities, beta)
    loss: Any = learner.loss_func
    labels = decoded(scores(loss, probabilities, plain.vocab), loss, plain.vocab)
    return replace(plain, probabilities=probabilities, decoded=labels)
