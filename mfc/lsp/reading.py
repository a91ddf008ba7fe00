"""The features that read specs: each is asked of `mfc.dsl.editor`, and its answer put into the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from lsprotocol import types

from mfc.dsl.editor.code_lens import code_lenses
from mfc.dsl.editor.folding import folds, selections
from mfc.dsl.editor.hover import hover
from mfc.dsl.editor.inlay_hints import inlay_hints
from mfc.dsl.editor.links import links
from mfc.dsl.editor.navigation import (
    Place,
    PythonLocation,
    definition,
    highlights,
    references,
    symbol_at,
    type_definition,
)
from mfc.dsl.editor.outline import Entry, outline, workspace_symbols
from mfc.dsl.editor.semantic_tokens import MODIFIERS, TYPES, semantic_tokens
from mfc.lsp.question import FileQuestion, Question

LEGEND = types.SemanticTokensLegend([*TYPES], [*MODIFIERS])

_FOLDS = {
    "region": types.FoldingRangeKind.Region,
    "comment": types.FoldingRangeKind.Comment,
    "imports": types.FoldingRangeKind.Imports,
}
_SYMBOLS = {
    "param": types.SymbolKind.Constant,
    "let": types.SymbolKind.Constant,
    "data": types.SymbolKind.Struct,
    "tokenizer": types.SymbolKind.Object,
    "optimizer": types.SymbolKind.Object,
    "block": types.SymbolKind.Function,
    "model": types.SymbolKind.Class,
    "train": types.SymbolKind.Event,
    "evaluate": types.SymbolKind.Event,
    "export": types.SymbolKind.Event,
    "group": types.SymbolKind.Namespace,
    "phase": types.SymbolKind.Namespace,
    "module": types.SymbolKind.Class,
}


def show_hover(question: FileQuestion, params: types.HoverParams) -> types.Hover | None:
    document, offset = question.near(params.position)
    found = hover(document, offset)
    if found is None:
        return None
    text = types.MarkupContent(types.MarkupKind.Markdown, found.markdown)
    return types.Hover(text, question.range(found.span))


def show_inlay_hints(question: FileQuestion, params: types.InlayHintParams) -> list[types.InlayHint]:
    positions = question.analysis.file.positions
    start, end = positions.offsets(params.range)
    return [
        types.InlayHint(
            position=positions.position(hint.offset),
            label=hint.label,
            kind=types.InlayHintKind.Parameter if hint.kind == "arguments" else types.InlayHintKind.Type,
            tooltip=hint.more or None,
            padding_left=hint.kind != "arguments",
            padding_right=hint.kind == "arguments",
        )
        for hint in inlay_hints(question.document, start, end, question.workspace.hints)
    ]


def show_lenses(question: FileQuestion, _: types.CodeLensParams) -> list[types.CodeLens]:
    """The commands are the client's: it has the terminal. They take the spec's URI and the name of a declaration; the
    options are asked for when one is run, which they also are where no lens is."""
    return [
        types.CodeLens(
            question.range(lens.span),
            types.Command(
                lens.title, lens.command, arguments=[question.workspace.uri(lens.path), lens.target]
            ),
        )
        for lens in code_lenses(question.document)
    ]


# ── from a name to where it comes from, and to where it is used ─────────────────────────────────────────


def go_to_definition(question: FileQuestion, params: types.DefinitionParams) -> list[types.Location]:
    return _places(question, definition(question.document, question.offset(params.position)))


def go_to_type_definition(question: FileQuestion, params: types.TypeDefinitionParams) -> list[types.Location]:
    return _places(question, type_definition(question.document, question.offset(params.position)))


def _places(question: FileQuestion, places: Iterable[Place]) -> list[types.Location]:
    return [
        question.python_location(place)
        if isinstance(place, PythonLocation)
        else question.location(place.path, place.span)
        for place in places
    ]


def find_references(question: FileQuestion, params: types.ReferenceParams) -> list[types.Location]:
    symbol = symbol_at(question.document, question.offset(params.position))
    if symbol is None:
        return []
    found = references(question.documents(symbol.name), symbol, params.context.include_declaration)
    return [question.location(place.path, place.span) for place in found]


def highlight(question: FileQuestion, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
    found = highlights(question.document, question.offset(params.position))
    kinds = types.DocumentHighlightKind
    return [
        types.DocumentHighlight(question.range(place.span), kinds.Write if place.defines else kinds.Read)
        for place in found
    ]


# ── what is in a file ───────────────────────────────────────────────────────────────────────────────────


def document_symbols(question: FileQuestion, _: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    return [_symbol(question, entry) for entry in outline(question.document.file)]


def _symbol(question: FileQuestion, entry: Entry) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        name=entry.name,
        kind=_SYMBOLS.get(entry.kind, types.SymbolKind.Variable),
        range=question.range(entry.span),
        selection_range=question.range(entry.name_span),
        detail=entry.detail,
        children=[_symbol(question, child) for child in entry.children],
    )


def symbols_of_workspace(
    question: Question, params: types.WorkspaceSymbolParams
) -> list[types.WorkspaceSymbol]:
    return [
        types.WorkspaceSymbol(
            location=question.location(found.path, found.entry.name_span),
            name=found.entry.name,
            kind=_SYMBOLS.get(found.entry.kind, types.SymbolKind.Variable),
            container_name=found.container or None,
        )
        for found in workspace_symbols(question.parsed(), params.query)
    ]


def document_links(question: FileQuestion, _: types.DocumentLinkParams) -> list[types.DocumentLink]:
    return [
        types.DocumentLink(question.range(link.span), question.workspace.uri(link.path), link.tooltip)
        for link in links(question.document)
    ]


# ── how a file looks ────────────────────────────────────────────────────────────────────────────────────


def folding_ranges(question: FileQuestion, _: types.FoldingRangeParams) -> list[types.FoldingRange]:
    found = []
    for fold in folds(question.document):
        place = question.range(fold.span)
        start, end = place.start, place.end
        found.append(
            types.FoldingRange(start.line, end.line, start.character, end.character, _FOLDS[fold.kind])
        )
    return found


def selection_ranges(
    question: FileQuestion, params: types.SelectionRangeParams
) -> list[types.SelectionRange]:
    found = []
    for position in params.positions:
        within: types.SelectionRange | None = None
        for span in reversed(selections(question.document, question.offset(position))):
            within = types.SelectionRange(question.range(span), within)
        found.append(within or types.SelectionRange(types.Range(position, position)))
    return found


def tokens(question: FileQuestion, part: types.Range | None = None, without: Sequence[str] = ()) -> list[int]:
    """The tokens of a file, or of a part of it, five numbers each: how many lines and columns it begins behind the last
    one, its length, its type and its modifiers. Those of some types can be left out."""
    positions = question.analysis.file.positions
    first, last = (0, len(positions.text)) if part is None else positions.offsets(part)
    numbers: list[int] = []
    line = column = 0
    for token in semantic_tokens(question.document):
        if token.end <= first or token.start >= last or token.type in without:
            continue
        start, end = positions.position(token.start), positions.position(token.end)
        column = column if start.line == line else 0
        modifiers = sum(1 << MODIFIERS.index(modifier) for modifier in token.modifiers)
        numbers += (
            start.line - line, start.character - column, end.character - start.character,
            TYPES.index(token.type), modifiers,
        )  # fmt: skip
        line, column = start.line, start.character
    return numbers


def difference(old: Sequence[int], new: Sequence[int]) -> list[types.SemanticTokensEdit]:
    """The one edit that makes new tokens of old ones; none where they are the same."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new)))
    rest = min(len(old), len(new)) - same
    ends: Any = zip(reversed(old), reversed(new))
    alike = min(rest, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], ends)))
    if same == len(old) == len(new):
        return []
    return [types.SemanticTokensEdit(same, len(old) - same - alike, new[same : len(new) - alike])]
