"""Plans of models written by hand, as the compiler would make them: for tests that need no compiler."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable
from typing import Any

import mfc.runtime.layers
from mfc.dsl import ir


def found_layers() -> dict[str, Any]:
    """Every layer component in every file of `runtime/layers`, by its name."""
    layers = {}
    for info in pkgutil.walk_packages(mfc.runtime.layers.__path__, "mfc.runtime.layers."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if getattr(value, "__mfc_kind__", "") == "layer" and value.__module__ == info.name:
                layers[name] = value
    return layers


LAYERS = found_layers()


def layer(component: str, name: str = "", **args: Any) -> ir.Layer:
    """A built-in layer; its `In` arguments are written out."""
    target = f"{LAYERS[component].__module__}:{component}"
    return ir.Layer(name or component, ir.Call("layer", component, target, args))


def stack(name: str, *steps: Any, **kinds: Any) -> ir.Stack:
    """A stack; layers and stacks among its steps are run, and numbered where several have one name."""
    children = [step for step in steps if isinstance(step, ir.Layer | ir.Stack)]
    counts, seen = Counter(child.name for child in children), Counter[str]()
    out: list[Any] = []
    for step in steps:
        if isinstance(step, ir.Layer | ir.Stack):
            fixed = isinstance(step, ir.Stack) and (step.group or counts[step.name] == 1)
            if counts[step.name] > 1 and not fixed:
                number = seen[step.name]
                seen[step.name] += 1
                step = _renamed(step, f"{step.name}_{number}")
            step = ir.Run(step)
        out.append(step)
    return ir.Stack(name, tuple(out), **kinds)


def group(name: str, *steps: Any) -> ir.Stack:
    return stack(name, *steps, group=True, shares_slots=True)


def branch(slot: str, *steps: Any) -> ir.Branch:
    return ir.Branch(slot, stack(slot, *steps, shares_slots=True))


def _renamed(child: ir.Layer | ir.Stack, name: str) -> ir.Layer | ir.Stack:
    if isinstance(child, ir.Layer):
        return ir.Layer(name, child.call, child.passes, child.tie)
    return ir.Stack(name, child.steps, child.group, child.shares_slots, child.passes)


# ── xresnet ─────────────────────────────────────────────────────────────────────────────────────────────


def conv_layer(c: int, nf: int, ks: int = 3, stride: int = 1, act: bool = True, zero_bn: bool = False):
    steps = [
        layer("conv2d", c=c, nf=nf, ks=ks, stride=stride, bias=False),
        layer("batchnorm", c=nf, zero_init=zero_bn),
        *([layer("relu")] if act else []),
    ]
    return stack("conv_layer", *steps)


def res_block(c: int, nh: int, expansion: int, stride: int) -> ir.Stack:
    nf = nh * expansion
    aside: list[Any] = [layer("avg_pool", ks=2, ceil_mode=True)] if stride > 1 else []
    aside += [conv_layer(c, nf, 1, act=False)] if c != nf else []
    if expansion == 1:
        convs = [conv_layer(c, nh, stride=stride)]
    else:
        convs = [conv_layer(c, nh, 1), conv_layer(nh, nh, stride=stride)]
    last = conv_layer(nh, nf, 3 if expansion == 1 else 1, zero_bn=True, act=False)
    join = ir.Join("add", ("shortcut",))
    return stack("res_block", branch("shortcut", *aside), *convs, last, join, layer("relu"))


def xresnet(classes: int, layers: Iterable[int] = (2, 2, 2, 2), expansion: int = 1, c: int = 3) -> ir.Stack:
    body: list[Any] = []
    for i, nf in enumerate((32, 32, 64)):
        body.append(conv_layer(c, nf, stride=2 if i == 0 else 1))
        c = nf
    body.append(layer("max_pool", ks=3, stride=2, padding=1))
    for number, count in enumerate(layers):
        for i in range(count):
            nh = (64, 128, 256, 512)[number]
            body.append(res_block(c, nh, expansion, stride=2 if number > 0 and i == 0 else 1))
            c = nh * expansion
    head = group(
        "head", layer("adaptive_avg_pool"), layer("flatten"), layer("linear", features=c, nf=classes)
    )
    return stack("", group("body", *body), head)
