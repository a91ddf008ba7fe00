"""The first weights of a model where initializers need batches of the data to find them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from mfc.dsl import ir
from mfc.runtime.build import find
from mfc.runtime.errors import RunError
from mfc.runtime.streams import Stream
from mfc.runtime.training.failures import explained


class Batches:
    """The batches of a loader's first epoch, from its first one on each time that they are gone through."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        self.loader.set_epoch(0)
        return iter(self.loader)


def initialize(
    model: nn.Module,
    weights: Sequence[ir.Call | ir.Trained],
    built: Sequence[Any],
    loader: Any,
    seed: int,
    stage: str,
) -> list[dict[str, Any]]:
    """Applies initializers in order, which were `built` of `weights`; those that read data get batches of `loader`.

    Gives what these report: `initializer` and its `report`.

    Raises:
        RunError: what initializers raise, R0211 where a layer fails, R0404 out of memory.
    """
    reports = []
    for position, (call, initializer) in enumerate(zip(weights, built)):
        stream = Stream(seed, stage, f"weights {position}")
        if not (isinstance(call, ir.Call) and find(call).__mfc_facts__["reads_data"]):
            initializer(model, stream)
            continue
        try:
            report = initializer(model, stream, Batches(loader))
        except torch.OutOfMemoryError as error:
            message = f"there is no memory left for `{call.name}`"
            raise RunError("R0404", message, help="lower batch_size") from error
        except RunError:
            raise
        except Exception as error:
            raise explained(error) or error from error
        reports.append({"initializer": call.name, "report": report or []})
    return reports
