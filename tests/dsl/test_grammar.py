"""The grammar, its stored tables, and the scanner that feeds it: three places that must agree."""

from __future__ import annotations

import json
import logging

import lark
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark.lexer import PatternStr

from mfc.dsl import grammar
from mfc.dsl.scan import DECLARATION_WORDS, KEYWORDS, SYMBOLS, scan

TEXT = (grammar.FOLDER / grammar.GRAMMAR).read_text(encoding="utf-8")
TERMINALS = {terminal.name: terminal.pattern for terminal in grammar.build(TEXT).terminals}


def test_the_stored_tables_are_those_of_the_grammar() -> None:
    stored = json.loads((grammar.FOLDER / grammar.TABLES).read_text(encoding="utf-8"))
    if stored["lark"] == ".".join(lark.__version__.split(".")[:2]):
        assert stored == grammar.tables(TEXT), "run python -m mfc.dsl.grammar"
    else:
        assert stored["grammar"] == grammar.tables(TEXT)["grammar"], "run python -m mfc.dsl.grammar"


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=lark.logger.name)
    grammar.build(TEXT, debug=True)
    assert [record.message for record in caplog.records if "onflict" in record.message] == []


def test_a_conflict_would_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=lark.logger.name)
    grammar.build('file: file "+" file | "a"', debug=True)
    assert [record.message for record in caplog.records if "onflict" in record.message]


def test_tables_of_another_lark_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "_minor_version", lambda: "0.0")
    parser = grammar.parser.__wrapped__()
    interactive = parser.parse_interactive()
    for token in scan("let a = 1").tokens:
        interactive.parser_state.feed_token(token)  # type: ignore[arg-type]
    assert "$END" in interactive.accepts()


def test_words_and_symbols_are_those_of_the_grammar() -> None:
    written = {p.value: name for name, p in TERMINALS.items() if isinstance(p, PatternStr)}
    assert written == KEYWORDS | SYMBOLS
    assert all(f"{word.upper()} " in TEXT or f"{word.upper()}\n" in TEXT for word in DECLARATION_WORDS)


@pytest.mark.parametrize("kind", ["NAME", "NUMBER", "STRING"])
def test_the_scanner_reads_what_the_grammar_defines(kind: str) -> None:
    @given(st.from_regex(TERMINALS[kind].value, fullmatch=True))
    def agrees(text: str) -> None:
        found = scan(text)
        if not found.problems:  # too large a number, an unknown escape
            assert [(token.text, token.end) for token in found.tokens] == [(text, len(text))]
            assert found.tokens[0].type in (kind, KEYWORDS.get(text))

    agrees()
