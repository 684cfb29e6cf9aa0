"""Rules about operators: UG1399, "Data Types" and "Optimizing DSP Resources"."""

from __future__ import annotations

from collections.abc import Iterator

from clang.cindex import Cursor, CursorKind

from .source import Finding, Unit, is_number, loops, texts, unrolled_counters


def wide(unit: Unit) -> Iterator[Finding]:
    """No product of 64 bits in a pipelined loop: 16 multiplier blocks and their latency for what counts to 2^16.

    A product with a number (a constant, the counter of an unrolled loop) is a few additions.
    UG1399, "Arbitrary Precision Data Types": the width of the operands decides.
    """
    for function in unit.functions:
        seen: set[int] = set()
        numbers = unrolled_counters(unit, function)
        for loop, around in loops(function):
            if not any(unit.has(each, "pipeline") for each in (*around, loop)):
                continue
            for cursor in loop.walk_preorder():
                line = cursor.location.line
                if line not in seen and _is_wide_product(cursor, numbers):
                    seen.add(line)
                    yield unit.finding(cursor, "arithmetic.wide", "a product of 64 bits in a pipelined loop")


def _is_wide_product(cursor: Cursor, numbers: set[str]) -> bool:
    if cursor.kind != CursorKind.BINARY_OPERATOR or cursor.type.get_canonical().get_size() != 8:
        return False
    operands = list(cursor.get_children())
    if len(operands) != 2:
        return False
    first = texts(operands[0])
    is_product = texts(cursor)[len(first) : len(first) + 1] == ["*"]
    return is_product and not any(is_number(texts(operand), numbers) for operand in operands)
