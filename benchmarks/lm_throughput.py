"""How many tokens a second an AWD-LSTM language model trains on.

    python benchmarks/lm_throughput.py [--rounds 5] [--batches 3] [--threads 2] [--vocab 17992] [--layers 3] ...

In turn in one process, on the same ids: bare loops over torch's LSTM with tied embedding and fused AdamW, one
without any dropout and one with `F.dropout` on the recurrent weights; the project's model in such a bare loop with
weight dropout only; the project's Learner with all dropouts, regularisation and clipping; and fastai's language model
learner where it can be imported. The first batch of a round is not counted. Prints a table and, last, one JSON line:
medians of tokens a second by wall time and of CPU milliseconds a token (which other processes disturb less), and each
one's ratio to fastai and to the bare loop with weight dropout, taken round by round.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mfc.runtime.optim.optimizers import adam, adamw
from mfc.runtime.text.awd_lstm import awd_lstm
from mfc.runtime.text.language_model import language_model
from mfc.runtime.training.callbacks.gradient_clip import gradient_clip
from mfc.runtime.training.callbacks.recorder import Recorder
from mfc.runtime.training.callbacks.rnn_regularizer import rnn_regularizer
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase

PLAIN, DROPPED = "bare loop, no dropout", "bare loop, weight dropout"
MODEL, LEARNER, FASTAI = (
    "model in a bare loop, weight dropout",
    "Learner, all of the recipe",
    "fastai's learner",
)

Stamps = list[tuple[float, float]]
"""Wall and CPU time at the end of each batch of a round."""


class Ready:
    """The batches of a round, always the same."""

    def __init__(self, options: argparse.Namespace) -> None:
        draw = torch.Generator().manual_seed(0)
        columns = (options.batches + 1) * options.seq_len + 1
        self.ids = torch.randint(2, options.vocab, (options.rows, columns), generator=draw)
        self.seq_len, self.items = options.seq_len, torch.arange(options.rows)

    def __len__(self) -> int:
        return (self.ids.shape[1] - 1) // self.seq_len

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        for start in range(0, self.ids.shape[1] - 1, self.seq_len):
            end = start + self.seq_len
            yield self.ids[:, start:end], self.ids[:, start + 1 : end + 1], self.items

    def set_epoch(self, epoch: int) -> None:
        """All epochs are alike."""


class Nothing(Ready):
    """No validation."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Bare(nn.Module):
    """Torch's LSTMs with a tied decoder, and `F.dropout` on the recurrent weights."""

    def __init__(self, options: argparse.Namespace, weight_p: float) -> None:
        super().__init__()
        self.weight_p = weight_p
        self.embedding = nn.Embedding(options.vocab, options.emb)
        sizes = [options.emb, *[options.hid] * (options.layers - 1), options.emb]
        self.rnns = nn.ModuleList(nn.LSTM(i, o, batch_first=True) for i, o in pairwise(sizes))
        self.decoder = nn.Linear(options.emb, options.vocab)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.decoder.weight = self.embedding.weight
        self.state: list[Any] = [None] * options.layers

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x, state = self.embedding(ids), []
        for rnn, carried in zip(self.rnns, self.state):
            weights = {}
            if self.weight_p:
                weights = {"weight_hh_l0": F.dropout(rnn.get_parameter("weight_hh_l0"), self.weight_p)}
            x, carried = torch.func.functional_call(rnn, weights, (x, carried))
            state.append(tuple(part.detach() for part in carried))
        self.state = state
        return self.decoder(x)


def bare(
    model: nn.Module, optimizer: Any, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ready: Ready
) -> Callable[[], Stamps]:
    def run() -> Stamps:
        stamps = []
        for x, y, _ in ready:
            value = loss(model(x), y)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            value.item()
            stamps.append((time.perf_counter(), time.process_time()))
        return stamps

    return run


def rows(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(pred.flatten(0, 1), target.flatten())


def ours(options: argparse.Namespace, ready: Ready) -> Callable[[], Stamps]:
    class Stamp(Callback):
        order = 99

        def before_train(self) -> None:
            self.stamps: Stamps = []

        def after_step(self) -> None:
            self.learner.loss.item()
            self.stamps.append((time.perf_counter(), time.process_time()))

    class Loaders:
        train, valid, vocab, device = ready, Nothing(options), [], torch.device("cpu")

    model = language_model(
        awd_lstm(options.emb, options.hid, options.layers), options.vocab, drop_mult=options.drop_mult
    )
    stamp = Stamp()
    learner = Learner(
        model, Loaders(), cross_entropy(), adam(lr=3e-3), stream=io.StringIO(),
        callbacks=[rnn_regularizer(), gradient_clip(0.1), Recorder(), stamp],
    )  # fmt: skip

    def run() -> Stamps:
        learner.fit(Phase(1))
        return stamp.stamps

    return run


def fastai(options: argparse.Namespace, ready: Ready, folder: str) -> Callable[[], Stamps]:
    from fastai.text import all as text  # pyright: ignore[reportMissingImports]

    class Stamp(text.Callback):
        def before_train(self) -> None:
            self.stamps = []

        def after_batch(self) -> None:
            if self.training:
                self.loss_grad.item()
                self.stamps.append((time.perf_counter(), time.process_time()))

        def before_validate(self) -> None:
            raise text.CancelValidException

    texts = [(text.LMTensorText(ready.ids.flatten()),)]
    loader = text.LMDataLoader(
        texts, lens=[ready.ids.numel()], bs=options.rows, seq_len=options.seq_len, num_workers=0
    )
    sizes = {"emb_sz": options.emb, "n_hid": options.hid, "n_layers": options.layers}
    model = text.get_language_model(
        text.AWD_LSTM, options.vocab, {**text.awd_lstm_lm_config, **sizes}, drop_mult=options.drop_mult
    )
    stamp = Stamp()
    learner = text.Learner(
        text.DataLoaders(loader, loader), model, loss_func=text.CrossEntropyLossFlat(), splitter=text.awd_lstm_lm_split,
        cbs=[*text.rnn_cbs(2.0, 1.0), text.GradientClip(0.1), stamp], path=folder,
    )  # fmt: skip

    def run() -> Stamps:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, 3e-3)
        return stamp.stamps

    return run


def arguments() -> argparse.Namespace:
    about = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**about)
    numbers = {
        "rounds": 5, "batches": 3, "threads": 2, "rows": 32, "seq_len": 72, "vocab": 17992, "emb": 400, "hid": 1152,
        "layers": 3,
    }  # fmt: skip
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--drop_mult", type=float, default=0.5)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ready, weight_p = Ready(options), 0.2 * options.drop_mult
    runs: dict[str, Callable[[], Stamps]] = {}
    for name, p in ((PLAIN, 0.0), (DROPPED, weight_p)):
        model = Bare(options, p)
        runs[name] = bare(model, torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True), rows, ready)
    encoder = awd_lstm(
        options.emb, options.hid, options.layers, input_p=0.0, hidden_p=0.0, embed_p=0.0, weight_p=weight_p
    )
    model = language_model(encoder, options.vocab, output_p=0.0)
    runs[MODEL] = bare(
        model, adamw(lr=3e-3).create([{"params": list(model.parameters())}]), cross_entropy(), ready
    )
    runs[LEARNER] = ours(options, ready)
    with tempfile.TemporaryDirectory() as folder:
        try:
            runs[FASTAI] = fastai(options, ready, folder)
        except ImportError as error:
            print(f"{FASTAI}: left out ({error})")
        walls: dict[str, list[float]] = {name: [] for name in runs}
        cpus: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(options.rounds):
            order = list(runs)
            random.Random(number).shuffle(order)
            for name in order:
                stamps = runs[name]()
                (wall, cpu), (wall_end, cpu_end) = stamps[0], stamps[-1]
                tokens = (len(stamps) - 1) * options.rows * options.seq_len
                walls[name].append((wall_end - wall) / tokens)
                cpus[name].append((cpu_end - cpu) / tokens)

    figures: dict[str, dict[str, float]] = {
        "tokens_per_s": {name: 1 / statistics.median(of) for name, of in walls.items()},
        "cpu_ms_per_token": {name: 1e3 * statistics.median(of) for name, of in cpus.items()},
    }
    for other, label in ((FASTAI, "fastai"), (DROPPED, "bare")):
        if other in runs:
            figures[f"x_{label}"] = ratios(walls, other)
            figures[f"x_{label}_cpu"] = ratios(cpus, other)
    print(f"{'':<38}" + "".join(f"{figure:>18}" for figure in figures))
    for name in runs:
        print(f"{name:<38}" + "".join(f"{figures[figure][name]:18.3f}" for figure in figures))
    print(json.dumps({"bench": "lm_throughput", **vars(options), **figures}))


def ratios(times: dict[str, list[float]], other: str) -> dict[str, float]:
    """How many times as fast as another each is, the median of the rounds."""
    return {
        name: statistics.median(theirs / own for own, theirs in zip(of, times[other]))
        for name, of in times.items()
    }


if __name__ == "__main__":
    main()
