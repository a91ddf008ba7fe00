"""What a client can ask, and what it is told of that when it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lsprotocol import types

from mfc.lsp import reading, writing
from mfc.lsp.question import FileQuestion

FEATURES: dict[str, Callable[[FileQuestion, Any], Any]] = {
    types.TEXT_DOCUMENT_HOVER: reading.show_hover,
    types.TEXT_DOCUMENT_DEFINITION: reading.go_to_definition,
    types.TEXT_DOCUMENT_DECLARATION: reading.go_to_definition,
    types.TEXT_DOCUMENT_TYPE_DEFINITION: reading.go_to_type_definition,
    types.TEXT_DOCUMENT_REFERENCES: reading.find_references,
    types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: reading.highlight,
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: reading.document_symbols,
    types.TEXT_DOCUMENT_DOCUMENT_LINK: reading.document_links,
    types.TEXT_DOCUMENT_INLAY_HINT: reading.show_inlay_hints,
    types.TEXT_DOCUMENT_CODE_LENS: reading.show_lenses,
    types.TEXT_DOCUMENT_FOLDING_RANGE: reading.folding_ranges,
    types.TEXT_DOCUMENT_SELECTION_RANGE: reading.selection_ranges,
    types.TEXT_DOCUMENT_SIGNATURE_HELP: writing.show_signature,
    types.TEXT_DOCUMENT_CODE_ACTION: writing.offer_actions,
    types.TEXT_DOCUMENT_PREPARE_RENAME: writing.prepare_rename,
    types.TEXT_DOCUMENT_RENAME: writing.rename_symbol,
    types.TEXT_DOCUMENT_FORMATTING: writing.format_file,
    types.TEXT_DOCUMENT_RANGE_FORMATTING: writing.format_part,
}
"""What is asked about a file."""

OVER_FILES = {
    types.TEXT_DOCUMENT_DEFINITION,
    types.TEXT_DOCUMENT_DECLARATION,
    types.TEXT_DOCUMENT_TYPE_DEFINITION,
    types.TEXT_DOCUMENT_REFERENCES,
    types.TEXT_DOCUMENT_PREPARE_RENAME,
    types.TEXT_DOCUMENT_RENAME,
}
"""What is answered with places in other files: these are looked at first."""

OPTIONS: dict[str, Any] = {
    types.TEXT_DOCUMENT_CODE_ACTION: types.CodeActionOptions(
        [types.CodeActionKind.QuickFix, writing.FIX_ALL]
    ),
    types.TEXT_DOCUMENT_SIGNATURE_HELP: types.SignatureHelpOptions(["(", ","], [")"]),
}

COMPLETION = types.CompletionOptions(trigger_characters=[".", '"', "/", "(", "="], resolve_provider=True)

MOVES = types.FileOperationRegistrationOptions(
    [
        types.FileOperationFilter(types.FileOperationPattern(glob, kind), "file")
        for glob, kind in (
            ("**/*.mfs", types.FileOperationPatternKind.File),
            ("**/*.py", types.FileOperationPatternKind.File),
            ("**", types.FileOperationPatternKind.Folder),
        )
    ]
)
"""What is heard of before it is moved: imports may name it."""
