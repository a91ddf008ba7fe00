"""What is done to some of the parameters of an optimizer at each step."""

from __future__ import annotations

from collections.abc import Sequence

from mfc.runtime.optim.lowering import lower
from mfc.runtime.optim.parts import Part
from mfc.runtime.optim.units import passes


class Rule:
    """Parts that act one after another, and what follows from them.

    Attributes:
        kernel: torch's fused kernel that does the same, where it may be taken and there is one.
        keeps: names of the state that is kept for each parameter.
        counts: whether its updates are counted.
        copies: those of `keeps` that are copies of the parameter.
        whole: whether parameters are updated in one piece.
    """

    def __init__(self, parts: Sequence[Part], *, lowered: bool) -> None:
        kept = [name for part in parts for name in part.keeps]
        self.kernel = lower(parts) if lowered else None
        self.keeps, self.counts = tuple(name for name in kept if name != "step"), "step" in kept
        self.copies = tuple(name for part in parts for name in part.copies)
        self.passes = passes(parts)
        self.whole = any(part.whole for part in parts)
