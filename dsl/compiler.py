"""The whole compiler: one call a stage. It touches no disk; sources come from `files`, components from `catalog`."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mfc.dsl import ir
from mfc.dsl.catalog import Catalog
from mfc.dsl.check import check
from mfc.dsl.diagnostics import Diagnostic, Diagnostics
from mfc.dsl.evaluate import Evaluator
from mfc.dsl.instances import instance_name
from mfc.dsl.needs import around, errors_for
from mfc.dsl.plan import loading, placed, plan
from mfc.dsl.plan_code import CodeHash
from mfc.dsl.recording import Recording
from mfc.dsl.resolve import Files, Program, resolve
from mfc.dsl.source import Source
from mfc.dsl.typed import Checked
from mfc.dsl.values import Shape


@dataclass(frozen=True)
class Compiled:
    """A spec as the compiler understood it, with all that it has to say about it."""

    program: Program
    checked: Checked
    diagnostics: Sequence[Diagnostic]
    catalog: Catalog
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    standard: str
    """The folder of the files that come with the compiler, which are no part of the spec's own."""

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity == "error"]

    def errors_for(self, targets: Iterable[str]) -> list[Diagnostic]:
        """The errors that keep targets from being run: those in what they need; all where there are no targets."""
        return errors_for(self.program, self.errors, targets)

    @property
    def folder(self) -> str:
        """Where relative paths start: the folder of the spec that is compiled."""
        return posixpath.dirname(self.program.entry.path)

    def plan(self, code_hash: CodeHash, targets: Iterable[str] = ()) -> ir.Plan:
        """The stages of targets without errors."""
        targets = tuple(targets)
        assert not self.errors_for(targets)
        name = self.program.entry.file.source.name
        program = self.program
        own = [path for path in program.modules if not path.startswith(posixpath.join(self.standard, ""))]
        sources = [*own, *program.user_files]
        return plan(self.checked, name, self.folder, code_hash, targets, sources)

    def names(self) -> list[str]:
        """What can be a target of a run: instances, declarations for all of theirs, and phases."""
        return list(dict.fromkeys(name for names in self.checked.targets().values() for name in names))

    def named(self, written: str) -> str:
        """The name of an instance, or of a phase of one, that is written as a call of the spec's language: `fit( 1 )` is
        `fit(seed=1)`. All else is given back as it is."""
        if written in self.names():
            return written
        evaluator = Evaluator(self.program, self.catalog, self.settings, self.facts, Diagnostics())
        return instance_name(evaluator, written)

    def loading(self, data: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """How batches of a data block are drawn: what decides them, and what only places them."""
        return loading(self.checked, data, self.folder)

    def model(self, name: str) -> tuple[ir.Stack, Shape]:
        """The first model of that name with its layers, its files where they lie, and the shape that goes in. Raises
        KeyError."""
        for declared, model in self.checked.models.items():
            if declared.name == name:
                return placed(model.stack, self.folder), model.into
        raise KeyError(name)


def compile(
    source: Source,
    path: str,
    files: Files,
    catalog: Catalog,
    settings: Mapping[str, Any] = {},
    facts: Mapping[str, Any] = {},
    opening: bool = False,
    recording: Recording | None = None,
    at: int | None = None,
) -> Compiled:
    """Compiles the spec at an absolute path.

    `settings` are the values of params from outside; `facts` what is known of the data, such as
    `cifar.classes`. With `opening`, a param without a value is no error: the spec is looked at, not run. What
    expressions are found to be is added to `recording`. With `at`, an offset of the source, only what bears on that
    place is checked, which takes a fraction of the time; the diagnostics are not all then.
    """
    diagnostics = Diagnostics()
    program = resolve(source, path, files, catalog, diagnostics)
    only = None if at is None else around(program, at)
    checked = check(program, catalog, settings, facts, diagnostics, opening, recording, only)
    return Compiled(program, checked, tuple(diagnostics), catalog, settings, facts, files.standard)
