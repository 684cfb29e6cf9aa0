"""The packed structs of ``hls/rtl/kernel_pkg.sv`` as Python values, so that benches know their fields by name."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from tests.rtl.support.simulation import RTL

_STRUCT = re.compile(r"typedef struct packed \{(.*?)\} (\w+);", re.DOTALL)
_FIELD = re.compile(r"^(\w+)\s*((?:\[[^]]*\]\s*)*)(\w+);$")
_CONSTANTS = {"TAPS": 9}


@functools.cache
def _fields(name: str) -> list[tuple[str, str, int]]:
    """Name, type and width of each field, the highest bits first."""
    text = re.sub(r"//[^\n]*", "", (RTL / "kernel_pkg.sv").read_text(encoding="utf-8"))
    body = next(body for body, found in _STRUCT.findall(text) if found == name)
    fields = []
    for line in filter(None, (line.strip() for line in body.splitlines())):
        found = _FIELD.match(line.replace("logic signed", "logic"))
        if found is None:
            raise ValueError(f"{name}: {line}")
        kind, ranges, field = found.groups()
        width = 1 if kind == "logic" else bits(kind)
        for high in re.findall(r"\[(.*?):0\]", ranges):
            base, _, less = high.partition("-")
            width *= int(_CONSTANTS.get(base, base)) - int(less or 0) + 1
        fields.append((field, kind if not ranges else "logic", width))
    return fields


def bits(name: str) -> int:
    """Width of a struct."""
    return sum(width for _, _, width in _fields(name))


def pack(name: str, values: Mapping[str, Any]) -> int:
    """A struct's bits; fields that are structs are mappings, negative numbers two's complement."""
    total = 0
    for field, kind, width in _fields(name):
        value = values[field]
        number = pack(kind, value) if isinstance(value, Mapping) else int(value)
        total = total << width | number & ((1 << width) - 1)
    return total


def unpack(name: str, vector: int) -> dict[str, Any]:
    """A struct's fields, unsigned."""
    values: dict[str, Any] = {}
    for field, kind, width in reversed(_fields(name)):
        number, vector = vector & ((1 << width) - 1), vector >> width
        values[field] = number if kind == "logic" else unpack(kind, number)
    return values
