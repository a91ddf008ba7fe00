"""Binds the arguments of a call to parameters: the same way for components and for declarations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from mfc.dsl import other_names
from mfc.dsl.node import node
from mfc.dsl.scope import Scope
from mfc.dsl.source import Span
from mfc.dsl.suggest import did_you_mean
from mfc.dsl.syntax import Argument, CallExpr, Expr, Name
from mfc.dsl.types import Type, Unknown

if TYPE_CHECKING:
    from mfc.dsl.component import Component
    from mfc.dsl.names import Names

EXPRESSIONS = frozenset(get_args(Expr))


@node
class Slot:
    """One parameter of what is called. `default` is a value, or an expression of the language; one that is `named`
    is not given by its position."""

    name: str
    type: Type
    required: bool
    default: Any = None
    named: bool = False


@dataclass(eq=False)
class Signature:
    """What a call may be given: `others` is the type of arguments by any other name, where those are taken."""

    name: str
    slots: Sequence[Slot]
    others: Type | None = None

    @cached_property
    def positional(self) -> list[Slot]:
        return [slot for slot in self.slots if not slot.named]

    def slot(self, name: str) -> Slot | None:
        """The slot of a name; of two the first."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Slot]:
        return {slot.name: slot for slot in reversed(self.slots)}


@node
class Bound:
    """The arguments of a call with defaults filled in, and where those that were written stand."""

    args: dict[str, Any]
    written: dict[str, Span]


def bind(evaluator: Names, signature: Signature, call: CallExpr, scope: Scope, defaults: Scope) -> Bound:
    """The value of each parameter. `scope` is where the call stands, `defaults` where its defaults are evaluated:
    they may use earlier parameters."""
    placed = _place(evaluator, signature, call, scope)
    args: dict[str, Any] = {}
    here = defaults.inner()
    missing = []
    for slot in signature.slots:
        if slot.name in placed:
            argument = placed.pop(slot.name)
            value = evaluator.value(argument.value, scope, slot.type, f"`{slot.name}` of `{signature.name}`")
        elif slot.required:
            missing.append(slot.name)
            value = Unknown(slot.type)
        elif type(slot.default) in EXPRESSIONS:
            value = evaluator.value(slot.default, here, slot.type, f"the default of `{slot.name}`")
        else:
            value = slot.default
        args[slot.name] = here.names[slot.name] = value
    for name, argument in placed.items():
        assert signature.others is not None
        args[name] = evaluator.value(
            argument.value, scope, signature.others, f"`{name}` of `{signature.name}`"
        )
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        evaluator.diagnostics.add(
            "E0303",
            call.span,
            f"`{signature.name}` needs {names}",
            f"{names} missing",
            help=f"write `{usage(signature)}`",
        )
    return Bound(args, {a.name.text: a.span for a in call.arguments if a.name} | _positional(signature, call))


def check_together(evaluator: Names, info: Component, bound: Bound, call: CallExpr) -> None:
    """Reports arguments of a component that are right each for itself, and not beside each other."""

    def report(name: str, message: str, label: str, help: str) -> None:
        evaluator.diagnostics.add("E0519", bound.written.get(name, call.span), message, label, help=help)

    for parameter in info.parameters:
        if not parameter.without and not parameter.as_many_as:
            continue
        name, value = parameter.name, bound.args.get(parameter.name)
        other = bound.args.get(parameter.without)
        if name in bound.written and not any(v is None or isinstance(v, Unknown) for v in (value, other)):
            both = f"`{parameter.without}` and `{name}`"
            report(name, f"`{info.name}` has both {both}", "one too many", f"leave out one of {both}")
        other = bound.args.get(parameter.as_many_as)
        if isinstance(value, list) and isinstance(other, list) and len(value) != len(other):
            message = f"`{info.name}` has {len(value)} `{name}` for {len(other)} `{parameter.as_many_as}`"
            report(name, message, f"{len(value)} here", "give as many of one as of the other")


def _positional(signature: Signature, call: CallExpr) -> dict[str, Span]:
    plain = [a for a in call.arguments if a.name is None]
    return {slot.name: a.span for slot, a in zip(signature.positional, plain)} if plain else {}


def _place(evaluator: Names, signature: Signature, call: CallExpr, scope: Scope) -> dict[str, Argument]:
    """Which argument goes to which parameter; those that fit none are reported, and looked into all the same."""
    placed: dict[str, Argument] = {}
    positional = signature.positional if call.arguments else []
    add = evaluator.diagnostics.add
    for position, argument in enumerate(call.arguments):
        if argument.name is None:
            if position >= len(positional):
                takes = _count(len(positional))
                add(
                    "E0304",
                    argument.span,
                    f"`{signature.name}` takes {takes}",
                    "one too many",
                    help=f"its arguments are `{usage(signature)}`" if signature.slots else "",
                )
                evaluator.evaluate(argument.value, scope)
                continue
            name = positional[position].name
        else:
            name = argument.name.text
            if signature.slot(name) is None and signature.others is None:
                _unknown(evaluator, signature, argument.name)
                evaluator.evaluate(argument.value, scope)
                continue
        if name in placed:
            add(
                "E0304",
                argument.span,
                f"`{name}` is given twice to `{signature.name}`",
                "given again here",
                labels=((placed[name].span, "first given here"),),
            )
            continue
        placed[name] = argument
    return placed


def _unknown(evaluator: Names, signature: Signature, name: Name) -> None:
    names = [slot.name for slot in signature.slots]
    evaluator.diagnostics.add(
        "E0203",
        name.span,
        f"`{signature.name}` has no argument `{name.text}`",
        "unknown argument",
        help=lambda: (
            other_names.argument(name.text, names)
            or did_you_mean(name.text, names)
            or (f"its arguments are {', '.join(names)}" if names else "it takes none")
        ),
    )


def _count(number: int) -> str:
    if number == 0:
        return "no arguments"
    return "1 argument" if number == 1 else f"at most {number} arguments"


def usage(signature: Signature) -> str:
    """How a call is written: `resize(size, method = ...)`, required arguments first."""
    return f"{signature.name}({', '.join(s.name if s.required else f'{s.name} = ...' for s in signature.positional[:6])})"
