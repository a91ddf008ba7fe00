"""What the compiler says about a spec: one value, which `mfc.dsl.render` writes in several forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from mfc.dsl.source import Span
from mfc.dsl.suggest import Hint

Severity = Literal["error", "warning"]

MAX_SOUGHT = 50
"""Findings of a spec whose help is looked for among names: that takes as long as there are names."""


@dataclass(frozen=True)
class Fix:
    """A change that would mend it: `span`, of the file that it is about, replaced by `text`, described by `title` (an
    infinitive). What is not `certain` is one of several things that may have been meant."""

    title: str
    span: Span
    text: str
    certain: bool = True


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    `message` says what is wrong, `label` what stands at the span (a few words under the carets),
    `labels` other places that matter, `help` what to write instead, `notes` further facts.
    `code` is stable: E is an error, W a warning, R an error of a run; each has a page in docs/errors.
    `checked` are the declarations whose check came upon it. What is `unnecessary` can be left out: editors grey it.
    """

    code: str
    message: str
    span: Span
    label: str = ""
    labels: tuple[tuple[Span, str], ...] = ()
    help: str = ""
    notes: tuple[str, ...] = ()
    fix: Fix | None = None
    unnecessary: bool = False
    checked: set[Any] = field(default_factory=set, compare=False, repr=False)

    @property
    def severity(self) -> Severity:
        return "warning" if self.code.startswith("W") else "error"


@dataclass
class Diagnostics:
    """Findings in the making: every stage adds to one of these."""

    found: list[Diagnostic] = field(default_factory=list)
    _seen: dict[tuple, Diagnostic] = field(default_factory=dict)
    _checking: Any = None
    _sought: int = 0

    def add(
        self,
        code: str,
        span: Span,
        message: str,
        label: str = "",
        *,
        labels: tuple[tuple[Span, str], ...] = (),
        help: str | Callable[[], str] = "",
        notes: tuple[str, ...] = (),
        fix: Fix | None = None,
        unnecessary: bool = False,
    ) -> None:
        """Notes a finding. The same code and message at the same place is noted once, however often a body is checked. A
        hint that says what to write for a word at the span is its fix. A help that has to be looked for is given as a
        function, which only the first `MAX_SOUGHT` findings ask."""
        key = (code, span.source.name, span.start, span.end, message)
        if key not in self._seen:
            if not isinstance(help, str):
                self._sought += 1
                help = help() if self._sought <= MAX_SOUGHT else ""
            if fix is None and isinstance(help, Hint):
                fix = _written(span, help)
            self._seen[key] = Diagnostic(code, message, span, label, labels, help, notes, fix, unnecessary)
            self.found.append(self._seen[key])
        if self._checking is not None:
            self._seen[key].checked.add(self._checking)

    @contextmanager
    def checking(self, declared: Any) -> Iterator[None]:
        """What is added meanwhile was come upon in the check of a declaration."""
        before, self._checking = self._checking, declared
        try:
            yield
        finally:
            self._checking = before

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(sorted(self.found, key=lambda d: (d.span.source.name, d.span.start, d.span.end, d.code)))

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self if d.severity == "error"]


def _written(span: Span, help: Hint) -> Fix | None:
    """The fix that writes what a hint names in place of the word that it is for, where that stands in a span once."""
    found = [*re.finditer(rf"\b{re.escape(help.word)}\b", span.text)]
    if len(found) != 1:
        return None
    start, end = (span.start + at for at in found[0].span())
    return Fix(f"Write `{help.instead}`", Span(span.source, start, end), help.instead, certain=False)
