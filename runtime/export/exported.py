"""What an export format gets: a trained model with all that predictions need beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfc.dsl import ir
from mfc.runtime.build import build

if TYPE_CHECKING:
    from torch import nn

    from mfc.runtime.export.graph import Graph


@dataclass(frozen=True)
class Exported:
    """A trained model, as a plan's values and files.

    Attributes:
        name: what files are called, safe for any file system.
        train: the name of the training's stage.
        model, loss: as the plan has them, with files where they lie.
        data: `name`, `target` and `batch_size` of the data block; of images `shape`, what item transforms give in
            training, and `evaluated`, what they give for predictions (`c h w`); of texts `options`, as `backwards`.
        prepare: what reads and prepares an item: the `source` without its paths, `item_transforms` and
            `batch_transforms`, or how to `tokenize`.
        vocab: names of the classes.
        weights: the trained weights, a safetensors file.
        tokenizer: the files of the fitted tokenizer by their names; none where items are no texts.
        sources: the spec's own files, the one that was run first, and Python files that components reach; none where
            the format does not keep sources.
        params: the values of the spec's params, but for paths.
    """

    name: str
    train: str
    model: ir.Stack
    loss: ir.Call
    data: Mapping[str, Any]
    prepare: Mapping[str, Any]
    vocab: Sequence[str]
    weights: Path
    tokenizer: Mapping[str, Path]
    sources: Sequence[Path]
    params: Mapping[str, Any]

    @cached_property
    def module(self) -> nn.Module:
        """The trained model on the CPU, in evaluation mode."""
        from mfc.runtime.initializers import load_weights
        from mfc.runtime.models import build_model
        from mfc.runtime.training.checkpoint import read_weights

        model = build_model(self.model)
        load_weights(model, read_weights(self.weights), "the trained model")
        return model.eval()

    @cached_property
    def graph(self) -> Graph:
        """A trained model of images with what is done to a batch before and after it: pixels in, probabilities out."""
        from mfc.runtime.export.graph import Graph

        transforms, loss = build(self.prepare["batch_transforms"]), build(self.loss)
        return Graph(self.module, transforms, loss, bool(self.vocab), self.data["evaluated"])
