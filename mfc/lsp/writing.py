"""The features that help to write specs: each is asked of `mfc.dsl.editor`, and its answer put into the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsprotocol import types

from mfc.dsl.editor.code_actions import Action, code_actions, fix_all, mistakes
from mfc.dsl.editor.completion import complete, documentation
from mfc.dsl.editor.document import Document
from mfc.dsl.editor.edits import Edit
from mfc.dsl.editor.file_moves import moving
from mfc.dsl.editor.navigation import symbol_at
from mfc.dsl.editor.offers import Completion
from mfc.dsl.editor.rename import Refused, prepare, rename
from mfc.dsl.editor.signature_help import signature_help
from mfc.dsl.format import Edit as Layout
from mfc.dsl.format import format_edits, format_range
from mfc.lsp.analysis import Finding
from mfc.lsp.diagnostics import diagnostic_of
from mfc.lsp.positions import UTF16, Positions
from mfc.lsp.question import FileQuestion, Question, Refusal

FIX_ALL = f"{types.CodeActionKind.SourceFixAll.value}.mfc"

_KINDS = {
    "param": types.CompletionItemKind.Constant,
    "let": types.CompletionItemKind.Constant,
    "data": types.CompletionItemKind.Struct,
    "tokenizer": types.CompletionItemKind.Struct,
    "optimizer": types.CompletionItemKind.Struct,
    "block": types.CompletionItemKind.Function,
    "model": types.CompletionItemKind.Class,
    "train": types.CompletionItemKind.Event,
    "evaluate": types.CompletionItemKind.Event,
    "export": types.CompletionItemKind.Event,
    "module": types.CompletionItemKind.Class,
    "group": types.CompletionItemKind.Module,
    "phase": types.CompletionItemKind.Module,
    "component": types.CompletionItemKind.Function,
    "function": types.CompletionItemKind.Function,
    "statement": types.CompletionItemKind.Function,
    "constant": types.CompletionItemKind.Constant,
    "choice": types.CompletionItemKind.EnumMember,
    "attribute": types.CompletionItemKind.Property,
    "field": types.CompletionItemKind.Field,
    "argument": types.CompletionItemKind.Property,
    "type": types.CompletionItemKind.TypeParameter,
    "declaration": types.CompletionItemKind.Snippet,
    "keyword": types.CompletionItemKind.Keyword,
    "file": types.CompletionItemKind.File,
    "folder": types.CompletionItemKind.Folder,
}


def markdown(text: str) -> types.MarkupContent | None:
    return types.MarkupContent(types.MarkupKind.Markdown, text) if text else None


def text_edits(question: FileQuestion, edits: Iterable[Edit]) -> list[types.TextEdit]:
    return [types.TextEdit(question.range(edit.span), question.lines(edit.text)) for edit in edits]


# ── mistakes ────────────────────────────────────────────────────────────────────────────────────────────


def offer_actions(question: FileQuestion, params: types.CodeActionParams) -> list[types.CodeAction]:
    """What mends the mistakes of a range, and all that is certain at once. At a single mistake the latter is there only
    where a client asks for it: it would mend what nobody looks at."""
    only = params.context.only
    found: list[types.CodeAction] = []
    start, end = question.analysis.file.positions.offsets(params.range)
    if _wanted(types.CodeActionKind.QuickFix, only):
        actions = code_actions(question.document, start, end, question.analysis.overlay.unnoted())
        found += [_action(question, action, types.CodeActionKind.QuickFix) for action in actions]
    everything = only is not None or len(mistakes(question.document, start, end)) != 1
    if everything and _wanted(FIX_ALL, only) and (action := fix_all(question.document)) is not None:
        found.append(_action(question, action, FIX_ALL))
    return found


def _wanted(kind: str, only: Sequence[str] | None) -> bool:
    """Whether a kind is asked for: all are, or it is within one of some."""
    return only is None or any(kind == asked or kind.startswith(asked + ".") for asked in only)


def _action(question: FileQuestion, action: Action, kind: str) -> types.CodeAction:
    mended = action.diagnostic and diagnostic_of(
        Finding(action.diagnostic, question.analysis), question.workspace
    )
    return types.CodeAction(
        title=action.title,
        kind=kind,
        diagnostics=[mended] if mended else None,
        is_preferred=action.preferred or None,
        edit=question.workspace_edit({question.analysis.file.path: text_edits(question, action.edits)}),
    )


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────


def prepare_rename(
    question: FileQuestion, params: types.PrepareRenameParams
) -> types.PrepareRenamePlaceholder:
    offset = question.offset(params.position)
    found = prepare(question.document, offset, question.workspace.holds)
    if isinstance(found, Refused):
        raise Refusal(found.message)
    return types.PrepareRenamePlaceholder(question.range(found.span), found.name)


def rename_symbol(question: FileQuestion, params: types.RenameParams) -> types.WorkspaceEdit:
    """Another name in all files, as they are when the answer is made. Those that are open are changed only as long as
    they are as they were looked at."""
    offset = question.offset(params.position)
    symbol = symbol_at(question.document, offset)
    analyses = [] if symbol is None else [*question.analyses(symbol.name)]
    documents = (document for analysis in analyses for document in analysis.documents())
    found = rename(documents, question.document, offset, params.new_name, question.workspace.holds)
    if isinstance(found, Refused):
        raise Refusal(found.message)
    if any(analysis.outdated for analysis in analyses):
        raise Refusal("files have changed meanwhile, ask again")
    return question.workspace_edit({path: text_edits(question, edits) for path, edits in found.edits.items()})


def move_files(question: Question, params: types.RenameFilesParams) -> types.WorkspaceEdit | None:
    """The imports of all specs as they must be when files lie elsewhere. It is made before these are moved."""
    path = question.workspace.path
    moves = {path(file.old_uri): path(file.new_uri) for file in params.files}
    found = moving(question.parsed(), moves, question.workspace.standard)
    edits = {
        path: [types.TextEdit(question.range(edit.span), edit.text) for edit in edits]
        for path, edits in found.items()
    }
    return question.workspace_edit(edits) if edits else None


# ── layout ──────────────────────────────────────────────────────────────────────────────────────────────


def format_file(question: FileQuestion, _: types.DocumentFormattingParams) -> list[types.TextEdit]:
    return _layout(question, format_edits(question.analysis.file.text))


def format_part(question: FileQuestion, params: types.DocumentRangeFormattingParams) -> list[types.TextEdit]:
    """Formats the lines that a range has a part of; one that ends where a line begins has none of that, unless it is
    empty: old Neovims say so of a single line."""
    file, first, end = question.analysis.file, params.range.start.line, params.range.end
    if end.character or end == params.range.start:
        end = types.Position(end.line + 1, 0)
    lines = types.Range(types.Position(first, 0), end)
    return _layout(question, format_range(file.text, *file.positions.offsets(lines)))


def _layout(question: FileQuestion, edits: Iterable[Layout]) -> list[types.TextEdit]:
    range = question.analysis.file.positions.range
    return [types.TextEdit(range(edit.start, edit.end), edit.text) for edit in edits]


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────


def show_signature(question: FileQuestion, params: types.SignatureHelpParams) -> types.SignatureHelp | None:
    found = signature_help(*question.near(params.position))
    if found is None:
        return None
    label = Positions(found.label, UTF16)  # counted so whatever was agreed on: it is no position in a file
    active = len(found.parameters) if found.active is None else found.active  # behind the last: none of them
    shown = types.SignatureInformation(
        label=found.label,
        documentation=markdown(found.doc),
        parameters=[
            types.ParameterInformation(
                (label.position(parameter.start).character, label.position(parameter.end).character),
                markdown(parameter.doc),
            )
            for parameter in found.parameters
        ],
        active_parameter=active,  # a null here, which is what is sent without it, means none to newer clients
    )
    return types.SignatureHelp([shown], active_signature=0, active_parameter=active)


# ── completion ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Offered:
    """What was offered at a place, kept as long as the client may ask for the documentation of one of them."""

    document: Document
    completions: Sequence[Completion]
    items: Sequence[types.CompletionItem]


def offer(question: FileQuestion, params: types.CompletionParams) -> Offered:
    document, offset = question.near(params.position)
    found = complete(document, offset, question.analysis.overlay.unnoted())
    return Offered(document, found, [_item(question, at, completion) for at, completion in enumerate(found)])


def _item(question: FileQuestion, at: int, completion: Completion) -> types.CompletionItem:
    """A client that can't fill in what is left open gets the bare name."""
    snippet = completion.snippet and question.workspace.client.snippets
    text = completion.label if completion.snippet and not snippet else completion.text
    return types.CompletionItem(
        label=completion.label,
        kind=_KINDS.get(completion.kind, types.CompletionItemKind.Variable),
        detail=completion.detail or None,
        sort_text=f"{at:05}",
        insert_text_format=types.InsertTextFormat.Snippet if snippet else None,
        text_edit=types.TextEdit(question.range(completion.span), question.lines(text)),
        additional_text_edits=text_edits(question, completion.edits) or None,
        data=at,
    )


def resolve(offered: Offered, item: types.CompletionItem) -> types.CompletionItem:
    """An item that was offered, with its documentation."""
    assert isinstance(item.data, int)
    item.documentation = markdown(documentation(offered.document, offered.completions[item.data]))
    return item
