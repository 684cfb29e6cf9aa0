"""The language of the kernel's rules (``sliceflow.graph.rules``), and a machine for it.

A rule is a short program over the fields of a descriptor for a machine with one accumulator, which the next rule finds
as the last one left it. ``sliceflow.graph.render_rules`` writes it as C++ and as the table of a SystemVerilog checker.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

from sliceflow.graph.descriptor import Descriptor
from sliceflow.hardware.profile import Profile

WORD = 0xFFFF_FFFF
TOP = 7
"""A value tested against a set counts as this if it is larger."""


class Operation(enum.IntEnum):
    """A step of a rule. Its value is a field (or nothing) plus an offset, modulo 2**32."""

    WHEN = 0
    """The value is in a set: what follows counts. Ends the conditions before it."""
    AND = 1
    """The value is in a set, or what follows does not count."""
    IN = 2
    """The value must be in a set."""
    RANGE = 3
    """The value must be at most a limit."""
    SET = 4
    ADD = 5
    SUBTRACT = 6
    MULTIPLY = 7
    """The accumulator becomes, is increased by, decreased by, or multiplied by the value."""
    LOW = 8
    """Keep the accumulator's low 16 bits."""
    AT_MOST = 9
    AT_LEAST = 10
    EQUALS = 11
    """The accumulator must be at most, at least, or just the value."""


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A number of the profile.

    Attributes:
        of: its value.
        cpp: its expression in the C++ configuration ``C``.
        systemverilog: its expression in the kernel's parameters, 32 bits.
    """

    of: Callable[[Profile], int]
    cpp: str
    systemverilog: str


Number = int | Symbol


@dataclasses.dataclass(frozen=True)
class Step:
    """One step; ``limit`` is that of RANGE, or the set (a bit mask) of WHEN, AND and IN."""

    operation: Operation
    field: str = ""
    offset: Number = 0
    limit: Number = 0


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        code: the status of a descriptor that breaks it.
        steps: how it is evaluated, without the conditions.
        when: conditions under which it counts, as WHEN and AND steps.
        text: what must be.
        why: the reason; may be empty.
        integers: it holds for integer profiles only.
    """

    code: int
    steps: tuple[Step, ...]
    when: tuple[Step, ...]
    text: str
    why: str
    integers: bool

    def message(self, layer: Descriptor) -> str:
        """What is wrong with a layer that breaks the rule."""
        fields = dict.fromkeys(step.field for step in self.steps if hasattr(layer, step.field))
        values = [f"{field} {getattr(layer, field)}" for field in fields]
        return (
            f"{self.text}, not {getattr(layer, *fields)}" if len(values) == 1 else f"{self.text}: {', '.join(values)}"
        )


def _number(number: Number, profile: Profile) -> int:
    return number if isinstance(number, int) else number.of(profile)


class Machine:
    """Evaluates rules one after the other; the accumulator stays."""

    def __init__(self, fields: Mapping[str, Any], profile: Profile) -> None:
        self._fields, self._profile = fields, profile
        self._accumulator = 0

    def holds(self, rule: Rule) -> bool:
        """Whether a rule holds, or does not count."""
        return not all(map(self._satisfied, rule.when)) or all(map(self._satisfied, rule.steps))

    def _satisfied(self, step: Step) -> bool:
        """Do a step; false if it asks for what is not."""
        value = ((self._fields[step.field] if step.field else 0) + _number(step.offset, self._profile)) & WORD
        limit = _number(step.limit, self._profile)
        match step.operation:
            case Operation.WHEN | Operation.AND | Operation.IN:
                return bool(limit >> min(value, TOP) & 1)
            case Operation.RANGE:
                return value <= limit
            case Operation.AT_MOST:
                return self._accumulator <= value
            case Operation.AT_LEAST:
                return self._accumulator >= value
            case Operation.EQUALS:
                return self._accumulator == value
            case Operation.SET:
                self._accumulator = value
            case Operation.ADD:
                self._accumulator += value
            case Operation.SUBTRACT:
                self._accumulator -= value
            case Operation.MULTIPLY:
                self._accumulator *= value
            case Operation.LOW:
                self._accumulator &= 0xFFFF
        return True
