"""The colours of specs, held against the scanner and the syntax tree.

VS Code's own library reads the TextMate grammar in the tests of `editors/vscode`; what it makes of the specs is
compared here with what the Pygments lexer does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pygments.lexers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.token import STANDARD_TYPES, Error, Text, string_to_tokentype

import mfc
from mfc.dsl import syntax
from mfc.dsl.chunks import cut
from mfc.dsl.diagnostics import Diagnostics
from mfc.dsl.parse import parse
from mfc.dsl.scan import DECLARATION_WORDS, KEYWORDS, SYMBOLS, scan
from mfc.dsl.source import Source
from mfc.grammars import textmate
from mfc.grammars.highlighting import CLASSES, pieces
from mfc.grammars.lexer import MfsLexer
from tests.docs.test_documentation import DOCUMENTS, ROOT, blocks
from tests.dsl.test_grammar import TERMINALS
from tests.dsl.test_parse import VALID, damaged, nodes


def tree(text: str) -> tuple[syntax.File, list[str]]:
    """What a text says, and what is wrong with it."""
    diagnostics = Diagnostics()
    file = parse(Source("test.mfs", text), diagnostics)
    return file, [diagnostic.message for diagnostic in diagnostics]


FOLDER = Path(mfc.__file__).parent / "specs"
SPECS = {
    path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.mfs")
}
SHOWN = {
    f"{path.name}_{i}": text
    for path in DOCUMENTS
    for opening in ("mfs", "mfs fragment")
    for i, text in enumerate(blocks(str(path.relative_to(ROOT)), opening))
    if not tree(text)[1]
}
"""What the documents show, but for their mistakes."""
TEXTS = VALID | SPECS | SHOWN
SNAPSHOTS = ROOT / "editors/vscode/test/snapshots"
NAMES = {
    "block", "declared", "value", "part", "imported", "parameter", "type", "choice", "field", "argument", "called",
    "attribute", "tensor", "name",
}  # fmt: skip
STRINGS = {"string", "raw", "quote", "escape", "placeholder"}
OF_TOKENS = {
    "NAME": NAMES,
    "LOG": NAMES,
    "NUMBER": {"number"},
    "STRING": STRINGS,
    **{word: {"control"} for word in ("IF", "THEN", "ELSE", "FOR", "IN", "WITHIN")},
    **{word: {"logical"} for word in ("AND", "OR", "NOT")},
    **{word: {"constant"} for word in ("TRUE", "FALSE", "NONE")},
    **{word: {"import"} for word in ("IMPORT", "USE")},
    **{
        word: {"declaration"}
        for word in (
            "LANGUAGE", "PARAM", "LET", "DATA", "TOKENIZER", "OPTIMIZER", "BLOCK", "MODEL", "TRAIN", "EVALUATE",
            "EXPORT", "GROUP", "PHASE", "BRANCH", "MODULE",
        )
    },
    **{symbol: {"bracket"} for symbol in ("LPAR", "RPAR", "LSQB", "RSQB", "LBRACE", "RBRACE")},
    **{symbol: {"separator"} for symbol in ("COMMA", "COLON", "DOT")},
    **{
        symbol: {"operator"}
        for symbol in (
            "EQ", "NE", "LE", "GE", "LT", "GT", "POWER", "DOUBLE_SLASH", "PLUS", "MINUS", "STAR", "SLASH", "PERCENT",
            "ARROW", "DOTS", "EQUAL",
        )
    },
}  # fmt: skip
"""The classes that a token of the language can have."""


def kinds(text: str) -> list[str]:
    """The class of each character."""
    return [piece.kind for piece in pieces(text) for _ in piece.text]


def roles(file: syntax.File) -> Iterator[tuple[syntax.Name | syntax.Literal, str]]:
    """The class that each name of a file has for what it is in the tree."""
    known: dict[int, str] = {}
    names: list[syntax.Name] = []
    for node, _ in nodes(file.declarations):
        match node:
            case syntax.Name():
                names.append(node)
            case syntax.Import(names=given):
                known |= {id(name): "imported" for name in given}
            case syntax.Param() | syntax.LetStmt() | syntax.BranchStmt():
                known[id(node.name)] = "value"
            case syntax.ValueDecl() | syntax.BodyDecl():
                known[id(node.name)] = "block" if node.kind == "block" else "declared"
            case syntax.DataDecl():
                known[id(node.name)] = "declared"
            case syntax.Parameter():
                known[id(node.name)] = "parameter"
            case syntax.TypeExpr(name, arguments):
                known[id(name)] = "type"
                for word in arguments:
                    if isinstance(word, syntax.Literal) and word.span.text == word.value:
                        yield word, "choice"
            case syntax.FieldStmt():
                known[id(node.name)] = "field"
            case syntax.Phase() | syntax.GroupStmt():
                known[id(node.name)] = "part"
            case syntax.Argument(name=syntax.Name() as name):
                known[id(name)] = "argument"
            case syntax.DataType(name, _, parts):
                known |= {id(part): "argument" for part, _ in parts} | {id(name): "type"}
            case syntax.CallExpr(syntax.Name() as callee) | syntax.CallExpr(syntax.Attribute(_, callee)):
                known[id(callee)] = "called"
            case syntax.Attribute(_, name):
                known.setdefault(id(name), "attribute")  # what is called was seen before
    for name in names:
        yield name, known.get(id(name), "tensor" if name.text == "x" else "name")


def test_the_textmate_grammar_is_that_of_the_rules() -> None:
    stored = json.loads(textmate.FILE.read_text(encoding="utf-8"))
    assert stored == textmate.grammar(), "run python -m mfc.grammars.textmate"


def test_no_two_classes_have_one_scope() -> None:
    assert len({named.scope for named in CLASSES.values()}) == len(CLASSES)


def test_each_token_of_the_language_has_a_class() -> None:
    lark = textmate.FILE.with_name("mfs.lark").read_text(encoding="utf-8")
    declared = {word for line in re.findall(r"%declare (.*)", lark) for word in line.split()} - {"MISSING"}
    assert OF_TOKENS.keys() == TERMINALS.keys() | declared
    for text, token in (KEYWORDS | SYMBOLS).items():
        assert set(kinds(f"let a = {text} 1")[8 : 8 + len(text)]) == OF_TOKENS[token], text
    for word in DECLARATION_WORDS:
        rest = {"language": " 1", "import": ' "a.mfs"', "use": ' "a.py"'}.get(word, " a")
        assert set(kinds(word + rest)[: len(word)]) == OF_TOKENS[word.upper()], word


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_read_as_a_token_is_coloured_as_one(name: str) -> None:
    text = TEXTS[name]
    found, scanned = kinds(text), scan(text)
    for token in scanned.tokens:
        assert set(found[token.start : token.end]) <= OF_TOKENS[token.type], token
        found[token.start : token.end] = [""] * (token.end - token.start)
    for start, end in scanned.comments:
        assert set(found[start:end]) <= {"comment", "documentation"}
        found[start:end] = [""] * (end - start)
    assert set(found) <= {"", "comment", "documentation"}  # spaces behind a comment belong to it


@pytest.mark.parametrize("name", TEXTS)
def test_each_name_is_coloured_by_what_it_is(name: str) -> None:
    text = TEXTS[name]
    found = kinds(text)
    for node, kind in roles(tree(text)[0]):
        assert set(found[node.span.start : node.span.end]) == {kind}, node


@given(damaged() | st.text())
def test_together_the_pieces_are_the_text(text: str) -> None:
    at = 0
    for piece in pieces(text):
        assert piece.start == at and piece.text
        assert piece.kind == "" or piece.kind in CLASSES
        at += len(piece.text)
    assert "".join(piece.text for piece in pieces(text)) == text


@given(damaged())
def test_a_mistake_spoils_the_colours_of_one_declaration(text: str) -> None:
    found = kinds(text)
    for start, end in cut(text):
        word = re.match(r"\w+", text[start:end])
        if word and word[0] in DECLARATION_WORDS and word[0] != "let":
            assert found[start:] == kinds(text[start:])


@pytest.mark.parametrize(("terminal", "classes"), [("NUMBER", {"number"}), ("STRING", STRINGS | {"invalid"})])
def test_numbers_and_strings_are_those_of_the_grammar(terminal: str, classes: set[str]) -> None:
    @given(st.from_regex(TERMINALS[terminal].value, fullmatch=True))
    def agrees(text: str) -> None:
        assert set(kinds(f"let a = {text}")[8:]) <= classes

    agrees()


def test_a_string_shows_its_escapes_and_placeholders() -> None:
    text = r'let a = ["{stem}_P\n{", "\d {a b}", r"\d{stem}", "open'
    assert [(p.text, p.kind) for p in pieces(text) if p.kind in STRINGS | {"invalid"}] == [
        ('"', "quote"), ("{stem}", "placeholder"), ("_P", "string"), (r"\n", "escape"), ("{", "string"), ('"', "quote"),
        ('"', "quote"), (r"\d", "invalid"), (" {a b}", "string"), ('"', "quote"),
        ("r", "raw"), ('"', "quote"), (r"\d{stem}", "raw"), ('"', "quote"),
        ('"', "quote"), ("open", "string"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_pygments_finds_nothing_wrong_in_specs(name: str) -> None:
    for kind, text in MfsLexer(stripnl=False).get_tokens(TEXTS[name]):
        assert kind not in Error
        assert kind is not Text or not text.strip()


def test_pygments_finds_the_lexer() -> None:
    for lexer in (pygments.lexers.get_lexer_by_name("mfs"), pygments.lexers.get_lexer_for_filename("a.mfs")):
        assert isinstance(lexer, MfsLexer)
        assert "".join(text for _, text in lexer.get_tokens("let a = 1\r\n")) == "let a = 1\n"


def test_pygments_knows_the_tokens() -> None:
    for named in CLASSES.values():
        assert string_to_tokentype(named.token) in STANDARD_TYPES, named


def test_the_editor_has_coloured_all_specs_as_they_are() -> None:
    stored = {
        path.relative_to(SNAPSHOTS / "specs").as_posix().removesuffix(".snap"): path.read_text(
            encoding="utf-8"
        )
        for path in (SNAPSHOTS / "specs").rglob("*.snap")
    }
    lines = {name: re.findall(r"^>(.*)$", snapshot, re.MULTILINE) for name, snapshot in stored.items()}
    assert lines == {name: text.split("\n") for name, text in SPECS.items()}, REFRESH


REFRESH = "run `npm run snapshots` in editors/vscode"


@pytest.mark.parametrize("snapshot", sorted(SNAPSHOTS.rglob("*.snap")), ids=lambda path: path.stem)
def test_the_lexer_and_the_editor_agree(snapshot: Path) -> None:
    """A snapshot has each line behind `>`, then a line for each piece of it: `#`, carets below it, its scopes. Some
    count the end of the line in."""
    kind_of = {f"{named.scope}.mfs": kind for kind, named in CLASSES.items()} | {"source.mfs": ""}
    lines: list[str] = []
    found: list[list[str]] = []
    for line in snapshot.read_text(encoding="utf-8").splitlines():
        if line.startswith(">"):
            lines.append(line[1:])
            found.append([])
        else:
            _, carets, scopes = re.split(r"(\^+)", line, maxsplit=1)
            found[-1] += [kind_of[scopes.split()[-1]]] * len(carets)
    of_characters = iter(kinds("".join(f"{line}\n" for line in lines)))
    for line, of_units in zip(lines, found):
        units = [
            kind
            for c, kind in zip(f"{line}\n", of_characters)
            for _ in range(len(c.encode("utf-16-le")) // 2)
        ]
        assert of_units == units[: len(of_units)] and len(of_units) >= len(units) - 1, REFRESH
