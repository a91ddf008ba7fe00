"""Which code decides the result of a stage, and so is in its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable

CodeHash = Callable[[Iterable[str], bool], str]
"""The hash of all code that targets can reach; also of what is in `MEASURING`, if it is said so."""

CODE = {
    "files": "mfc.stages:scan",
    "items": "mfc.stages:run_items",
    "part": "mfc.stages:run_part",
    "packed": "mfc.stages:run_packed",
    "tokenizer": "mfc.stages:run_tokenizer",
    "tokens": "mfc.stages:run_tokens",
    "init": "mfc.stages:run_init",
    "train": "mfc.stages:run_train",
    "evaluation": "mfc.evaluations:run_evaluation",
    "export": "mfc.exports:run_export",
}
"""What carries out each kind of stage: all that it reaches decides the stage's result, but for `WATCHING`, and for
`MEASURING` where what is measured decides nothing."""

WATCHING = (
    "mfc.dsl.ir:walk",
    "mfc.runtime.component",
    "mfc.runtime.cores",
    "mfc.runtime.disk",
    "mfc.runtime.errors",
    "mfc.runtime.hashcache",
    "mfc.runtime.init_report",
    "mfc.runtime.stagekey",
    "mfc.runtime.store",
    "mfc.runtime.training.callbacks.bad_batch",
    "mfc.runtime.training.callbacks.checkpoints",
    "mfc.runtime.training.callbacks.progress",
    "mfc.runtime.training.callbacks.statistics",
    "mfc.runtime.training.checkpoint",
    "mfc.runtime.training.device",
    "mfc.runtime.training.lr_find",
    "mfc.runtime.training.lr_suggestions",
    "mfc.runtime.training.signals",
    "mfc.runtime.training.trial",
    "mfc.stages:Means",
)
"""What only keeps or shows, and decides no result: its code is in no key."""

MEASURING = (
    "mfc.runtime.training.callbacks.recorder",
    "mfc.runtime.training.history",
    "mfc.runtime.training.mask_metrics",
    "mfc.runtime.training.metrics",
    "mfc.runtime.training.predict",
)
"""What measures: its code is in the keys of evaluations, and of trainings with a callback that follows what is
measured."""
