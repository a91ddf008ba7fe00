"""How specs are coloured: the rules that the TextMate grammar is made from and that the Pygments lexer follows.

A highlighter knows no tree, and that of an editor sees one line at a time. Where `mfc.dsl.scan` decides by the tokens
around a word, a rule looks at the characters beside it; tests hold both against each other, and the rules against the
syntax tree. Patterns are of the kind that Python's `re` and Oniguruma read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from mfc.dsl.scan import DECLARATION_WORDS, KEYWORDS


class Class(NamedTuple):
    """What a piece of text is: a scope of TextMate without the language's name, and a token of Pygments."""

    scope: str
    token: str


CLASSES = {
    "comment": Class("comment.line.number-sign", "Comment.Single"),
    "documentation": Class("comment.line.documentation", "Literal.String.Doc"),
    "declaration": Class("storage.type", "Keyword.Declaration"),
    "import": Class("keyword.control.import", "Keyword.Namespace"),
    "control": Class("keyword.control", "Keyword"),
    "logical": Class("keyword.operator.logical", "Operator.Word"),
    "constant": Class("constant.language", "Keyword.Constant"),
    "number": Class("constant.numeric", "Literal.Number"),
    "string": Class("string.quoted.double", "Literal.String.Double"),
    "raw": Class("string.quoted.double.raw", "Literal.String.Double"),
    "quote": Class("punctuation.definition.string", "Literal.String.Double"),
    "escape": Class("constant.character.escape", "Literal.String.Escape"),
    "invalid": Class("invalid.illegal.escape", "Error"),
    "placeholder": Class("constant.other.placeholder", "Literal.String.Interpol"),
    "block": Class("entity.name.function", "Name.Function"),
    "declared": Class("entity.name.type", "Name.Class"),  # all that is declared but blocks and values
    "value": Class("variable.other.constant", "Name.Constant"),  # a param or a `let`
    "part": Class("entity.name.namespace", "Name.Namespace"),  # a group or a phase
    "imported": Class("variable.other.import", "Name"),
    "parameter": Class("variable.parameter", "Name.Variable"),
    "type": Class("support.type", "Keyword.Type"),
    "choice": Class("variable.other.enummember", "Name.Constant"),
    "field": Class("variable.other.property", "Name.Attribute"),
    "argument": Class("variable.parameter.argument", "Name.Variable"),
    "called": Class("entity.name.function.call", "Name.Function"),
    "attribute": Class("variable.other.member", "Name"),
    "tensor": Class("variable.language", "Name.Builtin.Pseudo"),  # `x`
    "name": Class("variable.other", "Name"),
    "operator": Class("keyword.operator", "Operator"),
    "separator": Class("punctuation.separator", "Punctuation"),
    "bracket": Class("punctuation.section", "Punctuation"),
}


class Rule(NamedTuple):
    """A pattern, the class of each of its groups (of all that it matches where it has none), and the rules that hold
    from there to their end, if others do."""

    pattern: str
    classes: str
    inside: str = ""


class End(NamedTuple):
    """Where rules that hold inside something end: a pattern, the class of its group if it has one, and the class of
    what stands inside and has none of its own."""

    pattern: str
    classes: str = ""
    content: str = ""


def _words(*words: str) -> str:
    return rf"\b(?:{'|'.join(words)})\b"


_LOGICAL, _CONSTANTS = ("and", "or", "not"), ("true", "false", "none")
_CONTROL = tuple(word for word in KEYWORDS if word not in _LOGICAL + _CONSTANTS)
_OF_OTHER_FORM = ("import", "use", "language", "param", "let", "block")
_DECLARED = tuple(word for word in DECLARATION_WORDS if word not in _OF_OTHER_FORM)

NAME = r"\b[A-Za-z_][A-Za-z0-9_]*\b"
_NEW = rf"(?!{_words(*KEYWORDS)}){NAME}"  # a name where it is given
_NUMBER = r"\b[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?(?!\w)"
_EQUAL = r"=(?!=)"
_S = r"[ \t]*"

# A declaration at the start of a line ends all that is still open, as it does for the parser. A `let` may stand there
# in a body, too.
_IMPORT = rf"(?:import|use){_S}r?\""
_OTHERS = _words(*(word for word in DECLARATION_WORDS if word not in ("import", "use", "language", "let")))
_OUTSIDE = rf"^(?={_IMPORT}|language[ \t]+[0-9]|{_OTHERS}[ \t]+[A-Za-z_])"
_OUTSIDE_OR_LET = rf"{_OUTSIDE}|^(?=let[ \t]+[A-Za-z_])"


def _closed_by(bracket: str) -> End:
    return End(rf"(\{bracket})|{_OUTSIDE_OR_LET}", "bracket")


ENDS = {
    "body": End(rf"(\}})|{_OUTSIDE}", "bracket"),
    "list": _closed_by("]"),
    "arguments": _closed_by(")"),
    "imports": _closed_by(")"),
    "parameters": _closed_by(")"),
    "annotation": End(rf"(?=[=,)])|{_OUTSIDE_OR_LET}"),
    "default": End(rf"(?=[,)])|{_OUTSIDE_OR_LET}"),
    "types": End(rf"(?=[={{}}]|\bin\b|{_words(*DECLARATION_WORDS)}[ \t]+[A-Za-z_])|{_OUTSIDE}"),
    "type arguments": _closed_by(")"),
    "choices": _closed_by(")"),
    "string": End(r"(\")|$", "quote", content="string"),
    "raw": End(r"(\")|$", "quote", content="raw"),
}

RULES: dict[str, list[Rule | str]] = {
    "file": [
        Rule(rf"\b(import|use){_S}(r?\"[^\"\n]*\"){_S}(\()", "import string bracket", "imports"),
        Rule(rf"\b(import|use)(?={_S}r?\")", "import"),
        Rule(rf"\b(language)[ \t]+({_NUMBER})", "declaration number"),
        "value",
        Rule(rf"\b(param)[ \t]+({_NEW})", "declaration value"),
        Rule(rf"\b(block)[ \t]+({_NEW}){_S}(\()", "declaration block bracket", "parameters"),
        Rule(rf"\b(block)[ \t]+({_NEW})", "declaration block"),
        Rule(rf"({_words(*_DECLARED)})[ \t]+({_NEW}){_S}(\()", "declaration declared bracket", "parameters"),
        Rule(rf"({_words(*_DECLARED)})[ \t]+({_NEW})", "declaration declared"),
        "statement",
        Rule(r":", "separator", "types"),
        "expression",
    ],
    "body": [
        "value",
        Rule(rf"({NAME})(?={_S}{_EQUAL})", "field"),
        Rule(rf"\b(group|phase)[ \t]+({_NEW})(?={_S}(?:\{{|#|$))", "declaration part"),
        "statement",
        "expression",
    ],
    # A word behind `=` opens nothing, but for `branch` and `module`.
    "value": [
        Rule(rf"({_EQUAL}){_S}(branch|module)\b(?={_S}\{{)", "operator declaration"),
        Rule(
            rf"({_EQUAL}){_S}({_words(*DECLARATION_WORDS, 'group', 'phase')})(?=[ \t]+[A-Za-z_])",
            "operator name",
        ),
        Rule(rf"\b(let)[ \t]+({_NEW})", "declaration value"),
    ],
    "statement": [Rule(r"\{", "bracket", "body")],
    "imports": ["comment", Rule(NAME, "imported"), Rule(r",", "separator")],
    "parameters": [
        "comment",
        Rule(r":", "separator", "annotation"),
        Rule(_EQUAL, "operator", "default"),
        Rule(NAME, "parameter"),
        Rule(r",", "separator"),
    ],
    "annotation": ["types"],
    "default": ["expression"],
    "types": [
        "comment",
        Rule(rf"\b(choice){_S}(\()", "type bracket", "choices"),
        Rule(rf"\b(list){_S}(\()", "type bracket", "type arguments"),
        Rule(rf"({NAME}){_S}(\()", "type bracket", "arguments"),
        Rule(NAME, "type"),
        Rule(r"\(", "bracket", "type arguments"),
        Rule(r"->", "operator"),
        Rule(r"[,:]", "separator"),
    ],
    "type arguments": [Rule(rf"({NAME})(?={_S}:)", "argument"), "types"],
    "choices": ["literal", Rule(NAME, "choice"), "expression"],
    "arguments": [Rule(rf"({NAME})(?={_S}{_EQUAL})", "argument"), "expression"],
    "list": ["expression"],
    "expression": [
        "comment",
        "literal",
        Rule(_words(*_CONTROL), "control"),
        Rule(_words(*_LOGICAL), "logical"),
        Rule(r"\bx\b", "tensor"),
        Rule(r"\.\.", "operator"),
        Rule(rf"(\.){_S}({NAME}){_S}(\()", "separator called bracket", "arguments"),
        Rule(rf"(\.){_S}({NAME})", "separator attribute"),
        Rule(rf"({NAME}){_S}(\()", "called bracket", "arguments"),
        Rule(NAME, "name"),
        Rule(r"\(", "bracket", "arguments"),
        Rule(r"\[", "bracket", "list"),
        Rule(r"[)\]}]", "bracket"),
        Rule(r"==|!=|<=|>=|->|\*\*|//|[-+*/%<>=]", "operator"),
        Rule(r"[,.:]", "separator"),
    ],
    "literal": [
        Rule(r"(r)(\")", "raw quote", "raw"),
        Rule(r"\"", "quote", "string"),
        Rule(_NUMBER, "number"),
        Rule(_words(*_CONSTANTS), "constant"),
    ],
    "string": [
        Rule(r"\\[nrt\"\\]", "escape"),
        Rule(r"\\.", "invalid"),
        Rule(r"\{[A-Za-z_][A-Za-z0-9_]*\}", "placeholder"),
    ],
    "raw": [],
    "comment": [Rule(r"^##.*", "documentation"), Rule(r"#.*", "comment")],
}
"""The rules by where they hold, in the order in which they are tried; a word stands for the rules of that name."""


class Piece(NamedTuple):
    """A piece of a text: where it starts, and its class, which is empty for what no rule takes."""

    start: int
    kind: str
    text: str


def pieces(text: str) -> Iterator[Piece]:
    """Cuts a text into pieces as an editor does with the TextMate grammar: line by line, and of the rules that hold the
    one that matches first. Together the pieces are the text."""
    inside = ["file"]
    for match in _LINE.finditer(text):
        line, begin, at = match["line"], match.start(), 0
        while found := _pattern(inside[-1]).search(line, at):
            yield from _piece(line, begin, at, found.start(), _content(inside[-1]))
            number = int((found.lastgroup or "")[1:])
            rule = _in_order(inside[-1])[number]
            content = _content(rule.inside or inside[-1])
            at = found.start()
            for kind, (start, end) in zip(rule.classes.split(), _spans(found)):
                yield from _piece(line, begin, at, start, content)
                yield from _piece(line, begin, max(at, start), end, kind)
                at = max(at, end)
            yield from _piece(line, begin, at, found.end(), content)
            at = found.end()
            if rule.inside:
                inside.append(rule.inside)
            elif number == 0 and inside[-1] in ENDS:
                inside.pop()
        yield from _piece(line, begin, at, len(line), _content(inside[-1]))
        yield from _piece(match[0], begin, len(line), len(match[0]), "")


_LINE = re.compile(r"(?P<line>[^\n]*?)(?:\r?\n|(?<!\n)\Z)")


def _piece(line: str, begin: int, start: int, end: int, kind: str) -> Iterator[Piece]:
    if start < end:
        yield Piece(begin + start, kind, line[start:end])


def _content(name: str) -> str:
    return ENDS[name].content if name in ENDS else ""


def _spans(found: re.Match[str]) -> list[tuple[int, int]]:
    """The places of a rule's groups, or of all that it matched where it has none."""
    whole = found.re.groupindex[found.lastgroup or ""]
    inner = [found.span(i) for i in range(whole + 1, found.re.groups + 1)]
    return [span for span in inner if span != (-1, -1)] or [found.span()]


@cache
def _in_order(name: str) -> list[Rule]:
    """All rules of a name, and before them what ends it."""
    end = [Rule(ENDS[name].pattern, ENDS[name].classes)] if name in ENDS else []
    return end + _flat(name)


def _flat(name: str) -> list[Rule]:
    return [r for rule in RULES[name] for r in ([rule] if isinstance(rule, Rule) else _flat(rule))]


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """All rules of a name as one pattern: of alternatives, the first that matches at the earliest place is taken."""
    return re.compile("|".join(f"(?P<r{i}>{rule.pattern})" for i, rule in enumerate(_in_order(name))))
