"""The words of a spec for what makes a step, from the file to the trained model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mfc
from mfc.runtime.training import checkpoint
from mfc.runtime.training.metrics import accuracy
from mfc.runtime.training.predict import measure

SPEC = """
data digits: image -> category {{
    source           = builtin("digits")
    split            = subset(stratified(valid = 0.2), train = 300, valid = 100)
    label            = parent()
    batch_transforms = [normalize(digits_stats)]
    batch_size       = 16
}}
model net {{ conv2d(8, 3)  batchnorm()  relu()  adaptive_avg_pool(4)  flatten()  linear(digits.classes) }}
train fit {{
    data      = digits
    model     = net
    loss      = cross_entropy()
    callbacks = [{words}]
    metrics   = [accuracy()]
    epochs    = 2
}}
"""
WORDS = "gradient_clip(0.5), ema(decay = 0.9), channels_last(), gradient_accumulation(batches = 4)"


def test_the_trained_model_is_the_average_that_was_measured(tmp_path: Path):
    spec = tmp_path / "words.mfs"
    spec.write_text(SPEC.format(words=WORDS))
    fit = mfc.compile(mfc.load(spec)).run(device="cpu", progress=False)["fit"]
    learner = fit.learner
    measured = measure(learner.model, learner.dls.valid, [accuracy()], learner.device)
    assert measured["accuracy"] == pytest.approx(fit.history[-1]["accuracy"])
    path = checkpoint.latest(fit.folder)
    assert path is not None
    state = checkpoint.load(path)
    average = state["callbacks"]["ema"]
    assert average["updates"] == 2 * -(
        -(300 // 16) // 4
    )  # steps: groups of four, and what is left of an epoch
    assert average["inside"]
    saved = checkpoint.read_tensors(fit.weights)
    assert all(torch.equal(saved[name], tensor) for name, tensor in learner.model.state_dict().items())
    assert any(not torch.equal(saved[name], tensor) for name, tensor in average["others"].items())
    # another word is another training
    spec.write_text(SPEC.format(words=WORDS.replace("0.9", "0.8")))
    assert mfc.compile(mfc.load(spec)).run(device="cpu", progress=False).ran == ["fit"]


def test_fp16_on_the_cpu_is_refused_with_what_to_do(tmp_path: Path):
    spec = tmp_path / "words.mfs"
    spec.write_text(SPEC.format(words='mixed_precision(dtype = "fp16")'))
    with pytest.raises(mfc.RunError) as caught:
        mfc.compile(mfc.load(spec)).run(device="cpu", progress=False)
    assert caught.value.code == "R0403"
    assert caught.value.help == 'use mixed_precision(dtype = "bf16"), or train on another device'
