"""What each word of a file is."""

from __future__ import annotations

import re

from hypothesis import given, settings

from mfc.dsl.editor.semantic_tokens import MODIFIERS, TYPES, semantic_tokens
from tests.dsl.editor.damage import damaged
from tests.dsl.editor.documents import of_text

LAYERS = """import mfc

@mfc.labeler
class mine:
    "Labels."
"""
TEXT = """## 😀 Doc\r
import "std/cnn.mfs" (cnn)  # 🎲
use "layers.py" (mine)
param size: int = 3 in log(1, 8)
param arch: choice(small, large) = small
data digits: image -> category { source = builtin("digits")  split = random(valid = 0.2)  label = mine() }
block broken(nf) { if then size 3 "four" conv2d }
model net(classes) {
    group body { conv2d(size)  let half = x }
    add(body.half)
    if not x.width == 2 and true { linear(min(classes, -1)) }
}
let other = net(digits.classes)
train fit { data = digits  model = other  batch_transforms = [normalize(digits_stats)]  phase all { epochs = 1 } }
let unknown = nowhere
"""
EXPECTED = """
1 comment.documentation:## 😀 Doc
2 keyword:import string:"std/cnn.mfs" class.defaultLibrary:cnn comment:# 🎲
3 keyword:use string:"layers.py" function:mine
4 keyword:param variable.definition.readonly:size type.defaultLibrary:int operator:= number:3 keyword:in function:log number:1 number:8
5 keyword:param variable.definition.readonly:arch type.defaultLibrary:choice enumMember:small enumMember:large operator:= enumMember:small
6 keyword:data class.definition:digits type.defaultLibrary:image operator:-> type.defaultLibrary:category property:source operator:= function.defaultLibrary:builtin string:"digits" property:split operator:= function.defaultLibrary:random parameter:valid operator:= number:0.2 property:label operator:= function:mine
7 keyword:block function.definition:broken keyword:if keyword:then variable.readonly:size number:3 string:"four"
8 keyword:model class.definition:net parameter.declaration:classes
9 keyword:group namespace.declaration:body function.defaultLibrary:conv2d variable.readonly:size keyword:let variable.declaration:half operator:= variable:x
10 function.defaultLibrary:add namespace:body variable:half
11 keyword:if keyword:not variable:x property:width operator:== number:2 keyword:and keyword:true function.defaultLibrary:linear function.defaultLibrary:min parameter:classes operator:- number:1
13 keyword:let variable.definition.readonly:other operator:= class:net class:digits property:classes
14 keyword:train class.definition:fit property:data operator:= class:digits property:model operator:= variable.readonly:other operator:= function.defaultLibrary:normalize variable.readonly.defaultLibrary:digits_stats keyword:phase namespace.declaration:all property:epochs operator:= number:1
15 keyword:let variable.definition.readonly:unknown operator:=
"""  # noqa: E501


def test_words_are_what_they_stand_for() -> None:
    document = of_text(TEXT, layers_py=LAYERS)
    lines: dict[int, list[str]] = {}
    for token in semantic_tokens(document):
        shown = ".".join([token.type, *token.modifiers]) + ":" + TEXT[token.start : token.end]
        lines.setdefault(document.source.position(token.start)[0], []).append(shown)
    assert "\n" + "".join(f"{line} {' '.join(tokens)}\n" for line, tokens in lines.items()) == EXPECTED


@settings(max_examples=60)
@given(damaged())
def test_tokens_follow_one_another_within_their_lines(text: str) -> None:
    found = semantic_tokens(of_text(text))
    last = 0
    for token in found:
        assert last <= token.start < token.end <= len(text)
        assert not re.search(r"[\r\n]", text[token.start : token.end])
        assert token.type in TYPES and set(token.modifiers) <= set(MODIFIERS)
        last = token.end


@settings(max_examples=60)
@given(damaged())
def test_a_mistake_leaves_the_words_of_the_language(text: str) -> None:
    """Keywords and comments of what could not be read, against a pattern of their own."""
    document = of_text(text)
    found = {(t.start, t.type) for t in semantic_tokens(document)}
    for match in re.finditer(r"^(data|train) \\w+", text, re.MULTILINE):
        assert (match.start(), "keyword") in found
    for match in re.finditer(r"^[ \t]*(#[^\n\r\0]*)$", text, re.MULTILINE):
        assert (match.start(1), "comment") in found
