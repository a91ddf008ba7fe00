"""Builds the syntax tree: one method for each rule of the grammar, called as the parser reduces.

Spans count from the start of the chunk that is parsed; `mfc.dsl.chunks` puts them in their place in the file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from mfc.dsl import syntax
from mfc.dsl.scan import CHUNK, Token
from mfc.dsl.source import Span

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class _Group(NamedTuple):
    """Nodes between brackets, and where the closing one ends."""

    items: tuple[Any, ...]
    start: int
    end: int


def _span(start: int, end: int) -> Span:
    return Span(CHUNK, start, end)


def _token_span(token: Token) -> Span:
    return Span(CHUNK, token.start, token.end)


def _name(token: Token) -> syntax.Name:
    return syntax.Name(token.text, Span(CHUNK, token.start, token.end))


def _present(children: list[Any]) -> list[Any]:
    return [child for child in children if child is not None]


class Builder:
    """The tree's maker. It keeps nothing from one call to the next."""

    def file(self, children: list[Any]) -> list[syntax.Decl]:
        return children

    # ── declarations ────────────────────────────────────────────────────────────────────────────────────

    def import_(self, children: list[Any]) -> syntax.Import:
        word, path, *names = children
        end = names[0].end if names else path.span.end
        return syntax.Import(word.text, path, names[0].items if names else (), _span(word.start, end))

    def names(self, children: list[Any]) -> _Group:
        *names, close = _present(children)
        return _Group(tuple(map(_name, names)), close.start, close.end)

    def language(self, children: list[Any]) -> syntax.Language:
        word, number = children
        return syntax.Language(int(number.text), _span(word.start, number.end))

    def param(self, children: list[Any]) -> syntax.Param:
        word, name, type_, default, _, domain = children
        end = (domain or default or type_).span.end
        return syntax.Param(_name(name), type_, default, domain, _span(word.start, end))

    def let(self, children: list[Any]) -> syntax.LetStmt:
        word, name, value = children
        return syntax.LetStmt(_name(name), value, _span(word.start, value.span.end))

    def data(self, children: list[Any]) -> syntax.DataDecl:
        word, name, *params, input_, target, body = children
        return syntax.DataDecl(
            _name(name),
            params[0].items if params else None,
            input_,
            target,
            body.items,
            _span(word.start, body.end),
        )

    def value(self, children: list[Any]) -> syntax.ValueDecl:
        word, name, *params, value = children
        return syntax.ValueDecl(
            word.text,
            _name(name),
            params[0].items if params else None,
            value,
            _span(word.start, value.span.end),
        )

    def body(self, children: list[Any]) -> syntax.BodyDecl:
        word, name, *params, body = children
        return syntax.BodyDecl(
            word.text,
            _name(name),
            params[0].items if params else None,
            body.items,
            _span(word.start, body.end),
        )

    def params(self, children: list[Any]) -> _Group:
        *params, close = _present(children)
        return _Group(tuple(params), close.start, close.end)

    def parameter(self, children: list[Any]) -> syntax.Parameter:
        name, type_, default = children
        end = default.span.end if default else type_.span.end if type_ else name.end
        return syntax.Parameter(_name(name), type_, default, _span(name.start, end))

    def type(self, children: list[Any]) -> syntax.TypeExpr:
        name, *arguments, close = children
        if close is None:
            return syntax.TypeExpr(_name(name), (), _token_span(name))
        if name.text == "choice":
            arguments = [_choice(argument) for argument in arguments]
        return syntax.TypeExpr(_name(name), tuple(arguments), _span(name.start, close.end))

    def closed(self, children: list[Any]) -> syntax.Domain:
        lo, hi = children
        return syntax.Domain(lo, hi, False, _span(lo.span.start, hi.span.end))

    def log(self, children: list[Any]) -> syntax.Domain:
        word, lo, hi, close = children
        return syntax.Domain(lo, hi, True, _span(word.start, close.end))

    def datatype(self, children: list[Any]) -> syntax.DataType:
        name, *call = children
        end = call[0].end if call else name.end
        return syntax.DataType(_name(name), call[0].items if call else (), (), _span(name.start, end))

    def datatypes(self, children: list[Any]) -> syntax.DataType:
        open_, *parts, close = children
        pairs = tuple((_name(name), type_) for name, type_ in zip(parts[::2], parts[1::2]))
        return syntax.DataType(None, (), pairs, _span(open_.start, close.end))

    # ── bodies ──────────────────────────────────────────────────────────────────────────────────────────

    def block(self, children: list[Any]) -> _Group:
        open_, *statements, close = children
        return _Group(tuple(statements), open_.start, close.end)

    def field(self, children: list[Any]) -> syntax.FieldStmt:
        name, value = children
        return syntax.FieldStmt(_name(name), value, _span(name.start, value.span.end))

    def phase(self, children: list[Any]) -> syntax.Phase:
        word, name, body = children
        return syntax.Phase(_name(name), body.items, _span(word.start, body.end))

    def layer(self, children: list[Any]) -> syntax.LayerStmt:
        (call,) = children
        return syntax.LayerStmt(call, call.span)

    def branch(self, children: list[Any]) -> syntax.BranchStmt:
        let, name, word, body = children
        return syntax.BranchStmt(_name(name), word.text, body.items, _span(let.start, body.end))

    def if_stmt(self, children: list[Any]) -> syntax.IfStmt:
        word, condition, yes, _, no = children
        if isinstance(no, syntax.IfStmt):
            return syntax.IfStmt(condition, yes.items, (no,), _span(word.start, no.span.end))
        return syntax.IfStmt(condition, yes.items, no.items if no else (), _span(word.start, (no or yes).end))

    def for_stmt(self, children: list[Any]) -> syntax.ForStmt:
        word, names, _, iterable, body = children
        return syntax.ForStmt(names, iterable, body.items, _span(word.start, body.end))

    def group(self, children: list[Any]) -> syntax.GroupStmt:
        word, name, body = children
        return syntax.GroupStmt(_name(name), body.items, _span(word.start, body.end))

    def variables(self, children: list[Any]) -> tuple[syntax.Name, ...]:
        return tuple(map(_name, children))

    # ── expressions ─────────────────────────────────────────────────────────────────────────────────────

    def if_expr(self, children: list[Any]) -> syntax.IfExpr:
        word, condition, _, yes, _, no = children
        return syntax.IfExpr(condition, yes, no, _span(word.start, no.span.end))

    def binary(self, children: list[Any]) -> syntax.Binary:
        left, operator, right = children
        return syntax.Binary(operator.text, left, right, _span(left.span.start, right.span.end))

    def not_in(self, children: list[Any]) -> syntax.Unary:
        left, _, word, right = children
        span = _span(left.span.start, right.span.end)
        return syntax.Unary("not", syntax.Binary(word.text, left, right, span), span)

    def unary(self, children: list[Any]) -> syntax.Unary:
        operator, operand = children
        return syntax.Unary(operator.text, operand, _span(operator.start, operand.span.end))

    def call_expr(self, children: list[Any]) -> syntax.CallExpr:
        callee, call = children
        return syntax.CallExpr(callee, call.items, _span(callee.span.start, call.end))

    def call(self, children: list[Any]) -> _Group:
        *arguments, close = children
        return _Group(tuple(arguments), close.start, close.end)

    def positional(self, children: list[Any]) -> syntax.Argument:
        (value,) = children
        return syntax.Argument(None, value, value.span)

    def named(self, children: list[Any]) -> syntax.Argument:
        name, value = children
        return syntax.Argument(_name(name), value, _span(name.start, value.span.end))

    def attribute(self, children: list[Any]) -> syntax.Attribute:
        value, name = children
        return syntax.Attribute(value, _name(name), _span(value.span.start, name.end))

    def index(self, children: list[Any]) -> syntax.Index:
        value, index, close = children
        return syntax.Index(value, index, _span(value.span.start, close.end))

    def parenthesized(self, children: list[Any]) -> syntax.Expr:
        open_, value, close = children
        if isinstance(value, (syntax.Name, syntax.Literal)):
            return value  # a name's span is the name alone, which renaming relies on
        return replace(value, span=_span(open_.start, close.end))

    def list(self, children: list[Any]) -> syntax.ListExpr:
        open_, *items, close = _present(children)
        return syntax.ListExpr(tuple(items), _span(open_.start, close.end))

    def comprehension(self, children: list[Any]) -> syntax.Comprehension:
        open_, body, _, names, _, iterable, _, condition, close = children
        return syntax.Comprehension(body, names, iterable, condition, _span(open_.start, close.end))

    def name(self, children: list[Any]) -> syntax.Name:
        return _name(children[0])

    def number(self, children: list[Any]) -> syntax.Literal:
        (token,) = children
        text = token.text.replace("_", "")
        return syntax.Literal(int(text) if text.isdigit() else float(text), _token_span(token))

    def string(self, children: list[Any]) -> syntax.Literal:
        (token,) = children
        return syntax.Literal(unquoted(token.text), _token_span(token))

    def true(self, children: list[Any]) -> syntax.Literal:
        return syntax.Literal(True, _token_span(children[0]))

    def false(self, children: list[Any]) -> syntax.Literal:
        return syntax.Literal(False, _token_span(children[0]))

    def none(self, children: list[Any]) -> syntax.Literal:
        return syntax.Literal(None, _token_span(children[0]))

    def missing(self, children: list[Any]) -> syntax.Missing:
        return syntax.Missing(_token_span(children[0]))


def _choice(argument: syntax.TypeExpr | syntax.Literal) -> syntax.TypeExpr | syntax.Literal:
    """A choice that was written as a bare name, as the string that it means."""
    if isinstance(argument, syntax.TypeExpr) and not argument.arguments:
        return syntax.Literal(argument.name.text, argument.span)
    return argument


def unquoted(text: str) -> str:
    """What a string token means. Escapes are `\\n \\t \\r \\" \\\\`."""
    if text.startswith("r"):
        return text[2:-1]
    if "\\" not in text:
        return text[1:-1]
    out, at = [], 1
    while at < len(text) - 1:
        if text[at] == "\\":
            at += 1
            out.append(_ESCAPES.get(text[at], text[at]))
        else:
            out.append(text[at])
        at += 1
    return "".join(out)
