"""Rules about memory: ports (UG1448), pointers and arrays (UG1399, "Arrays", "Pointers")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clang.cindex import Cursor, CursorKind, TypeKind

from .loops import code
from .source import Finding, Unit, is_number, loops, texts, unrolled_counters

_CHOICES = (CursorKind.IF_STMT, CursorKind.CONDITIONAL_OPERATOR, CursorKind.SWITCH_STMT)


def _port_accesses(function: Cursor) -> Iterator[tuple[Cursor, Cursor, tuple[Cursor, ...]]]:
    """Subscripts of pointer parameters inside loops: the access, the innermost loop, and what stands between them."""
    ports = {
        cursor.spelling
        for cursor in function.get_children()
        if cursor.kind == CursorKind.PARM_DECL and cursor.type.kind == TypeKind.POINTER
    }

    def visit(at: Cursor, between: tuple[Cursor, ...]) -> Iterator[tuple[Cursor, tuple[Cursor, ...]]]:
        for child in at.get_children():
            if child.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR and next(iter(_names(child)), "") in ports:
                yield child, between
            yield from visit(child, (*between, child))

    innermost = [
        loop for loop, _ in loops(function) if not any(around and around[-1] == loop for _, around in loops(function))
    ]
    for loop in innermost:
        yield from ((access, loop, between) for access, between in visit(loop, ()))


def _names(cursor: Cursor) -> list[str]:
    return [token for token in texts(cursor) if token.isidentifier()]


def conditional(unit: Unit) -> Iterator[Finding]:
    """A port that is read or written under a condition inside a loop gets no burst; ask for bursts by hand instead.

    [HLS 214-232] "access is in the conditional branch". UG1448 214-232.
    """
    for function in unit.functions:
        for access, _, between in _port_accesses(function):
            if any(each.kind in _CHOICES for each in between):
                yield unit.finding(access, "memory.conditional", f"{_names(access)[0]!r} is accessed under a condition")


def strided(unit: Unit) -> Iterator[Finding]:
    """A port's index grows by one in each turn of the innermost loop, or there is no burst.

    [HLS 214-230] "stride is incompatible". UG1448 214-230.
    """
    for function in unit.functions:
        for access, loop, _ in _port_accesses(function):
            tokens = texts(access)
            index = tokens[tokens.index("[") + 1 : -1]
            counter = next(iter(_counter_names(loop)), "")
            if counter not in index:
                continue
            at = index.index(counter)
            factors = {*index[max(0, at - 1) : at], *index[at + 1 : at + 2]} & {"*", "<<", ">>", "/", "%"}
            step = "".join(texts(loop))
            if factors or not re.search(rf"(\+\+{counter}|{counter}\+\+|{counter}\+=1)\)", step):
                yield unit.finding(access, "memory.strided", f"{tokens[0]!r} is accessed in steps")


def _counter_names(loop: Cursor) -> Iterator[str]:
    first = next(iter(loop.get_children()), None)
    if first is not None and first.kind == CursorKind.DECL_STMT:
        yield from (cursor.spelling for cursor in first.get_children() if cursor.kind == CursorKind.VAR_DECL)


def pointers(unit: Unit) -> Iterator[Finding]:
    """A struct holds no pointer and no reference: passed on, it is a pointer to pointers.

    [HLS 214-134] "Pointer to pointer is not supported", followed by [HLS 214-135]. UG1399, "Pointers".
    """
    kinds = (TypeKind.POINTER, TypeKind.LVALUEREFERENCE)
    for record in unit.records:
        for field in record.get_children():
            if field.kind == CursorKind.FIELD_DECL and field.type.kind in kinds:
                yield unit.finding(field, "memory.pointers", f"{record.spelling}.{field.spelling} is a pointer")


def unpartitioned(unit: Unit) -> Iterator[Finding]:
    """An array inside a local struct that a pipelined loop indexes by a variable is partitioned, by its own name.

    A small array becomes a memory of two ports unless partitioned (config_array_partition -complete_threshold, four
    elements); the pragma has to name the member. UG1399, "pragma HLS array_partition", "Structs".
    """
    for function in unit.functions:
        names = {pragma.option("variable") for pragma in unit.all_pragmas(function)}
        local = {
            cursor.spelling
            for cursor in code(function)
            if cursor.kind == CursorKind.VAR_DECL and cursor.type.kind != TypeKind.LVALUEREFERENCE
        }
        numbers = unrolled_counters(unit, function)
        seen: set[str] = set()
        for loop, around in loops(function):
            if not any(unit.has(each, "pipeline") for each in (*around, loop)):
                continue
            for cursor in loop.walk_preorder():
                member = _member(cursor, numbers) if cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR else ""
                if not member or member in names | seen or member.split(".", 1)[0] not in local:
                    continue
                seen.add(member)
                yield unit.finding(cursor, "memory.unpartitioned", f"{member!r} has no array_partition")


def _member(access: Cursor, numbers: set[str]) -> str:
    """``value.field`` of ``value.field[index]`` if the index is no number; empty otherwise."""
    tokens = texts(access)
    is_member = len(tokens) > 5 and tokens[1] == "." and tokens[3] == "[" and tokens[0].isidentifier()
    return "".join(tokens[:3]) if is_member and not is_number(tokens[4:-1], numbers) else ""
