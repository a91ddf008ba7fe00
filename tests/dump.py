"""A syntax tree as text for golden files: the spec again, with all that the grammar decides made visible.

Operations stand in parentheses, each statement on a line, declarations are separated by an empty line.
"""

from __future__ import annotations

from collections.abc import Iterable

from mfc.dsl import syntax
from mfc.dsl.syntax import Decl, Expr, File, Stmt


def dump(file: File) -> str:
    """The whole file: its documentation, its declarations, the number of its comments."""
    parts = [f"file: {file.doc!r}"] if file.doc else []
    parts += ["\n".join(_declaration(declaration)) for declaration in file.declarations]
    if file.comments:
        parts.append(f"{len(file.comments)} comments")
    return "\n\n".join(parts) + "\n"


def outline(file: File) -> str:
    """One line: what is declared."""
    return ", ".join(_title(declaration) for declaration in file.declarations) or "nothing"


def _title(declaration: Decl) -> str:
    kind = getattr(declaration, "kind", None) or type(declaration).__name__.lower()
    if isinstance(declaration, syntax.BrokenDecl):
        kind = f"broken {kind}"
    kind = {"datadecl": "data", "letstmt": "let"}.get(kind, kind)
    name = getattr(declaration, "name", None)
    return f"{kind} {name.text}" if name else kind


def _declaration(declaration: Decl) -> Iterable[str]:
    doc = getattr(declaration, "doc", "")
    if doc:
        yield f"doc: {doc!r}"
    title = _title(declaration)
    match declaration:
        case syntax.Import(_, path, names):
            yield f"{title} {path.value!r} {_names(names)}"
        case syntax.Language(version):
            yield f"language {version}"
        case syntax.Param(_, type_, default, domain):
            value = f" = {expr(default)}" if default else ""
            yield f"{title}: {_type(type_)}{value}{_domain(domain)}"
        case syntax.LetStmt(_, value) | syntax.ValueDecl(value=value):
            yield f"{title}{_params(declaration)} = {expr(value)}"
        case syntax.DataDecl(input=input_, target=target, body=body):
            yield f"{title}{_params(declaration)}: {_datatype(input_)} -> {_datatype(target)}"
            yield from _body(body)
        case syntax.BodyDecl(body=body):
            yield f"{title}{_params(declaration)}"
            yield from _body(body)
        case syntax.BrokenDecl():
            yield title


def _body(statements: Iterable[Stmt]) -> Iterable[str]:
    for statement in statements:
        yield from (f"    {line}" for line in _statement(statement))


def _statement(statement: Stmt) -> Iterable[str]:
    match statement:
        case syntax.FieldStmt(name, value):
            yield f"{name.text} = {expr(value)}"
        case syntax.LetStmt(name, value):
            yield f"let {name.text} = {expr(value)}"
        case syntax.LayerStmt(call):
            yield expr(call)
        case syntax.Phase(name, fields):
            yield f"phase {name.text}"
            yield from _body(fields)
        case syntax.BranchStmt(name, kind, body):
            yield f"let {name.text} = {kind}"
            yield from _body(body)
        case syntax.IfStmt(condition, yes, no):
            yield f"if {expr(condition)}"
            yield from _body(yes)
            if no:
                yield "else"
                yield from _body(no)
        case syntax.ForStmt(names, iterable, body):
            yield f"for {_names(names)} in {expr(iterable)}"
            yield from _body(body)
        case syntax.GroupStmt(name, body):
            yield f"group {name.text}"
            yield from _body(body)


def _names(names: Iterable[syntax.Name]) -> str:
    return ", ".join(name.text for name in names)


def _params(declaration: Decl) -> str:
    params = getattr(declaration, "params", None)
    if params is None:
        return ""
    return f"({', '.join(map(_parameter, params))})"


def _parameter(parameter: syntax.Parameter) -> str:
    type_ = f": {_type(parameter.type)}" if parameter.type else ""
    default = f" = {expr(parameter.default)}" if parameter.default else ""
    return f"{parameter.name.text}{type_}{default}"


def _type(type_: syntax.TypeExpr | syntax.Literal) -> str:
    if isinstance(type_, syntax.Literal):
        return repr(type_.value)
    arguments = f"({', '.join(map(_type, type_.arguments))})" if type_.arguments else ""
    return f"{type_.name.text}{arguments}"


def _domain(domain: syntax.Domain | None) -> str:
    if domain is None:
        return ""
    lo, hi = expr(domain.lo), expr(domain.hi)
    return f" in log({lo}, {hi})" if domain.log else f" in {lo}..{hi}"


def _datatype(type_: syntax.DataType) -> str:
    if type_.name is None:
        return f"({', '.join(f'{name.text}: {_datatype(part)}' for name, part in type_.parts)})"
    arguments = f"({', '.join(map(_argument, type_.arguments))})" if type_.arguments else ""
    return f"{type_.name.text}{arguments}"


def _argument(argument: syntax.Argument) -> str:
    return f"{argument.name.text} = {expr(argument.value)}" if argument.name else expr(argument.value)


def expr(node: Expr) -> str:
    """An expression with parentheses around each operation; literals as Python writes them."""
    match node:
        case syntax.Name(text):
            return text
        case syntax.Literal(value):
            return repr(value)
        case syntax.ListExpr(items):
            return f"[{', '.join(map(expr, items))}]"
        case syntax.Comprehension(body, names, iterable, condition):
            test = f" if {expr(condition)}" if condition else ""
            return f"[{expr(body)} for {_names(names)} in {expr(iterable)}{test}]"
        case syntax.CallExpr(callee, arguments):
            return f"{expr(callee)}({', '.join(map(_argument, arguments))})"
        case syntax.Attribute(value, name):
            return f"{expr(value)}.{name.text}"
        case syntax.Index(value, index):
            return f"{expr(value)}[{expr(index)}]"
        case syntax.Unary(op, operand):
            return f"({op} {expr(operand)})"
        case syntax.Binary(op, left, right):
            return f"({expr(left)} {op} {expr(right)})"
        case syntax.IfExpr(condition, yes, no):
            return f"(if {expr(condition)} then {expr(yes)} else {expr(no)})"
        case syntax.Missing():
            return "<missing>"
