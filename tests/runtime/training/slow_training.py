"""A training with time to be stopped in: `python -m tests.runtime.training.slow_training FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from mfc.runtime.errors import RunInterrupted
from mfc.runtime.training.events import Callback
from mfc.runtime.training.learner import Learner
from mfc.runtime.training.losses import cross_entropy
from mfc.runtime.training.phases import Phase
from mfc.runtime.training.train import train_stage
from tests.runtime.training.standins import Factory, loaders, network


class Slow(Callback):
    """Sleeps after each batch."""

    def after_batch(self) -> None:
        time.sleep(0.005)


def train(folder: Path, *callbacks: Callback) -> Learner:
    return train_stage(
        network(),
        loaders(items=400),
        cross_entropy(),
        Factory(momentum=0.9),
        phases=[Phase(3)],
        callbacks=callbacks,
        seed=1,
        stage="fit",
        folder=folder,
        device=torch.device("cpu"),
    )


if __name__ == "__main__":
    try:
        train(Path(sys.argv[1]), Slow())
    except RunInterrupted as interrupt:
        print(interrupt.message, file=sys.stderr)
        sys.exit(130)
