"""What bfloat16 and channels-last save in a spec, beside a loop by hand with the same modes.

    python benchmarks/modes.py [--arch xresnet50] [--size 128] [--batch 8] [--steps 3] [--rounds 5] [--threads 2]
                               [--modes fp32,channels_last,bf16,bf16+channels_last] [--memory kept|returned]

The spec says `mixed_precision()` and `channels_last()`; the loop by hand says `torch.autocast` and
`memory_format=torch.channels_last`, on the same network with torch's fused AdamW. Each round runs all modes of both in
turn, `--steps` steps each, in an order of its own. Prints for each mode the seconds of a step and the speed-up over
fp32, and as its last line one JSON object: medians over rounds, in wall time and in CPU time, which other processes
disturb less. `ratio` is the speed-up of the spec's words over that of the loop by hand; `whole` is the time of the loop
by hand over that of the spec in this mode, which also has what the Learner saves and costs in fp32. 0.95 and more is
the bar. The loop by hand keeps freed memory as the Learner does: without that it loses a twentieth of its time in fp32,
whose tensors are twice as large, and none in bfloat16, and this would count as the modes' gain (`--memory returned`
shows it). Steps should be ten or more where it counts: the memory is given back after each run.

bfloat16 pays only where the processor computes in it (`bf16_instructions`); elsewhere it is slower than fp32 in both.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import mfc
from mfc.runtime.bfloat16 import cpu_has_bf16
from mfc.runtime.build import build
from mfc.runtime.models import parameter_groups
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.scheduling import Scheduling
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.memory import freed_memory_kept
from mfc.runtime.training.phases import Phase

SPEC = """
import "std/xresnet.mfs" ({arch})
data images: image -> category {{
    source          = builtin("digits")
    split           = stratified(valid = 0.2)
    label           = parent()
    item_transforms = [resize({size})]
}}
model net = {arch}(classes = 10)
train fit {{
    data      = images
    model     = net
    loss      = cross_entropy()
    optimizer = adam(wd = 0.01)
    callbacks = [{words}]
    epochs    = 1
}}
"""
WORDS = {"bf16": "mixed_precision()", "channels_last": "channels_last()", "compile": "compile()"}


class Ready:
    """Some batches that lie ready."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """All epochs are alike."""


class Loaders:
    def __init__(self, train: Ready) -> None:
        self.train, self.valid, self.vocab = train, Ready([]), [str(i) for i in range(10)]


def batches(options: argparse.Namespace) -> list[Any]:
    draw = torch.Generator().manual_seed(0)
    shape = options.batch, 1, options.size, options.size
    made = []
    for _ in range(options.steps):
        x, y = torch.randn(shape, generator=draw), torch.randint(0, 10, (options.batch,), generator=draw)
        made.append((x, y, torch.arange(options.batch)))
    return made


def spec(modes: list[str], options: argparse.Namespace) -> tuple[Any, list[Any], Any]:
    """What a spec with the words for these modes builds: model, callbacks, optimizer."""
    words = ", ".join(WORDS[mode] for mode in modes if mode != "fp32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "modes.mfs")
        path.write_text(SPEC.format(arch=options.arch, size=options.size, words=words))
        job = mfc.compile(mfc.load(path))
        recipe = next(stage.recipe for stage in job.plan().stages if stage.kind == "train")
        return job.build("net"), build(recipe["callbacks"]), build(recipe["optimizer"])


def ours(modes: list[str], options: argparse.Namespace) -> Callable[[], object]:
    model, callbacks, optimizer = spec(modes, options)
    learner = Learner(
        model, Loaders(Ready(batches(options))), F.cross_entropy, optimizer, groups=parameter_groups(model),
        callbacks=[*callbacks, Recorder(), Scheduling()], stream=io.StringIO(),
    )  # fmt: skip
    return lambda: learner.fit(Phase(1))


def by_hand(modes: list[str], options: argparse.Namespace) -> Callable[[], object]:
    model = spec(["fp32"], options)[0].train()
    last = "channels_last" in modes
    if last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward: Any = torch.compile(model, dynamic=False) if "compile" in modes else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    ready = batches(options)

    memory = freed_memory_kept if options.memory == "kept" else nullcontext

    def steps() -> None:
        for x, y, _ in ready:
            if last:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in modes):
                pred = forward(x)
            loss = F.cross_entropy(pred.float(), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    def run() -> None:
        with memory():
            steps()

    return run


def main() -> None:
    about = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**about)
    parser.add_argument("--arch", default="xresnet50")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", choices=["kept", "returned"], default="kept", help="of the loop by hand")
    parser.add_argument("--modes", default="fp32,channels_last,bf16,bf16+channels_last")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    modes = options.modes.split(",")
    runs = {}
    for mode in modes:
        runs["spec", mode] = ours(mode.split("+"), options)
        runs["by hand", mode] = by_hand(mode.split("+"), options)

    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    seconds: dict[tuple[str, str, str], list[float]] = {(c, *name): [] for c in clocks for name in runs}
    for number in range(options.rounds + 1):
        order = list(runs)
        random.Random(number).shuffle(order)
        for name in order:
            start = {clock: now() for clock, now in clocks.items()}
            runs[name]()
            if number:  # one round to warm up
                for clock, now in clocks.items():
                    seconds[clock, *name].append((now() - start[clock]) / options.steps)

    figures = {clock: {mode: compared(seconds, clock, mode, modes[0]) for mode in modes} for clock in clocks}
    for clock, rows in figures.items():
        print(f"{clock + ' time':<22}  spec, s  by hand, s  speed-up  by hand  ratio  whole")
        for mode, row in rows.items():
            print(
                f"{mode:<22}{row['spec_s']:9.3f}{row['by_hand_s']:12.3f}{row['spec_speedup']:10.2f}"
                f"{row['by_hand_speedup']:9.2f}{row['ratio']:7.3f}{row['whole']:7.3f}"
            )
    given = vars(options) | {"bf16_instructions": cpu_has_bf16()}
    print(json.dumps({"bench": "modes", **given, "figures": figures}))


def compared(
    seconds: dict[tuple[str, str, str], list[float]], clock: str, mode: str, plain: str
) -> dict[str, float]:
    """Medians over rounds of a mode's seconds, its speed-ups over `plain`, and their ratio."""
    found, speedups = {}, {}
    for who, name in (("spec", "spec"), ("by hand", "by_hand")):
        times = seconds[clock, who, mode]
        speedups[name] = [a / b for a, b in zip(seconds[clock, who, plain], times)]
        found[f"{name}_s"] = statistics.median(times)
        found[f"{name}_speedup"] = statistics.median(speedups[name])
    found["ratio"] = statistics.median(a / b for a, b in zip(*speedups.values()))
    both = zip(seconds[clock, "by hand", mode], seconds[clock, "spec", mode])
    return found | {"whole": statistics.median(a / b for a, b in both)}


if __name__ == "__main__":
    main()
