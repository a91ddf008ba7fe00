"""What can stand in an expression: what fits the type that is wanted there first."""

from __future__ import annotations

from typing import Any

from mfc.dsl import types
from mfc.dsl import want as wanted
from mfc.dsl.annotations import KINDS
from mfc.dsl.attributes import PARTS
from mfc.dsl.calls import Signature, Slot
from mfc.dsl.check_data import OF_MODEL
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.editor import snippets
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.facts import value_in_words
from mfc.dsl.editor.members import groups_of, has_size, member_in_words
from mfc.dsl.editor.offers import Offers, Rank
from mfc.dsl.editor.offers_in_bodies import STACKS, offer_from_files
from mfc.dsl.editor.offers_in_strings import offer_columns, offer_groups
from mfc.dsl.editor.symbols import Symbol, declared_symbol
from mfc.dsl.functions import FUNCTIONS
from mfc.dsl.params import type_of
from mfc.dsl.resolve import Declared, Used
from mfc.dsl.syntax import (
    DECLARED,
    Argument,
    BodyDecl,
    DataDecl,
    Expr,
    FieldStmt,
    LetStmt,
    ListExpr,
    Literal,
    Name,
    Param,
    Parameter,
    declaration_kind,
)
from mfc.dsl.types import ANY, BOOL, INT, NONE, AnyType, Choice, Kind, NoneType, Type, overlaps
from mfc.dsl.wording import string
from mfc.dsl.words import INPUTS

_NO_VALUES = (Kind("evaluate"), Kind("export"))
_IMPORTED = tuple(kind for kind in DECLARED if kind not in ("param", "let", "evaluate", "export"))
"""The kinds of declarations that are looked for in other files."""


def offer_values(offers: Offers) -> None:
    """Everything that can stand where an expression stands."""
    here = offers.here
    assert here.name is not None
    want = here.bindings.wants.get(here.name, ANY)
    match here.path:
        case [LetStmt(name=name), Name()]:
            want = here.document.wanted_of(name.text)
    _words(offers, want)
    offer_groups(offers)
    offer_columns(offers)
    _locals(offers, want)
    _own(offers, want)
    _of_catalog(offers, want)
    match here.path[-2]:
        case Argument(name=None):
            offer_arguments(offers)
    _keywords(offers, want)


def offer_arguments(offers: Offers) -> None:
    """The arguments of the call that are not given yet."""
    here, called = offers.here, offers.here.called
    if called is None or here.followed == "DOT":
        return
    own = next(node for node in reversed(here.path) if isinstance(node, Argument))
    before = [argument for argument in called.call.arguments if argument is not own]
    positional = [a for a in before if a.name is None]
    given = {slot.name for slot, _ in zip(called.signature.positional, positional)}
    given |= {a.name.text for a in before if a.name is not None} | {*here.given_after()}
    for order, slot in enumerate(called.signature.slots):
        if slot.name not in given and called.symbol.kind != "statement":
            symbol = Symbol("argument", slot.name, called.symbol.home, -1, slot)
            label = slot.name if here.followed == "EQUAL" else f"{slot.name} ="
            text = label.replace("=", "= ")
            detail = f"{slot.type}{'' if slot.required else f' = {_shown(slot.default)}'}"
            offers.add(
                label, "argument", Rank.ARGUMENT, detail, text, order=order, symbol=symbol, within=called.symbol
            )  # fmt: skip


def _shown(default: Any) -> str:
    return default.span.text if hasattr(default, "span") else value_in_words(default)


# ── by what is wanted ───────────────────────────────────────────────────────────────────────────────────


def _words(offers: Offers, want: Type) -> None:
    """The choices, `true` and `false`."""
    document = offers.here.document
    taken = {*document.module.names, *offers.here.locals, *FUNCTIONS, *document.compiled.catalog.constants}
    for of in wanted.members(want):
        if isinstance(of, Choice):
            for value in of.values:
                word = types.text(value)
                bare = (
                    word.isidentifier() and word not in taken and not document.compiled.catalog.kinds_of(word)
                )
                text = word if bare or not isinstance(value, str) else string(word)
                offers.add(word, "choice", Rank.WORD, str(of), text, symbol=Symbol("choice", word))
        if of == BOOL:
            for word in ("true", "false"):
                offers.add(word, "keyword", Rank.WORD)
        if of == Kind("shape"):
            for word, sizes in OF_MODEL.items():
                text = snippets.call(Signature(word, [Slot(size, INT, True) for size in sizes]))
                symbol = Symbol("type", word)
                offers.add(word, "type", Rank.WORD, INPUTS[word].form, text, snippet=True, symbol=symbol)


def _locals(offers: Offers, want: Type) -> None:
    """The names of the body."""
    for symbol in offers.here.locals.values():
        if symbol.kind in ("phase", "group") or (
            symbol.kind == "module" and not overlaps(want, Kind("module"))
        ):
            continue
        of = _type_of_local(symbol)
        if (rank := _rank(want, of)) is not None:
            offers.symbol(symbol, rank, "" if of == ANY else str(of))
    if offers.here.body_kind in STACKS:
        wants_it = overlaps(want, Kind("tensor")) and isinstance(offers.here.path[-2], LetStmt)
        rank = Rank.OWN if wants_it else Rank.LOCAL
        offers.add("x", "tensor", rank, "the current tensor", symbol=Symbol("tensor", "x"))


def _rank(want: Type, of: Type) -> Rank | None:
    """How likely a name of a type is meant where another type is wanted; None where it is of no use."""
    if isinstance(want, AnyType):
        return Rank.LOCAL if isinstance(of, Kind) else Rank.OWN
    parts = [wanted.item(member) or member for member in wanted.members(want)]
    if isinstance(of, AnyType):
        return Rank.LOCAL if all(isinstance(part, Kind | NoneType) for part in parts) else Rank.OWN
    if overlaps(want, of):
        return Rank.OWN
    worked_out = not all(isinstance(part, Kind | NoneType | Choice) for part in parts)  # from other things
    return Rank.LOCAL if worked_out and (not isinstance(of, Kind) or of == Kind("tensor")) else None


def _type_of_local(symbol: Symbol) -> Type:
    match symbol.target:
        case Parameter(type=written) if written is not None:
            return type_of(written, Diagnostics())
        case Parameter(default=Literal(value)) if value is not None:
            return types.type_of(value)
        case LetStmt(value=value) if symbol.kind == "variable":
            return _type_of_expr(value)
    return Kind(symbol.kind) if symbol.kind in ("tensor", "module") else ANY


def _type_of_expr(expr: Expr) -> Type:
    """What is plain to see of an expression."""
    match expr:
        case Literal(value):
            return types.type_of(value)
        case ListExpr(items):
            return types.list_of(types.union([_type_of_expr(item) for item in items]) if items else ANY)
    return ANY


def type_of_declared(document: Document, declared: Declared) -> Type:
    """The type of what a declaration stands for."""
    match declared.decl:
        case Param(type=written):
            return type_of(written, Diagnostics())
        case LetStmt(value=value):
            found = document.values(value)
            return types.type_of(found[0]) if found else _type_of_expr(value)
    return Kind(declaration_kind(declared.decl))


def _own(offers: Offers, want: Type) -> None:
    """What the file declares and imports."""
    here = offers.here
    item, document = wanted.item(want), here.document
    for name, binding in document.module.names.items():
        if name in here.locals:
            continue
        if isinstance(binding, Used):
            for component in binding.components:
                _offer_component(offers, component, want, Rank.OWN, Rank.LOCAL)
        if not isinstance(binding, Declared) or document.leads_to(name, here.declares):
            continue
        of = type_of_declared(document, binding)
        if of in _NO_VALUES:
            continue
        if (rank := _rank(want, of)) is not None:
            offers.declared(binding, rank)
        elif item is not None and overlaps(item, of) and isinstance(of, Kind):
            offers.declared(binding, Rank.OWN, listed=True)
        _offer_members(offers, binding, want)
    kinds = wanted.kinds(want) or wanted.kinds(item or ANY)
    offer_from_files(
        offers,
        declared=[kind for kind in kinds if kind in _IMPORTED],
        components=[kind for kind in kinds if kind in KINDS],
        listed=not wanted.kinds(want),
    )


def _offer_members(offers: Offers, declared: Declared, want: Type) -> None:
    """Parts of data blocks, numbers of classes, groups of trained models, where one is wanted."""
    symbol, document = declared_symbol(declared), offers.here.document
    parameters = getattr(declared.decl, "params", None)
    if any(p.default is None for p in parameters or ()):
        return
    name = declared.name + ("" if parameters is None else "()")
    item = wanted.item(want) or want
    found: list[tuple[str, Symbol, Rank]] = []
    if symbol.kind == "data" and not isinstance(want, AnyType):
        if overlaps(want, Kind("part")) or overlaps(item, Kind("part")):
            found += [(part, Symbol("attribute", part, "data"), Rank.OWN) for part in PARTS]
        if overlaps(want, INT) and has_size(symbol, "classes"):
            slot = offers.here.slot
            rank = Rank.OWN if slot is not None and "class" in slot.name else Rank.LOCAL
            found.append(("classes", Symbol("attribute", "classes", "data"), rank))
    if symbol.kind == "train" and not isinstance(want, AnyType) and overlaps(item, Kind("initializer")):
        groups = groups_of(declared, document.compiled.catalog, document.recording)
        found += [(group, of, Rank.OWN) for group, of in groups.items()]
    for member, of, rank in found:
        offers.add(f"{name}.{member}", of.kind, rank, member_in_words(of), symbol=of)


def _of_catalog(offers: Offers, want: Type) -> None:
    """Components, functions and constants."""
    here, catalog = offers.here, offers.here.document.compiled.catalog
    taken = {*here.document.module.names, *here.locals}
    target = _target(offers)
    for component in catalog:
        if component.name not in taken:
            targets = component.facts.get("targets")
            fits = not target or not targets or target in targets
            _offer_component(offers, component, want, Rank.WANTED if fits else Rank.OTHER, Rank.OTHER)
    for name, value in catalog.constants.items():
        if name not in taken and want.accepts(value) is None:
            rank = Rank.FUNCTION if isinstance(want, AnyType) else Rank.WANTED
            symbol = Symbol("constant", name, "", -1, value)
            offers.add(name, "constant", rank, value_in_words(value), symbol=symbol)
    for name, function in FUNCTIONS.items():
        of_any = wanted.item(function.result) == ANY and not isinstance(want, AnyType)
        if of_any and wanted.kinds(wanted.item(want) or ANY):
            continue  # a list of numbers, most likely
        if name not in taken and overlaps(want, function.result):
            rank = (
                Rank.WANTED
                if wanted.kinds(function.result) and not isinstance(want, AnyType)
                else Rank.FUNCTION
            )
            text = name if here.followed == "LPAR" else f"{name}($0)"
            symbol = Symbol("function", name)
            offers.add(name, "function", rank, function.forms[0], text, snippet="$" in text, symbol=symbol)


def _target(offers: Offers) -> str:
    """What the data of the train around the place has as its target; empty where there is none before it."""
    match offers.here.path:
        case [BodyDecl(kind="train", body=body), *_]:
            for statement in body:
                match statement:
                    case FieldStmt(name=Name(text="data"), value=Name(text=name)):
                        decl = getattr(offers.here.document.module.names.get(name), "decl", None)
                        if isinstance(decl, DataDecl) and decl.target.name is not None:
                            return decl.target.name.text
                    case _:
                        pass
    return ""


def _offer_component(offers: Offers, component: Any, want: Type, fitting: Rank, other: Rank) -> None:
    of, item = Kind(component.kind), wanted.item(want)
    if isinstance(want, AnyType):
        offers.component(component, other)
    elif overlaps(want, of):
        offers.component(component, fitting)
    elif item is not None and not isinstance(item, AnyType) and overlaps(item, of):
        offers.component(component, fitting, listed=True)


def _keywords(offers: Offers, want: Type) -> None:
    """`if`, `not`, `none`, and what opens layers that are kept."""
    here = offers.here
    any_ = isinstance(want, AnyType)
    if "IF" in here.expected:
        offers.add("if", "keyword", Rank.KEYWORD, text=snippets.VALUES["if"], snippet=True)
    if "NOT" in here.expected and (any_ or want == BOOL):
        offers.add("not", "keyword", Rank.KEYWORD, text="not ")
    if "TRUE" in here.expected and any_:
        for word in ("true", "false"):
            offers.add(word, "keyword", Rank.KEYWORD)
    if "NONE" in here.expected and (
        any_ or NONE in wanted.members(want) or isinstance(here.path[-2], ListExpr)
    ):
        offers.add("none", "keyword", Rank.KEYWORD)
    if "LOG" in here.expected:
        offers.add("log", "keyword", Rank.WORD, text="log($0)", snippet=True)
    if "BRANCH" in here.expected and here.body_kind in STACKS:
        for word in ("branch", "module"):
            offers.add(word, "keyword", Rank.STATEMENT, text=snippets.VALUES[word], snippet=True)
