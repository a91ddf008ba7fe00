from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfc.runtime.text import rules
from mfc.runtime.text.rules import Chunker, apply_rules, rule_chunk, undo_rules

BITS = (
    "a", "no", "No", "NO", "nono", "GREAT", "Great", "iPhone", " ", "  ", "\n", "\n\n", "\t", "aaa", "!!!!", "...",
    "....", "<br />", "&amp;", "amp;", "quot;", "&lt;", "&nbsp;", "/", "//", "///", "###", "\\", "\\n", "no no no",
    "no\nno no ", "é", "É", "ÉA", "I", "I'm", " @-@ ", "<unk>", "don't", "1111", "ΑΣ", "Σ ", "_", "—", "#39;", "\r",
    "\x1c", "\u3000",
)  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(BITS), max_size=30).map("".join))


@pytest.mark.parametrize(
    ("rule", "text", "result"),
    [
        (rules.fix_html, "so#39;s &lt;b&gt;<br />x quot;y", "so's <b>\nx 'y"),
        (rules.fix_html, "a @-@ b 3 @.@ 5 <unk>...", "a-b 3.5 xxunk …"),
        (rules.fix_html, "&amp; &nbsp; &#x41; &eacute;", "&& &  A é"),
        (rules.replace_rep, "sooo !!!! aa", "s xxrep 3 o   xxrep 4 !  aa"),
        (rules.replace_wrep, "no no no, yes yes", " xxwrep 3 no , yes yes"),
        (rules.replace_wrep, "a no\nno no", "a xxwrep 3 no "),
        (rules.spec_add_spaces, "a/b #1 c\\d", "a / b  # 1 c \\ d"),
        (rules.rm_useless_spaces, "a   b \n  c", "a b \n c"),
        (rules.replace_all_caps, "I AM IN R2-D2", "i xxup am xxup in xxup r2-d2"),
        (rules.replace_maj, "A Great iPhone McD É", "a xxmaj great iPhone McD É"),
        (apply_rules, "\n GREAT Film!!!\n\nNo no ", "xxup great xxmaj film xxrep 3 ! \n\nxxmaj no no"),
        (apply_rules, "", ""),
    ],
)  # fmt: skip
def test_a_rule(rule: Callable[[str], str], text: str, result: str) -> None:
    assert rule(text) == result


@given(TEXTS)
def test_chunks_have_what_the_rules_give_for_the_whole_text(text: str) -> None:
    parts = [part for chunk in Chunker(rules=True, spaces=False)(text) for part in rule_chunk(chunk)]
    assert parts == apply_rules(text).split()


@given(TEXTS)
def test_chunks_of_white_space_are_those_of_the_text_after_the_rules(text: str) -> None:
    parts = []
    for chunk in Chunker(rules=True, spaces=True)(text):
        parts += [rules.rm_useless_spaces(chunk)] if chunk.isspace() else rule_chunk(chunk)
    assert parts == Chunker(rules=False, spaces=True)(apply_rules(text))


@given(st.lists(TEXTS, max_size=5))
def test_what_a_chunker_saw_before_changes_nothing(texts: list[str]) -> None:
    chunker = Chunker(rules=True, spaces=True)
    assert [chunker(text) for text in texts] == [Chunker(rules=True, spaces=True)(text) for text in texts]


@given(TEXTS)
def test_without_rules_chunks_are_the_text_but_for_single_spaces(text: str) -> None:
    chunks = Chunker(rules=False, spaces=True)(text)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    rest = text
    for chunk in chunks:
        before, found, rest = rest.partition(chunk)
        assert found
        assert before in ("", " ")
    assert rest in ("", " ")


@given(st.lists(st.sampled_from(["great", "Great", "GREAT", "goood", "x"]), max_size=12).map(" ".join))
def test_marks_are_undone(text: str) -> None:
    words = apply_rules(text)
    assert undo_rules(words).replace(" ", "") == text.replace(" ", "")


def test_any_number_of_repetitions_is_undone_within_reason() -> None:
    assert undo_rules("xxrep 3 !") == "!!!"
    assert len(undo_rules("so xxrep 99999999999 o")) < 20_000
    assert undo_rules("xxmaj") == "xxmaj"
    assert undo_rules("xxrep o") == "xxrep o"
