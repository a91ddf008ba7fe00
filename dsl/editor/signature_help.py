"""What a call takes, shown while its arguments are typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mfc.dsl import reference
from mfc.dsl.component import Component
from mfc.dsl.editor.cursor import Cursor, cursor
from mfc.dsl.editor.declared import parameter_form
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.symbols import Symbol
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.resolve import Declared
from mfc.dsl.scan import CLOSING, OPENING, scan, string_at
from mfc.dsl.syntax import Argument, CallExpr, DataType, Name
from mfc.dsl.words import INPUTS, STATEMENTS, TARGETS

_COMMA = re.compile(r",\s*(?![^\[]*\])")  # that stands in no list


@dataclass(frozen=True)
class Parameter:
    """One parameter: where it stands in the label, and what is said of it."""

    start: int
    end: int
    doc: str = ""


@dataclass(frozen=True)
class SignatureHelp:
    """How a call is written. `active` is the place of the parameter that is being typed, None where it is none of them."""

    label: str
    doc: str
    parameters: tuple[Parameter, ...]
    active: int | None


def signature_help(document: Document, offset: int, text: str | None = None) -> SignatureHelp | None:
    """What the innermost call around an offset takes. `text` is the file as it is now, where the document is still of an
    earlier one."""
    now = document.text if text is None else text
    start = string_at(now, offset)
    here = cursor(document, offset if start is None else start, text)
    if here is not None and not here.path:
        before = _argument_before(now, offset)
        here = None if before is None else cursor(document, before, text)
    if here is None:
        return None
    for node, argument in zip(reversed(here.path[:-1]), reversed(here.path)):
        if isinstance(node, CallExpr | DataType) and isinstance(argument, Argument):
            return _help(here, node, node.arguments.index(argument), argument)
    return None


def _argument_before(text: str, offset: int) -> int | None:
    """Where the value begins that ends before an offset, on its line: there it can be typed anew."""
    line = text.rfind("\n", 0, offset) + 1
    depth, begins = 0, None
    for token in reversed(scan(text[line:offset]).tokens):
        depth += (token.type in CLOSING) - (token.type in OPENING)
        if depth < 0 or (depth == 0 and begins is not None and token.type not in ("NAME", "DOT")):
            break
        if depth == 0:
            begins = line + token.start
    return begins


def _help(here: Cursor, call: CallExpr | DataType, position: int, argument: Argument) -> SignatureHelp | None:
    called = here.bindings.calls.get(call)
    slot = here.slot
    if called is None:
        match call:
            case CallExpr(callee=Name(text=name)) if name in FUNCTIONS:
                return _of_function(name, len(call.arguments), position)
        return None
    named = "" if slot is None else slot.name
    match called.symbol:
        case Symbol(target=Component() as component):
            written = reference.component_arguments(component)
            rest = slot is None and argument.name is None and component.rest is not None
            doc = component.summary
            return _made(component.name, written, "..." if rest else named, doc)
        case Symbol(target=Declared() as declared):
            decl = declared.decl
            params = [(parameter_form(p), "") for p in getattr(decl, "params", None) or ()]
            return _made(declared.name, params, named, getattr(decl, "doc", ""))
        case Symbol(kind="statement", name=name):
            form = STATEMENTS[name].form
            return _written(form, STATEMENTS[name].doc, position)
        case Symbol(name=name):
            words = {**INPUTS, **TARGETS}
            slots = [(f"{s.name}: {s.type}", "") for s in called.signature.slots]
            return _made(name, slots, named, words[name].doc if name in words else "")
    return None


def _of_function(name: str, count: int, position: int) -> SignatureHelp:
    """A function in the form that has as many parameters as there are arguments."""
    function = FUNCTIONS[name]
    form = next((f for f in function.forms if f.count(",") + 1 >= count), function.forms[-1])
    return _written(form, function.doc, position)


def _written(form: str, doc: str, position: int) -> SignatureHelp:
    """A signature as the reference writes it: `concat(TENSOR, ...)`."""
    name, _, rest = form.partition("(")
    parts = [(part, "") for part in _COMMA.split(rest.removesuffix(")"))]
    return _made(name, parts, parts[min(position, len(parts) - 1)][0], doc)


def _made(name: str, parts: Sequence[tuple[str, str]], active: str, doc: str) -> SignatureHelp:
    """The signature with the places of its parameters."""
    label, parameters, found = f"{name}(", [], None
    for place, (written, said) in enumerate(parts):
        label += ", " if place else ""
        parameters.append(Parameter(len(label), len(label) + len(written), said))
        label += written
        if found is None and written.partition(":")[0].partition("=")[0].strip() == active:
            found = place
    return SignatureHelp(f"{label})", doc, tuple(parameters), found)
