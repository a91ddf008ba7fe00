"""The learning-rate finder against fastai 2.8's, and that nothing of a sweep is left."""

from __future__ import annotations

import math
import random
from io import StringIO
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mfc.runtime.component import callback
from mfc.runtime.errors import RunError
from mfc.runtime.optim.curves import lin
from mfc.runtime.optim.optimizers import adam
from mfc.runtime.optim.rates import spread
from mfc.runtime.optim.schedules import Together, flat, one_cycle, param_scheduler
from mfc.runtime.training.callbacks.accumulation import gradient_accumulation
from mfc.runtime.training.callbacks.averaging import ema
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.mixing import mixup
from mfc.runtime.training.callbacks.monitors import early_stopping, reduce_on_plateau, save_best
from mfc.runtime.training.callbacks.precision import channels_last, mixed_precision
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.lr_find import LRFound, lr_find, shares
from mfc.runtime.training.lr_suggestions import RULES
from mfc.runtime.training.phases import Phase
from tests.runtime.training.standins import (
    Factory,
    Loader,
    Loaders,
    Triangle,
    learner,
    loaders,
    network,
    weights,
)

# A sweep on specs/digits.mfs: learning rates 1e-7 * 1e8 ** (i / 100), and the smoothed losses
DIGITS = [
    2.3892, 2.4475, 2.448, 2.4456, 2.4443, 2.442, 2.4437, 2.4375, 2.4279, 2.44, 2.4339, 2.4372, 2.4435, 2.4466, 2.4389,
    2.4366, 2.4308, 2.4315, 2.4352, 2.4349, 2.4305, 2.4307, 2.4289, 2.4254, 2.4229, 2.4238, 2.4209, 2.419, 2.4152,
    2.4111, 2.4079, 2.402, 2.3957, 2.3853, 2.3808, 2.3729, 2.3651, 2.356, 2.3436, 2.3294, 2.3123, 2.2936, 2.2715,
    2.2468, 2.2229, 2.193, 2.1579, 2.1237, 2.089, 2.0552, 2.0172, 1.9825, 1.9488, 1.9145, 1.8776, 1.8422, 1.8049,
    1.7665, 1.7271, 1.6903, 1.6522, 1.6132, 1.58, 1.5468, 1.5117, 1.4739, 1.4397, 1.4102, 1.3829, 1.3575, 1.3366,
    1.3125, 1.2879, 1.2687, 1.2566, 1.2543, 1.2444, 1.2407, 1.2408, 1.2355, 1.2512, 1.2343, 1.2564, 1.2542, 1.2492,
    1.2363, 1.2237, 1.2197, 1.2306, 1.268, 1.3368, 1.4549, 1.6527, 1.8838, 1.9901, 2.1573, 2.2363, 3.0655, 5.3128,
]  # fmt: skip
ODD_RATES = [1e-5 * 10 ** (i / 12) for i in range(60)]
WAVES = [
    round(
        3 - 2 / (1 + math.exp(-(i - 30) / 4)) + 0.3 * math.sin(i * 1.7) * math.exp(-i / 20)
        + max(0, i - 48) ** 2 * 0.05,
        4,
    )
    for i in range(60)
]  # fmt: skip

# What fastai 2.8's valley, steep, minimum and slide give for each
FASTAIS = {
    "digits": ([1e-7 * 1e8 ** (i / 100) for i in range(99)][10:-5], DIGITS[10:-5],
               [0.001737800776027143, 0.00363078061491251, 0.09120108485221863, 0.0014454397605732083]),
    "waves": (ODD_RATES, WAVES,
              [0.0038311867974698544, 1.2115276149415877e-05, 0.008254041522741317, 9.999999747378752e-06]),
    "rising": (ODD_RATES, [round(1 + 0.02 * i, 4) for i in range(60)],
               [9.999999747378752e-06, None, 9.999999747378752e-07, 0.04641588777303696]),
    "falling": (ODD_RATES, [round(3 - 0.04 * i, 4) for i in range(60)],
                [0.0026101572439074516, None, 0.08254041671752929, 0.04641588777303696]),
}  # fmt: skip


@pytest.mark.parametrize("case", FASTAIS)
def test_suggestions_are_fastais(case: str) -> None:
    rates, losses, fastais = FASTAIS[case]
    for rule, fastai in zip(RULES.values(), fastais):
        if fastai is not None:  # of equal slopes, single precision chooses fastai's
            assert rule(rates, losses) == pytest.approx(fastai, rel=1e-5)


# fastai 2.8's Learner.lr_find(1e-3, 1e3, num_it=60) with SGD on the data and the layer of `sines`: recorder.losses
FASTAIS_SWEEP = [
    3.436072, 2.889334, 2.997822, 3.145057, 3.17277, 3.270479, 3.24219, 3.297921, 3.275344, 3.154201, 3.209171,
    3.255097, 3.26155, 3.181059, 3.171669, 3.186123, 3.17512, 3.188808, 3.158485, 3.154276, 3.118044, 3.041019,
    3.019978, 2.987624, 2.929957, 2.846898, 2.774538, 2.708126, 2.634026, 2.573529, 2.515099, 2.463179, 2.419209,
    2.377207, 2.337476, 2.314953, 2.350904, 2.460829, 2.53972, 2.578717, 2.952501, 3.428993, 3.621563, 4.038908,
    4.134696, 4.895777, 5.635931, 7.770014, 9.903408,
]  # fmt: skip
FASTAIS_SUGGESTIONS = {
    "valley": 0.15848931670188904,
    "steep": 0.0063095735386013985,
    "minimum": 0.31622776985168455,
    "slide": 0.003981071524322033,
}


def sines() -> Learner:
    """A linear layer on 96 items of 4 numbers, in 12 batches that keep their order."""
    x = torch.sin(torch.arange(96 * 4, dtype=torch.float32) * 1.3).view(96, 4) * 2
    y = (torch.arange(96) * 7 // 5) % 3
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.cos(torch.arange(12, dtype=torch.float32)).view(3, 4))
        layer.bias.zero_()
    dls = Loaders(Loader(x, y, 8), Loader(x, y, 8), ["a", "b", "c"])
    return Learner(layer, dls, cross_entropy(), Factory(momentum=0))


def test_a_sweep_is_fastais() -> None:
    found = sines().lr_find(1e-3, 1e3, 60)
    assert found.losses == pytest.approx(FASTAIS_SWEEP, abs=2e-5)
    assert found.rates[:3] == pytest.approx([0.001, 0.0012589254117941673, 0.0015848931924611134])
    assert found.rates[-1] == pytest.approx(63.095734448019364)
    assert found.diverged and (found.steps, found.batches) == (60, 12)
    assert found.suggestions == pytest.approx(FASTAIS_SUGGESTIONS)
    assert found.valley == found.suggestions["valley"] and found.slide == found.suggestions["slide"]
    assert (found.steep, found.minimum) == (found.suggestions["steep"], found.suggestions["minimum"])


class Counts(Callback):
    """Counts batches, draws at random, and shifts the loss by what it counted: its state acts on the weights."""

    def __init__(self) -> None:
        self.count, self.seen = 0, []

    def before_batch(self) -> None:
        self.count += 1
        self.seen.append((self.learner.training, self.learner.items.tolist()))
        self.learner.x = (
            self.learner.x + 0.01 * torch.rand(()) * self.count + random.random() * np.random.rand()
        )

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def trained(find: bool) -> list[float]:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    counts = Counts()
    run = learner(callbacks=[counts], optimizer=Factory(torch.optim.Adam), schedule=Triangle())
    if find:
        run.lr_find(steps=30)
    run.fit(Phase(1))
    if find:  # also where it has trained already
        run.lr_find(steps=30)
    run.fit(Phase(1), Phase(1, freeze_to=-1))
    assert counts.count == len(counts.seen)
    return [*weights(run.model), float(torch.rand(())), random.random(), counts.count]


def test_a_training_after_a_sweep_equals_one_without() -> None:
    assert trained(find=True) == trained(find=False)


def with_all(find: bool) -> list[float]:
    acting = [
        mixup(0.4),
        gradient_accumulation(2),
        gradient_clip(1.0),
        ema(0.9),
        mixed_precision(),
        channels_last(),
    ]
    run = learner(
        callbacks=[*acting, Scheduling()], optimizer=adam(), schedule=one_cycle(0.01), stream=StringIO()
    )
    if find:
        run.lr_find(steps=31)  # an odd one: gradients wait for their step
    run.fit(Phase(2))
    if find:
        run.lr_find(steps=31)
    run.fit(Phase(1))
    return weights(run.model)


def test_callbacks_that_act_leave_nothing_either() -> None:
    assert with_all(find=True) == with_all(find=False)


def test_a_sweep_leaves_everything_as_it_was() -> None:
    counts, model = Counts(), network()
    run = learner(model=model, callbacks=[counts], dls=loaders(400))
    model.eval()
    model[0].weight.requires_grad_(False)
    model[0].bias.grad = torch.ones(16)
    before, at = weights(run.model), [p.data_ptr() for p in run.model.parameters()]
    draws = torch.get_rng_state()
    run.lr_find(steps=40)
    assert weights(run.model) == before and [p.data_ptr() for p in run.model.parameters()] == at
    assert torch.equal(torch.get_rng_state(), draws)
    assert run.history == [] and run.optimizer is None and run.callbacks == [counts] and counts.count == 0
    assert not any(module.training for module in run.model.modules())
    assert not model[0].weight.requires_grad and model[1].weight.requires_grad
    assert model[0].bias.grad is not None and model[0].bias.grad.sum() == 16 and model[1].bias.grad is None


def test_a_sweep_that_fails_leaves_everything_as_it_was() -> None:
    class Breaks(Callback):
        def before_step(self) -> None:
            if self.learner.batch == 20:
                raise RuntimeError("enough")

    run = learner(callbacks=[Breaks()])
    before = weights(run.model)
    with pytest.raises(RunError, match="enough"):
        run.lr_find(steps=40)
    assert weights(run.model) == before


def test_the_batches_are_those_that_training_would_get() -> None:
    seen: list[list[int]] = []

    class Notes(Callback):
        def before_batch(self) -> None:
            if self.learner.training:
                seen.append(self.learner.items.tolist())

        def __deepcopy__(self, memo: dict[int, Any]) -> Notes:
            return Notes()

    run = learner(callbacks=[Notes()])  # 5 batches an epoch
    run.fit(Phase(1))
    seen.clear()
    run.lr_find(end=1.0, steps=30)
    swept = seen[:]
    seen.clear()
    run.fit(Phase(6))
    assert swept == seen[: len(swept)] and len(swept) == 30


def test_only_callbacks_that_act_take_part() -> None:
    acted: list[str] = []

    @callback(observes=True)
    class watches(Callback):
        def before_fit(self) -> None:
            acted.append("watches")

    @callback()
    class acts(Callback):
        def before_fit(self) -> None:
            acted.append("acts")

    class Keeps(Callback):
        in_trials = False

        def before_fit(self) -> None:
            acted.append("keeps")

    keeping = [save_best("valid_loss"), early_stopping("valid_loss"), reduce_on_plateau("valid_loss")]
    learner(callbacks=[watches(), acts(), Keeps(), *keeping]).lr_find(steps=30)
    assert acted == ["acts"]


def test_groups_keep_the_proportions_of_their_rates() -> None:
    rates: list[list[float]] = []

    class Rates(Callback):
        def before_step(self) -> None:
            rates.append([hypers["lr"] for hypers in self.learner.optimizer.hypers])

        def __deepcopy__(self, memo: dict[int, Any]) -> Rates:
            return Rates()

    model = network()
    groups = [list(model[i].parameters()) for i in (0, 1, 4)]
    run = learner(model=model, groups=groups, callbacks=[Rates()], optimizer=adam())
    phase = Phase(3, Together([one_cycle(spread(1e-2, factor=10))]))
    found = lr_find(run, steps=30, phase=phase)
    assert [group[2] for group in rates] == pytest.approx(found.rates)
    for first, second, last in rates:
        assert (first, second) == (pytest.approx(last / 100), pytest.approx(last / 10))


def test_the_proportions_are_the_schedules_or_the_optimizers() -> None:
    assert shares(None, [1e-4, 1e-3]) == pytest.approx([0.1, 1])
    assert shares(Together([param_scheduler(wd=lin(0, 1))]), [1e-4, 1e-3]) == pytest.approx([0.1, 1])
    assert shares(Together([flat(spread(1e-3, factor=4))]), [1, 1]) == pytest.approx([0.25, 1])
    # where the last group's rate is highest
    assert shares(param_scheduler(lr=[lin(0, 1e-3), lin(0, 1e-2)]), [1, 1]) == pytest.approx([0.1, 1])
    assert shares(flat(0.0), [1, 1]) == [1, 1]


def test_a_phase_brings_its_own() -> None:
    found: dict[str, Any] = {}

    class Looks(Callback):
        def after_step(self) -> None:
            network = self.learner.model
            found["trains"] = [p.requires_grad for p in network.parameters()]
            found["loss"], found["items"] = self.learner.loss_func, len(self.learner.y)

        def __deepcopy__(self, memo: dict[int, Any]) -> Looks:
            return Looks()

    model = network()
    run = learner(model=model, groups=[list(model[i].parameters()) for i in (0, 1, 4)])
    smoothed = cross_entropy(label_smoothing=0.1)
    phase = Phase(1, freeze_to=-1, name="fit.head", callbacks=(Looks(),), data=loaders(60, 12), loss=smoothed)
    swept = lr_find(run, steps=30, phase=phase)
    assert found == {"trains": [False, False, True, True, True, True], "loss": smoothed, "items": 12}
    assert (swept.stage, swept.batches) == ("fit.head", 5)
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_a_sweep_goes_on_with_the_optimizers_state() -> None:
    moments: list[float] = []

    class Moments(Callback):
        def before_step(self) -> None:
            state = self.learner.optimizer.state_dict()["tensors"]
            moments.append(sum(float(t.abs().sum()) for t in state.values()))

        def __deepcopy__(self, memo: dict[int, Any]) -> Moments:
            return Moments()

    run = learner(optimizer=adam(), callbacks=[Moments()])
    run.fit(Phase(1))
    moments.clear()
    run.lr_find(steps=30)
    assert moments[0] > 0
    moments.clear()
    lr_find(run, steps=30, phase=Phase(1, freeze_to=-1))  # another one is made for a phase that frees others
    assert moments[0] == 0


class Loses:
    """A loss that is something else at each batch."""

    def __init__(self, *losses: float) -> None:
        self.losses, self.count = losses, 0

    def __call__(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return pred.sum() * 0 + self.losses[min(self.count, len(self.losses)) - 1]


@pytest.mark.parametrize(("value", "name"), [(math.nan, "NaN"), (math.inf, "infinite")])
def test_a_loss_that_is_no_number_from_the_first_batch(value: float, name: str) -> None:
    with pytest.raises(RunError, match=f"the loss is {name} at the first batch") as caught:
        learner(loss=Loses(value)).lr_find(steps=30)
    assert caught.value.code == "R0230" and caught.value.help


def test_a_loss_that_becomes_no_number_ends_the_sweep() -> None:
    found = learner(loss=Loses(*[3 - 0.01 * i for i in range(50)], math.nan)).lr_find(steps=90)
    assert len(found.rates) == 50 and found.diverged


def test_a_loss_that_diverges_too_early() -> None:
    with pytest.raises(RunError, match="after 6 of 100 batches: too early") as caught:
        learner(loss=Loses(1, 1, 1, 1, 1, 90)).lr_find()
    assert caught.value.code == "R0231" and caught.value.help


def test_a_loss_below_zero_does_not_end_the_sweep() -> None:
    found = learner(loss=Loses(1, -1)).lr_find(steps=40)
    assert len(found.rates) == 40 and not found.diverged
    assert found.fell == pytest.approx((found.losses[4] - found.losses[-1]) / -found.losses[4])


def test_a_loss_that_is_no_number_but_a_tensor() -> None:
    with pytest.raises(RunError) as caught:
        learner(loss=lambda pred, target: pred).lr_find()
    assert caught.value.code == "R0207"


@pytest.mark.parametrize(
    "wrong",
    [{"start": 0.0}, {"start": 1.0, "end": 0.1}, {"end": math.inf}, {"start": math.nan}, {"steps": 29}],
)
def test_bounds_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(RunError) as caught:
        learner().lr_find(**wrong)
    assert caught.value.code == "R0233" and caught.value.help


def test_a_callback_that_can_not_be_copied() -> None:
    class Holds(Callback):
        def __init__(self) -> None:
            self.file = open(__file__)  # noqa: SIM115

    holds = Holds()
    with holds.file, pytest.raises(RunError, match="`Holds` can't be copied") as caught:
        learner(callbacks=[holds]).lr_find()
    assert caught.value.code == "R0232"


def test_no_batches() -> None:
    with pytest.raises(RunError) as caught:
        learner(dls=loaders(0)).lr_find()
    assert caught.value.code == "R0202"


def test_losses_at_rates() -> None:
    found = LRFound("fit", 40, 5, [10**-i for i in range(7, 0, -1)] * 6, list(range(42)), diverged=False)
    assert found.loss_at(1.2e-3) == 4
