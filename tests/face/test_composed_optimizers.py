"""Optimizers that a spec puts together from stats and steppers train as those that are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mfc

SPEC = """
data digits: image -> category {{
    source     = builtin("digits")
    split      = subset(random(valid = 0.2), train = 128, valid = 64)
    label      = parent()
    batch_size = 16
}}

model net {{ flatten()  linear(16)  relu()  linear(digits.classes) }}

optimizer chosen = {}

train fit {{
    data      = digits
    model     = net
    loss      = cross_entropy()
    optimizer = chosen
    schedule  = one_cycle(lr = 1e-2, moms = none)
    epochs    = 1
}}
"""

ADAM = "stats = [average_grad(dampening = true), average_sqr_grad(), step_count()]"
SLOW = "average_grad(0.95, dampening = true), average_sqr_grad(), step_count(), slow_weights()"
COMPOSED = {
    "sgd()": "steppers = [sgd_step()]",
    "sgd(mom = 0.9, wd = 0.01)": "stats = [average_grad()], steppers = [weight_decay(0.01), momentum_step()]",
    "momentum(wd = 0.01)": "stats = [average_grad()], steppers = [l2_reg(0.01), momentum_step()], wd_bn_bias = true",
    "rmsprop()": "stats = [average_sqr_grad()], steppers = [rms_prop_step()]",
    "adam()": f"{ADAM}, steppers = [weight_decay(0.01), adam_step()]",
    "radam(wd = 0.01)": f"{ADAM}, steppers = [weight_decay(0.01), radam_step()]",
    "lamb(wd = 0.01)": f"{ADAM}, steppers = [weight_decay(0.01), lamb_step()]",
    "larc()": "stats = [average_grad()], steppers = [larc_step()]",
    "lookahead(sgd(), k = 3)": "stats = [step_count(), slow_weights()], steppers = [sgd_step(), lookahead_step(3)]",
    "ranger()": f"stats = [{SLOW}], steppers = [weight_decay(0.01), radam_step(eps = 1e-6), lookahead_step()]",
}


def trained(folder: Path, optimizer: str) -> torch.Tensor:
    folder.mkdir()
    (folder / "spec.mfs").write_text(SPEC.format(optimizer))
    weights = mfc.run(folder / "spec.mfs")["fit"].learner.model.state_dict()
    return torch.cat([tensor.flatten() for tensor in weights.values()])


def test_muon_leaves_biases_and_the_output_to_the_rest(tmp_path: Path) -> None:
    (tmp_path / "spec.mfs").write_text(SPEC.format("lookahead(muon(lr_rest = 0.5), k = 3)"))
    learner = mfc.run(tmp_path / "spec.mfs")["fit"].learner
    (bias, output_weight, output_bias), (weight,) = (
        [
            name
            for index, (name, _) in enumerate(learner.model.named_parameters())
            if (f"0.{index}.sqr_avg" in learner.optimizer.state_dict()["tensors"]) is rest
        ]
        for rest in (True, False)
    )
    assert [weight, bias, output_weight, output_bias] == [n for n, _ in learner.model.named_parameters()]


@pytest.mark.parametrize("named", COMPOSED)
def test_what_is_composed_is_what_is_named(tmp_path: Path, named: str) -> None:
    composed = trained(tmp_path / "composed", f"stateful({COMPOSED[named]})")
    torch.testing.assert_close(composed, trained(tmp_path / "named", named), rtol=1e-5, atol=1e-6)
