"""What is wrong with a spec, in the protocol's words."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from lsprotocol import types

from mfc.dsl.explain import codes
from mfc.lsp.positions import range_of
from mfc.lsp.workspace import Finding, Workspace

_SEVERITIES = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}


def diagnostic_of(finding: Finding, workspace: Workspace) -> types.Diagnostic:
    """A diagnostic with all that is said of it: label, help and notes in the message, other places beside it."""
    found, analysis = finding.diagnostic, finding.analysis
    help = [f"help: {found.help}"] if found.help else []
    said = [found.message, *filter(None, [found.label]), *help, *(f"note: {note}" for note in found.notes)]
    related = [
        types.DiagnosticRelatedInformation(
            types.Location(workspace.uri(path), range_of(span, workspace.client.encoding)), label
        )
        for span, label in found.labels
        if (path := analysis.path(span.source)) is not None
    ]
    page = _pages().get(found.code)
    return types.Diagnostic(
        range=range_of(found.span, workspace.client.encoding),
        message="\n".join(said),
        severity=_SEVERITIES[found.severity],
        code=found.code,
        code_description=types.CodeDescription(page) if page else None,
        source="mfc",
        related_information=related or None,
        tags=[types.DiagnosticTag.Unnecessary] if found.unnecessary else None,
    )


@cache
def _pages() -> dict[str, str]:
    """Where the page of each code lies: on this machine, as the ones that this version shows."""
    from pygls.uris import from_fs_path

    folder = files("mfc.errors")
    return {code: str(from_fs_path(str(folder.joinpath(f"{code}.md")))) for code in codes()}
