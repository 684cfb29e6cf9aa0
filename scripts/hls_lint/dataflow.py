"""Rules about dataflow regions: UG1399, "Canonical Forms" and "Nested Dataflow Region Pitfalls"."""

from __future__ import annotations

from collections.abc import Iterator

from clang.cindex import Cursor, CursorKind

from .source import Finding, Unit, body, texts

_PASSED = (CursorKind.DECL_REF_EXPR, CursorKind.INTEGER_LITERAL, CursorKind.CXX_BOOL_LITERAL_EXPR)


def _regions(unit: Unit) -> list[Cursor]:
    return [function for function in unit.functions if unit.has(function, "dataflow")]


def _bare(cursor: Cursor) -> Cursor:
    """Without conversions."""
    while cursor.kind == CursorKind.UNEXPOSED_EXPR:
        children = list(cursor.get_children())
        if len(children) != 1:
            break
        cursor = children[0]
    return cursor


def canonical(unit: Unit) -> Iterator[Finding]:
    """A region holds declarations and calls only; what is passed is a name or a number, and no result is used.

    [HLS 214-114]: only declarations and calls are allowed in a canonical region; [HLS 214-169] counts what is not.
    """
    for region in _regions(unit):
        statements = body(region)
        for statement in statements.get_children() if statements is not None else ():
            bare = _bare(statement)
            if bare.kind == CursorKind.DECL_STMT:
                for variable in bare.get_children():
                    if variable.kind == CursorKind.VAR_DECL and _computes(variable):
                        yield unit.finding(variable, "dataflow.canonical", f"{variable.spelling!r} is computed here")
            elif bare.kind == CursorKind.CALL_EXPR:
                for argument in list(bare.get_children())[1:]:
                    if _bare(argument).kind not in _PASSED and not _is_conversion(argument):
                        yield unit.finding(argument, "dataflow.canonical", "an argument is computed in the call")
            elif bare.kind != CursorKind.NULL_STMT:
                yield unit.finding(bare, "dataflow.canonical", "neither a declaration nor a call")


def _is_conversion(argument: Cursor) -> bool:
    """A constructor or operator that the compiler adds has one name inside and nothing computed."""
    inside = [cursor for cursor in argument.walk_preorder() if cursor.kind == CursorKind.DECL_REF_EXPR]
    return len(texts(argument)) == 1 and len(inside) >= 1


def _computes(variable: Cursor) -> bool:
    """Whether what follows a variable's name and sizes is more than nothing, a number or a text."""
    tokens = texts(variable)
    rest = tokens[tokens.index(variable.spelling) + 1 :]
    while rest[:1] == ["["]:
        rest = rest[rest.index("]") + 1 :]
    given = [token for token in rest if token not in ("=", "(", ")", "{", "}")]
    return len(given) > 1 or any(not (token.startswith('"') or token[0].isdigit()) for token in given)


def nested(unit: Unit) -> Iterator[Finding]:
    """A region calls no other region, so that nothing is passed through two, and no region stands in a loop of one.

    UG1399, "Nested Dataflow Region Pitfalls": the inner region runs to its end before its caller goes on.
    """
    names = {region.spelling for region in _regions(unit)}
    for region in _regions(unit):
        for cursor in region.walk_preorder():
            if cursor.kind == CursorKind.CALL_EXPR and called(cursor) in names:
                yield unit.finding(cursor, "dataflow.nested", f"{called(cursor)!r} is a region too")


def called(call: Cursor) -> str:
    """Name of what is called, also if it depends on a template."""
    if call.spelling:
        return str(call.spelling)
    return next((token for token in texts(call) if token.isidentifier()), "")
