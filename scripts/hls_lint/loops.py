"""Rules about loops: UG1399, "Loops" ("Variable Loop Bounds", "Pipelining Loops", "Flattening")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clang.cindex import Cursor, CursorKind

from .source import Finding, Unit, body, bound, is_number, loops


def has_constant_bound(function: Cursor, loop: Cursor) -> bool:
    """Whether a term of the condition compares with numbers, constants and template parameters only."""
    names = {
        cursor.spelling
        for cursor in function.walk_preorder()
        if cursor.kind == CursorKind.VAR_DECL and _is_constant(cursor)
    }
    starts = {  # a loop from a counter of an unrolled loop around it ends a constant number of clocks later
        cursor.spelling
        for around in _around(function, loop)
        for cursor in _counters(around)
        if has_constant_bound(function, around)
    }
    terms: list[list[str]] = [[]]
    for token in bound(loop):
        if token == "&&":
            terms.append([])
        else:
            terms[-1].append(token)
    return any(len(term) > 2 and term[1] in ("<", "<=") and is_number(term[2:], names | starts) for term in terms)


def _is_constant(variable: Cursor) -> bool:
    tokens = [token.spelling for token in variable.get_tokens()]
    if "=" not in tokens or not {"const", "constexpr"} & set(tokens):
        return False
    return is_number([token for token in tokens[tokens.index("=") + 1 :] if token != ";"], set())


def _around(function: Cursor, loop: Cursor) -> Sequence[Cursor]:
    return next((around for found, around in loops(function) if found == loop), ())


def _counters(loop: Cursor) -> Iterator[Cursor]:
    for child in loop.get_children():
        if child.kind == CursorKind.DECL_STMT:
            yield from (cursor for cursor in child.get_children() if cursor.kind == CursorKind.VAR_DECL)
        return


def unbounded(unit: Unit) -> Iterator[Finding]:
    """A loop has a constant bound or says its trip count; a ``do`` has neither.

    UG1399, "Variable Loop Bounds" and "pragma HLS loop_tripcount": without it the report has no latency ("?").
    """
    for function in unit.functions:
        for loop, _ in loops(function):
            if loop.kind == CursorKind.DO_STMT:
                yield unit.finding(loop, "loops.unbounded", "a do loop: write a for loop")
            elif not has_constant_bound(function, loop) and not unit.has(loop, "loop_tripcount"):
                yield unit.finding(loop, "loops.unbounded", "its bound is no constant: state its loop_tripcount")


def drained(unit: Unit) -> Iterator[Finding]:
    """A pipelined loop inside a loop that is not unrolled is flattened with it only if the nest is perfect.

    [HLS 200-960] "Cannot flatten loop": the outer loop holds more than the inner one, or the inner bound is variable.
    The pipeline is then emptied and filled again for each turn of the outer loop. UG1399, "Flattening Loops".
    """
    for function in unit.functions:
        for loop, around in loops(function):
            outer = [each for each in around if not unit.has(each, "unroll")]
            if not unit.has(loop, "pipeline") or not outer:
                continue
            statements = list(list(outer[-1].get_children())[-1].get_children())
            if not has_constant_bound(function, loop):
                yield unit.finding(loop, "loops.drained", "a pipelined loop of variable bound inside another loop")
            elif statements != [loop]:
                yield unit.finding(loop, "loops.drained", "a pipelined loop beside other statements of a loop")


def inner(unit: Unit) -> Iterator[Finding]:
    """A loop inside a pipelined one is unrolled by the tool, which it cannot do if its bound is variable.

    [XFORM 203-503] "Cannot unroll loop ... completely: variable loop bound". UG1399, "Pipelining Loops".
    """
    for function in unit.functions:
        for loop, around in loops(function):
            if any(unit.has(each, "pipeline") for each in around) and not has_constant_bound(function, loop):
                yield unit.finding(loop, "loops.inner", "a loop of variable bound inside a pipelined loop")


def code(function: Cursor) -> Iterator[Cursor]:
    """Everything in a function's statements."""
    statements = body(function)
    if statements is not None:
        yield from statements.walk_preorder()
