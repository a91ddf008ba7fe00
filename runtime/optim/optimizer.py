"""The optimizer: parameters in groups, their hyperparameters, their state, and the update of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mfc.runtime.errors import RunError
from mfc.runtime.optim.buckets import Bucket, is_dense, is_matrix
from mfc.runtime.optim.lowering import has_kernel
from mfc.runtime.optim.parts import Part, Scratch
from mfc.runtime.optim.rates import Spread, rate_for
from mfc.runtime.optim.rules import Rule
from mfc.runtime.optim.units import Task, plan, run


@dataclass(frozen=True)
class Composition:
    """What an optimizer component builds: parts, in the order in which they act on a piece of the parameters.

    Args:
        parts: stats and steppers.
        lr: learning rate, one for all groups or spread over them.
        wd_bn_bias: whether `wd` holds for biases and norm layers too, that is for parameters of one dimension.
        lr_bn_bias: their rate as a multiple of `lr`.
        rest: if any, the parts for all parameters but the matrices between a model's ends; `parts` are for those alone.
        lr_rest: the rate of the rest as a multiple of `lr`; a hyperparameter too.

    Raises:
        RunError: R0222 where a part reads what no part before it keeps, R0225 where two parts keep one state, give
            one hyperparameter different values, or what stands for a part is none.
    """

    parts: Sequence[Part]
    lr: float | Spread = 1e-3
    wd_bn_bias: bool = True
    lr_bn_bias: float = 1.0
    rest: Sequence[Part] = ()
    lr_rest: float = 1.0
    hypers: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        hypers: dict[str, tuple[float, str]] = {"lr_rest": (self.lr_rest, "")} if self.rest else {}
        for parts in (self.parts, self.rest):
            _check_parts(parts, hypers)
        object.__setattr__(self, "hypers", {name: value for name, (value, _) in hypers.items()})

    def create(
        self,
        groups: Sequence[Mapping[str, Any]],
        *,
        ends: Iterable[nn.Parameter] = (),
        lowered: bool = True,
    ) -> Optimizer:
        """The optimizer of these groups of parameters, the model's first layers first.

        Args:
            groups: for each its `params` and, under their names, hyperparameters of its own.
            ends: the parameters with which the model begins and ends; they are among the rest.
            lowered: take torch's fused kernel where the composition has one.

        Raises:
            RunError: R0221 for a hyperparameter that there is none of.
        """
        hypers = []
        for index, group in enumerate(groups):
            own = {name: value for name, value in group.items() if name != "params"}
            known = {"lr": self.lr, **self.hypers}
            if unknown := [name for name in own if name not in known]:
                message = f"parameter group {index} sets `{unknown[0]}`, which the optimizer does not have"
                raise RunError("R0221", message, help=f"its hyperparameters are {', '.join(known)}")
            known.update(own)
            known["lr"] = rate_for(known["lr"], index, len(groups))
            hypers.append(known)
        return Optimizer(self, [group["params"] for group in groups], hypers, ends, lowered)


class Optimizer:
    """Updates parameters by their gradients, as a composition of parts says.

    A parameter without gradient, or frozen (`requires_grad` is False), is left out of a step: neither it nor
    its state changes, and the step doesn't count for it. One that two groups list belongs to the first.

    Attributes:
        groups: the parameters of each group.
        hypers: the hyperparameters of each group by name. Whoever writes into them (a schedule, before each
            batch) changes the next step; names that no part reads are without effect.
    """

    hypers: list[dict[str, float]]

    def __init__(
        self,
        composition: Composition,
        groups: Iterable[Iterable[nn.Parameter]],
        hypers: Iterable[Mapping[str, float]],
        ends: Iterable[nn.Parameter],
        lowered: bool,
    ) -> None:
        self.composition = composition
        self.groups = _distinct(groups)
        self.hypers = [dict(hyper) for hyper in hypers]
        self._ends = {id(parameter) for parameter in ends}
        self._rule = Rule(composition.parts, lowered=lowered)
        self._rest_rule = Rule(composition.rest, lowered=lowered)
        self._buckets: list[Bucket] = []
        self._plans: dict[Bucket, tuple[list[int], list[Task]]] = {}
        self._scratches: dict[tuple[torch.device, torch.dtype], list[Scratch]] = {}
        self._left_out: list[nn.Parameter] = []
        self.clear_state()

    @property
    def lowered(self) -> bool:
        """Whether torch's fused kernel makes the update, where it takes the parameters' device and type; that of the
        rest is another matter."""
        return self._rule.kernel is not None

    @torch.no_grad()
    def step(self) -> None:
        """Updates all parameters that have a gradient."""
        self._follow()
        for bucket in self._buckets:
            live, gradients = bucket.gradients()
            if not live:
                continue
            hyper, rule = self._hyper(bucket), self._rule_of(bucket.rest)
            bucket.allocate(rule.keeps)
            if rule.counts:
                bucket.count(live)
            if rule.kernel is not None and has_kernel(bucket) and rule.kernel.takes(hyper):
                params, views, steps = bucket.params, bucket.views, bucket.steps
                if len(live) < len(params):
                    params, steps = [params[i] for i in live], [steps[i] for i in live]
                    views = {name: [own[i] for i in live] for name, own in views.items()}
                rule.kernel(params, gradients, views, steps, hyper)
            else:
                scratches = self._scratches.setdefault((bucket.device, bucket.dtype), [])
                by_index = dict(zip(live, gradients))
                tasks = self._tasks(bucket, live, rule)
                run(tasks, bucket, rule.passes, hyper, by_index, scratches)

    def zero_grad(self) -> None:
        """Takes all gradients away, so that a parameter that the next loss doesn't reach is left out."""
        for group in self.groups:
            for parameter in group:
                parameter.grad = None

    @torch.no_grad()
    def follow(self) -> None:
        """Takes copies of parameters that the state holds anew: the parameters may have been changed from outside."""
        self._follow()
        for bucket in self._buckets:
            for name in self._rule_of(bucket.rest).copies:
                for kept, parameter in zip(bucket.views.get(name, ()), bucket.params):
                    kept.copy_(parameter)

    def clear_state(self) -> None:
        """Forgets what the stats keep, and the number of updates; hyperparameters stay."""
        self._arrange({}, [[0] * len(group) for group in self.groups])

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors that share memory with nothing, plus plain lists, dicts and numbers.

        `tensors` maps `"<group>.<place in the group>.<name>"` to a contiguous tensor of the parameter's
        shape, and goes into a safetensors file as it is; `hypers` (a dict for each group) and `steps` (for
        each group the number of updates of each parameter) go into JSON. It doesn't depend on devices, memory
        formats, or on whether the optimizer is lowered.
        """
        tensors = {
            key: view.clone(memory_format=torch.contiguous_format) for key, view in self._views().items()
        }
        return {"tensors": tensors, "hypers": [dict(h) for h in self.hypers], "steps": self._steps()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state over, by copying.

        Raises:
            RunError: R0223 where the state is that of another optimizer or of other parameters.
        """
        self._check(state)
        for own, saved in zip(self.hypers, state["hypers"]):
            own.clear()
            own.update(saved)
        self._arrange(state["tensors"], state["steps"])

    # ── layout ──────────────────────────────────────────────────────────────────────────────────────────

    def _apart(self, parameter: nn.Parameter) -> bool:
        """Whether it is of a bias or norm layer, and these have hyperparameters of their own."""
        return parameter.ndim <= 1 and (not self.composition.wd_bn_bias or self.composition.lr_bn_bias != 1)

    def _is_rest(self, parameter: nn.Parameter) -> bool:
        """Whether it is stepped as the rest, in an optimizer of matrices."""
        return bool(self.composition.rest) and (id(parameter) in self._ends or not is_matrix(parameter))

    def _rule_of(self, rest: bool) -> Rule:
        return self._rest_rule if rest else self._rule

    def _hyper(self, bucket: Bucket) -> dict[str, float]:
        """The hyperparameters that hold for a bucket now."""
        hyper = self.hypers[bucket.group]
        if bucket.rest:
            hyper = {**hyper, "lr": hyper["lr"] * hyper["lr_rest"]}
        if not bucket.apart:
            return hyper
        wd = hyper.get("wd", 0.0) if self.composition.wd_bn_bias else 0.0
        return {**hyper, "lr": hyper["lr"] * self.composition.lr_bn_bias, "wd": wd}

    def _tasks(self, bucket: Bucket, live: list[int], rule: Rule) -> list[Task]:
        """The tasks of a composed update, planned anew only where other parameters have a gradient."""
        planned, tasks = self._plans.get(bucket, ([], []))
        if planned != live:
            tasks = plan(bucket, live, measured=len(rule.passes) > 1, whole=rule.whole)
            self._plans[bucket] = live, tasks
        return tasks

    def _follow(self) -> None:
        """Keeps up with parameters that moved, as by `model.to(...)`, or that train only from now on."""
        moved = [bucket for bucket in self._buckets if bucket.moved()]
        for bucket in moved:
            self._plans.pop(bucket, None)
        if any(p.requires_grad for p in self._left_out) or not all(bucket.fits() for bucket in moved):
            self._arrange(self._views(), self._steps())

    def _arrange(self, tensors: Mapping[str, torch.Tensor], steps: Sequence[Sequence[int]]) -> None:
        """Lays the state out for the parameters as they are, and fills it from tensors as in `state_dict`.

        Frozen parameters without state are left out, so that no memory is kept for them.
        """
        self._plans.clear()
        self._scratches.clear()
        self._left_out.clear()
        members: dict[tuple[Any, ...], list[tuple[int, nn.Parameter]]] = {}
        for group, params in enumerate(self.groups):
            for index, parameter in enumerate(params):
                rest = self._is_rest(parameter)
                keeps = self._rule_of(rest).keeps
                if parameter.requires_grad or any(f"{group}.{index}.{name}" in tensors for name in keeps):
                    key = (
                        group,
                        self._apart(parameter),
                        rest,
                        parameter.device,
                        parameter.dtype,
                        is_dense(parameter),
                    )
                    members.setdefault(key, []).append((index, parameter))
                else:
                    self._left_out.append(parameter)
        self._buckets = [Bucket(key[0], key[1], key[2], found) for key, found in members.items()]
        for bucket in self._buckets:
            keeps = self._rule_of(bucket.rest).keeps
            bucket.steps = [steps[bucket.group][index] for index in bucket.indices]
            for place, index in enumerate(bucket.indices):
                for name in keeps:
                    tensor = tensors.get(f"{bucket.group}.{index}.{name}")
                    if tensor is not None:
                        bucket.allocate(keeps)
                        bucket.views[name][place].copy_(tensor)

    def _views(self) -> dict[str, torch.Tensor]:
        """All state there is, by the keys of `state_dict`, where it lies."""
        return {
            f"{bucket.group}.{index}.{name}": views[place]
            for bucket in self._buckets
            for name, views in bucket.views.items()
            for place, index in enumerate(bucket.indices)
        }

    def _steps(self) -> list[list[int]]:
        steps = [[0] * len(group) for group in self.groups]
        for bucket in self._buckets:
            for index, step in zip(bucket.indices, bucket.steps):
                steps[bucket.group][index] = step
        return steps

    def _check(self, state: Mapping[str, Any]) -> None:
        """Raises R0223 for a state that isn't one of this optimizer."""
        ours, theirs = [len(group) for group in self.groups], [len(steps) for steps in state["steps"]]
        problem = None
        if ours != theirs:
            problem = f"it is of groups of {theirs} parameters, these are {ours}"
        elif unset := [name for name in self.hypers[0] if name not in state["hypers"][0]] if ours else []:
            problem = f"it has no hyperparameter `{unset[0]}`"
        else:
            for key, tensor in state["tensors"].items():
                group, index, name = key.split(".", 2)
                parameter, where = self.groups[int(group)][int(index)], f"parameter {index} of group {group}"
                keeps = self._rule_of(self._is_rest(parameter)).keeps
                if name not in keeps:
                    of = f" of {where}" if self.composition.rest else ""
                    problem = f"it keeps `{name}`{of}, this optimizer {_listed(keeps)}"
                elif tensor.shape != parameter.shape:
                    problem = f"{where} has shape {list(parameter.shape)}, not {list(tensor.shape)}"
        if problem is not None:
            help = "delete the run's folder to start anew"
            raise RunError("R0223", f"the saved state of the optimizer does not fit: {problem}", help=help)


def _check_parts(parts: Sequence[Part], hypers: dict[str, tuple[float, str]]) -> None:
    """Raises R0222 and R0225 where parts don't go together; adds their hyperparameters, with who has them."""
    kept: dict[str, str] = {}
    for part in parts:
        own = type(part).__name__
        if not isinstance(part, Part):
            message = f"`{own}` is no part of an optimizer"
            raise RunError("R0225", message, help="let its class extend `mfc.runtime.optim.parts.Part`")
        if missing := [name for name in part.reads if name not in kept]:
            message = f"`{own}` reads `{missing[0]}`, which no stat before it keeps"
            raise RunError("R0222", message, help="add the stat, before the stepper")
        if twice := [name for name in part.keeps if name in kept]:
            message = f"`{kept[twice[0]]}` and `{own}` both keep `{twice[0]}`"
            raise RunError("R0225", message, help="leave one of them out")
        for name, value in part.hypers.items():
            before, other = hypers.setdefault(name, (value, own))
            if before != value:
                message = f"`{name}` is {before} for `{other}` and {value} for `{own}`"
                raise RunError("R0225", message, help="a hyperparameter has one value for all parts")
        kept.update(dict.fromkeys(part.keeps, own))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names) or "nothing"


def _distinct(groups: Iterable[Iterable[nn.Parameter]]) -> list[list[nn.Parameter]]:
    """The groups, with each parameter only in the first place where it is listed."""
    seen: set[int] = set()
    distinct: list[list[nn.Parameter]] = []
    for group in groups:
        distinct.append([])
        for parameter in group:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                distinct[-1].append(parameter)
    return distinct
