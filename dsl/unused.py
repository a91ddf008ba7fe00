"""Warnings about names that nothing uses: those that an import brings in, and those that a `let` of a body gives.

A name counts as used wherever it stands a second time, be it for something else: what is warned of is used nowhere. What
a run can be asked for is of use by itself, and so is a param; imports of such are passed over, and so are those of files
in which nothing can be run: these are there to be imported from, and may pass on what they bring in. A branch may also be
named in a string of any file, as a path of layers. Where there are errors nothing is said: a name may be meant by what is
wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator

from mfc.dsl.diagnostics import Diagnostics, Fix
from mfc.dsl.fields import RUN
from mfc.dsl.resolve import Binding, Declared, Module, Program, Used
from mfc.dsl.source import Span
from mfc.dsl.syntax import (
    BodyDecl,
    BranchStmt,
    DataDecl,
    Decl,
    ForStmt,
    GroupStmt,
    IfStmt,
    Import,
    LetStmt,
    Phase,
    Stmt,
    ValueDecl,
)

_WORD = re.compile(r"[A-Za-z_]\w*")
_BEHIND = re.compile(r"[ \t]*,?[ \t]*(?:#[^\r\n]*)?")
_LET = re.compile(r"\blet\b")
_STRING = re.compile(r'"[^"\n]*"')
_COUNT = re.compile(r"_\d*\Z")


def lint_unused(program: Program, diagnostics: Diagnostics) -> None:
    """Looks at all files of a program."""
    errors = [found.span for found in diagnostics.found if found.severity == "error"]
    in_strings = _in_strings(program)
    for module in program.modules.values():
        declarations = module.file.declarations
        wrong = sorted(span.start for span in errors if span.source is module.file.source)
        if not wrong and any(isinstance(decl, BodyDecl) and decl.kind in RUN for decl in declarations):
            _imports(program, module, diagnostics)
        for decl in declarations:
            right = bisect_left(wrong, decl.span.start) == bisect_right(wrong, decl.span.end)
            if right and isinstance(decl, BodyDecl | DataDecl) and _LET.search(decl.span.text):
                _lets(decl, in_strings, diagnostics)


def _imports(program: Program, module: Module, diagnostics: Diagnostics) -> None:
    imports = [decl for decl in module.file.declarations if isinstance(decl, Import)]
    words = _words_outside(module, imports) if imports else frozenset()
    for decl in imports:
        for place, name in enumerate(decl.names):
            binding = module.names.get(name.text)
            if name.text in words or not _is_for_use(binding) or _passed_on(program, module, name.text):
                continue
            diagnostics.add(
                "W0219",
                name.span,
                f"`{name.text}` is imported and never used",
                "not named anywhere else in this file",
                help="leave it out",
                fix=Fix(f"Remove `{name.text}`", _of_import(decl, place), "", certain=False),
                unnecessary=True,
            )


def _words_outside(module: Module, imports: list[Import]) -> frozenset[str]:
    """All words of a file, but for those of its imports."""
    text, pieces, at = module.file.source.text, [], 0
    for decl in imports:
        pieces.append(text[at : decl.span.start])
        at = decl.span.end
    return frozenset(_WORD.findall("\n".join([*pieces, text[at:]])))


def _is_for_use(binding: Binding | None) -> bool:
    """Whether what a name stands for is of no use where nothing names it."""
    match binding:
        case Used():
            return True
        case Declared(decl=LetStmt() | ValueDecl() | BodyDecl(kind="block" | "model")):
            return True
    return False


def _passed_on(program: Program, module: Module, name: str) -> bool:
    """Whether another file has the same thing by the same name, maybe by way of this one."""
    binding = module.names[name]
    own = binding.module if isinstance(binding, Declared) else None
    return any(
        other.names.get(name) == binding
        for other in program.modules.values()
        if other is not module and other is not own
    )


def _of_import(decl: Import, place: int) -> Span:
    """The piece of an import that brings in one of its names: with the comma and the comment behind it, or all of it.
    Comments of other names stay."""
    names = [name.span for name in decl.names]
    name, text = names[place], decl.span.source.text
    if len(names) == 1:
        return _with_line(decl.span)
    behind = _BEHIND.match(text, name.end)
    end = behind.end() if behind is not None else name.end
    whole = _with_line(Span(name.source, name.start, end))
    if text[whole.start : whole.end].endswith("\n"):
        return whole
    if place > 0 and "#" not in text[names[place - 1].end : name.start]:
        return Span(name.source, names[place - 1].end, name.end)
    return Span(name.source, name.start, end)


def _with_line(span: Span) -> Span:
    """A piece with the line that it is all of, or with the space behind it."""
    text = span.source.text
    start, end = text.rfind("\n", 0, span.start) + 1, text.find("\n", span.end)
    end = len(text) if end < 0 else end + 1
    if not text[start : span.start].strip() and not text[span.end : end].strip():
        return Span(span.source, start, end)
    space = re.compile(r"[ \t]*").match(text, span.end)
    return Span(span.source, span.start, space.end() if space is not None else span.end)


def _lets(decl: Decl, in_strings: set[str], diagnostics: Diagnostics) -> None:
    count = Counter(_WORD.findall(decl.span.text))
    for statement in _statements(decl):
        name = statement.name
        named = isinstance(statement, BranchStmt) and name.text in in_strings
        if count[name.text] == 1 and not named:
            diagnostics.add(
                "W0219",
                name.span,
                f"nothing uses `{name.text}`",
                "named nowhere else",
                help="leave it out",
                fix=Fix(f"Remove `{name.text}`", _with_line(statement.span), "", certain=False),
                unnecessary=True,
            )


def _in_strings(program: Program) -> set[str]:
    """The words in the strings of all files, also without the counts of layers: `aux` of `aux_1.relu` and `aux_*`."""
    strings = [s for module in program.modules.values() for s in _STRING.findall(module.file.source.text)]
    words = _WORD.findall(" ".join(strings))
    return {*words, *(_COUNT.sub("", word) for word in words)}


def _statements(inside: Decl | Stmt) -> Iterator[LetStmt | BranchStmt]:
    """The `let`s in a body and in those within it."""
    match inside:
        case Phase(fields=body) | GroupStmt(body=body) | ForStmt(body=body):
            statements = body
        case IfStmt(yes=yes, no=no):
            statements = (*yes, *no)
        case BodyDecl(body=body) | DataDecl(body=body) | BranchStmt(body=body):
            statements = body
        case _:
            statements = ()
    for statement in statements:
        if isinstance(statement, LetStmt | BranchStmt):
            yield statement
        yield from _statements(statement)
