"""What may be given to what is called, as far as the text alone tells."""

from __future__ import annotations

from collections.abc import Mapping

from mfc.dsl.callables import MODULE, TENSOR
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.elaborate import STATEMENTS
from mfc.dsl.params import type_of
from mfc.dsl.resolve import Declared
from mfc.dsl.syntax import (
    Argument,
)
from mfc.dsl.types import ANY

STATEMENT_SIGNATURES: Mapping[str, Signature] = {
    name: Signature(name, [Slot("f", MODULE, True) if name == "apply" else Slot("s", TENSOR, True)])
    for name in STATEMENTS
}
"""What joins, `from` and `apply` take; `concat` takes several."""


def slot_of(signature: Signature, position: int, argument: Argument) -> Slot | None:
    """The parameter that an argument is for."""
    if argument.name is not None:
        return signature.slot(argument.name.text)
    positional = signature.positional
    return positional[position] if position < len(positional) else None


def declared_signature(declared: Declared) -> Signature | None:
    """What a declaration may be given; None where it takes nothing."""
    params = getattr(declared.decl, "params", None)
    if params is None:
        return None
    slots = [
        Slot(
            p.name.text,
            ANY if p.type is None else type_of(p.type, Diagnostics()),
            p.default is None,
            p.default,
        )
        for p in params
    ]
    return Signature(declared.name, slots)
