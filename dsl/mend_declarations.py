"""Rules for the top of a file: unknown declaration words, incomplete heads, statements that stand outside."""

from __future__ import annotations

from mfc.dsl.diagnostics import Diagnostic, Fix
from mfc.dsl.failure import Failure, Mended, quoted
from mfc.dsl.scan import CHUNK, DECLARATION_WORDS, DECLARATIONS, Token
from mfc.dsl.source import Span
from mfc.dsl.suggest import near

_MEANT = {
    "network": "model", "net": "model", "module": "model", "dataset": "data", "datablock": "data",
    "dataloader": "data", "layer": "block", "const": "let", "var": "let", "val": "let", "set": "let",
    "parameter": "param", "arg": "param", "include": "import", "from": "import", "fit": "train", "learner": "train",
    "eval": "evaluate", "test": "evaluate", "save": "export", "version": "language",
}  # fmt: skip
_WITH_BODY = {"data", "block", "train", "evaluate", "export"}
_FORMS = {
    "import": 'import "file.mfs" (name)',
    "use": 'use "file.py" (name)',
    "language": "language 1",
    "param": "param size: int = 32",
    "let": "let name = value",
    "data": "data name: image -> category { ... }",
    "tokenizer": "tokenizer name = value",
    "optimizer": "optimizer name = value",
    "block": "block name(arguments) { ... }",
    "model": "model name = value` or `model name { ... }",
    "train": "train name { ... }",
    "evaluate": "evaluate name { ... }",
    "export": "export name { ... }",
}


def head(at: Failure) -> Mended | None:
    """A declaration whose first line lacks something, or has what its kind does not take."""
    if at.declaration is None or at.inside or at.index - at.declaration < 1:
        return None
    word, name = at.tokens[at.declaration].text, at.at(at.declaration + 1)
    just_named = at.index == at.declaration + 2
    if word == "param" and at.expected == {"COLON"}:
        return _untyped(at, name)
    if word == "data" and "COLON" in at.expected and at.token.type in ("LBRACE", "EQUAL"):
        message = f"the types of `{name.text}` are missing"
        return Mended(
            Diagnostic(
                "E0119", message, at.span(name), "what goes in, and what is to be found?", help=_form(word)
            )
        )
    if at.token.type == "EQUAL" and word in _WITH_BODY and "LBRACE" in at.expected:
        message = f"`{word}` has a body, not a value"
        opens = at.at(at.index + 1).type == "LBRACE"
        return Mended(
            Diagnostic("E0119", message, at.span(at.token), "expected `{`", help=_form(word)),
            at.replaced(at.index, at.index + 1) if opens else None,
        )
    if at.token.type == "LBRACE" and word in ("tokenizer", "optimizer", "let") and "EQUAL" in at.expected:
        message = f"`{word}` has a value, not a body"
        return Mended(Diagnostic("E0119", message, at.span(at.token), "expected `=`", help=_form(word)))
    if at.token.type == "LPAR" and word in ("let", "param") and just_named:
        message = f"`{word}` has no parameters"
        help_ = "a stack of layers with parameters is a `block`" if word == "let" else ""
        return Mended(Diagnostic("E0119", message, at.span(at.token), "expected `=`", help=help_))
    return None


def _untyped(at: Failure, name: Token) -> Mended:
    """A param without its type, which its default may tell."""
    default = at.at(at.index + 1) if at.token.type == "EQUAL" else at.token
    kinds = {"STRING": "string", "TRUE": "bool", "FALSE": "bool"}
    guess = kinds.get(default.type, "")
    if default.type == "NUMBER":
        guess = "int" if default.text.replace("_", "").isdigit() else "float"
    typed = at.token.type == "NAME"
    place = Span(CHUNK, name.end, name.end)
    text = ":" if typed else f": {guess}"
    return Mended(
        Diagnostic(
            "E0119",
            f"the type of `{name.text}` is missing"
            if not typed
            else f"`:` is missing before `{at.token.text}`",
            at.span(name),
            "expected a type after this" if not typed else "expected `:` after this",
            help=f"write `param {name.text}: {at.token.text if typed else guess or 'int'}`",
            fix=Fix(f"Add `{text}`", place, text, certain=typed) if typed or guess else None,
        ),
        at.inserted(("COLON", ":"), *([] if typed else [("NAME", guess)])) if typed or guess else None,
    )


def _form(word: str) -> str:
    return f"write `{_FORMS[word]}`"


def outside(at: Failure) -> Mended | None:
    """What stands at the top of a file and is no declaration."""
    if "$END" not in at.expected or at.token.type == "$END" or at.inside:
        return None
    end = _next_line(at)
    token, after = at.token, at.at(at.index + 1)
    if token.fresh and token.text in DECLARATION_WORDS:
        return _incomplete(at, end)
    if token.fresh and token.type == "NAME" and after.type == "NAME" and not after.fresh:
        return _unknown_word(at, end)
    if not token.fresh:
        declaration = at.tokens[at.declaration].text if at.declaration is not None else "the declaration"
        message = f"unexpected {quoted(token)} after the end of the `{declaration}`"
        return Mended(
            Diagnostic("E0101", message, at.span(token), "not expected here"), at.replaced(at.index, end)
        )
    message, label = "a statement outside of a declaration", "nothing is open here"
    span = at.span(token, at.tokens[_line_end(at) - 1])
    if token.type == "NAME" and after.type == "EQUAL":
        place = Span(CHUNK, token.start, token.start)
        named = Token("LET", "let", token.start, token.start, fresh=True)
        return Mended(
            Diagnostic(
                "E0112",
                message,
                span,
                label,
                help=f"a constant is written `let {token.text} = ...`",
                fix=Fix("Make it a `let`", place, "let ", certain=False),
            ),
            at.replaced(at.index, at.index, named),
        )
    if token.type == "PHASE":
        help_ = "a `phase` stands in a `train`"
    else:
        layers = after.type == "LPAR" or token.type in ("IF", "FOR", "GROUP")
        help_ = "layers stand in a `block` or a `model`" if layers else ""
    problem = Diagnostic("E0112", message, span, label, help=help_)
    return Mended(problem, at.replaced(at.index, _next_declaration(at)))


def _next_declaration(at: Failure) -> int:
    later = range(at.index + 1, len(at.tokens))
    return next((i for i in later if at.tokens[i].type in DECLARATIONS), len(at.tokens))


def _next_line(at: Failure) -> int:
    """The index of the next declaration or of the next line that begins at column 0."""
    return next(
        (
            i
            for i in range(at.index + 1, len(at.tokens))
            if at.tokens[i].type in DECLARATIONS or (at.tokens[i].fresh and at.column(at.tokens[i]) == 0)
        ),
        len(at.tokens),
    )


def _line_end(at: Failure) -> int:
    return next((i for i in range(at.index + 1, len(at.tokens)) if at.tokens[i].fresh), len(at.tokens))


def _incomplete(at: Failure, end: int) -> Mended:
    word = at.token.text
    what = {
        "import": "the file's name in quotes",
        "use": "the file's name in quotes",
        "language": "a whole number",
    }
    return Mended(
        Diagnostic(
            "E0119",
            f"`{word}` is followed by {what.get(word, 'a name')}",
            at.span(at.token),
            f"expected {what.get(word, 'a name')} after this",
            help=_form(word),
        ),
        at.replaced(at.index, end),
        at.tokens[at.index : end],
    )


def _unknown_word(at: Failure, end: int) -> Mended:
    """A word that opens no declaration; with a near one it is read as that."""
    word = at.token.text
    close = next(iter(near(word, DECLARATION_WORDS)), None)
    guess = close or _MEANT.get(word)
    fix = at.fix(f"Write `{guess}`", at.index, at.index + 1, guess, certain=False) if guess else None
    problem = Diagnostic(
        "E0113",
        f"`{word}` is not a declaration",
        at.span(at.token),
        "unknown declaration word",
        help=f"did you mean `{guess}`?" if guess else f"declarations are {', '.join(DECLARATION_WORDS)}",
        fix=fix,
    )
    if close:
        meant = at.token._replace(type=close.upper(), text=close)
        return Mended(problem, at.replaced(at.index, at.index + 1, meant))
    return Mended(problem, at.replaced(at.index, end), at.tokens[at.index : end])


RULES = (head, outside)
