"""A model as it was expanded: its layers with their places, shapes and counts of parameters."""

from __future__ import annotations

from mfc.dsl import ir
from mfc.dsl.dims import Size
from mfc.dsl.draft import DraftLayer
from mfc.dsl.node import node
from mfc.dsl.source import Span
from mfc.dsl.values import Shape


@node
class LayerRecord:
    """A layer as it stands in a model, for tables, hints and hovers."""

    layer: DraftLayer
    into: Shape
    out: Shape | None
    span: Span
    written: Span
    """Where its call is written, which may be outside of the model."""
    parameters: Size | None
    """How many numbers it learns, a tied weight left out; None where its component does not say."""
    so_far: Size | None
    """The same of all layers up to this one, each module counted where it stands first."""

    @property
    def path(self) -> str:
        return self.layer.path


@node
class Elaborated:
    """A model for one input shape: `b c h w` and the like, with symbols for what is known later."""

    stack: ir.Stack
    into: Shape
    out: Shape | None
    groups: tuple[str, ...]
    layers: tuple[LayerRecord, ...]
    parameters: Size | None
    """How many numbers it learns; None where that can't be said of all its layers."""
    whole: bool = False
    """Whether the model is one architecture, whose groups are its own."""

    @property
    def divided(self) -> bool:
        """Whether a layer has parameter groups of its own."""
        return any(record.layer.parts for record in self.layers)

    @property
    def parameter_groups(self) -> tuple[str, ...]:
        """The parameter groups by their paths, in order: the innermost groups that hold layers, the parts of layers
        that divide themselves, and "" for layers in no group."""
        found: dict[str, None] = {}
        for record in self.layers:
            holding = [group for group in self.groups if record.path.startswith(f"{group}.")]
            parts = [f"{record.path}.{part}" for part in record.layer.parts]
            found |= dict.fromkeys(parts or [max(holding, key=len, default="")])
        return tuple(found)
